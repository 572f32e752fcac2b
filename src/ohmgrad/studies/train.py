"""Training runs: every algorithm with every seed, resumable, with all numbers in a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..cost.counts import ArrayEvents, added, array_events, since
from ..crossbar import Tile
from ..datasets import ENVIRONMENT, Dataset, batches, load
from ..devices.presets import preset
from ..errors import InputError
from ..models import build
from ..models.vision import is_vision, standard
from ..monitor import Monitor
from ..optim import AnalogOptimizer, MultiTile
from ..user_files import by_contents
from .folders import (
    COLUMNS,
    WATCHED,
    EpochEvents,
    Row,
    check_folder,
    events_file,
    file_name,
    make_folder,
    read_events,
    write_events,
    write_rows,
)
from .images import Images
from .spec import RunSpec
from .tensorboard import log_epoch, tensorboard_writer
from .versions import note_versions

__all__ = ["Progress", "Row", "Trained", "check_data", "evaluate", "train", "train_once"]

#: at most so many images of the training set are evaluated at the end of an epoch, for train_loss
EVALUATED = 10_000


@dataclass
class Progress:
    """What a run tells while it goes on; the default says nothing."""

    step: Callable[[str, int, int, int, float], None] = lambda *_: None
    """(algorithm, seed, step, steps, running loss), several times an epoch"""
    epoch: Callable[[Row], None] = lambda *_: None
    """a finished row of metrics.csv"""
    note: Callable[[str], None] = lambda *_: None


def train(
    spec: RunSpec,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    tensorboard: bool = False,
) -> list[Row]:
    """Train every algorithm with every seed; after each epoch all numbers are on disk.

    The folder gets spec.yaml, versions.yaml, metrics.csv (see `folders.COLUMNS`), checkpoints/, events/ (see
    `folders.EpochEvents`) and, if the specification asks for a monitor, monitor.csv. A resumed run goes on
    after the last whole epoch of each training, and ends in the same weights and rows as one that was never
    cut off.

    Args:
        spec: what to train.
        folder: the run folder; made if it does not exist.
        resume: go on in a folder that holds the same run, perhaps with more epochs now; a folder that does
            not exist yet is a new run.
        progress: what to call on the way.
        tensorboard: write the numbers into tensorboard/ in the folder, too.

    Returns:
        All rows of metrics.csv.

    Raises:
        InputError: for a wrong folder, missing data, a model that does not fit, a damaged checkpoint or
            missing TensorBoard, before anything is written.
    """
    progress = progress or Progress()
    if tensorboard:
        tensorboard_writer(None)
    check_folder(folder, spec, resume)
    data = _data_of(spec)
    kept = folder / "checkpoints"
    jobs = [
        _Job(spec, data, kept / f"{file_name(a)}-{seed}.pt", a, seed)
        for seed in spec.seeds
        for a in spec.algorithms
    ]
    make_folder(folder, spec)  # all is checked: wrong input leaves no folder behind
    if any(job.epoch < spec.epochs for job in jobs):
        note_versions(folder)
    if any(job.algorithm != "digital" for job in jobs):
        _warm_up(progress)
    for job in jobs:
        if tensorboard and job.epoch < spec.epochs:
            job.log_to(folder / "tensorboard")
        while job.epoch < spec.epochs:
            row = job.run_epoch(progress)
            _write(folder, jobs)
            progress.epoch(row)
        if job.monitor is not None and not job.monitor.rows:
            updates = f"{job.epoch * job.steps} of {job.monitor.first_row} updates"
            progress.note(f"no row in monitor.csv: the training ended after {updates}; train longer")
        job.close()
    return _write(folder, jobs)


@dataclass(frozen=True)
class Trained:
    """What a single training gave: its last row of metrics.csv, and what its tiles counted.

    Args:
        row: see `folders.COLUMNS`; a training that diverged has a loss that is not finite.
        events: of all arrays together, see `AnalogOptimizer.events`; none for digital.
        cells: elements of all arrays, auxiliary ones too, two for a crosspoint of pairs; 0 for digital.
        updates: steps of the optimizer.
        images: images that the training saw, each as often as it did.
        arrays: events of every array, without those of evaluations; none for digital. `ohmgrad.cost` takes
            them.
        watched: rows of monitor.csv, see `Monitor`; none without a monitor.
    """

    row: Row
    events: dict[str, int]
    cells: int
    updates: int
    images: int
    arrays: list[ArrayEvents]
    watched: list[Row]

    @property
    def pulses(self) -> int:
        """Pulses of all elements."""
        return self.events.get("pulses_up", 0) + self.events.get("pulses_down", 0)


def train_once(spec: RunSpec, progress: Callable[[int, int, str], None] | None = None) -> Trained:
    """Train one algorithm with one seed and keep nothing on disk: a training of a study of many.

    Args:
        spec: of one algorithm and one seed.
        progress: called with (done, total, what).

    Raises:
        InputError: when it names more than one training, or data are missing, or the model does not fit.
    """
    if len(spec.algorithms) * len(spec.seeds) != 1:
        trainings = f"algorithms {list(spec.algorithms)} and seeds {list(spec.seeds)}"
        raise InputError(f"the run has {trainings}, but must have one of each: use train for more")
    job = _Job(spec, _data_of(spec), None, spec.algorithms[0], spec.seeds[0])

    def step(_: str, __: int, done: int, total: int, loss: float) -> None:
        if progress is not None:
            progress(done, total, f"loss {loss:.4f}")

    while job.epoch < spec.epochs:
        job.run_epoch(Progress(step))
    events, cells = {}, 0
    if isinstance(job.optimizer, AnalogOptimizer):
        optimizer = job.optimizer
        own = [tile for group in optimizer.param_groups for tile, _ in optimizer.tiles_in(group)]
        events = optimizer.events()
        held = (*own, *optimizer.arrays())
        cells = sum(tile.weight.numel() * (1 if tile.device.pair is None else 2) for tile in held)
    images = sum(each.images for each in job.events)
    arrays = added(array for each in job.events for array in each.arrays)
    return Trained(job.rows[-1], events, cells, job.epoch * job.steps, images, arrays, job.monitor_rows())


def _data_of(spec: RunSpec) -> Dataset:
    path = Path(spec.data).expanduser()  # of a file of one's own, which may be another one now
    written = path.stat().st_mtime_ns if path.suffix and path.is_file() else by_contents(spec.data)
    return _loaded(spec.data, os.environ.get(ENVIRONMENT), written).first(spec.images)


def check_data(name: str) -> None:
    """Load a data set, for the trainings to come.

    Raises:
        InputError: when its files are missing or damaged.
    """
    _data_of(RunSpec(data=name, algorithms=("digital",)))


@lru_cache(maxsize=1)
def _loaded(name: str, folder: str | None, written: int | str) -> Dataset:
    """The data set, kept for the next training: a study has many, and unpacking takes seconds."""
    return load(name)


class _Job:
    """One algorithm with one seed."""

    def __init__(self, spec: RunSpec, data: Dataset, file: Path | None, algorithm: str, seed: int) -> None:
        """`file` is that of the checkpoint; None for a training that keeps none."""
        self.spec, self.data, self.algorithm, self.seed = spec, data, algorithm, seed
        self.file = file
        self.events: list[EpochEvents] = []
        self.epoch, self.rows = 0, []
        self.steps = -(-len(data.train_x) // spec.batch_size)  # updates of an epoch
        self.board: Any = None
        pretrained = is_vision(spec.model) and spec.pretrained is not None
        self.images = Images(
            data,
            augment=spec.augment,
            resize=spec.resize,
            standard=standard(spec.model) if pretrained else None,
            seed=seed,
        )
        channels, *size = data.shape
        height, width = [spec.resize] * 2 if spec.resize else size
        model = build(spec.model, (channels, height, width), data.classes, seed, pretrained=spec.pretrained)
        self.model, self.optimizer = spec.prepare(model, algorithm, seed)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, spec.lr_step, spec.lr_gamma)
        watched = spec.monitor and algorithm != "digital"
        self.monitor = Monitor(self.model, self.optimizer) if watched else None
        if file is not None and file.is_file():
            try:
                self._load(file)
            except Exception as error:  # a damaged file may raise anything
                raise InputError(
                    f"{file} is damaged ({type(error).__name__}): delete it, and {algorithm} with seed "
                    f"{seed} starts again"
                ) from None
            kept = read_events(events_file(file.parent.parent, algorithm, seed))
            self.events = [each for each in kept if each.epoch <= self.epoch]

    def _load(self, file: Path) -> None:
        kept = torch.load(file, weights_only=True)
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.scheduler.load_state_dict(kept["scheduler"])
        self.epoch, self.rows = kept["epoch"], kept["rows"]
        if self.monitor is not None:
            self.monitor.load_state_dict(kept["monitor"])

    def _save(self, file: Path) -> None:
        kept = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
            "rows": self.rows,
            "monitor": None if self.monitor is None else self.monitor.state_dict(),
        }
        whole = file.with_suffix(".tmp")  # a run that is cut off here keeps its last checkpoint
        torch.save(kept, whole)
        os.replace(whole, file)

    def monitor_rows(self) -> list[Row]:
        """This training's rows of monitor.csv."""
        rows = [] if self.monitor is None else self.monitor.rows
        return [{"algorithm": self.algorithm, "seed": self.seed, **row} for row in rows]

    def log_to(self, folder: Path) -> None:
        """Log to TensorBoard from now on."""
        self.board = tensorboard_writer(
            folder / f"{file_name(self.algorithm)}-{self.seed}", self.epoch * self.steps
        )
        if self.monitor is not None:
            self.monitor.log_to(self.board)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _arrays(self) -> list[ArrayEvents]:
        """Events so far of all arrays; none of a digital training."""
        if isinstance(self.optimizer, AnalogOptimizer):
            return array_events(self.model, self.optimizer)
        return []

    def run_epoch(self, progress: Progress) -> Row:
        spec, data = self.spec, self.data
        steps = self.steps
        loss_of, total, seen = nn.CrossEntropyLoss(), 0.0, 0
        before = self._arrays()
        start = time.perf_counter()
        self.model.train()
        order = batches(data.train_x, data.train_y, spec.batch_size, seed=self.seed, epoch=self.epoch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed << 20 ^ self.epoch)  # of dropout
            for step, (x, y) in enumerate(order):
                self.optimizer.zero_grad()
                loss = loss_of(self.model(self.images.for_training(x, self.epoch, step)), y)
                loss.backward()
                self.optimizer.step()
                total, seen = total + loss.item() * len(x), seen + len(x)
                if step % 50 == 0:
                    done = self.epoch * steps + step
                    progress.step(self.algorithm, self.seed, done, spec.epochs * steps, total / seen)
        self.scheduler.step()
        if isinstance(self.optimizer, MultiTile):
            self.optimizer.end_epoch(total / seen)
        seconds = time.perf_counter() - start
        self.epoch += 1
        self.events.append(EpochEvents(self.epoch, seen, steps, since(before, self._arrays())))
        loss, _ = evaluate(self.model, data.train_x[:EVALUATED], data.train_y[:EVALUATED], self.images)
        _, accuracy = evaluate(self.model, data.test_x, data.test_y, self.images)
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
        if self.file is not None:
            # before the checkpoint: an epoch that it lacks is trained again, and its events counted again
            write_events(events_file(self.file.parent.parent, self.algorithm, self.seed), self.events)
            self._save(self.file)
        if self.board is not None:
            log_epoch(self.board, row, self.epoch * steps)
        return row


