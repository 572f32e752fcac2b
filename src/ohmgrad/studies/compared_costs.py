"""What trainings cost on hardware: epoch by epoch, and at equal accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..cost import Baseline, Cost, Hardware, baseline
from ..cost.hardware import hardware
from ..optim.registry import algorithm_of
from .engine import Columns
from .history import History, unpacked_history
from .study import interval, where

__all__ = ["COSTS", "Curve", "at_equal_accuracy", "common_accuracy", "curve_of", "curves", "histories"]

Pair = tuple[str, str]
#: what a training costs, with units
COSTS = {"energy": "J", "time": "s", "pulses": "1"}


@dataclass(frozen=True)
class Curve:
    """Accuracy and cost of a training after every epoch.

    Args:
        accuracy: test accuracy (%), the mean over seeds: (epochs,).
        energy, time: of the training so far, (seeds, epochs), in J and s on the hardware.
        pulses: by element so far, the mean over the elements of all arrays, (seeds, epochs); nan for digital.
        wear: the same for each (layer, array), tiles and seeds together: (epochs,).
    """

    accuracy: np.ndarray
    energy: np.ndarray
    time: np.ndarray
    pulses: np.ndarray
    wear: Mapping[tuple[str, str], np.ndarray]

    def reached(self, accuracy: float) -> int | None:
        """The first epoch, from 0, after which the mean reaches an accuracy (%); None where none does."""
        found = np.flatnonzero(self.accuracy >= accuracy - 1e-9)
        return int(found[0]) if len(found) else None


def histories(pairs: Sequence[Pair], columns: Columns) -> dict[Pair, list[History]]:
    """The histories, of all seeds, of all pairs that were trained.

    Args:
        pairs: (algorithm, device).
        columns: of the trainings that are reported.
    """
    found = {}
    for algorithm, device in pairs:
        mine = where(columns, algorithm=algorithm, device=device)
        if len(mine["seed"]):
            found[algorithm, device] = [unpacked_history(str(text)) for text in mine["history"]]
    return found


def curves(pairs: Sequence[Pair], columns: Columns, description: str) -> dict[Pair, Curve]:
    """Curves of all pairs that were trained, on a kind of hardware. Digital trainings are its baseline.

    Args:
        pairs, columns: as in `histories`.
        description: name or file of a hardware description.
    """
    hw, trained = hardware(description), histories(pairs, columns)
    # of the same network, which a digital training would do as well
    whole = next((h.epochs[0] for many in trained.values() for h in many if h.epochs[0].arrays), None)
    if whole is None:
        return {}
    digital = baseline(whole.arrays, hw).of(1 / whole.images)
    return {pair: curve_of(pair[0], many, hw, digital) for pair, many in trained.items()}


def curve_of(algorithm: str, many: Sequence[History], hw: Hardware, digital: Baseline) -> Curve:
    """The curve of trainings that differ by their seeds.

    An algorithm that does not say what it does digitally has energies and times that are nan.

    Args:
        algorithm: of all of them; "digital" for the baseline.
        many: histories, a seed each.
        hw: the hardware.
        digital: the baseline, of one image.
    """
    accuracy = 100 * np.mean([each.accuracies for each in many], axis=0)
    unknown = np.full((len(many), len(accuracy)), math.nan)
    if algorithm == "digital":
        images = np.array([list(each.images()) for each in many])
        return Curve(accuracy, digital.energy * images, digital.time * images, unknown, {})
    pulses, wear = _pulses(many)
    if getattr(algorithm_of(algorithm), "work", None) is None:
        return Curve(accuracy, unknown, unknown, pulses, wear)
    costs = [list(each.costs(algorithm, hw)) for each in many]
    energy, time = (np.array([[f(c) for c in own] for own in costs]) for f in (Cost.energy, Cost.time))
    return Curve(accuracy, energy, time, pulses, wear)


def _pulses(many: Sequence[History]) -> tuple[np.ndarray, dict[tuple[str, str], np.ndarray]]:
    """`Curve.pulses` and `Curve.wear`. An array that was made in the middle has no pulses before."""
    counted: dict[tuple[str, str], np.ndarray] = {}  # (seeds, epochs)
    tiles: dict[tuple[str, str], dict[tuple[int, int], int]] = {}
    for seed, history in enumerate(many):
        for epoch, events in enumerate(history.epochs):
            for each in events.arrays:
                place = each.layer, each.array
                counted.setdefault(place, np.zeros((len(many), len(history.epochs))))
                counted[place][seed, epoch] += each.count("pulses_up") + each.count("pulses_down")
                tiles.setdefault(place, {})[seed, each.tile] = each.cells
    cells = {place: sum(own.values()) for place, own in tiles.items()}
    so_far = {place: pulses.cumsum(1) for place, pulses in counted.items()}
    # all seeds have the same arrays
    mean = sum(so_far.values()) * len(many) / sum(cells.values())
    return np.asarray(mean), {place: pulses.sum(0) / cells[place] for place, pulses in so_far.items()}


def common_accuracy(found: Mapping[Pair, Curve], device: str) -> float:
    """The highest accuracy (%) that all algorithms on a device reach, and digital SGD: by their means."""
    return min(
        (float(curve.accuracy.max()) for (_, on), curve in found.items() if on in (device, "-")),
        default=math.nan,
    )


def at_equal_accuracy(
    pairs: Sequence[Pair], found: Mapping[Pair, Curve], wanted: float
) -> dict[Pair, dict[str, float]]:
    """Columns of the table: cost of each pair up to the first epoch that reaches the accuracy.

    cost_accuracy (%), wanted; cost_epoch, the first that reaches it; energy (J), time (s) and pulses_by_then
    (of an element) up to its end, means over seeds with 95 % intervals; digital_energy (J) and digital_time
    (s), of digital SGD up to its own first such epoch. nan where it is not reached. Where devices differ in
    their common accuracy digital SGD has no row of its own that is comparable.

    Args:
        wanted: accuracy (%); 0 for the highest that all algorithms on the device reach.
    """
    devices = list(dict.fromkeys(device for _, device in pairs if device != "-"))
    targets = {device: wanted or common_accuracy(found, device) for device in devices}
    if len({*targets.values()}) == 1:
        targets["-"] = next(iter(targets.values()))
    digital = found.get(("digital", "-"))
    rows: dict[Pair, dict[str, float]] = {}
    for pair in pairs:
        target = targets.get(pair[1], math.nan)
        row = {"cost_accuracy": target, "cost_epoch": math.nan}
        curve = found.get(pair)
        at = None if curve is None else curve.reached(target)
        for quantity in COSTS:
            sample = np.array([math.nan]) if curve is None or at is None else getattr(curve, quantity)[:, at]
            name = "pulses_by_then" if quantity == "pulses" else quantity
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), interval(sample), strict=True))
        if at is not None:
            row["cost_epoch"] = at + 1
        other = None if digital is None else digital.reached(target)
        for name in ("energy", "time"):
            own = math.nan if other is None or digital is None else getattr(digital, name)[:, other].mean()
            row[f"digital_{name}"] = float(own)
        rows[pair] = row
    return rows
