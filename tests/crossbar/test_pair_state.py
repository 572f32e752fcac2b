"""One-sided pairs: both elements only go up, and a refresh makes room. Laws, events, refresh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

import ohmgrad
from ohmgrad.crossbar import EVENTS, Tile
from ohmgrad.crossbar.pair_state import PairState
from ohmgrad.crossbar.sub_array import SubArray
from ohmgrad.devices import ConstantStep, Device, Noise, OneSided, SoftBounds, Spread, Stuck
from ohmgrad.kernels import Pulsing
from tests.cases import SETTINGS, factors, start
from tests.stats import assert_mean, assert_variance
from tests.updates import update_counts

pytestmark = pytest.mark.usefixtures("one_thread")

TAU, DW = 0.6, 0.002
SPREAD = Spread(dw_min=0.3, w_max=0.3, w_min=0.3)
NEVER = OneSided(10**6)


def device(**parts: Any) -> Device:
    return Device(SoftBounds.symmetric(TAU), DW, **{"pair": NEVER, **parts})


def pair_state(tile: Tile) -> PairState:
    assert isinstance(tile.contents.cell_state, PairState)
    return tile.contents.cell_state


def arrays(tile: Tile) -> Sequence[SubArray]:
    return pair_state(tile).arrays


def planes(tile: Tile) -> tuple[torch.Tensor, torch.Tensor]:
    return tile.memory["plus"].clone(), tile.memory["minus"].clone()


def test_weights_that_are_given_are_held_by_the_element_of_their_sign() -> None:
    tile = Tile(start((20, 30)), device(spread=SPREAD))
    plus, minus = planes(tile)
    assert not (plus * minus).any()
    assert torch.equal(tile.weight, plus - minus)
    up, down = (array.elements.upper for array in arrays(tile))
    assert not torch.equal(up, down)  # the two of a pair are different elements
    assert torch.equal(tile.weight, torch.minimum(torch.maximum(start((20, 30)), -down), up))


def test_each_element_goes_up_by_its_own_pulses_in_closed_form() -> None:
    """g_n = b + (g - b)(1 - step/b)^n of both, without noise."""
    tile = Tile(start((20, 30)), device(spread=SPREAD), seed=1)
    n = torch.randint(-40, 41, (20, 30), generator=torch.Generator().manual_seed(0))
    wanted = []
    for array, g, k in zip(arrays(tile), planes(tile), (n.clamp(min=0), (-n).clamp(min=0)), strict=True):
        bound, step = array.elements.upper.double(), array.elements.up.double()
        wanted.append((bound + (g - bound) * (1 - step / bound) ** k).float())
    tile.pulse_counts(n)
    for g, w in zip(planes(tile), wanted, strict=True):
        torch.testing.assert_close(g, w, atol=1e-6, rtol=0)
    assert torch.equal(tile.weight, tile.memory["plus"] - tile.memory["minus"])
    assert tile.count("pulses_up") == int(n.clamp(min=0).sum())
    assert tile.count("pulses_down") == int((-n).clamp(min=0).sum())


@pytest.mark.parametrize("pulses", [0.5, 8.0])  # lists of cells; whole planes
def test_an_updates_pulses_go_to_both_elements_and_their_noise_adds(pulses: float) -> None:
    """On 20,000 elements of constant step: w = dw_min (up - down), with variance s^2 (up + down)."""
    flat = Device(ConstantStep(-TAU, TAU), DW, noise=Noise(0.3), pair=NEVER)
    tile = Tile((100, 200), flat, seed=2)
    tile.memory["plus"].fill_(0.3)  # away from 0, where elements do not go below
    tile.memory["minus"].fill_(0.3)
    x, d = torch.ones(4, 200), torch.tensor([1.0, -1.0, 1.0, 1.0]).unsqueeze(1).expand(4, 100).contiguous()
    lr = pulses * DW
    counts, _ = update_counts(tile.elements, x, d, lr, tile.pulsing, tile.key, 0, "numba")
    up, down = torch.zeros(20_000), torch.zeros(20_000)
    for plane, (cells, n) in ((up, counts.up), (down, counts.down)):
        plane.copy_(n.flatten() if cells is None else plane.index_copy(0, cells, n.float()))
    tile.pulse(x, d, lr)
    w = tile.weight.flatten()
    assert [tile.count(k) for k in ("pulses_up", "pulses_down")] == [int(up.sum()), int(down.sum())]
    z = (w - DW * (up - down))[up + down > 0] / (0.3 * DW * (up + down)[up + down > 0].sqrt())
    assert_mean(z, 0.0)
    assert_variance(z, 1.0)
    both = (up > 0) & (down > 0)
    noise = [g.flatten() - 0.3 - DW * k for g, k in zip(planes(tile), (up, down), strict=True)]
    assert_mean((noise[0] * noise[1])[both] / DW**2, 0.0)  # independent


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse", "mean"])
def test_backends_agree_and_elements_never_go_down(fidelity: Any) -> None:
    x, d = factors((37, 53), SETTINGS[-1])
    for setting_seed in range(3):
        tiles = [
            Tile(start((37, 53)), device(spread=SPREAD, noise=Noise(0.3, "multiplicative")), seed=3,
                 pulsing=Pulsing(fidelity), backend=backend)
            for backend in ("reference", "numba")
        ]  # fmt: skip
        g = torch.Generator().manual_seed(setting_seed)
        x, d = torch.randn(6, 53, generator=g), torch.randn(6, 37, generator=g)
        for lr in (0.05, -0.01):
            for tile in tiles:
                tile.pulse(x, d, lr)
        torch.testing.assert_close(tiles[0].weight, tiles[1].weight, atol=2e-6, rtol=0)
        assert torch.equal(tiles[0].events, tiles[1].events)
    quiet = Tile(start((37, 53)), device(spread=SPREAD), seed=3, pulsing=Pulsing(fidelity))
    before = planes(quiet)
    quiet.pulse(x, d, 0.05)
    for g0, g1 in zip(before, planes(quiet), strict=True):
        assert bool((g1 >= g0).all())
        assert bool((g1 > g0).any())


def test_backends_refresh_alike() -> None:
    """Write-verify rounds: where two weights that differ by rounding fall on either side of half a step, a
    pulse more is sent, here to less than 1 in 20 elements; all keep their weight."""
    ends = []
    for backend in ("reference", "numba"):
        spec = device(spread=SPREAD, noise=Noise(0.3), pair=OneSided(1, 0.1))
        tile = Tile((37, 53), spec, seed=8, backend=backend)
        for name in ("plus", "minus"):
            tile.memory[name].copy_(start((37, 53), seed=len(name)).abs())
        before = tile.held
        tile.pulse_counts(torch.zeros(37, 53, dtype=torch.int64))
        ends.append(tile.weight)
        assert tile.memory["refreshes"] > 2
        assert float((tile.weight - before).abs().quantile(0.95)) < 2 * DW
    gap = (ends[0] - ends[1]).abs()
    assert float((gap > 3e-6).float().mean()) < 0.05
    assert float(gap.max()) < 5 * DW


def test_fidelity_mean_follows_both_responses() -> None:
    tile = Tile(start((2, 3)), device(), pulsing=Pulsing("mean"))
    plus, minus = (g.double() for g in planes(tile))
    x, d = torch.tensor([[1.0, -2.0, 0.0], [3.0, 1.0, -1.0]]), torch.tensor([[1.0, 2.0], [-1.0, 1.0]])
    tile.pulse(x, d, 0.01)
    for xb, db in zip(x.double(), d.double(), strict=True):
        dw = 0.01 * torch.outer(db, xb)
        plus = plus + dw.clamp(min=0) * (1 - plus / TAU)
        minus = minus + (-dw).clamp(min=0) * (1 - minus / TAU)
    torch.testing.assert_close(tile.weight, (plus - minus).float(), atol=1e-7, rtol=0)
    assert tile.count("pulses_up") == 0


def test_a_refresh_keeps_the_difference_makes_room_and_is_counted() -> None:
    tile = Tile(start((20, 30)), device(spread=SPREAD, pair=OneSided(2, 0.5)), seed=4)
    high = [0.7 * array.elements.upper for array in arrays(tile)]
    cells = torch.zeros(20, 30, dtype=torch.bool)
    cells[3, 5] = cells[7, 5] = cells[9, 9] = True
    for name, top in zip(("plus", "minus"), high, strict=True):
        tile.memory[name][cells] = top[cells]
    tile.memory["minus"][9, 9] = 0.05
    pair_state(tile).refresh_weights(tile.weight)
    tile.contents.mark_synced()
    none = torch.zeros(20, 30, dtype=torch.int64)
    tile.pulse_counts(none)
    before, weight, events = planes(tile), tile.weight.clone(), tile.events.tolist()
    tile.pulse_counts(none)  # the second update: a refresh
    after = planes(tile)
    step = max(float(array.elements.up.max()) for array in arrays(tile))
    assert float((tile.weight - weight)[cells].abs().max()) <= 0.51 * step
    assert bool((after[0] * after[1])[cells].abs().max() <= 1e-9)  # one of them is at 0 again
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[~cells], new[~cells])
        assert bool((new <= old)[cells].all())
    count = {name: b - a for name, a, b in zip(EVENTS, events, tile.events.tolist(), strict=True)}
    reads = count["verify_columns"]  # of both arrays before, then two columns a round
    assert reads in range(64, 102, 2)
    assert (count["updates"], count["read_columns"]) == (1, reads)
    assert (count["adc"], count["dac"]) == (20 * reads, 30 * reads)
    # a reset is a pulse on each of six elements; then as many as the differences need
    n = [
        (
            (1 - g / array.elements.upper)[cells].log()
            / (1 - array.elements.up / array.elements.upper)[cells].log()
        )
        for g, array in zip(after, arrays(tile), strict=True)
    ]
    assert count["pulses_up"] == 3 + round(float(n[0].sum()))
    assert count["pulses_down"] == 3 + round(float(n[1].sum()))
    assert count["line_toggles"] == count["slots"] + count["pulses_up"] + count["pulses_down"]
    assert 2 < count["slots"] <= 2 + round(float(n[0].sum() + n[1].sum()))


def test_pairs_learn_with_refresh_and_fill_up_without() -> None:
    """Noisy descent to 0.3, constant steps: without refresh both elements end at their bound, w at 0.

    With it w moves around 0.3, as (1 - 0.05)^n in the mean and far from the bounds; 400 elements, whose
    standard deviation is 0.3 sqrt(0.05/2) = 0.05.
    """
    ends = []
    for pair in (NEVER, OneSided(10, 0.5)):
        tile = Tile((20, 20), Device(ConstantStep(-TAU, TAU), 0.005, noise=Noise(0.3), pair=pair), seed=5)
        g = torch.Generator().manual_seed(1)
        for _ in range(1500):
            noise = 0.3 * torch.randn(20, 20, generator=g)
            n = (-(tile.weight - 0.3 + noise) * 0.05 / 0.005).round().long()
            tile.pulse_counts(n)
        ends.append(tile.weight.clone())
    assert float(ends[0].abs().max()) < 0.05
    assert_mean(ends[1], 0.3)


def test_programming_resets_first_and_reaches_any_target() -> None:
    tile = Tile((20, 30), device(spread=Spread(dw_min=0.3)), seed=6)
    tile.memory["plus"].fill_(0.55)
    tile.memory["minus"].fill_(0.58)
    target = start((20, 30), seed=3)
    left = tile.program(target)
    assert float(left.abs().max()) < 1.5 * DW
    assert torch.equal(left, target - tile.weight)
    stuck = Tile((20, 30), device(stuck=Stuck(0.2)), seed=6)
    before = planes(stuck)
    stuck.program(target)
    for array, g0, g1 in zip(arrays(stuck), before, planes(stuck), strict=True):
        assert torch.equal(g0.flatten()[array.stuck], g1.flatten()[array.stuck])
        assert bool((array.stuck_value >= 0).all())


def test_a_monitor_refuses_pairs() -> None:
    model = ohmgrad.convert(torch.nn.Linear(4, 3), device())
    optimizer = ohmgrad.AnalogSGD(model.parameters(), lr=0.1)
    with pytest.raises(ohmgrad.InputError, match="one-sided pairs"):
        ohmgrad.Monitor(model, optimizer)


def test_an_update_of_no_samples_or_rate_0_does_nothing() -> None:
    tile = Tile(start((4, 5)), device())
    before = tile.weight.clone()
    tile.pulse(torch.zeros(0, 5), torch.zeros(0, 4), 0.1)
    tile.pulse(*factors((4, 5), SETTINGS[0]), 0.0)
    assert torch.equal(tile.weight, before)
    assert tile.count("updates") == 2
