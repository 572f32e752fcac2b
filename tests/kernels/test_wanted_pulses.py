"""How many pulses a change needs: whole numbers up to float32 rounding, and numbers beyond all integers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import ConstantStep, Device, InputError, Noise, Pulsing, SoftBounds, Tile
from ohmgrad.ensemble.arrays import Arrays
from ohmgrad.kernels.pulsing import WHOLE
from ohmgrad.kernels.reference.digital import AT_LEAST, most_counts
from ohmgrad.kernels.reference.trains import line_settings
from ohmgrad.optim.buffers import add_to_buffer, by_chance, period, whole_pulses_
from tests.cases import SPREADS, TABULATED
from tests.kernels.test_backends import BACKENDS
from tests.optim.units import unit
from tests.stats import assert_variance
from tests.updates import apply_counts_

pytestmark = pytest.mark.usefixtures("one_thread")

DW = 0.001
PULSED: tuple[Any, ...] = ("pulsed", "pulse-by-pulse")
SOFT = Device(SoftBounds.symmetric(0.6), DW, SPREADS["spread"], Noise(0.3))


#: lr, and what x and d are made of
FACTORS = [(0.05, 1.0, 1.0), (0.1, 0.7, 0.3), (0.003, 0.9, 1.7), (0.3, 0.011, 0.13)]


def products(lr: float, x: float, scale: float) -> tuple[Tensor, Tensor]:
    """x and d of 31 samples, (31, 1) each: lr x d / DW = 1 ... 31, up to rounding.

    Of x, and of d as a product of two float32.
    """
    d = [torch.tensor(k * DW / (lr * x * scale)) * torch.tensor(scale) for k in range(1, 32)]
    return torch.full((31, 1), x), torch.stack(d).view(31, 1)


def test_the_products_lie_on_both_sides_of_whole_numbers() -> None:
    """So that the tests below can fail: without room a quarter of them would take one slot more."""
    whole = torch.arange(1, 32).double().view(31, 1)
    found = [(lr, *products(lr, x, scale)) for lr, x, scale in FACTORS]
    off = torch.cat([x.double() * d.double() * lr / DW / whole - 1 for lr, x, d in found])
    assert float((off > 0).double().mean()) > 1 / 4
    assert float((off < 0).double().mean()) > 1 / 4
    assert float(off.abs().max()) < WHOLE


@pytest.mark.parametrize("fidelity", PULSED)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_whole_number_of_pulses_takes_as_many_slots(backend: str, fidelity: Any) -> None:
    """And the largest change gets exactly as many pulses. One part in 10^5 more is one slot more."""
    total, pulsing = 31 * 32 // 2, Pulsing(fidelity, max_bl=40)
    for lr, *rest in FACTORS:
        x, d = products(lr, *rest)
        for more, slots in ((1.0, total), (1 + 1e-5, total + 31), (1 - 1e-5, total)):
            tile = Tile((2, 3), Device(ConstantStep(-1, 1), DW), pulsing=pulsing, backend=backend)
            tile.pulse(x.expand(31, 3), d.expand(31, 2), more * lr)
            assert tile.count("slots") == slots, (lr, *rest)
            if more == 1.0:
                assert tile.count("pulses_up") == 6 * total
                torch.testing.assert_close(tile.weight, torch.full((2, 3), total * DW))
        bl, gain_x, gain_d = line_settings(x, d, lr, DW, pulsing)
        assert bl.tolist() == list(range(1, 32))
        mean = bl.unsqueeze(1) * DW * (gain_x.unsqueeze(1) * x) * (gain_d.unsqueeze(1) * d)
        torch.testing.assert_close(mean, lr * x * d, rtol=1e-6, atol=0)


@pytest.mark.parametrize("max_bl", [1, 7, 30, 31])
def test_ensembles_take_as_many_slots_and_clip_no_whole_number(max_bl: int) -> None:
    pulsing = Pulsing(max_bl=max_bl)
    for lr, *rest in FACTORS:
        x, d = products(lr, *rest)
        arrays = Arrays([SOFT] * 31, 2, range(31), pulsing=pulsing, start=torch.zeros(31, 2))
        arrays.pulse(x.expand(31, 2), lr * d[:, 0].double())
        assert arrays.events[:, 3].tolist() == [min(k, max_bl) for k in range(1, 32)]
        assert arrays.clipped.tolist() == [0] * max_bl + [1] * (31 - max_bl)
        arrays.pulse(x.expand(31, 2), 1.00001 * lr * d[:, 0].double())
        assert arrays.clipped.tolist() == [0] * (max_bl - 1) + [1] + [2] * (31 - max_bl)


@pytest.mark.parametrize("backend", BACKENDS)
def test_whole_pulses_spread_by_their_noise_alone(backend: str) -> None:
    """Five pulses on 20,000 elements: 0.3 sqrt(5) steps, 0.67e-3. By six slots of 5/6 it would be 1.1e-3."""
    tile = Tile((100, 200), Device(ConstantStep(-1, 1), DW, noise=Noise(0.3)), backend=backend)
    tile.pulse(torch.ones(1, 200), torch.full((1, 100), 0.1), 0.05)
    assert tile.count("slots") == 5
    assert_variance(tile.weight, 5 * (0.3 * DW) ** 2)


# --- more than integers hold ---------------------------------------------------------------------

HUGE = [10.0**e for e in (0, 4, 15, 18.9, 19, 30)]


@pytest.mark.parametrize("fidelity", PULSED)
@pytest.mark.parametrize("max_bl", [31, 100])
def test_any_number_of_wanted_pulses_is_sent_up_to_the_bit_length(max_bl: int, fidelity: Any) -> None:
    for pulses in HUGE:
        root = math.sqrt(pulses)
        for lr, x, d in ((pulses * DW, 1.0, 1.0), (DW, root, root), (-DW, 1.0, pulses)):
            found = []
            for backend in BACKENDS:
                tile = Tile((2, 3), SOFT, pulsing=Pulsing(fidelity, max_bl), backend=backend)
                lines = torch.tensor([[x, 0.0, -x]])
                tile.pulse(lines, torch.full((1, 2), d), lr)
                found.append(tile.events.tolist())
                slots = min(pulses, max_bl)
                assert tile.count("slots") in (int(slots), int(slots) + 1)
                assert tile.count("pulses_up") == tile.count("pulses_down")
                if pulses >= max_bl:
                    assert tile.count("pulses_up") == 2 * max_bl
            assert found[0] == found[1]


def test_rates_beyond_float32_send_no_pulse_where_a_line_is_silent() -> None:
    x, d = torch.tensor([[3e38, 0.0], [0.0, 0.0]]), torch.ones(2, 2)
    bl, _, _ = line_settings(x, d, 1e30, DW, Pulsing())
    assert bl.tolist() == [31, 0]
    for backend in BACKENDS:
        tile = Tile((2, 2), SOFT, backend=backend)
        tile.pulse(x, d, 1e30)
        assert (tile.count("slots"), tile.count("pulses_up"), tile.count("pulses_down")) == (31, 62, 0)
        assert not tile.weight[:, 1].any()


def test_ensembles_send_any_number_too() -> None:
    for pulses in HUGE:
        arrays = Arrays([SOFT] * 2, 3, [1, 2], pulsing=Pulsing(), start=torch.zeros(2, 3))
        arrays.pulse(torch.ones(2, 3), pulses * DW)
        for t in range(2):
            tile = Tile((1, 3), SOFT, seed=t + 1, backend="reference")
            tile.pulse(torch.ones(1, 3), torch.ones(1, 1), pulses * DW)
            assert arrays.events[t].tolist() == [
                tile.count(name) for name in ("pulses_up", "pulses_down", "line_toggles", "slots")
            ]


#: algorithms with a digital gradient, see `UNITS`
SENDERS = ("whole", "gradient", "momentum")


@pytest.mark.parametrize("name", SENDERS)
@pytest.mark.parametrize("quiet", [True, False])
def test_digital_units_send_at_most_what_takes_any_element_to_its_bound(name: str, quiet: bool) -> None:
    """In both backends alike; with noise all pulses near a bound count one by one."""
    device = replace(SOFT, noise=Noise()) if quiet else SOFT
    limit = most_counts(Tile((1, 1), device).elements)
    assert limit == 12_000  # ten times 1200 states
    x, d = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([[1.0, -1.0]])
    for pulses in HUGE if quiet else HUGE[::5]:
        found = []
        for backend in BACKENDS:
            h, rate = torch.zeros(2, 3), min(1.001 * pulses * DW, 1e6)
            tile, update = unit(name, device, h.clone(), h, rate, backend)
            update(x, d * (1.001 * pulses * DW / rate))
            found.append((tile.events.tolist(), tile.weight.clone(), h))
            assert tile.count("pulses_up") == tile.count("pulses_down") or pulses < 1e3
            assert 0 < tile.count("pulses_up") <= 2 * limit
            if pulses > 1e6:
                assert tile.count("pulses_up") == 2 * limit
                assert bool((tile.weight[:, 1] == 0).all())
                ends = torch.where(tile.weight > 0, tile.elements.upper, tile.elements.lower)
                assert float((tile.weight / ends)[:, ::2].min()) > (1 - 1e-4 if quiet else 0.9)
        assert found[0][0] == found[1][0]
        torch.testing.assert_close(found[0][1], found[1][1], atol=2e-5, rtol=1e-5)
        assert torch.equal(found[0][2], found[1][2])


@pytest.mark.parametrize("name", SENDERS)
def test_what_is_no_number_sends_nothing_and_infinity_the_most(name: str) -> None:
    """An accumulator that has overflown: never a cast of NaN, and both backends alike."""
    found = []
    for backend in BACKENDS:
        h = torch.tensor([[float("nan"), float("inf"), 0.0], [float("nan"), -float("inf"), 0.0]])
        tile, update = unit(name, replace(SOFT, noise=Noise()), torch.zeros(2, 3), h, 1.0, backend)
        update(torch.zeros(1, 3), torch.zeros(1, 2))
        found.append((tile.events.tolist(), tile.weight.clone(), h))
        most = 0 if name == "gradient" else most_counts(tile.elements)
        assert (tile.count("pulses_up"), tile.count("pulses_down")) == (most, most)
        assert not tile.weight[:, [0, 2]].any()
    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(found[0][2], found[1][2], equal_nan=True, atol=0, rtol=0)


def test_rounding_never_casts_beyond_its_limit() -> None:
    values = torch.tensor([[float("nan"), float("inf"), -float("inf"), 3e38, -1e20, 2.0]])
    assert by_chance(Tile((1, 6), SOFT), values, 50).tolist() == [[0, 50, -50, 50, -50, 2]]
    assert whole_pulses_(values.clone(), 1.0, 50).tolist() == [[0, 50, -50, 50, -50, 2]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", [SOFT, Device(TABULATED["pow"], DW)], ids=["affine", "table"])
def test_given_counts_have_a_limit(device: Device, backend: str) -> None:
    tile = Tile((2, 3), device, backend=backend)
    most = most_counts(tile.elements)
    assert most >= AT_LEAST
    for count in (most + 1, 2**31, 2**32 + 1, 2**62, -most - 1, -(2**31), -(2**63)):
        n = torch.zeros(2, 3, dtype=torch.int64)
        n[1, 1] = count
        with pytest.raises(InputError, match=rf"^pulse counts reach {count}, but must be in \[{-most}, "):
            tile.pulse_counts(n)
    for count in (2**31, -(2**31), 2**62, -(2**63)):  # below that kernels hold them, and tables end early
        with pytest.raises(InputError, match=rf"^pulse counts reach {count}, but must be in "):
            apply_counts_(tile.weight, tile.elements, n.clamp(0, 0) + count, "pulsed", tile.key, 0, backend)
    assert not tile.events.any()
    assert not tile.weight.any()


def test_the_limit_crosses_the_range_ten_times_and_is_whole_in_float32() -> None:
    for dw_min, most in ((0.05, 10_000), (1e-3, 20_000), (1e-5, 2_000_000), (1e-8, 2**24)):
        assert most_counts(Tile((1, 1), Device(ConstantStep(-1, 1), dw_min)).elements) == pytest.approx(most)


def test_buffers_that_overflow_stay_numbers() -> None:
    tile, state = Tile((2, 3), SOFT), {}
    group = {"lr": 1e30, "transfer_lr": None, "granularity": 1.0, "max_pulses": 3, "buffer_momentum": 0.0}
    for rest in ("forget", "keep", "forget"):
        for sign in (1.0, -1.0, -1.0):
            change = torch.full((2, 2), sign * 1e30)
            add_to_buffer(tile, {**group, "rest": rest}, state, torch.tensor([0, 2]), change)
            assert bool(torch.isfinite(state["buffer"]).all())
    assert tile.count("pulses_up") + tile.count("pulses_down") == 9 * 3 * 4


def test_a_period_of_reads_is_the_whole_number_that_was_meant() -> None:
    assert [period({"chop_prob": 1 / n}) for n in range(2, 2000)] == list(range(2, 2000))
    assert [period({"chop_prob": p}) for p in (1.0, 0.9, 0.4, 0.3)] == [2, 2, 3, 4]
