"""Writing columns by pulses: few x-lines that carry a value, on a kernel of their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ohmgrad import Device, Noise, Pulsing
from ohmgrad.devices import draw
from ohmgrad.kernels.cpu.affine_columns import MOST_COLUMNS
from ohmgrad.kernels.cpu.packing import Address, Affine, How, pack
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.kernels.reference.trains import coincidences, update_trains
from ohmgrad.rng import Key
from tests.cases import RESPONSES, SPREADS
from tests.kernels.inner import apply_columns, apply_rows, drawn_trains
from tests.updates import draw_trains, pulsed_update_

KEY, STEP, DW_MIN = Key(3, 4), 7, 0.002

#: the lines that each sample drives: columns of their own, one column twice, many, a few lines at once
DRIVEN = {
    "one": [[40]],
    "last": [[64]],
    "some": [[16], [0], [17], [63], [34]],
    "repeated": [[5], [6], [5]],
    "many": [[i] for i in range(MOST_COLUMNS + 2)],
    "several": [[3, 20, 40], [64], [0, 1, 2, 3], [9, 8, 7, 6, 5]],
    "silent": [[7], []],
}
PULSINGS = [
    Pulsing(),
    Pulsing(max_bl=33, update_management=False, bl_management=False),
    Pulsing(max_bl=100),
    Pulsing("pulsed", 1, False, False),
    Pulsing("pulse-by-pulse"),
]


@pytest.mark.parametrize("noise", [Noise(), Noise(0.3), Noise(0.5, "multiplicative")], ids=str)
@pytest.mark.parametrize("pulsing", PULSINGS, ids=str)
@pytest.mark.parametrize("driven", DRIVEN)
def test_columns_are_written_as_by_the_reference(driven: str, pulsing: Pulsing, noise: Noise) -> None:
    """Trains and events exactly, weights to one rounding of float32 per pulse; weights reach the bounds,
    where every pulse counts on its own."""
    g = torch.Generator().manual_seed(1)
    shape = (63, 65)
    x = torch.zeros(len(DRIVEN[driven]), shape[1])
    for line, columns in zip(x, DRIVEN[driven], strict=True):
        line[columns] = torch.randn(len(columns), generator=g)
    d = torch.randn(len(x), shape[0], generator=g) * (torch.rand(len(x), shape[0], generator=g) < 0.8)
    for name in ("soft_skewed", "constant"):
        elements = draw(Device(RESPONSES[name], DW_MIN, SPREADS["spread"], noise), shape, KEY)
        w = elements.clip(2 * torch.rand(shape, generator=g) - 1).contiguous()
        for pulses in (0.7, 20.0):
            lr = -pulses * DW_MIN
            xs, ds, _ = update_trains(x, d, lr, DW_MIN, pulsing, KEY, STEP)
            fast_xs, fast_ds = draw_trains(x, d, lr, DW_MIN, pulsing, KEY, STEP)
            sent = (ds != 0).any(2).any(0)
            assert torch.equal(fast_ds, ds)
            assert torch.equal(fast_xs[:, sent], xs[:, sent])
            expected, events = reference.pulsed_update(w, elements, x, d, lr, pulsing, KEY, STEP)
            got = w.clone()
            assert pulsed_update_(got, elements, x, d, lr, pulsing, KEY, STEP, "numba") == events
            assert events[0] + events[1] > 0 or pulses < 1
            counts = coincidences(xs, ds)
            most = int(counts.abs().sum(0).max())
            assert float((got - expected).abs().max()) <= (4 + most) * 2.0**-24
            untouched = (counts == 0).all(0)
            assert torch.equal(got[untouched], w[untouched])


@pytest.mark.parametrize("cols", [1, 2, 3, 9, 65])
@pytest.mark.parametrize("noise", [Noise(), Noise(0.3), Noise(0.5, "multiplicative")], ids=str)
def test_a_column_has_the_bits_of_the_rows(noise: Noise, cols: int) -> None:
    """So that it does not matter whether several threads, which share rows, do the update."""
    elements = draw(Device(RESPONSES["soft_skewed"], DW_MIN, SPREADS["spread"], noise), (300, cols), KEY)
    start = elements.clip(torch.rand(300, cols, generator=torch.Generator().manual_seed(1)) - 0.5).numpy()
    k = min(cols, 4)
    x, d = np.zeros((k, cols), np.float32), np.random.default_rng(0).normal(size=(k, 300)).astype(np.float32)
    x[np.arange(k), np.arange(k)] = 1
    how, address = How(0.02, DW_MIN, 31, True, True, False, False, 1), Address(*map(np.uint32, (STEP, *KEY)))
    trains, affine = drawn_trains(1, x, d, how, address), Affine(*pack(elements))
    assert len(trains.active_samples) == k
    rows, columns = start.copy(), start.copy()
    apply_rows(rows, affine, trains, address)
    assert (rows != start).sum() > 200
    alone = apply_columns(columns, affine, trains, address)
    assert alone or cols < 10  # the sparse path of short rows is not the cheaper one, which is theirs then
    if alone:
        assert (rows == columns).all()