@torch.no_grad()
def evaluate(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, images: Images | None = None
) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of a model; `images` says how it takes them."""
    model.eval()
    loss, right = 0.0, 0
    size = 1000 if images is None else images.batch
    for xs, ys in zip(x.split(size), y.split(size), strict=True):
        out = model(xs if images is None else images.for_evaluation(xs))
        loss += float(nn.functional.cross_entropy(out, ys, reduction="sum"))
        right += int((out.argmax(1) == ys).sum())
    return loss / len(x), right / len(x)


def _warm_up(progress: Progress) -> None:
    """Two small updates that compile the kernels, or load them, so that no training's time has it."""
    start = time.perf_counter()
    progress.note("preparing the kernels (compiled once, about 20 s; later from a cache)")
    for side in (4, 200):
        tile = Tile((side, side), preset("paper"))
        tile.pulse(torch.ones(4, side), torch.ones(4, side), 0.001)
    progress.note(f"kernels ready after {time.perf_counter() - start:.1f} s")


def _write(folder: Path, jobs: list[_Job]) -> list[Row]:
    """Write metrics.csv and monitor.csv; returns the rows of metrics.csv."""
    rows = [row for job in jobs for row in job.rows]
    write_rows(folder / "metrics.csv", rows, COLUMNS)
    if any(job.monitor is not None for job in jobs):
        write_rows(folder / "monitor.csv", [row for job in jobs for row in job.monitor_rows()], WATCHED)
    return rows
