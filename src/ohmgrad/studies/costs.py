"""What the trainings of a run cost: of all epochs, or of those up to an accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..cost import Baseline, Cost, Hardware, baseline, cost_of
from ..cost.counts import added
from ..errors import InputError
from .events import EpochEvents, events_file, read_events
from .folders import read_metrics
from .rows import Row

__all__ = ["TrainingCost", "costs_of_run"]


@dataclass(frozen=True)
class TrainingCost:
    """One training of a run.

    Args:
        algorithm, seed: of the training.
        epoch: the first that reached the accuracy; the last one where none was asked for, or none did.
        accuracy: on the test set after that epoch; the best one where the wanted one was not reached.
        reached: whether it was reached; true where none was asked for.
        images: that the training saw up to that epoch.
        cost: up to that epoch; None for digital.
        digital: the baseline on as many images.
    """

    algorithm: str
    seed: int
    epoch: int
    accuracy: float
    reached: bool
    images: int
    cost: Cost | None
    digital: Baseline


def costs_of_run(folder: Path, hardware: Hardware, accuracy: float | None = None) -> list[TrainingCost]:
    """What every training of a run costs on a kind of hardware, in the order of metrics.csv.

    Args:
        folder: of the run.
        hardware: coefficients.
        accuracy: of the test set, in (0, 1]: costs are of the epochs up to the first that reaches it.

    Raises:
        InputError: when there is no run, or it has no analog training with events.
    """
    rows: dict[tuple[str, int], list[Row]] = {}
    for row in read_metrics(folder):
        rows.setdefault((row["algorithm"], row["seed"]), []).append(row)
    events = {key: read_events(events_file(folder, *key)) for key in rows if key[0] != "digital"}
    known = [epochs for epochs in events.values() if epochs]
    if not known:
        raise InputError(
            f"{folder} has no events of an analog training: train at least one with an algorithm beside "
            "digital, in a folder of its own"
        )
    # of the same network on one epoch, which a digital training would do as well
    whole = known[0][0]
    per_image = baseline(whole.arrays, hardware).of(1 / whole.images)
    found: list[TrainingCost] = []
    for (algorithm, seed), mine in rows.items():
        reached = [row for row in mine if accuracy is None or row["test_accuracy"] >= accuracy]
        row = mine[-1]
        if accuracy is not None:
            row = reached[0] if reached else max(mine, key=lambda each: each["test_accuracy"])
        until = row["epoch"] if reached or accuracy is None else mine[-1]["epoch"]
        cost, images = None, until * whole.images
        if algorithm != "digital":
            cost = _cost(folder, algorithm, seed, events[algorithm, seed], until, hardware)
            images = cost.images
        digital, last = per_image.of(images), row["test_accuracy"]
        found.append(TrainingCost(algorithm, seed, until, last, bool(reached), images, cost, digital))
    return found


def _cost(
    folder: Path, algorithm: str, seed: int, epochs: list[EpochEvents], until: int, hardware: Hardware
) -> Cost:
    have = [each for each in epochs if each.epoch <= until]
    if len(have) < until:
        raise InputError(
            f"{folder} has the events of {len(have)} epochs of {algorithm} with seed {seed}, but {until} are "
            "asked for: an earlier version trained the others; train again, into another folder"
        )
    arrays = added(array for each in have for array in each.arrays)
    images, steps = sum(each.images for each in have), sum(each.steps for each in have)
    return cost_of(arrays, algorithm, hardware, images=images, steps=steps)
