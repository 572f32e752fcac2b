"""Device-to-device spread: what of the differences between devices their fits do not leave open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from .intervals import Interval
from .laws import NODES
from .model import TABLES, Data, Fitted

__all__ = ["FEWEST_DEVICES", "DeviceSpread", "device_spread"]

#: devices below which a spread is not told
FEWEST_DEVICES = 3
_FALL = 1.3528


@dataclass(frozen=True)
class DeviceSpread:
    """Standard deviations between devices, each with its interval.

    `granularity`: of the logarithm of the step; `balance`: of (up - down)/(up + down), about; `upper` and
    `lower`: relative, of the bounds, for families that have them; `devices`: how many were compared.
    """

    granularity: Interval
    balance: Interval
    upper: Interval | None
    lower: Interval | None
    devices: int


def device_spread(fit: Fitted) -> DeviceSpread | None:
    """The spread between the devices of a fit to all; None for too few.

    Each device is fitted again with one factor for its steps up, one for those down, and one for each bound
    where the family has some; all else stays.
    """
    names = list(dict.fromkeys(r.device for r in fit.data.ramps))
    bounded = "1/bound" in fit.model.law.parameters
    values, errors = [], []
    for name in names if len(names) >= FEWEST_DEVICES else []:
        data = fit.data.of_device(name)
        if {r.up for r in data.ramps} == {True, False}:
            value, error = _factors(fit, data, 4 if bounded else 2)
            values.append(value)
            errors.append(error)
    if len(values) < FEWEST_DEVICES:
        return None
    v, e = np.array(values), np.array(errors)
    half = np.hypot(e[:, 0], e[:, 1]) / 2
    size, balance = between((v[:, 0] + v[:, 1]) / 2, half), between((v[:, 0] - v[:, 1]) / 2, half)
    bounds = [between(v[:, n], e[:, n]) for n in (2, 3)] if bounded else [None, None]
    return DeviceSpread(size, balance, bounds[0], bounds[1], len(v))


def _factors(fit: Fitted, data: Data, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the factors of steps (up, down) and bounds (upper, lower) of some ramps, and their
    standard errors."""
    k = len(fit.model.law.parameters)
    steps = NODES if fit.model.law.name in TABLES else 1

    def loglik(x: np.ndarray) -> float:
        p = fit.p.copy()
        for side in (0, 1):
            p[side * k : side * k + steps] += x[side]
            if count == 4:  # 1/bound
                p[side * k + 1] *= math.exp(-x[2 + side])
        return fit.model.evaluate(p, data) - 0.5 * float((x**2).sum()) / 4  # factors of e^2 are unlikely

    found = optimize.minimize(lambda x: -loglik(x), np.zeros(count), method="BFGS", options={"gtol": 1e-3})
    x, h, hessian = found.x, 0.02 * np.eye(count), np.empty((count, count))
    for a in range(count):
        for b in range(a + 1):
            same = loglik(x + h[a] + h[b]) + loglik(x - h[a] - h[b])
            cross = same - loglik(x + h[a] - h[b]) - loglik(x - h[a] + h[b])
            hessian[a, b] = hessian[b, a] = -cross / (4 * 0.02**2)
    values, vectors = np.linalg.eigh(hessian)
    return x, np.sqrt(np.diag((vectors / np.maximum(values, 0.25)) @ vectors.T))


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
