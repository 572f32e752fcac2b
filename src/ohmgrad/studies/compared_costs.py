"""What the trainings of a comparison cost on hardware: epoch by epoch, and at equal accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..cost import Cost, baseline
from ..cost.hardware import hardware
from ..optim.registry import algorithm_of
from .engine import Columns
from .history import History, unpacked_history
from .study import interval, where

__all__ = ["Curve", "at_equal_accuracy", "common_accuracy", "curves"]

Pair = tuple[str, str]


@dataclass(frozen=True)
class Curve:
    """Accuracy and cost of an algorithm on a device, after every epoch.

    Args:
        accuracy: test accuracy (%), the mean over seeds: (epochs,).
        energy, time: of the training so far, (seeds, epochs), in J and s on the hardware.
    """

    accuracy: np.ndarray
    energy: np.ndarray
    time: np.ndarray

    def reached(self, accuracy: float) -> int | None:
        """The first epoch, from 0, after which the mean reaches an accuracy (%); None where none does."""
        found = np.flatnonzero(self.accuracy >= accuracy - 1e-9)
        return int(found[0]) if len(found) else None


def curves(pairs: Sequence[Pair], columns: Columns, description: str) -> dict[Pair, Curve]:
    """Curves of all pairs that were trained, on a kind of hardware. Digital trainings are its baseline.

    An algorithm that does not say what it does digitally has costs that are nan.

    Args:
        pairs: (algorithm, device).
        columns: of the trainings that are reported.
        description: name or file of a hardware description.
    """
    hw = hardware(description)
    histories: dict[Pair, list[History]] = {}
    for algorithm, device in pairs:
        mine = where(columns, algorithm=algorithm, device=device)
        if len(mine["seed"]):
            histories[algorithm, device] = [unpacked_history(str(text)) for text in mine["history"]]
    # of the same network, which a digital training would do as well
    whole = next((h.epochs[0] for many in histories.values() for h in many if h.epochs[0].arrays), None)
    found: dict[Pair, Curve] = {}
    for (algorithm, device), many in histories.items():
        accuracy = 100 * np.mean([each.accuracies for each in many], axis=0)
        if algorithm != "digital" and getattr(algorithm_of(algorithm), "work", None) is None:
            energy, time = (np.full((len(many), len(accuracy)), math.nan) for _ in range(2))
        elif algorithm != "digital":
            costs = [list(each.costs(algorithm, hw)) for each in many]
            energy, time = ([[f(c) for c in own] for own in costs] for f in (Cost.energy, Cost.time))
        elif whole is not None:
            digital = baseline(whole.arrays, hw)
            shares = np.array([list(each.images()) for each in many]) / whole.images
            energy, time = digital.energy * shares, digital.time * shares
        else:
            continue
        found[algorithm, device] = Curve(accuracy, np.array(energy), np.array(time))
    return found


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

    cost_accuracy (%), wanted; cost_epoch, the first that reaches it; energy (J) and time (s) up to its end on
    the hardware, means over seeds with 95 % intervals; digital_energy (J) and digital_time (s), of digital
    SGD up to its own first such epoch. nan where it is not reached. Where devices differ in their common
    accuracy digital SGD has no row of its own that is comparable.

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
        for name in ("energy", "time"):
            sample = np.array([math.nan]) if curve is None or at is None else getattr(curve, name)[:, at]
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), interval(sample), strict=True))
        if at is not None:
            row["cost_epoch"] = at + 1
        other = None if digital is None else digital.reached(target)
        for name in ("energy", "time"):
            own = math.nan if other is None or digital is None else getattr(digital, name)[:, other].mean()
            row[f"digital_{name}"] = float(own)
        rows[pair] = row
    return rows
