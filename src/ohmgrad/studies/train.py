"""Training runs: every algorithm with every seed, resumable, with all numbers in a folder."""

from __future__ import annotations

import csv
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from ..crossbar import Tile
from ..data import Dataset, batches, load
from ..devices.presets import preset
from ..errors import InputError
from ..models import build
from ..nn import convert
from ..optim import AnalogOptimizer, AnalogSGD, TikiTaka
from ..pulses import Pulsing
from .spec import PERIPHERIES, RunSpec

__all__ = ["COLUMNS", "Progress", "open_folder", "read_metrics", "train"]

#: columns of metrics.csv; train_loss is over the whole training set at the end of the epoch
COLUMNS = (
    "algorithm",
    "seed",
    "epoch",
    "running_loss",
    "train_loss",
    "test_accuracy",
    "pulses_up",
    "pulses_down",
    "seconds",
)
Row = dict[str, Any]


@dataclass
class Progress:
    """What a run tells while it goes on; the default says nothing."""

    step: Callable[[str, int, int, int, float], None] = lambda *_: None
    """(algorithm, seed, step, steps, running loss), several times an epoch"""
    epoch: Callable[[Row], None] = lambda *_: None
    """a finished row of metrics.csv"""
    note: Callable[[str], None] = lambda *_: None


def open_folder(folder: Path, spec: RunSpec, resume: bool) -> None:
    """Make a run folder with the specification in it, or check that it holds the same one.

    Raises:
        InputError: when the folder has files and `resume` is false, cannot be written to, or holds
            another run.
    """
    file = folder / "spec.yaml"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()):
        if not resume:
            raise InputError(f"{folder} exists and is not empty: choose another --out, or pass --resume")
        if not file.is_file():
            raise InputError(f"{folder} has no spec.yaml, so there is no run to resume: choose another --out")
        old, new = RunSpec.read(file), spec.to_dict()
        for name in new:
            if old.get(name) != new[name]:
                raise InputError(
                    f"{folder} holds a run with {name} = {old.get(name)!r}, not {new[name]!r}: use the same "
                    "settings to resume, or choose another --out"
                )
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        file.write_text(yaml.safe_dump(spec.to_dict(), sort_keys=False))
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --out") from None


