"""What was fitted as a `Device`: its response, granularity, noise and spread."""

from __future__ import annotations

import math

import numpy as np

from ..device import Device
from ..measured import Measured
from ..variability import Noise, Spread
from .model import Fitted
from .spread import DeviceSpread

__all__ = ["device_of", "range_of"]


def range_of(fit: Fitted) -> tuple[float, float]:
    """Range of the device in weights: bounds of the family, hard ones, or where the states went."""
    law, p = fit.model.law, fit.p
    if not law.hard:
        k = len(law.parameters)
        return -1 / float(p[k + 1]), 1 / float(p[1])
    fit.model.evaluate(p, fit.data)
    state = fit.data.buffers[1]
    step = float(fit.model.law.size(p, fit.data.scale).max())
    low, high = fit.model.bounds(p)
    if not fit.model.lower:
        low = min(float(state.min()), -1.5 * step)
    return low, high if fit.model.upper else max(float(state.max()), 1.5 * step)


def device_of(fit: Fitted, spread: DeviceSpread | None) -> Device:
    """The device of a fit; its weights are those of the data, but for a measured distribution, whose range is
    [-1, 1]."""
    law, p, scale = fit.model.law, fit.p, fit.data.scale
    k = len(law.parameters)
    low, high = range_of(fit)
    response = law.response(p[:k], p[k : 2 * k], low, high, scale.low, scale.high)
    between = Spread()
    if spread is not None:
        bounds = [0.0 if s is None else round(s.value, 6) for s in (spread.upper, spread.lower)]
        between = Spread(
            dw_min=round(spread.granularity.value, 6), up_down=round(spread.balance.value, 6),
            w_max=bounds[0], w_min=bounds[1], law="lognormal",
        )  # fmt: skip
    if isinstance(response, Measured):
        return Device(response, dw_min=response.dw_min, spread=between)
    std = math.exp(p[2 * k])
    noise = Noise(
        round(std, 6) if fit.free[2 * k] else 0.0,
        "multiplicative" if fit.model.kind == "multiplicative" else "additive",
    )
    return Device(response, dw_min=float(np.mean(law.size(p, scale))), spread=between, noise=noise)
