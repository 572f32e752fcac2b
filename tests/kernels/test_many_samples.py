"""Trains of more samples than are drawn together, as convolutions have them, are the reference's."""

from __future__ import annotations

import pytest
import torch

from ohmgrad.devices import SoftBounds, draw
from ohmgrad.devices.device import Device
from ohmgrad.kernels import Pulsing
from ohmgrad.kernels.cpu.lines import FEW, SAMPLES
from ohmgrad.rng import Key
from tests.updates import draw_trains, pulsed_update_

KEY, STEP, LR, DW_MIN = Key(3, 4), 7, -0.01, 0.001


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize("max_bl", [7, 40])  # one word and two
@pytest.mark.parametrize(("rows", "cols"), [(6, 25), (3, FEW + 11), (FEW + 11, 5)])
def test_trains_and_events_are_the_reference(rows: int, cols: int, max_bl: int, managed: bool) -> None:
    g = torch.Generator().manual_seed(1)
    samples = 2 * SAMPLES + 9
    silent = torch.rand(samples, 1, generator=g) < 0.2  # no line of the sample has a value
    x = torch.randn(samples, cols, generator=g).masked_fill(silent, 0.0)
    x *= torch.rand(x.shape, generator=g) < 0.4
    d = torch.randn(samples, rows, generator=g) * torch.logspace(-2, 0.5, samples).unsqueeze(1)  # other BL
    pulsing = Pulsing(max_bl=max_bl, bl_management=managed)
    both = [draw_trains(x, d, LR, DW_MIN, pulsing, KEY, STEP, b) for b in ("numba", "reference")]
    for fast, plain in zip(*both, strict=True):
        assert torch.equal(fast, plain)
    elements = draw(Device(SoftBounds.symmetric(0.6), DW_MIN), (rows, cols), KEY)
    events = [
        pulsed_update_(torch.zeros(rows, cols), elements, x, d, LR, pulsing, KEY, STEP, b)
        for b in ("numba", "reference")
    ]
    assert events[0] == events[1]
    assert min(events[0]) > 0
