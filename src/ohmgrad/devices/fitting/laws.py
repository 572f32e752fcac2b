"""Families as a fit sees them: free parameters, steps at given weights, and the response that they make.

Each direction has the same parameters, of which the first is the logarithm of the step at w = 0. `s` is 1 for
pulses up and -1 for pulses down; x = s w grows on the way of the pulses. So every family is one function
step(p, x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from ..families import ConstantStep, ExpBounds, ExpStep, LinearStep, PiecewiseStep, PowStep, SoftBounds
from ..measured import Measured
from ..response import AbstractResponse

__all__ = ["LAWS", "NODES", "SD_NODES", "Law", "Scale", "Shape"]

#: nodes of a piecewise step in a fit
NODES = 6
#: nodes of the standard deviation of a measured distribution
SD_NODES = 3
_NODE_NAMES = tuple(f"node {k + 1}" for k in range(NODES))
Box = list[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """What data say before a fit: `low` and `high` of the readings without outliers, mean steps up and down,
    and standard deviation of a reading about its neighbours."""

    low: float
    high: float
    up: float
    down: float
    noise: float

    @property
    def span(self) -> float:
        """Range of the readings."""
        return self.high - self.low

    def ends(self, up: bool) -> tuple[float, float]:
        """x where the pulses of a direction begin, and where they end."""
        return (self.low, self.high) if up else (-self.high, -self.low)


@dataclass(frozen=True)
class Shape:
    """What of a family differs in shape from device to device, as `Spread.shape_up` and `shape_down` have it.

    `name`: in words; `moved`: (p, by, reach, half, begin, end) -> parameters of one direction of a device
    whose response has it changed by `by`; reach and half: the bound ahead and half the range of the response.
    """

    name: str
    moved: Callable[[np.ndarray, float, float, float, float, float], np.ndarray]


@dataclass(frozen=True)
class Law:
    """A family.

    Args:
        name: of the family, as users write it.
        parameters: names of the free ones of one direction; the first is the logarithm of the step at w = 0.
        step: (p, x, begin, end) -> step in weight units, as x; >= 0.
        starts: (begin, end) -> values of the other parameters to begin a fit with, several.
        box: (begin, end) -> their bounds.
        hard: whether the range has hard bounds that the steps do not say.
        response: (p up, p down, w_min, w_max, low, high) -> response with both steps in units of dw_min.
    """

    name: str
    parameters: tuple[str, ...]
    step: Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]
    starts: Callable[[float, float], list[list[float]]]
    box: Callable[[float, float], Box]
    hard: bool
    response: Callable[..., AbstractResponse]
    #: (p, x, begin, end) -> standard deviation of a step, for families that have one of their own
    noise: Callable[[np.ndarray, np.ndarray, float, float], np.ndarray] | None = None
    #: None where it is not told from steps and bounds, or there is none
    shape: Shape | None = None

    def steps(self, p: np.ndarray, w: np.ndarray, scale: Scale) -> np.ndarray:
        """Steps up and down at `w`, (2, len(w)), in weight units, positive."""
        k = len(self.parameters)
        return np.stack(
            [self.step(p[:k], w, *scale.ends(True)), self.step(p[k : 2 * k], -w, *scale.ends(False))]
        )

    def own_noise(self, p: np.ndarray, w: np.ndarray, scale: Scale) -> np.ndarray | None:
        """Standard deviations of steps up and down at `w`, (2, len(w)); None where they are one number."""
        if self.noise is None:
            return None
        k = len(self.parameters)
        up, down = self.noise(p[:k], w, *scale.ends(True)), self.noise(p[k : 2 * k], -w, *scale.ends(False))
        return np.stack([up, down])

    def size(self, p: np.ndarray, scale: Scale) -> np.ndarray:
        """Steps up and down at w = 0, (2,)."""
        return self.steps(p, np.zeros(1), scale)[:, 0]


def _constant(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return np.full(x.shape, math.exp(p[0]))


def _linear(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return math.exp(p[0]) * np.maximum(1 - p[1] * x, 0)


def _exponential(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return np.exp(np.clip(p[0] - p[1] * x, -60, 20))


def _bounded(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    """(1 - exp(-g (1 - x/b)))/(1 - exp(-g)) with the bound b = 1/k: g > 0 falls late, g < 0 early."""
    room = np.maximum(1 - p[1] * x, 0)
    return math.exp(p[0]) * np.expm1(np.clip(-p[2] * room, -60, 60)) / math.expm1(-p[2])


def _power(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return math.exp(p[0]) * np.maximum(1 - p[1] * x, 0) ** math.exp(p[2])


def _piecewise(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return np.exp(np.interp(x, np.linspace(begin, end, len(p)), p))


def _measured(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return _piecewise(p[:NODES], x, begin, end)


def _measured_noise(p: np.ndarray, x: np.ndarray, begin: float, end: float) -> np.ndarray:
    return _piecewise(p[NODES:], x, begin, end)


def _added(p: np.ndarray, number: int, by: float) -> np.ndarray:
    out = p.copy()
    out[number] += by
    return out


def _tilted(p: np.ndarray, by: float, reach: float, half: float, begin: float, end: float) -> np.ndarray:
    return p - by * np.linspace(begin, end, len(p)) / half


_SLOPE = Shape("slope", lambda p, by, reach, half, *_: _added(p, 1, by / reach))
_RATE = Shape("exponent", lambda p, by, reach, half, *_: _added(p, 1, by / half))
_GAMMA = Shape("exponent", lambda p, by, *_: _added(p, 2, -by))
_POWER = Shape("exponent", lambda p, by, *_: _added(p, 2, math.log(max(1 + by / math.exp(p[2]), 0.01))))
_TILT = Shape("tilt", _tilted)


def _inverse_bounds(begin: float, end: float) -> tuple[float, float]:
    """Box of 1/bound: from far beyond what was reached, to just before it."""
    span = end - begin
    return 1 / (end + 20 * span), 1 / max(end - 0.15 * span, 0.05 * span)


def _bounds_starts(begin: float, end: float) -> list[float]:
    span = end - begin
    return [1 / (end + part * span) for part in (0.1, 0.5, 2.0)]


def _unit(p: list[np.ndarray]) -> tuple[float, float]:
    """Steps at 0 over their mean."""
    up, down = (math.exp(v[0]) for v in p)
    return 2 * up / (up + down), 2 * down / (up + down)


def _as_constant(a: np.ndarray, b: np.ndarray, low: float, high: float, *_: float) -> AbstractResponse:
    up, down = _unit([a, b])
    return ConstantStep(low, high, up, down)


def _as_linear(a: np.ndarray, b: np.ndarray, low: float, high: float, *_: float) -> AbstractResponse:
    up, down = _unit([a, b])
    high, low = min(high, 1 / a[1] if a[1] > 0 else high), max(low, -1 / b[1] if b[1] > 0 else low)
    slope_up, slope_down = (float(min(max(s, -1.0), 1.0)) for s in (a[1] * high, -b[1] * low))
    return LinearStep(low, high, slope_up, slope_down, up, down)


def _as_soft_bounds(a: np.ndarray, b: np.ndarray, *_: float) -> AbstractResponse:
    return SoftBounds(-1 / b[1], 1 / a[1], *_unit([a, b]))


def _as_exponential(a: np.ndarray, b: np.ndarray, low: float, high: float, *_: float) -> AbstractResponse:
    # the constant part of the law is made so small that the exponential is alone
    tiny = 1e-6
    up, down = _unit([a, b])
    rates = [-v[1] * (high - low) / 2 for v in (a, b)]
    a_up, a_down = 1 - 1 / tiny, 1 - 1 / tiny
    return ExpStep(low, high, a_up, a_down, rates[0], rates[1], 1.0, 0.0, tiny * up, tiny * down)


def _as_exp_step(a: np.ndarray, b: np.ndarray, *_: float) -> AbstractResponse:
    low, high = -1 / b[1], 1 / a[1]
    up, down = _unit([a, b])
    fall_up, fall_down = math.exp(-a[2]), math.exp(-b[2])  # A: 1 - A exp(gamma z) vanishes at the bound
    rate_up, rate_down = (float(v[2] * v[1] * (high - low) / 2) for v in (a, b))
    sizes = up / (1 - fall_up), down / (1 - fall_down)
    return ExpStep(low, high, fall_up, fall_down, rate_up, rate_down, 1.0, 0.0, *sizes)


def _as_exp_bounds(a: np.ndarray, b: np.ndarray, *_: float) -> AbstractResponse:
    return ExpBounds(-1 / b[1], 1 / a[1], -a[2], -b[2], *_unit([a, b]))


def _as_power(a: np.ndarray, b: np.ndarray, *_: float) -> AbstractResponse:
    return PowStep(-1 / b[1], 1 / a[1], math.exp(a[2]), math.exp(b[2]), *_unit([a, b]))


def _as_piecewise(
    a: np.ndarray, b: np.ndarray, low: float, high: float, begin: float, end: float
) -> AbstractResponse:
    w = np.linspace(low, high, 33)  # the law is smooth between its own nodes
    up, down = _piecewise(a, w, begin, end), _piecewise(b, -w, -end, -begin)
    zero = np.zeros(1)
    unit = float(_piecewise(a, zero, begin, end)[0] + _piecewise(b, zero, -end, -begin)[0]) / 2
    return PiecewiseStep(low, high, (up / unit).tolist(), (down / unit).tolist())


def _as_measured(
    a: np.ndarray, b: np.ndarray, low: float, high: float, begin: float, end: float
) -> AbstractResponse:
    """Gaussian steps of the fitted mean and standard deviation at every conductance."""
    w, levels = np.linspace(low, high, 33), np.linspace(0, 1, 41)
    z = special.ndtri(np.concatenate([[0.005], levels[1:-1], [0.995]]))[:, None]
    up = _measured(a, w, begin, end) + z * _measured_noise(a, w, begin, end)
    down = _measured(b, -w, -end, -begin) - z * _measured_noise(b, -w, -end, -begin)
    return Measured(w, levels, up, -down)


LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law("constant_step", ("step",), _constant, lambda b, e: [[]], lambda b, e: [], True, _as_constant),
        Law(
            "linear_step", ("step", "slope"), _linear, lambda b, e: [[0.1 / (e - b)], [0.7 / (e - b)]],
            lambda b, e: [(-3 / (e - b), 1 / max(e - 0.15 * (e - b), 0.05 * (e - b)))], True, _as_linear,
            shape=_SLOPE,
        ),
        Law(
            "soft_bounds", ("step", "1/bound"), _linear, lambda b, e: [[k] for k in _bounds_starts(b, e)],
            lambda b, e: [_inverse_bounds(b, e)], False, _as_soft_bounds,
        ),
        Law(
            "exponential", ("step", "rate"), _exponential, lambda b, e: [[0.3 / (e - b)], [2 / (e - b)]],
            lambda b, e: [(-6 / (e - b), 30 / (e - b))], True, _as_exponential, shape=_RATE,
        ),
        Law(
            "exp_step", ("step", "1/bound", "gamma"), _bounded,
            lambda b, e: [[k, g] for k, g in zip(_bounds_starts(b, e), (4.0, 3.0, 8.0), strict=True)],
            lambda b, e: [_inverse_bounds(b, e), (0.05, 40.0)], False, _as_exp_step,
        ),
        Law(
            "exp_bounds", ("step", "1/bound", "gamma"), _bounded,
            lambda b, e: [[k, g] for k, g in zip(_bounds_starts(b, e), (-1.0, -2.0, -4.0), strict=True)],
            lambda b, e: [_inverse_bounds(b, e), (-10.0, -0.05)], False, _as_exp_bounds,
            shape=_GAMMA,
        ),
        Law(
            "pow_step", ("step", "1/bound", "log exponent"), _power,
            lambda b, e: [[k, v] for k, v in zip(_bounds_starts(b, e), (0.0, 0.5, 1.0), strict=True)],
            lambda b, e: [_inverse_bounds(b, e), (math.log(0.05), math.log(20))], False, _as_power,
            shape=_POWER,
        ),
        Law(
            "piecewise_step", _NODE_NAMES, _piecewise, lambda b, e: [[]], lambda b, e: [], True,
            _as_piecewise, shape=_TILT,
        ),
        Law(
            "measured", (*_NODE_NAMES, *(f"sd {k + 1}" for k in range(SD_NODES))), _measured,
            lambda b, e: [[]], lambda b, e: [], True, _as_measured, _measured_noise,
        ),
    )
}  # fmt: skip
