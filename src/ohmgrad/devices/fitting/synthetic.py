"""Readings that a device would give under ramps of pulses: to try a fit, or to plan a measurement."""

from __future__ import annotations

import math

import numpy as np
import torch

from ...errors import check_integer, check_number
from ...rng import Key, Purpose, gaussians
from ..device import Device
from ..elements import draw
from ..memory import ReadNoise
from .pulses import Pulses, Ramp

__all__ = ["synthetic"]


def synthetic(
    device: Device, pulses: int = 100, cycles: int = 1, devices: int = 1, read_noise: float | None = None,
    slow_noise: float | None = None, correlation: float | None = None, start: float | None = None,
    seed: int = 0,
) -> Pulses:  # fmt: skip
    """Ramps up, then down, of one or several elements of a device.

    Args:
        device: the specification; elements are drawn with its spread, steps with its noise.
        pulses: of each ramp.
        cycles: of a ramp up and one down, which goes on where that ended.
        devices: elements.
        read_noise: standard deviation of a reading (weight units); by default the device's own.
        slow_noise, correlation: of the slow part of the read noise, and pulses over which it comes back;
            likewise, with a step of time for each pulse.
        start: weight before the first pulse; by default 0.8 of the lower bound.
        seed: of elements and noise.

    Raises:
        InputError: when a number is out of range.
    """
    for name, count in (("pulses", pulses), ("cycles", cycles), ("devices", devices)):
        check_integer(name, count, low=1)
    own = device.read_noise or ReadNoise()
    read_noise = own.fast * device.dw_min if read_noise is None else read_noise
    slow_noise = own.slow * device.dw_min if slow_noise is None else slow_noise
    correlation = own.correlation if correlation is None else correlation
    for name, value in (("read_noise", read_noise), ("slow_noise", slow_noise)):
        check_number(name, value, low=0)
    key = Key(seed, 0)
    cells = draw(device, (1, devices), key)
    w = torch.full((1, devices), 0.8 * device.response.w_min if start is None else start, dtype=torch.float64)
    w = cells.clip(w)
    phi = math.exp(-1 / check_number("correlation", correlation, low=0, open_low=True))
    count = 2 * cycles * pulses
    noise = gaussians(3 * devices, torch.arange(count), 0, Purpose.FIT, key).view(count, 3, devices)
    slow, rows = slow_noise * gaussians(devices, count, 1, Purpose.FIT, key), []
    for n in range(count):
        up = (n // pulses) % 2 == 0
        q = (cells.q_plus(w) if up else cells.q_minus(w)).double() * device.dw_min
        own = cells.up if up else cells.down
        scale = own.double() if device.noise.kind == "additive" else q
        step = q + device.noise.std * scale * noise[n, 0]
        w = cells.clip(w + (step if up else -step)).double()
        slow = phi * slow + math.sqrt(1 - phi * phi) * slow_noise * noise[n, 1]
        rows.append((w[0] + slow + read_noise * noise[n, 2]).numpy())
    table = np.array(rows).reshape(cycles, 2, pulses, devices)
    ramps = [
        Ramp(side == 0, table[c, side, :, d], str(d + 1), str(c + 1), follows=bool(c or side))
        for d in range(devices)
        for c in range(cycles)
        for side in (0, 1)
    ]
    return Pulses(tuple(ramps), "", 0.0, 1.0)
