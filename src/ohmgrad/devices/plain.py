"""A response taken apart and put together, and devices in a form in which their properties can be changed.

q+ = F (1 - r), q- = F (1 + r) with F = (q- + q+)/2 and r = G/F in [-1, 1], all on a grid.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from .device import Device
from .families import FAMILIES, ConstantStep, LinearStep, PiecewiseStep, SoftBounds
from .measured import Measured
from .response import AbstractResponse
from .variability import Noise, Spread

__all__ = ["INTERVALS", "balanced", "built", "parts", "plain", "steps", "with_parts"]

#: intervals of the grid on which a response is changed
INTERVALS = 512
_ZERO = torch.zeros(1, dtype=torch.float64)


def steps(response: AbstractResponse) -> tuple[Tensor, Tensor, Tensor]:
    """w, q+ and q- on an even grid over the range, which has the kinks of a piecewise response."""
    own = int(getattr(response, "intervals", 1))
    n = own * max(1, INTERVALS // own)
    w = torch.linspace(response.w_min, response.w_max, n + 1, dtype=torch.float64)
    return w, response.q_plus(w).double().clamp(min=0), response.q_minus(w).double().clamp(min=0)


def parts(response: AbstractResponse) -> tuple[Tensor, Tensor, Tensor, float, float]:
    """w, F and r on the grid, F(0) and r(0)."""
    w, up, down = steps(response)
    f = (up + down) / 2
    r = torch.where(f > 0, (down - up) / 2 / f.clamp(min=1e-300), 0.0)
    up0, down0 = float(response.q_plus(_ZERO)), float(response.q_minus(_ZERO))
    return w, f, r, (up0 + down0) / 2, (down0 - up0) / (down0 + up0)


def built(w: Tensor, up: Tensor, down: Tensor) -> AbstractResponse:
    """The simplest response with these steps on the grid `w`: an affine family, or a piecewise one.

    Equal steps that vary are piecewise: rounding of their slopes would make a symmetric point.
    """
    low, high = float(w[0]), float(w[-1])
    flat = float((up.max() - up.min()) / up.max()) < 1e-9
    if bool((up - down).abs().max() <= 1e-12 * up.max()) and not flat:
        return PiecewiseStep(low, high, tuple(up.tolist()), tuple(up.tolist()))
    lines = []
    for q in (up, down):
        b = (q[-1] - q[0]) / (high - low)
        a = q[0] - b * low
        if float((q - (a + b * w)).abs().max()) > 1e-9 * float(q.max()):
            return PiecewiseStep(low, high, tuple(up.tolist()), tuple(down.tolist()))
        lines.append((float(a), float(b)))
    (a, b), (c, d) = lines
    s, t = round(-b * high / a, 9), round(-d * low / c, 9)
    if max(abs(s), abs(t)) > 1:
        return PiecewiseStep(low, high, tuple(up.tolist()), tuple(down.tolist()))
    if s == t == 0:
        return ConstantStep(low, high, a, c)
    return SoftBounds(low, high, a, c) if s == t == 1 else LinearStep(low, high, s, t, a, c)


def with_parts(device: Device, f: Tensor, r: Tensor, w: Tensor) -> Device:
    """The device with these F and r on the grid `w`."""
    return replace(device, response=built(w, f * (1 - r), f * (1 + r)))


def balanced(response: AbstractResponse, r0: float) -> AbstractResponse:
    """The same with other gains of q+ and q-, so that r(0) = r0; F(0) stays."""
    w, up, down = steps(response)
    _, _, _, f0, old = parts(response)
    return built(w, up * (f0 * (1 - r0) / (f0 * (1 - old))), down * (f0 * (1 + r0) / (f0 * (1 + old))))


def plain(device: Device) -> Device:
    """The device in the form that properties are changed in.

    - Means of its spread stand in its response.
    - Measured tables become their mean steps, Gaussian noise of their relative standard deviation at w = 0,
      and a spread of the step and of the balance from device to device.
    - Of a one-sided pair, which uses q+ alone, q- is q+.
    - Callables become values on a grid.
    """
    response, spread = device.response, device.spread
    if isinstance(response, Measured):
        middle = response.mean.shape[-1] // 2
        up, down = response.mean[:, 0, middle], response.mean[:, 1, middle]
        if response.devices > 1:
            step, balance = (up + down) / 2, (down - up) / (down + up)
            spread = Spread(dw_min=float(step.std() / step.mean()), up_down=float(balance.std()))
        device = replace(
            device, response=built(*steps(response)), noise=Noise(response.relative_std), spread=spread
        )
    elif device.pair is not None:
        w, up, _ = steps(response)
        both = torch.where(w >= 0, up, up.flip(0))  # the range of a pair is symmetric
        step = math.hypot(spread.dw_min, spread.up_down)  # of q+ alone a balance is a size
        spread = replace(spread, dw_min=step, up_down=0.0, up_down_mean=0.0)
        device = replace(device, response=built(w, both, both), spread=spread)
    elif spread.symmetric_point is None and spread.up_down_mean:
        plus, minus = device.nominal_steps
        even = balanced(response, (minus - plus) / (minus + plus))
        device = replace(device, response=even, spread=replace(spread, up_down_mean=0.0))
    if getattr(device.response, "family", None) not in FAMILIES:
        device = replace(device, response=built(*steps(device.response)))
    return device
