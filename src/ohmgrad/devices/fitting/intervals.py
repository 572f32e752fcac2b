"""How well parameters are known: Wald's interval where the likelihood is a parabola, else its profile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from .model import Fitted, fitted

__all__ = ["LEVEL", "Draws", "Interval", "derived", "draws", "parameter"]

#: of all intervals
LEVEL = 0.90
#: half width in standard errors, for 90 %; the log likelihood falls by half its square
_Z = 1.6449
#: how far the fall at Wald's ends may be off for them to stand
_ROOM = 0.25
#: how much wider than the Gaussian at the maximum draws are, for tails that are longer
_WIDER = 1.2
#: logarithm to base 2 of the number of draws
_POINTS = 10


@dataclass(frozen=True)
class Interval:
    """A 90 % interval; an open end is not told by the data."""

    value: float
    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def map(self, f: Callable[[float], float]) -> Interval:
        """The interval of a monotone function of the parameter."""
        a, b = f(self.low), f(self.high)
        if a <= b:
            return Interval(f(self.value), a, b, self.open_low, self.open_high)
        return Interval(f(self.value), b, a, self.open_high, self.open_low)


def parameter(fit: Fitted, number: int, freedom: float = math.inf) -> Interval:
    """The interval of one parameter, by its number; `freedom`: degrees of freedom of its variance."""
    z = _Z if math.isinf(freedom) else float(stats.t.ppf((1 + LEVEL) / 2, freedom))
    most = z * z / 2
    box = fit.model.box(fit.data.scale)[number]
    value, var = fit.p[number], fit.covariance[number, number]
    sd = math.sqrt(var) if var > 0 else 0.0
    ends = value - z * sd, value + z * sd
    if sd and box[0] < ends[0] and ends[1] < box[1] and all(_parabolic(fit, number, e, most) for e in ends):
        return Interval(value, *ends)
    low, open_low = _profile(fit, number, -1, sd, box[0], most)
    high, open_high = _profile(fit, number, 1, sd, box[1], most)
    return Interval(value, low, high, open_low, open_high)


def _parabolic(fit: Fitted, number: int, end: float, most: float) -> bool:
    """Whether the likelihood falls at `end` as a parabola would, others at their best."""
    column = fit.covariance[:, number]
    p = fit.p + column / column[number] * (end - fit.p[number])
    box = fit.model.box(fit.data.scale)
    if ((p < box[:, 0]) | (p > box[:, 1]))[fit.free].any():
        return False
    again = fitted(fit.model, fit.data, [p], {number: end}, iterations=30)
    return abs(fit.loglik - again.loglik - most) < _ROOM


def _profile(fit: Fitted, number: int, side: int, sd: float, edge: float, most: float) -> tuple[float, bool]:
    """Where the profile of the likelihood has fallen, on one side; the edge of the box, and True, if it is
    not."""
    at, p = fit.p[number], fit.p
    room = abs(edge - at)
    if room == 0:
        return edge, True
    step = min(sd or room / 16, room / 4)
    inside, fall_inside = 0.0, 0.0

    def fall(by: float, start: np.ndarray) -> tuple[float, np.ndarray]:
        start = start.copy()
        start[number] = at + side * by
        again = fitted(fit.model, fit.data, [start], {number: start[number]}, iterations=100)
        return fit.loglik - again.loglik, again.p

    by = step
    while True:
        by = min(by, room)
        down, moved = fall(by, p)
        if down >= most:
            break
        if by >= room:
            return edge, True
        inside, fall_inside, p = by, max(down, 0.0), moved
        by = by * 2 if down < most / 3 else by * 1.4
    outside, fall_outside = by, down
    width = 2 * (outside - inside)
    for _ in range(8):  # the square root of the fall is nearly linear, where not by halves
        a, b, want = math.sqrt(fall_inside), math.sqrt(fall_outside), math.sqrt(most)
        if outside - inside < 0.02 * outside or b - a < 1e-9:
            break
        part = min(max((want - a) / (b - a), 0.05), 0.95) if outside - inside < 0.6 * width else 0.5
        width = outside - inside
        by = inside + part * width
        down, moved = fall(by, p)
        if abs(down - most) < 0.03:
            inside = outside = by
            break
        if down < most:
            inside, fall_inside, p = by, max(down, 0.0), moved
        else:
            outside, fall_outside = by, down
    return at + side * (inside + outside) / 2, False


@dataclass(frozen=True)
class Draws:
    """Parameters drawn around a maximum, (n, p), with weights that make them follow the likelihood."""

    p: np.ndarray
    weights: np.ndarray


def draws(fit: Fitted) -> Draws:
    """Points of the Gaussian at the maximum, weighted by the likelihood where that is good for it.

    They are Sobol's, which know the width of an interval to 2 % where as many random ones know it to 3 %.
    Where few of them would carry all the weight, it is left at that Gaussian.
    """
    at = np.flatnonzero(fit.free)
    box = fit.model.box(fit.data.scale)
    root = np.linalg.cholesky(fit.covariance[np.ix_(at, at)] + 1e-18 * np.eye(at.size))
    count = 2**_POINTS
    points = stats.qmc.Sobol(at.size, scramble=False).random_base2(_POINTS) + 0.5 / count
    z = special.ndtri(points)
    p = np.tile(fit.p, (count, 1))
    p[:, at] = np.clip(p[:, at] + _WIDER * z @ root.T, box[at, 0], box[at, 1])
    model = replace(fit.model, tilt=())  # integrating over the steps is what the tilt stands for
    log = np.array([model.evaluate(row, fit.data) for row in p]) + 0.5 * (z**2).sum(1)
    weights = np.exp(np.clip(log - log.max(), -60, 0))
    weights /= weights.sum()
    if 1 / (weights**2).sum() < 0.15 * count:
        weights = np.full(count, 1 / count)
    return Draws(p, weights)


def derived(value: float, drawn: np.ndarray, weights: np.ndarray) -> Interval:
    """The interval of a quantity that is made of several parameters: quantiles of its draws (n,)."""
    order = np.argsort(drawn)
    total = np.cumsum(weights[order]) - weights[order] / 2
    low, high = np.interp([(1 - LEVEL) / 2, (1 + LEVEL) / 2], total, drawn[order])
    return Interval(value, float(min(low, value)), float(max(high, value)))
