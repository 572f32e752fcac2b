"""Calls of every operation of the Triton back end, one for each variant of a kernel."""

from __future__ import annotations

import torch

from ohmgrad.devices import Device, ExpStep, Noise, SoftBounds, Spread, draw
from ohmgrad.kernels import NOISY_PERIPHERY, Cells, Periphery, Pulsing, ops
from ohmgrad.rng import Key
from tests.cases import measured

__all__ = ["run_all"]

SHAPE, KEY = (37, 53), Key(1, 2)
SPREAD = Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3)
SOFT, EXP, SET = SoftBounds(), ExpStep(), measured()
#: elements of every kind: responses, noise, and whether all are alike
DEVICES = [
    Device(SOFT, 0.01, SPREAD),
    Device(SOFT, 0.01, SPREAD, Noise(0.3)),
    Device(SOFT, 0.01, SPREAD, Noise(0.3, "multiplicative")),
    Device(EXP, 0.01, SPREAD),
    Device(EXP, 0.01, SPREAD, Noise(0.3)),
    Device(EXP, 0.01, SPREAD, Noise(0.3, "multiplicative")),
    Device(SET, SET.dw_min, SPREAD),
]
BY_PULSE = Pulsing("pulse-by-pulse", 100, False, False)


def _cells(device: Device, shape: tuple[int, int] = SHAPE) -> Cells:
    return Cells.of(draw(device, shape, KEY), KEY, "triton")


def run_all(few: bool = False) -> None:
    """Every operation, with every kind of elements and settings, or each kernel once for `few`."""
    step, events = torch.tensor(3), torch.zeros(4, dtype=torch.int64)
    x, d = torch.randn(5, SHAPE[1]), torch.randn(5, SHAPE[0])
    w, counts = torch.zeros(SHAPE), torch.ones(SHAPE, dtype=torch.int64)
    marks = torch.ones(SHAPE, dtype=torch.bool)
    for device in DEVICES[1::5] if few else DEVICES:
        cells = _cells(device)
        ops.pulsed_update_(w, cells, x, d, -0.1, Pulsing(), step, events, marks)
        ops.pulsed_update_(w, cells, x, d, 0.1, Pulsing("mean"), step, events)
        if not few:
            ops.pulsed_update_(w, cells, x, d, 0.1, BY_PULSE, step, events)
            ops.apply_counts_(w, cells, counts, "pulsed", step)
            one = torch.ones(1, 1)  # sizes of 1 are constants to the compiler
            ops.pulsed_update_(one, _cells(device, (1, 1)), one, one, 0.1, Pulsing(), step, events)
    cells = _cells(Device(SOFT, 0.01, noise=Noise(0.3)))
    ops.apply_counts_(w, cells, counts, "pulsed", step)
    ops.count_pulses(cells, x, d, 0.1, Pulsing(), step, events)
    ops.digital_gradient(x, d, cells)
    for marked in (None, marks):
        ops.normals_(torch.empty(SHAPE), cells, step, 26, 1.0, marked)
        ops.random_words(cells, step, 45, marked)
    for periphery in (NOISY_PERIPHERY, Periphery(in_noise=0.1, weight_noise=0.1))[: 1 if few else 2]:
        ops.analog_product(x, w.t(), periphery, 5, KEY, step, "triton")
