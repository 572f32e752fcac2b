"""The trained models of a run on chips: accuracy against time since programming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..deployment.over_time import OverTime, accuracy_over_time, checked_times
from ..deployment.technologies import Technology, technology_of
from ..errors import InputError, check_integer, check_number
from .folders import read_spec
from .rows import Row, write_rows
from .train import training_of
from .training import Training, evaluate

__all__ = ["DEPLOYED", "DeployedTraining", "deploy_runs", "write_deployments"]

#: columns of deployment.csv: a row for every chip and time
DEPLOYED = ("run", "algorithm", "seed", "technology", "compensation", "programming", "seconds", "accuracy",
            "digital")  # fmt: skip


@dataclass(frozen=True)
class DeployedTraining:
    """A training on chips: run, algorithm and seed, and accuracies in [0, 1] over time."""

    run: str
    algorithm: str
    seed: int
    found: OverTime


def deploy_runs(
    folders: Iterable[Path],
    technology: str | Technology = "pcm",
    *,
    times: Iterable[float] | None = None,
    programmings: int = 10,
    compensation: bool = True,
    clip: float | None = None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> list[DeployedTraining]:
    """Deploy every training of one or several runs, as after its last epoch.

    Chips of a training have its seed: trainings with the same seed are programmed with the same numbers.

    Args:
        folders: of the runs.
        technology, times, programmings, compensation, clip: see `accuracy_over_time` and `deploy`.
        progress: called with (done, all, what).
        note: called with a line when a checkpoint cannot be used, but the one before it.

    Raises:
        InputError: before anything is computed, when an argument is wrong, or a run has a training without
            a finished epoch.
    """
    technology = technology_of(technology)
    chosen = checked_times(times, technology)
    check_integer("programmings", programmings, 1)
    if clip is not None:
        check_number("clip", clip, low=0, open_low=True)
    jobs = [(folder.name or str(folder), job) for folder in folders for job in _trainings(folder, note)]
    found: list[DeployedTraining] = []
    each = len(chosen) * programmings
    for number, (run, job) in enumerate(jobs):

        def step(done: int, _: int, number: int = number, job: Training = job) -> None:
            progress(number * each + done, len(jobs) * each, f"{job.algorithm}, seed {job.seed}")

        def accuracy(model: nn.Module, job: Training = job) -> float:
            return evaluate(model, job.data.test_x, job.data.test_y, job.images)[1]

        over_time = accuracy_over_time(
            job.model, accuracy, technology, times=chosen, programmings=programmings,
            compensation=compensation, progress=step, seed=job.seed, clip=clip,
        )  # fmt: skip
        found.append(DeployedTraining(run, job.algorithm, job.seed, over_time))
    return found


def write_deployments(
    found: Iterable[DeployedTraining], technology: str, compensation: bool, path: Path
) -> None:
    """Write all accuracies as CSV, a row for every chip and time, with the columns of `DEPLOYED`."""
    rows: list[Row] = [
        {
            "run": each.run, "algorithm": each.algorithm, "seed": each.seed, "technology": technology,
            "compensation": compensation, "programming": n, "seconds": seconds,
            "accuracy": float(each.found.accuracies[n, i]), "digital": each.found.digital,
        }
        for each in found
        for n in range(len(each.found.accuracies))
        for i, seconds in enumerate(each.found.times)
    ]  # fmt: skip
    write_rows(path, rows, DEPLOYED)


def _trainings(folder: Path, note: Callable[[str], None]) -> list[Training]:
    spec = read_spec(folder)
    found = [training_of(spec, folder, a, seed, note) for a in spec.algorithms for seed in spec.seeds]
    for job in found:
        if not job.epoch:
            raise InputError(
                f"{folder} has no finished epoch of {job.algorithm} with seed {job.seed}: go on with "
                f"ohmgrad train --resume --out {folder}"
            )
        if job.epoch < spec.epochs:
            note(f"{job.algorithm} with seed {job.seed} is deployed after epoch {job.epoch} of {spec.epochs}")
    return found
