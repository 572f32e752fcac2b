"""Which elements an update pulses and how often, and numbers by cell, in both backends."""

from __future__ import annotations

import pytest
import torch

from ohmgrad.crossbar import Tile
from ohmgrad.devices import ConstantStep, Device, Noise, SoftBounds, Spread, draw
from ohmgrad.kernels import Pulsing
from ohmgrad.rng import Key
from tests.cases import SETTINGS, Setting, factors
from tests.stats import assert_normal
from tests.updates import normals, pulsed_update_, renew_normals_, update_counts

pytestmark = pytest.mark.usefixtures("one_thread")

DW = 0.002
SOFT = SoftBounds.symmetric(0.6)
DEVICE = Device(SOFT, DW, Spread(dw_min=0.3, up_down=0.05, w_max=0.3, w_min=0.3), Noise(0.3))
#: 20,000 elements for statistical tests
SHAPE = (100, 200)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_counts_of_both_backends_are_those_of_the_update(setting: Setting) -> None:
    elements, key = draw(DEVICE, (37, 53), Key(1, 2)), Key(1, 2)
    x, d = factors((37, 53), setting)
    lr = -setting.pulses * DW
    (slow, slow_events), (fast, events) = (
        update_counts(elements, x, d, lr, setting.pulsing, key, 5, name) for name in ("reference", "numba")
    )
    assert slow_events == events
    for a, b in zip((*slow.up, *slow.down), (*fast.up, *fast.down), strict=True):
        assert a is b is None or (a is not None and b is not None and torch.equal(a, b))
    touched = fast.up.touched(elements.shape) | fast.down.touched(elements.shape)
    for backend in ("reference", "numba"):
        found, w = torch.zeros(elements.shape, dtype=torch.bool), torch.zeros(elements.shape)
        pulsed_update_(w, elements, x, d, lr, setting.pulsing, key, 5, backend, found)
        assert torch.equal(found, touched)
    tile = Tile((37, 53), DEVICE, seed=1, array=2, pulsing=setting.pulsing)
    tile.events[0] = 5
    tile.pulse(x, d, lr)
    names = ("pulses_up", "pulses_down", "line_toggles", "slots")
    assert events == [tile.count(name) for name in names]
    assert [int(fast.up.n.sum()), int(fast.down.n.sum())] == events[:2]


def test_counts_are_lists_or_planes_and_agree_with_the_weights() -> None:
    """On constant steps without noise the weight says what the net number of pulses was."""
    plain = Device(ConstantStep(-1, 1), 0.001)
    for pulses, listed in ((0.3, True), (9.0, False)):
        tile = Tile((37, 53), plain, seed=4)
        x, d = factors((37, 53), Setting("", Pulsing(), 5, pulses))
        counts, _ = update_counts(tile.elements, x, d, pulses * 0.001, tile.pulsing, tile.key, 0, "numba")
        tile.pulse(x, d, pulses * 0.001)
        net = torch.zeros(37 * 53)
        for sign, (cells, n) in ((1.0, counts.up), (-1.0, counts.down)):
            assert (cells is not None) == listed
            net += sign * (
                n.flatten() if cells is None else torch.zeros(37 * 53).index_copy(0, cells, n.float())
            )
        torch.testing.assert_close(tile.weight.flatten(), net * 0.001, atol=1e-6, rtol=0)
        touched = counts.up.touched((37, 53)) | counts.down.touched((37, 53))
        assert bool(touched.flatten()[net != 0].all())


def test_at_fidelity_mean_an_element_counts_as_pulsed_where_a_change_is_asked_for() -> None:
    e = draw(Device(SOFT), (2, 3), Key(0, 0))
    x, d = torch.tensor([[1.0, -1.0, 0.0], [0.0, 2.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, -1.0]])
    for lr, swap in ((0.1, False), (-0.1, True)):
        c, events = update_counts(e, x, d, lr, Pulsing("mean"), Key(0, 0), 0, "numba")
        up, down = (c.down, c.up) if swap else (c.up, c.down)
        assert up.touched((2, 3)).flatten().nonzero().flatten().tolist() == [0, 1]
        assert down.touched((2, 3)).flatten().nonzero().flatten().tolist() == [1, 4]
        assert events == [0, 0, 0, 0]
        found = torch.zeros(2, 3, dtype=torch.bool)
        pulsed_update_(torch.zeros(2, 3), e, x, d, lr, Pulsing("mean"), Key(0, 0), 0, touched=found)
        assert found.flatten().nonzero().flatten().tolist() == [0, 1, 4]


def test_numbers_by_cell_are_standard_normal_and_the_same_in_both_backends() -> None:
    key = Key(3, 4)
    slow, fast = (normals(SHAPE, 6, 29, key, name) for name in ("reference", "numba"))
    torch.testing.assert_close(slow, fast, atol=2e-6, rtol=0)
    assert_normal(fast)
    share = torch.linspace(0, 1, SHAPE[0]).unsqueeze(1)  # rows with few and with many touched cells
    touched = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < share
    for backend in ("reference", "numba"):
        out = torch.full(SHAPE, 7.0)
        renew_normals_(out, touched, 3.0, 6, 29, key, backend)
        torch.testing.assert_close(out, torch.where(touched, 3 * slow, 7.0), atol=6e-6, rtol=0)
