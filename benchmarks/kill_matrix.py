"""Trainings, comparisons and studies that are killed end as if they had not been.

    python benchmarks/kill_matrix.py --minutes 20 --kills 20 --record kills.jsonl

Every algorithm on several kinds of devices is trained, and compared with digital SGD, to the end in one go,
and every study is computed, on a small scale. Then each is done again in a process that gets SIGKILL: half of
the times at a random moment of the time that it takes, half of the times by itself, at a random call of fsync
or rename. It goes on until it has been killed so often, then to its end. All rows and, of trainings, all
tensors of the last checkpoint must be those of the first, to the bit, but for seconds. What is in the record
is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ohmgrad.devices import Device
from ohmgrad.studies import ALGORITHMS, RunSpec, files, read_metrics, train
from ohmgrad.studies.checkpoint import read_checkpoint
from ohmgrad.studies.compare import COMPARE
from ohmgrad.studies.folders import checkpoint_file
from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.study import Study, load_columns, run_study
from tests.studies.test_study import SMALL

EPOCHS = 5
#: a preset, or what a run file has: plain, read from tables, measured, pairs, with memory and time
DEVICES: dict[str, Any] = {
    "paper": "paper",
    "reram-es": "reram-es",
    "taox": "taox",
    "pcm": "pcm",
    "capacitor": "capacitor",
    "remembering": {
        "response": {"family": "linear_step", "slope_up": 0.2, "slope_down": -0.2},
        "dw_min": 0.002,
        "write_noise": 2.0,
        "retention": {"lifetime": 1e5, "diffusion": 1e-4},
    },
}


class Training:
    """A training of one algorithm on one device."""

    def __init__(self, algorithm: str, device: str) -> None:
        self.name, self.algorithm = f"train: {algorithm} on {device}", algorithm
        watched = algorithm != "digital" and device != "pcm"
        self.spec = RunSpec(
            algorithms=(algorithm,), device=DEVICES[device], epochs=EPOCHS, images=120, seeds=(1,), lr=0.1,
            lr_step=2, monitor=watched,
        )  # fmt: skip

    def run(self, folder: Path) -> None:
        train(self.spec, folder, resume=True)

    def left_in(self, folder: Path) -> Any:
        """Rows and the content of the checkpoint, without seconds."""
        kept = read_checkpoint(checkpoint_file(folder, self.algorithm, 1))
        plain = [repr(kept.content[name]) for name in ("epoch", "groups", "monitor") if name in kept.content]
        tensors = {name: (str(t.dtype), t.numpy().tobytes()) for name, t in kept.tensors.items()}
        return repr([{**row, "seconds": 0} for row in read_metrics(folder)]), plain, tensors


class Parts:
    """A study on a small scale, a comparison among them."""

    def __init__(self, name: str, study: Study, changes: dict[str, Any]) -> None:
        self.name, self.study, self.changes = name, study, changes

    def run(self, folder: Path) -> None:
        run_study(self.study, folder, changes=self.changes)

    def left_in(self, folder: Path) -> Any:
        """All numbers, and the table and claims made of them, without seconds."""
        columns = load_columns(folder)
        files = [folder / name for name in ("table.csv", "claims.csv")]
        text = [
            file.read_text() if file.is_file() and "seconds" not in file.read_text() else "" for file in files
        ]
        return text, {n: (c.dtype.str, c.tobytes()) for n, c in columns.items() if "seconds" not in n}


def comparison(algorithm: str, device: str, home: Path) -> Parts:
    """An algorithm on a device and digital SGD: two short trainings each that choose rates, and two seeds."""
    place = device
    if not isinstance(DEVICES[device], str):
        place = str(home / f"{device}.yaml")
        Path(place).write_text(Device.from_dict(DEVICES[device]).to_yaml())
    changes = {"algorithms": (algorithm,), "devices": (place,), "images": 60, "rates": (0.05, 0.2),
               "tuning_epochs": 1, "epochs": 2, "seeds": 2}  # fmt: skip
    return Parts(f"compare: {algorithm} on {device}", COMPARE, changes)


def reproduction(name: str) -> Parts:
    """A study of a paper, with the settings of its test."""
    study = replace(STUDIES[name], settings={**STUDIES[name].settings, **SMALL[name]})
    return Parts(f"reproduce: {name}", study, {})


def killed(job: Training | Parts, folder: Path, moment: float | None, call: int) -> bool:
    """Run in a child that is killed after `moment` seconds or, for None, at this call of the system."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if moment is None:
            die_at(call)
        try:
            job.run(folder)
        except BaseException as error:
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + (moment if moment is not None else 600)
    while time.monotonic() < end:
        if (status := os.waitpid(child, os.WNOHANG))[0]:
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status[1])
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"{folder}: a training that went on ended with {code}")
    return code != 0


def die_at(call: int) -> None:
    """Have this process kill itself before the call of fsync or rename with this number, from 0."""
    left = call

    def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return real(*args)

        return wrapped

    files.os.fsync, files.os.replace = deadly(os.fsync), deadly(os.replace)


@dataclass(frozen=True)
class Found:
    """What came out of a cell of the matrix."""

    cell: str
    kills: int
    alike: bool
    seconds: int


def cell(job: Training | Parts, home: Path, kills: int, draw: random.Random) -> Found:
    """Kill a job so often, and say whether all ended alike."""
    start = time.monotonic()
    job.run(home / "whole")
    whole, made, right = time.monotonic() - start, 0, job.left_in(home / "whole")
    folder, alike = home / "cut", True
    while made < kills and alike:
        inside = draw.random() < 0.5
        if killed(job, folder, None if inside else draw.uniform(0, whole), draw.randrange(30)):
            made += 1
        else:
            alike = job.left_in(folder) == right
            shutil.rmtree(folder)  # it came to its end: from the start again
    if alike:
        job.run(folder)
        alike = job.left_in(folder) == right
    return Found(job.name, made, alike, round(time.monotonic() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, help="JSON lines of what is done; gone on with")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = given.record.read_text().splitlines() if given.record and given.record.is_file() else []
    found = [Found(**json.loads(line)) for line in lines]
    pairs = [(a, d) for d in DEVICES for a in ALGORITHMS if a != "digital"]
    with tempfile.TemporaryDirectory() as shared:
        jobs: list[Training | Parts] = [Training("digital", "paper"), *(Training(*pair) for pair in pairs)]
        jobs += [comparison(*pair, Path(shared)) for pair in pairs] + [reproduction(name) for name in SMALL]
        known, end = {each.cell for each in found}, time.monotonic() + 60 * given.minutes
        left = [job for job in jobs if job.name not in known]
        random.Random(given.seed).shuffle(left)
        for job in left:
            if time.monotonic() > end:
                break
            with tempfile.TemporaryDirectory() as home:
                each = cell(job, Path(home), given.kills, random.Random(f"{given.seed} {job.name}"))
            found.append(each)
            print(f"{each.cell}: {each.kills} kills, {'alike' if each.alike else 'DIFFERENT'}", flush=True)
            if given.record:
                with given.record.open("a") as record:
                    record.write(json.dumps(each.__dict__) + "\n")
    for kind in ("train", "compare", "reproduce"):
        of = [each for each in found if each.cell.startswith(kind)]
        total, kills = sum(job.name.startswith(kind) for job in jobs), sum(each.kills for each in of)
        print(f"{kind}: {len(of)} of {total} cells, {kills} kills")
    wrong = [each.cell for each in found if not each.alike]
    print(f"different: {', '.join(wrong) or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
