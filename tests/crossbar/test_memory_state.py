"""What elements do besides answering pulses: stuck, write noise, retention, reference. Laws and input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import special
from torch import Tensor

import ohmgrad
from ohmgrad.crossbar import Tile
from ohmgrad.crossbar.memory_state import MemoryState
from ohmgrad.devices import (
    Custom,
    Device,
    Elements,
    Noise,
    OneSided,
    ReadNoise,
    Reference,
    Retention,
    SoftBounds,
    Spread,
    Stuck,
)
from ohmgrad.ensemble.arrays import Arrays
from ohmgrad.kernels import Pulsing
from ohmgrad.optim import AnalogSGD, TikiTaka, calibrate_symmetric_points
from ohmgrad.rng import Key, Purpose, gaussians
from tests.cases import MEMORIES, start
from tests.stats import assert_mean, assert_normal, assert_share, assert_variance, z_variance_pair

pytestmark = pytest.mark.usefixtures("one_thread")

TAU, DW = 0.6, 0.002
SOFT = SoftBounds.symmetric(TAU)
SPREAD = Spread(dw_min=0.3, up_down=0.05, w_max=0.3, w_min=0.3)
#: 20,000 elements for statistical tests
SHAPE = (100, 200)


def device(**parts: Any) -> Device:
    return Device(SOFT, DW, **{"spread": SPREAD, "noise": Noise(0.3), **parts})


def train(tile: Tile, updates: int = 5, seed: int = 2) -> None:
    """Every primitive that changes weights, with its own factors."""
    g = torch.Generator().manual_seed(seed)
    rows, cols = tile.shape
    for _ in range(updates):
        tile.pulse(torch.randn(5, cols, generator=g), torch.randn(5, rows, generator=g), 0.01)
        tile.wait()
        tile.pulse_counts(torch.randint(-2, 3, tile.shape, generator=g))
    tile.zero_shift(1)
    tile.wait(3)


def assert_at_symmetric_point(elements: Elements, held: Tensor) -> None:
    """As near as pairs of pulses bring elements without noise: up to one step there, and 2 % of one."""
    point = elements.symmetric_point().expand(elements.shape)
    step = elements.q_plus(point) * DW
    assert bool(((held - point).abs() <= 1.02 * step).all())


# --- stuck elements --------------------------------------------------------------------------------------


def test_stuck_elements_stay_where_they_stand_and_their_pulses_are_counted() -> None:
    tile, free = (Tile(start(SHAPE), device(stuck=s), seed=5) for s in (Stuck(0.2), None))
    assert isinstance(tile.contents.cell_state, MemoryState)
    cells = tile.contents.cell_state.array.stuck
    before = tile.weight.flatten()[cells].clone()
    assert_share(len(cells), SHAPE[0] * SHAPE[1], 0.2)
    low, high = (t.flatten()[cells] for t in (tile.elements.lower, tile.elements.upper))
    # uniform between an element's own bounds, by the normal law of its quantiles; 4,000 elements
    share = ((before - low) / (high - low)).double().clamp(1e-7, 1 - 1e-7)
    assert_normal(special.ndtri(share.numpy()))
    for t in (tile, free):
        train(t)
    assert torch.equal(tile.weight.flatten()[cells], before)
    assert torch.equal(tile.events, free.events)
    rest = torch.ones(SHAPE[0] * SHAPE[1], dtype=torch.bool).index_fill(0, cells, False)
    assert torch.equal(tile.weight.flatten()[rest], free.weight.flatten()[rest])
    tile.reset(0.1)
    assert torch.equal(tile.weight.flatten()[cells], before)
    at = Tile((30, 30), device(stuck=Stuck(1.0, at=-0.1)), seed=5)
    assert torch.equal(at.weight, at.elements.clip(torch.full((30, 30), -0.1)))


# --- write noise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse", "mean"])
def test_pulses_act_below_the_write_noise(fidelity: Any) -> None:
    noisy, plain = (
        Tile(start((40, 50)), device(write_noise=s), seed=6, pulsing=Pulsing(fidelity)) for s in (0.7, 0.0)
    )
    assert torch.equal(noisy.weight, plain.weight)  # weights that are given are seen as given
    for tile in (noisy, plain):
        train(tile, 2)
    assert torch.equal(noisy.held, plain.weight)
    assert torch.equal(noisy.events, plain.events)
    xi = (noisy.weight - noisy.held) / (0.7 * DW)  # zero_shift has pulsed every element
    assert_normal(xi)


def test_write_noise_is_drawn_anew_where_pulses_went_and_only_there() -> None:
    tile = Tile(SHAPE, device(write_noise=0.5, noise=Noise(), spread=Spread()), seed=7)
    n = torch.zeros(SHAPE, dtype=torch.int64)
    n[:50] = 1
    seen = []
    for _ in range(2):
        tile.pulse_counts(n)
        seen.append(tile.weight - tile.held)
    assert not seen[1][50:].any()
    assert bool((seen[0][:50] != seen[1][:50]).all())
    # independent: the variance of the difference is twice that of one; 10,000 elements
    assert_variance((seen[1] - seen[0])[:50], 2 * (0.5 * DW) ** 2, slack=1e-9)
    x, d = torch.zeros(1, SHAPE[1]), torch.zeros(1, SHAPE[0])
    x[0, 3] = d[0, 60] = 1.0
    tile.pulse(x, d, 5 * DW)
    moved = (tile.weight - tile.held != seen[1]).nonzero()
    assert moved.tolist() == [[60, 3]]


# --- retention -------------------------------------------------------------------------------------------


def test_decay_is_exponential_with_each_elements_lifetime() -> None:
    kept = Retention(lifetime=30.0, lifetime_spread=0.2, rest=0.1)
    one, many = (Tile(start(SHAPE), device(retention=kept), seed=8) for _ in range(2))
    w = one.weight.double()
    many.wait(7)
    for _ in range(7):
        one.wait()
    torch.testing.assert_close(one.weight, many.weight, atol=1e-6, rtol=0)
    z = gaussians(SHAPE[1], torch.arange(SHAPE[0]), 0, Purpose.LIFETIME, Key(8, 0))
    assert_normal(z)
    left = (1 - 1 / (30 * (1 + 0.2 * z).abs()).clamp(min=1)) ** 7
    wanted = one.elements.clip(0.1 + (w - 0.1) * left).float()
    torch.testing.assert_close(many.weight, wanted, atol=1e-6, rtol=0)
    many.wait(10**6)
    torch.testing.assert_close(many.weight, many.elements.clip(torch.full(SHAPE, 0.1)))


@pytest.mark.parametrize("lifetime", [None, 10.0])
def test_diffusion_of_n_steps_is_that_of_n_single_steps(lifetime: float | None) -> None:
    """Variance s^2 (1 - a^2n)/(1 - a^2) with a = 1 - 1/T, s^2 n without decay; 20,000 elements."""
    n, s = 12, 0.8 * DW
    spec = device(retention=Retention(lifetime, diffusion=0.8), spread=Spread())
    one, many = Tile(SHAPE, spec, seed=9), Tile(SHAPE, spec, seed=10)
    many.wait(n)
    for _ in range(n):
        one.wait()
    a = 1.0 if lifetime is None else 1 - 1 / lifetime
    expected = s * s * sum(a ** (2 * k) for k in range(n))
    for tile in (one, many):
        assert_variance(tile.weight, expected)
        assert_mean(tile.weight, 0.0)
        assert_normal(tile.weight / expected**0.5)
    assert abs(z_variance_pair(one.weight.flatten(), many.weight.flatten())) < 4.5
    many.wait(n)  # the next steps draw other numbers: 2n steps in all
    assert_variance(many.weight, s * s * sum(a ** (2 * k) for k in range(2 * n)))


def test_drift_is_a_power_law_of_the_time_since_the_last_pulse() -> None:
    kept = Retention(drift=0.06, drift_spread=0.3, drift_start=2.0)
    one, many = (Tile(start(SHAPE), device(retention=kept), seed=11) for _ in range(2))
    w = one.weight.clone()
    many.wait(50)
    for _ in range(50):
        one.wait()
    torch.testing.assert_close(one.weight, many.weight, atol=3e-6, rtol=0)
    z = gaussians(SHAPE[1], torch.arange(SHAPE[0]), 0, Purpose.DRIFT, Key(11, 0))
    nu = 0.06 * (1 + 0.3 * z).clamp(min=0)
    torch.testing.assert_close(many.weight, (w * (1 + 50 / 2.0) ** -nu).float(), atol=1e-6, rtol=0)
    n = torch.zeros(SHAPE, dtype=torch.int64)
    n[:50] = -1
    many.pulse_counts(n)
    w = many.weight.clone()
    many.wait(10)  # the drift of the upper half starts anew, that of the lower goes on
    wanted = w.double()
    wanted[:50] *= (12 / 2.0) ** -nu[:50]
    wanted[50:] *= (62 / 52.0) ** -nu[50:]
    torch.testing.assert_close(many.weight, wanted.float(), atol=1e-6, rtol=0)


def test_time_passes_once_a_step_for_every_array() -> None:
    kept = device(retention=Retention(lifetime=4.0), noise=Noise(), spread=Spread())
    for make, arrays in ((AnalogSGD, 1), (TikiTaka, 2)):
        model: Any = ohmgrad.convert(torch.nn.Linear(5, 3), kept)
        optimizer = make(model.parameters(), lr=0.1)
        tiles = [*model.tiles, *optimizer.arrays()]
        assert len(tiles) == arrays
        for tile in tiles:
            tile.reset(0.2)
        optimizer.step()  # no factors: nothing but time
        for tile in tiles:
            torch.testing.assert_close(tile.weight, torch.full((3, 5), 0.15))
            assert tile.memory["clock"] == 1
            assert tile.count("updates") == 0


# --- reference -------------------------------------------------------------------------------------------


def test_a_drawn_reference_puts_the_symmetric_point_to_0() -> None:
    spread = Spread(symmetric_point=0.1, symmetric_point_mean=0.2)
    spec = device(reference=Reference(std=0.01), spread=spread, noise=Noise())
    tile, plain = Tile(start(SHAPE), spec, seed=12), Tile(start(SHAPE), device(spread=spread), seed=12)
    e, reference = tile.elements, tile.memory["reference"]
    error = ((reference - e.symmetric_point()) / 0.01)[(reference > e.lower) & (reference < e.upper)]
    assert error.numel() > 0.999 * reference.numel()
    assert_normal(error)
    inside = (start(SHAPE) + reference).abs() < TAU
    torch.testing.assert_close(tile.weight[inside], start(SHAPE)[inside])  # given weights are the difference
    torch.testing.assert_close(tile.forward(torch.eye(SHAPE[1])).t(), tile.held - reference)
    torch.testing.assert_close(tile.read([3]).squeeze(1), (tile.held - reference)[:, 3])
    for t in (tile, plain):
        t.zero_shift(1200)
    assert_at_symmetric_point(e, tile.weight + reference)  # what is seen is the error of the reference
    assert_mean(plain.weight, 0.2, slack=0.01)
    left = tile.program(torch.full(SHAPE, 0.1))
    assert float(left.abs().median()) < DW


def test_calibration_makes_the_symmetric_point_the_zero_of_any_tile() -> None:
    spread = Spread(up_down_mean=0.3, up_down=0.1)
    tile = Tile((30, 40), device(spread=spread, noise=Noise()), seed=13)
    assert not tile.memory
    tile.calibrate(1200)
    assert set(tile.memory) == {"persistent", "reference"}
    assert not tile.weight.any()
    assert tile.count("pulses_up") == tile.count("pulses_down") == 1200 * 1200
    assert tile.count("read_columns") == 40
    assert_at_symmetric_point(tile.elements, tile.memory["reference"])
    tile.zero_shift(20)
    assert float(tile.weight.abs().max()) < 0.01 * DW
    tile.calibrate(0)  # a second one refers to the first
    assert not tile.weight.any()


def test_a_reference_is_read_through_the_periphery_and_averaged() -> None:
    noisy = ohmgrad.Periphery(out_noise=0.01)
    for reads in (1, 16):
        tile = Tile((100, 100), device(), seed=14, periphery=noisy)
        tile.calibrate(5, reads=reads)
        # read noise of 10,000 elements, beside rounding
        assert_variance(tile.weight, 1e-4 / reads)


def test_an_optimizers_arrays_are_calibrated_and_its_weights_too() -> None:
    spec = device(spread=Spread(up_down_mean=0.3), noise=Noise())
    # once calibrated, weights reach 0.42 only: half the range leaves room for any
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4))
    model: Any = ohmgrad.convert(net, spec, omega=0.5)
    before = [layer.weight.detach().clone() for layer in model]
    optimizer = TikiTaka(model.parameters(), lr=0.1)
    calibrate_symmetric_points(optimizer, 1200)
    for array in optimizer.arrays():
        assert_at_symmetric_point(array.elements, array.memory["reference"])
        assert not array.weight.any()
    assert all(torch.equal(layer.weight, w) for layer, w in zip(model, before, strict=True))
    assert optimizer.events()["pulses_up"] == 1200 * 50
    calibrate_symmetric_points(optimizer, 1200, weights=True)
    for layer, w in zip(model, before, strict=True):
        torch.testing.assert_close(layer.weight.detach(), w, atol=DW, rtol=0)
        assert "reference" in layer.tiles[0].memory
    sgd = AnalogSGD(model.parameters(), lr=0.1)
    with pytest.raises(ohmgrad.InputError, match="weights=True"):
        calibrate_symmetric_points(sgd, 10)


# --- specification and input -----------------------------------------------------------------------------


@pytest.mark.parametrize("parts", MEMORIES.values(), ids=MEMORIES.keys())
def test_yaml_round_trip(parts: dict[str, Any]) -> None:
    spec = device(**parts)
    assert not spec.memoryless
    assert Device.from_yaml(spec.to_yaml()) == spec
    assert device().memoryless
    assert not set(device().to_dict()) & set(parts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stuck(1.5), r"fraction of stuck elements is 1.5, .* \[0, 1\]"),
        (lambda: device(stuck=Stuck(0.1, at=0.7)), r"weight of stuck elements is 0.7, .*0.6"),
        (lambda: device(stuck=Stuck(0.1, at=-0.1), pair=OneSided()), r"stuck elements is -0.1, .*\[0, 0.6\]"),
        (lambda: device(stuck=0.1), "stuck is 0.1, but must be a Stuck"),
        (lambda: device(write_noise=-1.0), r"write_noise is -1.0"),
        (lambda: ReadNoise(fast=-0.1), r"fast read noise is -0.1"),
        (lambda: ReadNoise(slow=torch.nan), r"slow read noise is nan"),
        (lambda: ReadNoise(correlation=0.0), r"correlation of the slow read noise is 0.0, .*\(0, 1e\+12\]"),
        (lambda: device(read_noise=0.1), "read_noise is 0.1, but must be a ReadNoise"),
        (lambda: Retention(lifetime=0.5), r"lifetime is 0.5, .*\[1, 1e\+12\]"),
        (lambda: Retention(lifetime_spread=0.1), "lifetime_spread is 0.1, but there is no lifetime"),
        (lambda: Retention(rest=0.1), "rest is 0.1, but there is no lifetime"),
        (lambda: Retention(drift_spread=0.1), "drift_spread is 0.1, but drift is 0"),
        (lambda: Retention(drift=0.1, drift_start=0.0), r"drift_start is 0.0, .*\(0, 1e\+12\]"),
        (lambda: device(retention=Retention(9.0, rest=0.9)), r"rest is 0.9"),
        (lambda: OneSided(0), "refresh_every is 0, .* at least 1"),
        (lambda: OneSided(5, 1.0), r"refresh_at is 1.0, .*\(0, 1\)"),
        (lambda: Device(SoftBounds(-0.5, 0.6), pair=OneSided()), "w_min = -w_max is needed"),
        (lambda: device(pair=OneSided(), reference=Reference()), "both pair and reference"),
        (lambda: Reference("middle"), "'middle': must be 'symmetric_point' or a number"),
        (lambda: device(reference=Reference(at=0.7)), "reference at is 0.7"),
        (lambda: Tile((2, 2), device(pair=OneSided())).calibrate(3), "one-sided pair has no symmetric point"),
        (lambda: Tile((2, 2), device()).calibrate(3, reads=0), "reads is 0"),
        (lambda: Tile((2, 2), device(retention=Retention(9.0))).wait(0), "steps is 0, .*at least 1"),
        (lambda: Tile(torch.full((2, 2), 0.9), device(write_noise=0.5)), "weight 0.9 is outside"),
        (lambda: Tile((2, 2), device(write_noise=0.5)).pulse(torch.ones(1, 3), torch.ones(1, 2), 1.0),
         "x is"),
        (lambda: Tile((2, 2), device(pair=OneSided())).pulse(torch.full((1, 2), torch.nan), torch.ones(1, 2),
                                                             1.0), "x has the value nan"),
        (lambda: Arrays([device(write_noise=0.5)], 3, [1], pulsing=Pulsing(), start=torch.zeros(1, 3)),
         "ensembles know"),
    ],
)  # fmt: skip
def test_wrong_input_is_said_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(ohmgrad.InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_device_of_callables_has_all_of_it_too() -> None:
    power = Custom(lambda w: (1 - w / 0.6) ** 2, lambda w: (1 + w / 0.6) ** 2, -0.6, 0.6)
    for parts in MEMORIES.values():
        tile = Tile(start((7, 9)), Device(power, 0.01, noise=Noise(0.3), **parts), seed=15)
        train(tile, 2)
        assert bool(torch.isfinite(tile.weight).all())
        assert tile.count("updates") == 6
