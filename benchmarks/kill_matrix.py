"""Trainings that are killed at random moments, and inside their writes, end as if they had not been.

    python benchmarks/kill_matrix.py --minutes 20 --kills 20

Every algorithm on several kinds of devices is trained to the end in one go. Then it is trained again in a
process that gets SIGKILL: half of the times at a random moment of the time that is left, half of the times by
itself, at a random call of fsync or rename. It goes on until it has been killed so often, then to its end.
All rows (but for seconds) and all tensors of the last checkpoint must be those of the first, to the bit.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ohmgrad.studies import ALGORITHMS, RunSpec, files, read_metrics, train
from ohmgrad.studies.checkpoint import read_checkpoint
from ohmgrad.studies.folders import checkpoint_file

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


def spec(algorithm: str, device: Any) -> RunSpec:
    watched = algorithm != "digital" and device != "pcm"
    return RunSpec(
        algorithms=(algorithm,), device=device, epochs=EPOCHS, images=120, seeds=(1,), lr=0.1, lr_step=2,
        monitor=watched,
    )  # fmt: skip


def left_in(folder: Path, algorithm: str) -> Any:
    """All that must be alike: rows and the content of the checkpoint, without seconds."""
    kept = read_checkpoint(checkpoint_file(folder, algorithm, 1))
    plain = {name: value for name, value in kept.content.items() if name in ("epoch", "groups", "monitor")}
    tensors = {name: (str(t.dtype), t.numpy().tobytes()) for name, t in kept.tensors.items()}
    rows = [{**row, "seconds": 0} for row in read_metrics(folder)]
    return repr(rows), repr(plain["epoch"]), repr(plain["groups"]), tensors


def killed(run: RunSpec, folder: Path, moment: float | None, call: int) -> bool:
    """Train in a child that is killed after `moment` seconds or, for None, at this call of the system."""
    child = os.fork()
    if child == 0:
        if moment is None:
            die_at(call)
        try:
            train(run, folder, resume=True)
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


def cell(algorithm: str, device: str, home: Path, kills: int, draw: random.Random) -> tuple[int, bool]:
    """Kills of one algorithm on one device, and whether all ended alike."""
    run = spec(algorithm, DEVICES[device])
    start = time.monotonic()
    train(run, home / "whole")
    whole, made = time.monotonic() - start, 0
    folder = home / "cut"
    while made < kills:
        inside = draw.random() < 0.5
        if not killed(run, folder, None if inside else draw.uniform(0, whole), draw.randrange(12)):
            if left_in(folder, algorithm) != left_in(home / "whole", algorithm):
                return made, False
            shutil.rmtree(folder)  # it came to its end: from the start again
        else:
            made += 1
    train(run, folder, resume=True)
    return made, left_in(folder, algorithm) == left_in(home / "whole", algorithm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    draw, end = random.Random(given.seed), time.monotonic() + 60 * given.minutes
    cells = [(a, d) for d in DEVICES for a in ALGORITHMS if a != "digital" or d == "paper"]
    draw.shuffle(cells)
    done, deaths, wrong = 0, 0, []
    for algorithm, device in cells:
        if time.monotonic() > end:
            break
        with tempfile.TemporaryDirectory() as home:
            made, alike = cell(algorithm, device, Path(home), given.kills, draw)
        done, deaths = done + 1, deaths + made
        wrong += [] if alike else [f"{algorithm} on {device}"]
        print(f"{algorithm} on {device}: {made} kills, {'alike' if alike else 'DIFFERENT'}", flush=True)
    found = f"{len(wrong)} different: {', '.join(wrong) or 'none'}"
    print(f"{done} of {len(cells)} cells, {deaths} kills, {found}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
