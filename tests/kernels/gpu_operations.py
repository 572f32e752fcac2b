"""Calls of every operation of the Triton back end, one for each variant of a kernel."""

from __future__ import annotations

import torch

from ohmgrad.devices import Device, Noise, SoftBounds, Spread, draw
from ohmgrad.kernels import Cells, Pulsing, ops
from ohmgrad.rng import Key

__all__ = ["run_all"]

SHAPE = (37, 53)
SPREAD = Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3)


def _cells(noise: Noise, spread: Spread) -> Cells:
    key = Key(1, 2)
    return Cells.of(draw(Device(SoftBounds(), 0.01, spread, noise), SHAPE, key), key, "triton")


def run_all() -> None:
    """Every operation, with every kind of elements and settings."""
    step, events = torch.tensor(3), torch.zeros(4, dtype=torch.int64)
    x, d = torch.randn(5, SHAPE[1]), torch.randn(5, SHAPE[0])
    w, counts = torch.zeros(SHAPE), torch.ones(SHAPE, dtype=torch.int64)
    marks = torch.ones(SHAPE, dtype=torch.bool)
    cells = _cells(Noise(0.3), SPREAD)
    for pulsing in (Pulsing(), Pulsing("pulse-by-pulse", 100, False, False)):
        for lr in (0.1, -0.1):
            ops.draw_trains(x, d, lr, cells, pulsing, step)
        for noise in (Noise(), Noise(0.3), Noise(0.3, "multiplicative")):
            of_noise = _cells(noise, SPREAD)
            ops.pulsed_update_(w, of_noise, x, d, 0.1, pulsing, step, events)
            ops.apply_counts_(w, of_noise, counts, pulsing.fidelity, step)
    ops.pulsed_update_(w, _cells(Noise(0.3), Spread()), x, d, 0.1, Pulsing(), step, events, marks)
    for marked in (None, marks):
        ops.normals_(torch.empty(SHAPE), cells, step, 26, 1.0, marked)
        ops.random_words(cells, step, 45, marked)
