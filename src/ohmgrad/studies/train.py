"""Training runs: every algorithm with every seed, resumable, with all numbers in a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from ..checked import checked
from ..cost.counts import ArrayEvents, added
from ..crossbar import Tile
from ..datasets import ENVIRONMENT, Dataset, load
from ..devices.presets import preset
from ..errors import InputError
from ..optim import AnalogOptimizer
from ..user_files import by_contents
from .events import EpochEvents, events_file, write_events
from .folders import checkpoint_file, held
from .rows import COLUMNS, WATCHED, Row, write_rows
from .spec import RunSpec
from .tensorboard import tensorboard_writer
from .training import Kept, Progress, Training, evaluate
from .training_state import identity
from .versions import note_versions

__all__ = ["Progress", "Row", "Trained", "check_data", "evaluate", "train", "train_once", "training_of"]


@checked
def train(
    spec: RunSpec,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    tensorboard: bool = False,
    wait: bool = False,
) -> list[Row]:
    """Train every algorithm with every seed; after each epoch all numbers are on disk.

    The folder gets spec.yaml, versions.yaml, metrics.csv (see `rows.COLUMNS`), checkpoints/, events/ (see
    `events.EpochEvents`) and, if the specification asks for a monitor, monitor.csv. A resumed run goes on
    after the last whole epoch of each training, and ends in the same weights and rows as one that was never
    cut off. A checkpoint that is damaged, or of another training, is passed over for the one before it, with
    a note.

    Args:
        spec: what to train.
        folder: the run folder; made if it does not exist.
        resume: go on in a folder that holds the same run, perhaps with more epochs now; a folder that does
            not exist yet is a new run.
        progress: what to call on the way.
        tensorboard: write the numbers into tensorboard/ in the folder, too.
        wait: for another process that trains in the folder; else it is refused.

    Returns:
        All rows of metrics.csv.

    Raises:
        InputError: for a wrong folder, one in which another process trains, missing data, a model that does
            not fit, a checkpoint that cannot be used, with none before it, or missing TensorBoard, before
            anything is written.
        OSError: when the folder can no longer be written to; finished epochs are kept.
    """
    progress = progress or Progress()
    if tensorboard:
        tensorboard_writer(None)
    with held(folder, spec, resume, progress.note if wait else None) as begin:
        data = _data_of(spec)
        about = identity(spec, data)
        jobs = [
            Training(spec, data, a, seed, Kept(checkpoint_file(folder, a, seed), about, progress.note))
            for seed in spec.seeds
            for a in spec.algorithms
        ]
        begin()  # all is checked: wrong input leaves no folder behind
        return _train(jobs, spec, folder, progress, tensorboard)


def _train(
    jobs: list[Training], spec: RunSpec, folder: Path, progress: Progress, tensorboard: bool
) -> list[Row]:
    """Train all that is left."""
    if any(job.epoch < spec.epochs for job in jobs):
        note_versions(folder)
    warm = False
    for job in jobs:
        if job.epoch < spec.epochs and job.algorithm != "digital" and not warm:
            _warm_up(progress)
            warm = True
        if tensorboard and job.epoch < spec.epochs:
            job.log_to(folder / "tensorboard")
        if job.epoch < spec.epochs:
            progress.begin(job)
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
        row: see `rows.COLUMNS`; a training that diverged has a loss that is not finite.
        events: of all arrays together, see `AnalogOptimizer.events`; none for digital.
        cells: elements of all arrays, auxiliary ones too, two for a crosspoint of pairs; 0 for digital.
        updates: steps of the optimizer.
        images: images that the training saw, each as often as it did.
        arrays: events of every array, without those of evaluations; none for digital. `ohmgrad.cost` takes
            them.
        watched: rows of monitor.csv, see `Monitor`; none without a monitor.
        accuracies: on the test set after every epoch.
        epochs: what the arrays counted in each epoch.
    """

    row: Row
    events: dict[str, int]
    cells: int
    updates: int
    images: int
    arrays: list[ArrayEvents]
    watched: list[Row]
    accuracies: list[float]
    epochs: list[EpochEvents]

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
    job = Training(spec, _data_of(spec), spec.algorithms[0], spec.seeds[0], None)

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
    return Trained(
        job.rows[-1], events, cells, job.epoch * job.steps, images, arrays, job.monitor_rows(),
        [row["test_accuracy"] for row in job.rows], job.events,
    )  # fmt: skip


def training_of(
    spec: RunSpec,
    folder: Path | None,
    algorithm: str,
    seed: int,
    note: Callable[[str], None] = lambda _: None,
) -> Training:
    """One training of a run, after its last epoch in a folder; before its first where that is None.

    Args:
        note: called with a line when its checkpoint cannot be used, but the one before it.

    Raises:
        InputError: when data are missing, or no checkpoint that is there can be used.
    """
    data = _data_of(spec)
    file = None if folder is None else checkpoint_file(folder, algorithm, seed)
    kept = None if file is None else Kept(file, identity(spec, data), note)
    return Training(spec, data, algorithm, seed, kept)


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


def _warm_up(progress: Progress) -> None:
    """Two small updates that compile the kernels, or load them, so that no training's time has it."""
    start = time.perf_counter()
    progress.note("preparing the kernels (compiled once, about 20 s; later from a cache)")
    progress.preparing(True)
    for side in (4, 200):
        tile = Tile((side, side), preset("paper"))
        tile.pulse(torch.ones(4, side), torch.ones(4, side), 0.001)
    progress.preparing(False)
    progress.note(f"kernels ready after {time.perf_counter() - start:.1f} s")


def _write(folder: Path, jobs: list[Training]) -> list[Row]:
    """Write metrics.csv, events/ and monitor.csv; returns the rows of metrics.csv."""
    rows = [row for job in jobs for row in job.rows]
    for job in jobs:
        write_events(events_file(folder, job.algorithm, job.seed), job.events)
    write_rows(folder / "metrics.csv", rows, COLUMNS)
    if any(job.monitor is not None for job in jobs):
        write_rows(folder / "monitor.csv", [row for job in jobs for row in job.monitor_rows()], WATCHED)
    return rows
