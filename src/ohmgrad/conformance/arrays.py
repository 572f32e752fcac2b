"""Arrays that the laws of devices are measured on."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from ..crossbar import Tile
from ..devices import Device, Noise
from ..errors import InputError
from ..kernels import Pulsing

__all__ = [
    "SEED",
    "SHAPE",
    "factors",
    "made",
    "noiseless",
    "plain",
    "refined",
    "regrained",
    "shares",
    "spread_over",
]

#: (rows, cols) of the arrays on which statistics are taken: 3072 elements
SHAPE = (48, 64)
SEED = 20240607

#: fields of a device that say how it answers pulses; all others are effects besides that
_PULSES = ("response", "dw_min", "spread", "noise")


def plain(device: Device) -> tuple[Device, str]:
    """The device without what is not its answer to pulses (stuck elements, write noise, retention ...).

    Returns:
        The device, and the names of what was switched off with commas, "" for nothing.
    """
    off: dict[str, Any] = {}
    for f in dataclasses.fields(device):
        if f.name in _PULSES or not f.init:
            continue
        missing = dataclasses.MISSING
        default = f.default_factory() if f.default_factory is not missing else f.default
        if default is not missing and getattr(device, f.name) != default:
            off[f.name] = default
    return dataclasses.replace(device, **off), ", ".join(off)


def noiseless(device: Device) -> Device:
    """The device without cycle-to-cycle noise."""
    return dataclasses.replace(device, noise=Noise())


def refined(device: Device, states: float) -> Device:
    """The device with so many states, if it has fewer: smaller steps, and all else alike."""
    return device if device.states >= states else regrained(device, states)


def regrained(device: Device, states: float) -> Device:
    """The device with another number of states; as it is where it allows no other, as measured tables do."""
    plus, minus = device.nominal_steps
    half = min(device.response.w_max, -device.response.w_min)
    dw = min(device.dw_min * device.states / states, half / (2 * max(plus, minus)))
    try:
        return dataclasses.replace(device, dw_min=dw)
    except InputError:
        return device


def made(
    device: Device,
    fidelity: Any = "pulsed",
    shape: tuple[int, int] = SHAPE,
    *,
    backend: str = "auto",
    **more: Any,
) -> Tile:
    """An array of the device; all with the same seed, so that their elements and addresses are the same."""
    return Tile(shape, device, pulsing=Pulsing(fidelity), seed=SEED, backend=backend, **more)


def shares(tile: Tile, low: float = 0.15, high: float = 0.85) -> Tensor:
    """A share of the range for every element, (rows, cols), scattered evenly over [low, high]."""
    rows, cols = tile.shape
    golden = (torch.arange(rows * cols, dtype=torch.float64) * 0.6180339887) % 1
    return (low + (high - low) * golden).view(rows, cols)


def spread_over(tile: Tile, share: Tensor | float) -> Tensor:
    """Put every element at a share of its own range; returns the weights, (rows, cols) float64.

    Of a pair it is the range of the first element, and the weight kept inside what both can hold.
    """
    e = tile.elements
    low, high = e.lower.double(), e.upper.double()
    w = e.clip((low + share * (high - low)).expand(tile.shape).float())
    tile.weight.copy_(tile.contents.cell_state.nearest(w))
    return tile.weight.double()


def factors(tile: Tile, samples: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x (samples, cols) and d (samples, rows), standard normal numbers kept within [-2, 2]."""
    g = torch.Generator().manual_seed(seed)
    x, d = (torch.randn(samples, n, generator=g).clamp(-2, 2) for n in (tile.shape[1], tile.shape[0]))
    return x, d
