"""Device-to-device spread: what of the differences between devices their fits do not leave open."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from .intervals import Interval
from .laws import NODES, Shape
from .model import TABLES, Data, Fitted

__all__ = ["FEWEST_DEVICES", "DeviceSpread", "device_spread"]

#: devices below which a spread is not told
FEWEST_DEVICES = 3
_FALL = 1.3528
#: log likelihood by which shapes that differ must be better than bounds that differ
_DOUBT = 2.0


@dataclass(frozen=True)
class DeviceSpread:
    """Standard deviations between devices, each with its interval.

    `granularity`: of the logarithm of the step; `balance`: of (up - down)/(up + down), about; `upper` and
    `lower`: relative, of the bounds, for families that have them; `shape_up` and `shape_down`: of slope,
    exponent or tilt, as `Spread` has them, for families with a `Shape`; `devices`: how many were compared.
    """

    granularity: Interval
    balance: Interval
    upper: Interval | None
    lower: Interval | None
    devices: int
    shape_up: Interval | None = None
    shape_down: Interval | None = None


def device_spread(fit: Fitted) -> DeviceSpread | None:
    """The spread between the devices of a fit to all; None for too few.

    Each device is fitted again with one factor for its steps up, one for those down, and one for each bound
    where the family has some, or else a change of the shape in each direction; all else stays. Where the
    family has both, readings hardly tell them apart: bounds are taken to differ, unless shapes that differ
    make the readings more likely.
    """
    law, data = fit.model.law, fit.data
    names = dict.fromkeys(r.device for r in data.ramps)
    own = [data.of_device(name) for name in names] if len(names) >= FEWEST_DEVICES else []
    own = [ramps for ramps in own if {r.up for r in ramps.ramps} == {True, False}]
    if len(own) < FEWEST_DEVICES:
        return None
    ways: dict[str, list[Move]] = {"bounds": [_bounds(fit)]} if "1/bound" in law.parameters else {}
    if law.shape is not None:
        ways["shapes"] = [_shapes(fit, law.shape)]
    found = {
        way: [_own(fit, ramps, [_steps(fit), *moves]) for ramps in own]
        for way, moves in (ways or {"neither": []}).items()
    }
    total = {way: sum(one[2] for one in ones) for way, ones in found.items()}
    doubt = _DOUBT if len(total) > 1 else 0.0
    way = max(total, key=lambda key: total[key] - (doubt if key == "shapes" else 0.0))
    v, e = (np.array([one[n] for one in found[way]]) for n in (0, 1))
    half = np.hypot(e[:, 0], e[:, 1]) / 2
    size, balance = between((v[:, 0] + v[:, 1]) / 2, half), between((v[:, 0] - v[:, 1]) / 2, half)
    ends: list[Interval | None] = [between(v[:, n], e[:, n]) for n in range(2, v.shape[1])]
    upper, lower = ends if way == "bounds" else (None, None)
    shape_up, shape_down = ends if way == "shapes" else (None, None)
    return DeviceSpread(size, balance, upper, lower, len(v), shape_up, shape_down)


#: (parameters of the family, a number for each direction) -> those of a device of its own; in place
Move = Callable[[np.ndarray, np.ndarray], None]


def _steps(fit: Fitted) -> Move:
    """Logarithms of factors of the steps."""
    k, law = len(fit.model.law.parameters), fit.model.law
    count = NODES if law.name in TABLES else 1

    def move(p: np.ndarray, x: np.ndarray) -> None:
        for side in (0, 1):
            p[side * k : side * k + count] += x[side]

    return move


def _bounds(fit: Fitted) -> Move:
    """Logarithms of factors of the bounds, of which the parameter is the inverse."""
    k = len(fit.model.law.parameters)

    def move(p: np.ndarray, x: np.ndarray) -> None:
        for side in (0, 1):
            p[side * k + 1] *= math.exp(-x[side])

    return move


def _shapes(fit: Fitted, shape: Shape) -> Move:
    """Changes of the slope, exponent or tilt of the response."""
    k, scale = len(fit.model.law.parameters), fit.data.scale
    response = fit.response()
    low, high = response.w_min, response.w_max

    def move(p: np.ndarray, x: np.ndarray) -> None:
        for side, reach in ((0, high), (1, -low)):
            own = slice(side * k, (side + 1) * k)
            p[own] = shape.moved(p[own], x[side], reach, (high - low) / 2, *scale.ends(side == 0))

    return move


def _own(fit: Fitted, data: Data, groups: Sequence[Move]) -> tuple[np.ndarray, np.ndarray, float]:
    """The numbers (up, down) of each of `groups` for some ramps, one after the other; their standard errors;
    and the log likelihood."""
    count = 2 * len(groups)

    def loglik(x: np.ndarray) -> float:
        p = fit.p.copy()
        for n, move in enumerate(groups):
            move(p, x[2 * n : 2 * n + 2])
        # of factors e^2 is unlikely, and so is 2 of slopes and exponents
        return fit.model.evaluate(p, data) - 0.5 * float((x**2).sum()) / 4

    found = optimize.minimize(lambda x: -loglik(x), np.zeros(count), method="BFGS", options={"gtol": 1e-3})
    x, h, hessian = found.x, 0.02 * np.eye(count), np.empty((count, count))
    for a in range(count):
        for b in range(a + 1):
            same = loglik(x + h[a] + h[b]) + loglik(x - h[a] - h[b])
            cross = same - loglik(x + h[a] - h[b]) - loglik(x - h[a] + h[b])
            hessian[a, b] = hessian[b, a] = -cross / (4 * 0.02**2)
    values, vectors = np.linalg.eigh(hessian)
    return x, np.sqrt(np.diag((vectors / np.maximum(values, 0.25)) @ vectors.T)), -float(found.fun)


def between(values: np.ndarray, errors: np.ndarray) -> Interval:
    """Standard deviation of true values behind `values` with standard errors: maximum likelihood (restricted)
    of  value ~ N(mean, sd^2 + error^2), and its profile."""
    top = 4 * float(values.std(ddof=1)) + 1e-9

    def fall(sd: float) -> float:
        weight = 1 / (sd * sd + errors**2)
        mean = (weight * values).sum() / weight.sum()
        return 0.5 * float((weight * (values - mean) ** 2 - np.log(weight)).sum() + math.log(weight.sum()))

    found: Any = optimize.minimize_scalar(
        fall, bounds=(0.0, top), method="bounded", options={"xatol": 1e-6 * top}
    )
    best = 0.0 if fall(0.0) <= found.fun else float(found.x)
    floor = fall(best)

    def over(sd: float) -> float:
        return fall(sd) - floor - _FALL

    low = 0.0 if best == 0 or over(0.0) <= 0 else float(optimize.brentq(over, 0.0, best))  # pyright: ignore (a float)
    far = max(2 * best, top / 4)
    while over(far) < 0:
        far *= 2
    high = float(optimize.brentq(over, best, far))  # pyright: ignore (a float)
    return Interval(best, low, high, open_low=low == 0.0)
