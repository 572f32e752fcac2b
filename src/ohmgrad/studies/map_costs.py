"""What training costs on a device, and on the devices of its map, at equal accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cost import baseline, hardware
from .compared_costs import COSTS, Curve, curve_of
from .map_runs import Runs
from .study import interval

__all__ = ["DIGITAL", "IDEAL", "OWN", "MapCosts", "map_costs"]

#: names of curves beside those of properties
DIGITAL, OWN, IDEAL = "digital", "device", "ideal"


@dataclass(frozen=True, eq=False)
class MapCosts:
    """Costs of trainings.

    Args:
        accuracy: test accuracy (percent) at which they are compared.
        curves: of digital SGD, of the device, of the one with a property made ideal, by its name, and of the
            ideal one; those of which a training is there.
    """

    accuracy: float
    curves: dict[str, Curve]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Of every curve: trainings, and the first epoch that reaches the accuracy; energy (J), time (s) and
        pulses (of an element) until its end, means with 95 % intervals, nan where it is not reached.
        """
        for name, curve in self.curves.items():
            at = curve.reached(self.accuracy)
            row: dict[str, Any] = {"device": name, "trainings": len(curve.energy)}
            row["epoch"] = None if at is None else at + 1
            for quantity in COSTS:
                sample = np.array([np.nan]) if at is None else getattr(curve, quantity)[:, at]
                ends = (quantity, f"{quantity}_low", f"{quantity}_high")
                row |= dict(zip(ends, interval(sample), strict=True))
            yield row


def map_costs(runs: Runs, ranked: Sequence[str], target: float) -> MapCosts:
    """The costs of the trainings that are there; none is trained for them.

    Args:
        runs: trainings of a map.
        ranked: the properties of its device, in the order in which they are told.
        target: wanted accuracy (percent).
    """
    settings = runs.settings
    hw, algorithm = hardware(settings.hardware), settings.algorithm
    factors = {OWN: {}, **{name: {name: 0.0} for name in ranked}, IDEAL: dict.fromkeys(ranked, 0.0)}
    trained = {name: many for name, own in factors.items() if (many := runs.histories(own))}
    # of the same network, which a digital training would do as well
    whole = next((history.epochs[0] for many in trained.values() for history in many), None)
    if whole is None:
        return MapCosts(target, {})
    digital = baseline(whole.arrays, hw).of(1 / whole.images)
    curves = {DIGITAL: curve_of(DIGITAL, runs.histories(None), hw, digital)}
    curves |= {name: curve_of(algorithm, many, hw, digital) for name, many in trained.items()}
    reached = float(curves[OWN].accuracy.max()) if OWN in curves else target
    return MapCosts(settings.accuracy or min(target, reached), curves)
