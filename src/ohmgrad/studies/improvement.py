"""The least change of a single property with which a device reaches a wanted accuracy.

For a property that reaches the target when it is ideal, its amount is bisected between the device's and the
ideal one, in the logarithm of the factor: so the changes of all properties are on one scale, "how many times
better". One training decides each turn, so a turn may go wrong; the answer therefore comes from a surface
through all trainings along the property (`ohmgrad.studies.surrogate`), and its interval from the
surfaces that the trainings allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..devices import Device
from ..devices.properties import PROPERTIES, scaled
from .attribution import LEVEL
from .surrogate import surface

__all__ = ["IDEAL", "Improvement", "Search", "place"]

#: log10 of the factor at which a property that ends nowhere counts as ideal: thirty times better
IDEAL = -1.5
#: bisection ends where the bracket is this narrow, in log10
_NARROW = 0.1
_DRAWS = 400

#: property -> (factor, accuracy as a share) of the trainings in which it alone was changed
Along = Callable[[str], list[tuple[float, float]]]


def place(device: Device, name: str, factor: float | None = None) -> float:
    """log10 of a factor of a property, not below the place where it is ideal; that place for 0 and None."""
    end = PROPERTIES[name].end(device)
    ideal = math.log10(end) if end > 0 else IDEAL
    return ideal if not factor else max(math.log10(factor), ideal)


@dataclass(frozen=True)
class Improvement:
    """What a property must become so that the target is reached.

    Args:
        name: of the property.
        times: how many times better, with its interval; infinite where it is not enough. NaN where no
            training looked for it.
        chance: that the target is reached by this property at all, given the trainings along it.
        before, after: amounts, in words; `after` is empty where there is none.
        alone: accuracy (percent) when it is ideal; NaN if unknown.
    """

    name: str
    times: tuple[float, float, float]
    chance: float
    before: str
    after: str
    alone: float

    @property
    def reached(self) -> bool:
        """Whether a change was found."""
        return math.isfinite(self.times[0])

    @property
    def words(self) -> str:
        """The change in words."""
        label, (times, low, high) = PROPERTIES[self.name].label, self.times
        if math.isnan(times):
            return f"{label}: not looked for"
        if not self.reached:
            return f"{label}: not by this alone"
        ends = f"{low:.2g} to {high:.2g}" if math.isfinite(high) else f"{low:.2g} or more, if at all"
        return f"{label}: {times:.2g} times better ({ends}), from {self.before} to {self.after}"


class Search:
    """The bisection of several properties, side by side.

    Args:
        device: a plain one.
        names: properties, in the order of what they cost.
        target: wanted accuracy (percent).
        images: test images of a training.
    """

    def __init__(self, device: Device, names: Sequence[str], target: float, images: int) -> None:
        self.device, self.names, self.target, self.images = device, names, target, images

    def next(self, along: Along) -> list[tuple[str, float, int]]:
        """(property, factor, number of the turn) of the next training for each that is not done."""
        found = []
        for name in self.names:
            rows = dict(along(name))
            if not {0.0, 1.0} <= {*rows} or not self._between(along(name)):
                continue
            better, worse, turn = place(self.device, name), 0.0, 0
            while worse - better > _NARROW:
                middle = (better + worse) / 2
                factor = float(f"{10**middle:.4g}")
                if factor not in rows:
                    found.append((name, factor, turn))
                    break
                better, worse = (middle, worse) if 100 * rows[factor] >= self.target else (better, middle)
                turn += 1
        return found

    def _between(self, rows: list[tuple[float, float]]) -> bool:
        """Whether the ideal property reaches the target and the device does not."""
        own, ideal = (100 * np.mean([a for f, a in rows if f == factor]) for factor in (1.0, 0.0))
        return bool(own < self.target <= ideal)

    def found(self, along: Along) -> list[Improvement]:
        """What was found, the least change first; nothing where the device reaches the target as it is."""
        own = [a for name in self.names for factor, a in along(name) if factor == 1.0]
        if own and 100 * np.mean(own) >= self.target:
            return []
        found = [self._found(name, along(name)) for name in self.names]
        return sorted(found, key=lambda i: (not i.reached, i.times[0] if i.reached else -i.alone))

    def _found(self, name: str, rows: list[tuple[float, float]]) -> Improvement:
        before, limit = PROPERTIES[name].write(self.device), place(self.device, name)
        at_end = [100 * a for f, a in rows if f == 0]
        alone = float(np.mean(at_end)) if at_end else math.nan
        if not at_end or (len({f for f, _ in rows}) < 3 and self._between(rows)) or not limit:
            return Improvement(name, (math.nan, math.nan, math.nan), math.nan, before, "", alone)
        x = np.array([[place(self.device, name, f)] for f, _ in rows])
        fitted = surface(x, np.array([a for _, a in rows]), self.images)
        grid = np.linspace(0.0, limit, 121)
        reach = fitted.draws(grid[:, None], _DRAWS) >= self.target
        chance = float(reach.any(0).mean())
        least = np.where(reach.any(0), 10 ** -grid[reach.argmax(0)], math.inf)
        times, low, high = np.quantile(least, [0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
        after = PROPERTIES[name].write(scaled(self.device, {name: 1 / times})) if math.isfinite(times) else ""
        return Improvement(name, (float(times), float(low), float(high)), chance, before, after, alone)
