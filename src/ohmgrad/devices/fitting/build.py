"""What was fitted as a `Device`: its response, granularity, noise, read noise and spread."""

from __future__ import annotations

import math

import numpy as np

from ...errors import InputError
from ..device import Device
from ..measured import Measured
from ..memory import ReadNoise
from ..response import AbstractResponse
from ..shapes import check_shapes
from ..table import tabulate_shapes
from ..variability import Noise, Spread
from .intervals import Interval
from .model import Fitted, correlation
from .spread import DeviceSpread

__all__ = ["device_of", "shapes_of", "told"]


def device_of(fit: Fitted, spread: DeviceSpread | None) -> Device:
    """The device of a fit; its weights are those of the data, but for a measured distribution, whose range is
    [-1, 1]."""
    response, p, k = fit.response(), fit.p, len(fit.model.law.parameters)
    between = Spread() if spread is None else _spread_of(spread, response)
    if isinstance(response, Measured):
        low, high = fit.range
        read = _read_noise_of(fit, response.dw_min * (high - low) / 2)
        return Device(response, dw_min=response.dw_min, spread=between, read_noise=read)
    std = math.exp(p[2 * k])
    noise = Noise(
        round(std, 6) if fit.free[2 * k] else 0.0,
        "multiplicative" if fit.model.kind == "multiplicative" else "additive",
    )
    dw_min = float(np.mean(fit.model.law.size(p, fit.data.scale)))
    return Device(response, dw_min, between, noise, read_noise=_read_noise_of(fit, dw_min))


def _spread_of(spread: DeviceSpread, response: AbstractResponse) -> Spread:
    bounds = [0.0 if s is None else round(s.value, 6) for s in (spread.upper, spread.lower)]
    shapes = shapes_of(spread, response)
    return Spread(
        dw_min=round(spread.granularity.value, 6), up_down=round(spread.balance.value, 6), w_max=bounds[0],
        w_min=bounds[1], law="lognormal", shape_up=shapes[0], shape_down=shapes[1],
    )  # fmt: skip


def told(spread: Interval | None) -> bool:
    """Whether the data tell that a spread is not 0."""
    return spread is not None and spread.low > 0


def shapes_of(spread: DeviceSpread, response: AbstractResponse) -> tuple[float, float]:
    """Spreads of the shape, up and down, of which the data tell that they are not 0; 0 where elements with
    them could not be simulated."""
    both = spread.shape_up, spread.shape_down
    up, down = (round(s.value, 6) if s is not None and told(s) else 0.0 for s in both)
    if not (up or down):
        return 0.0, 0.0
    try:
        check_shapes(response, up, down)
    except InputError:
        return 0.0, 0.0
    return (0.0, 0.0) if isinstance(tabulate_shapes(response, up, down), str) else (up, down)


def _read_noise_of(fit: Fitted, dw_min: float) -> ReadNoise | None:
    """Read noise in units of `dw_min`, as far as it is seen; a pulse of the measurement is a step of time."""
    names, p = fit.model.names, fit.p

    def size(name: str) -> float:
        number = names.index(name)
        return round(math.exp(p[number]) / dw_min, 6) if fit.free[number] else 0.0

    fast = size("log fast")
    if not fit.model.slow:
        return ReadNoise(fast) if fast else None
    return ReadNoise(fast, size("log slow"), round(correlation(p[names.index("logit phi")]), 6))