def read_metrics(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv.

    Raises:
        InputError: when there is none.
    """
    try:
        with (folder / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(
            f"cannot read {folder}/metrics.csv ({error.strerror}): is this a run folder?"
        ) from None
    whole = ("seed", "epoch", "pulses_up", "pulses_down")
    return [
        {k: v if k == "algorithm" else int(v) if k in whole else float(v) for k, v in row.items()}
        for row in rows
    ]


def train(
    spec: RunSpec, folder: Path, *, resume: bool = False, progress: Progress | None = None
) -> list[Row]:
    """Train every algorithm with every seed; after each epoch all numbers are on disk.

    The folder gets spec.yaml, metrics.csv (see `COLUMNS`) and checkpoints/. A resumed run goes on after
    the last whole epoch of each training, and ends in the same weights as one that was never cut off.

    Args:
        spec: what to train.
        folder: the run folder; made if it does not exist.
        resume: go on in a folder that holds the same run.
        progress: what to call on the way.

    Returns:
        All rows of metrics.csv.

    Raises:
        InputError: for a wrong folder or missing data, before any training.
    """
    progress = progress or Progress()
    open_folder(folder, spec, resume)
    data = load(spec.data)
    jobs = [_Job(spec, data, folder, a, seed) for seed in spec.seeds for a in spec.algorithms]
    if any(job.algorithm != "digital" for job in jobs):
        _warm_up(progress)
    rows = [row for job in jobs for row in job.rows]
    for job in jobs:
        while job.epoch < spec.epochs:
            row = job.run_epoch(progress)
            rows.append(row)
            _write(folder / "metrics.csv", rows)
            progress.epoch(row)
    _write(folder / "metrics.csv", rows)
    return rows


class _Job:
    """One algorithm with one seed."""

    def __init__(self, spec: RunSpec, data: Dataset, folder: Path, algorithm: str, seed: int) -> None:
        self.spec, self.data, self.algorithm, self.seed = spec, data, algorithm, seed
        self.file = folder / "checkpoints" / f"{algorithm}-{seed}.pt"
        self.epoch, self.rows = 0, []
        self.model, self.optimizer = _build(spec, data, algorithm, seed)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, spec.lr_step, spec.lr_gamma)
        if self.file.is_file():
            kept = torch.load(self.file, weights_only=True)
            self.model.load_state_dict(kept["model"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.scheduler.load_state_dict(kept["scheduler"])
            self.epoch, self.rows = kept["epoch"], kept["rows"]

    def run_epoch(self, progress: Progress) -> Row:
        spec, data = self.spec, self.data
        steps = -(-len(data.train_x) // spec.batch_size)
        loss_of, total, seen = nn.CrossEntropyLoss(), 0.0, 0
        start = time.perf_counter()
        self.model.train()
        order = batches(data.train_x, data.train_y, spec.batch_size, seed=self.seed, epoch=self.epoch)
        for step, (x, y) in enumerate(order):
            self.optimizer.zero_grad()
            loss = loss_of(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            total, seen = total + loss.item() * len(x), seen + len(x)
            if step % 50 == 0:
                progress.step(
                    self.algorithm, self.seed, self.epoch * steps + step, spec.epochs * steps, total / seen
                )
        self.scheduler.step()
        seconds = time.perf_counter() - start
        self.epoch += 1
        loss, _ = evaluate(self.model, data.train_x, data.train_y)
        _, accuracy = evaluate(self.model, data.test_x, data.test_y)
        events = self.optimizer.events() if isinstance(self.optimizer, AnalogOptimizer) else {}
        row = {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "epoch": self.epoch,
            "running_loss": total / seen,
            "train_loss": loss,
            "test_accuracy": accuracy,
            "pulses_up": events.get("pulses_up", 0),
            "pulses_down": events.get("pulses_down", 0),
            "seconds": (self.rows[-1]["seconds"] if self.rows else 0.0) + seconds,
        }
        self.rows.append(row)
        kept = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
            "rows": self.rows,
        }
        whole = self.file.with_suffix(".tmp")  # a run that is cut off here keeps its last checkpoint
        torch.save(kept, whole)
        os.replace(whole, self.file)
        return row


@torch.no_grad()
def evaluate(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of a model."""
    model.eval()
    loss, right = 0.0, 0
    for xs, ys in zip(x.split(1000), y.split(1000), strict=True):
        out = model(xs)
        loss += float(nn.functional.cross_entropy(out, ys, reduction="sum"))
        right += int((out.argmax(1) == ys).sum())
    return loss / len(x), right / len(x)


def _build(
    spec: RunSpec, data: Dataset, algorithm: str, seed: int
) -> tuple[nn.Module, torch.optim.Optimizer]:
    model, lr = build(spec.model, data.shape, data.classes, seed), spec.lr_of(algorithm)
    if algorithm == "digital":
        return model, torch.optim.SGD(model.parameters(), lr=lr)
    analog = convert(
        model,
        spec.built_device(),
        pulsing=Pulsing(fidelity=spec.fidelity),  # pyright: ignore[reportArgumentType]
        periphery=PERIPHERIES[spec.periphery],
        omega=spec.omega,
        seed=seed,
    )
    if algorithm == "sgd":
        return analog, AnalogSGD(analog.parameters(), lr=lr)
    return analog, TikiTaka(analog.parameters(), lr=lr, **spec.options)


def _warm_up(progress: Progress) -> None:
    """Two small updates that compile the kernels, or load them, so that no training's time has it."""
    start = time.perf_counter()
    progress.note("preparing the kernels (compiled once, about 20 s; later from a cache)")
    for side in (4, 200):
        tile = Tile((side, side), preset("paper"))
        tile.pulse(torch.ones(4, side), torch.ones(4, side), 0.001)
    progress.note(f"kernels ready after {time.perf_counter() - start:.1f} s")


def _write(path: Path, rows: list[Row]) -> None:
    whole = path.with_suffix(".tmp")
    with whole.open("w", newline="") as file:
        writer = csv.DictWriter(file, list[str](COLUMNS))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(whole, path)
