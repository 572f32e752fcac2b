"""Algorithms with a digital gradient on a single tile, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ohmgrad import AnalogLinear, AnalogMomentum, Device, GradientCounts, MixedPrecision, SignRule, Tile

__all__ = ["UNITS", "Update", "unit"]

Update = Callable[[Tensor, Tensor], None]

#: the algorithm, its options, and where its state keeps what it remembers
UNITS: dict[str, tuple[Callable[..., Any], dict[str, Any], str | None]] = {
    "whole": (MixedPrecision, {}, "chi"),
    "whole-rows": (MixedPrecision, {"granularity": 0.003, "rows": 1}, "chi"),
    "kept": (MixedPrecision, {"granularity": 0.001, "transfer_every": 100}, "chi"),
    "gradient": (GradientCounts, {}, None),
    "momentum": (AnalogMomentum, {"dampening": 0.5}, "momentum_buffer"),
    "sign": (SignRule, {}, None),
    "nesterov": (AnalogMomentum, {"nesterov": True}, "momentum_buffer"),
}


def unit(
    name: str, device: Device, weight: Tensor, h: Tensor, rate: float, backend: str
) -> tuple[Tile, Update]:
    """A tile with these weights, and an update of it by x and d, up the gradient where the rate is positive.

    Args:
        h: (rows, cols), what the algorithm remembers, changed in place.
    """
    make, options, memory = UNITS[name]
    rows, cols = weight.shape
    layer = AnalogLinear(cols, rows, device, bias=False, seed=7, array=0, backend=backend)
    with torch.no_grad():
        layer.weight.copy_(weight)
    optimizer = make(layer.parameters(), lr=abs(rate), **options)
    group = optimizer.param_groups[0]
    group["lr"] = -rate
    tile, state = optimizer.tiles_in(group)[0]
    if memory is not None:
        state[memory] = h
    tile.sync()
    return tile, lambda x, d: optimizer.analog_step(tile, x, d, group, state)
