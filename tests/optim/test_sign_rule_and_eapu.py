"""The sign rule and EaPU: their recursions, events and the laws that their docstrings give."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from scipy import optimize
from torch import Tensor

from ohmgrad import (
    AnalogLinear,
    AnalogOptimizer,
    ConstantStep,
    Device,
    EaPU,
    Noise,
    Pulsing,
    SignRule,
    SoftBounds,
    Tile,
)
from ohmgrad.devices import Reference
from tests.cases import MEMORIES, RESPONSES, SPREADS, TABULATED
from tests.stats import assert_all_within, assert_mean, assert_share, assert_variance, z_mean

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

ROWS, COLS = 64, 64
FAMILIES = {**RESPONSES, **TABULATED}
Update = Callable[[Tensor], None]


def alone(
    make: Callable[..., AnalogOptimizer], device: Device, weight: float | Tensor = 0.0, how: Any = "pulsed"
) -> tuple[Tile, AnalogOptimizer, Update]:
    """A tile of 64 x 64, its optimizer, and an update by a gradient (rows, cols)."""
    layer = AnalogLinear(COLS, ROWS, device, bias=False, pulsing=Pulsing(how), seed=3)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight).expand(ROWS, COLS))
    optimizer = make(layer.parameters())
    group = optimizer.param_groups[0]
    tile, state = optimizer.tiles_in(group)[0]
    tile.sync()  # weights beyond an element's bounds are clipped

    def update(g: Tensor) -> None:
        optimizer.analog_step(tile, torch.eye(COLS), g.t().contiguous(), group, state)

    return tile, optimizer, update


def gradients(seed: int) -> Tensor:
    """Standard normal, a third of them 0."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, COLS, generator=g) * (torch.rand(ROWS, COLS, generator=g) > 1 / 3)


# --- the sign rule -------------------------------------------------------------------------------


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_sign_rule_is_its_recursion(name: str, both: bool) -> None:
    """On elements of every family; the size of a gradient does not matter, nor does lr."""
    response = FAMILIES[name]
    tile, optimizer, update = alone(partial(SignRule, lr=0.3, both=both), Device(response, 0.01), 0.1, "mean")
    w, m, pulses = torch.full((ROWS, COLS), 0.1), torch.zeros(ROWS, COLS), 0

    def moved(at: Tensor, n: Tensor) -> Tensor:
        q = torch.where(n > 0, response.q_plus(at.double()), response.q_minus(at.double()))
        return at + 0.01 * n * q.float()

    for step in range(5):
        g = gradients(step) * 10.0 ** (3 * step - 6)
        update(g)
        w, m = moved(w, -g.sign()), moved(m, g.sign())
        pulses += int((g != 0).sum())
    seen = w - m if both else w
    torch.testing.assert_close(tile.effective_weight(), seen, atol=2e-5, rtol=0)
    events = optimizer.events()
    assert events["pulses_up"] + events["pulses_down"] == (1 + both) * pulses
    assert events["read_columns"] == 0


def test_the_sign_rule_rests_where_the_learning_rate_is_zero() -> None:
    tile, optimizer, update = alone(partial(SignRule, lr=0.0), Device(SoftBounds.symmetric(1.0), 0.01))
    update(gradients(0))
    assert not tile.weight.any()
    assert optimizer.events()["pulses_up"] == 0


def test_the_fixed_device_of_a_pair_is_the_reference() -> None:
    """Its error shifts what is seen and stays; the other device alone is pulsed."""
    device = Device(SoftBounds.symmetric(1.0), 0.01, reference=Reference(0.0, std=0.1))
    tile, optimizer, update = alone(partial(SignRule, lr=0.1), device)
    before = tile.weight.clone()
    for seed in range(3):
        update(gradients(seed))
    assert not optimizer.arrays()
    assert 0 < float((tile.weight - before).abs().max()) < 0.04


@pytest.mark.parametrize(
    ("tau", "solution", "sigma", "noise"), [(1.0, 0.5, 0.5, 0.0), (1.0, -0.4, 1.0, 0.3), (2.0, 1.2, 0.3, 1.0)]
)
def test_the_sign_rule_rests_where_its_docstring_says(
    tau: float, solution: float, sigma: float, noise: float
) -> None:
    """4096 runs after eight times the slowest relaxation. E erf + E w/tau = 0 is exact; the mean is where the
    equation says, and the variance dw_min (1 + s^2) (1 - (w/tau)^2) / (2 slope), to first order in dw_min."""
    dw_min = 0.002 * tau
    device = Device(SoftBounds.symmetric(tau), dw_min, noise=Noise(noise, "multiplicative"))
    tile, _, update = alone(partial(SignRule, lr=0.1), device, 0.5 * solution)
    generator = torch.Generator().manual_seed(1)
    for _ in range(round(8 / (dw_min * (0.75 / sigma + 1 / tau)))):
        update(tile.weight - solution + sigma * torch.randn(ROWS, COLS, generator=generator))
    w = tile.weight.double()
    assert_mean(torch.erf((w - solution) / (sigma * math.sqrt(2))) + w / tau, 0.0)
    at: Any = optimize.brentq(
        lambda w: math.erf((w - solution) / (sigma * math.sqrt(2))) + w / tau, 0.0, solution
    )
    slope = math.sqrt(2 / math.pi) / sigma * math.exp(-((at - solution) ** 2) / (2 * sigma**2)) + 1 / tau
    assert_mean(w, at, slack=dw_min)
    variance = dw_min * (1 + noise**2) * (1 - (at / tau) ** 2) / (2 * slope)
    assert_variance(w, variance, slack=0.03 * variance)
    assert abs(at - solution) > 20 * dw_min  # the bias is one


def test_noise_of_two_points_hides_the_gradient_from_its_sign() -> None:
    """All goes to the symmetric point, where Analog SGD would rest at w*/(1 + sigma)."""
    tile, _, update = alone(partial(SignRule, lr=0.1), Device(SoftBounds.symmetric(1.0), 0.01), 0.5)
    generator = torch.Generator().manual_seed(1)
    for _ in range(1000):
        update(tile.weight - 0.5 + 1.6 * (torch.rand(ROWS, COLS, generator=generator) > 0.5) - 0.8)
    assert_mean(tile.weight, 0.0)
    assert_variance(tile.weight, 0.005, slack=0.0005)  # dw_min / 2, to first order


# --- EaPU ----------------------------------------------------------------------------------------

FLAT = Device(ConstantStep(-1, 1), 1e-3)


@pytest.mark.parametrize("threshold", [None, 0.004, 0.0005])
@pytest.mark.parametrize("change", [1e-5, -3e-4, 0.0009, -0.0031, 0.02])
def test_a_wanted_change_is_written_by_chance_and_in_full_on_the_average(
    threshold: float | None, change: float
) -> None:
    """4096 cells: the mean; where a write is a whole pulse or more, how many there are; and where it is
    the threshold, the second moment |dW| threshold."""
    tile, optimizer, update = alone(partial(EaPU, lr=0.1, threshold=threshold, momentum=0.0, verify=0), FLAT)
    update(torch.full((ROWS, COLS), -change / 0.1))
    w, least = tile.weight.double(), threshold or 1e-3
    assert_mean(w, change, slack=1e-6 * abs(change))
    size = max(abs(change), least)
    if least >= 1e-3:  # else a write has less than a pulse, and some have none
        assert_share(int((w != 0).sum()), w.numel(), abs(change) / size)
        assert float(w.abs().max()) <= math.ceil(size / 1e-3 - 1e-3) * 1e-3 + 1e-6
    if least >= 1e-3 and size == least:
        second = abs(change) * least
        assert_mean(w.square(), second, slack=1e-4 * second)
    assert optimizer.events()["read_columns"] == 0


def landed(verify: int, at: float, step: float) -> Tensor:
    """How far 4096 cells of an asymmetric linear device move from `at` when each is written `step`."""
    make = partial(EaPU, lr=1.0, threshold=1e-3, momentum=0.0, verify=verify)
    tile, _, update = alone(make, Device(SoftBounds.symmetric(1.0), 1e-4), at)
    update(torch.full((ROWS, COLS), -step))
    return (tile.weight.double() - at).flatten()


@pytest.mark.parametrize("verify", [0, 1, 2, 3])
def test_each_round_of_verifying_takes_a_power_of_the_asymmetry(verify: int) -> None:
    """E W' - W = step - |step| sign(w) |w/tau|^(1 + verify), to second order in step / tau: ten pulses, both
    ways, on both sides of the symmetric point. Another power would be seen."""
    z, wrong = [], []
    for at in (-0.6, -0.3, 0.3, 0.6):
        for step in (-1e-3, 1e-3):
            moved = landed(verify, at, step)
            for found, rounds in ((z, verify), (wrong, verify + 1)):
                expected = step - abs(step) * math.copysign(abs(at) ** (1 + rounds), at)
                found.append(z_mean(moved, expected, floor=2e-6 / 4.5))
    assert_all_within(z)
    with pytest.raises(AssertionError):
        assert_all_within(wrong)


KINDS = {
    **{name: Device(r, 0.002, SPREADS["spread"], Noise(0.3)) for name, r in FAMILIES.items()},
    **{
        name: Device(SoftBounds.symmetric(0.6), 0.002, **parts)
        for name, parts in MEMORIES.items()
        if "stuck" not in parts and "retention" not in parts
    },
}


@pytest.mark.parametrize("name", KINDS)
def test_a_write_lands_near_its_target_on_every_kind_of_element(name: str) -> None:
    """Four rounds come within two pulses of what was asked (median), an open loop does not; cells that were
    not chosen stay. The step is 40 pulses, from weights spread over half of the range."""
    gaps = {}
    for verify in (0, 4):
        g = torch.Generator().manual_seed(2)
        at = 0.4 * torch.rand(ROWS, COLS, generator=g) - 0.2
        make = partial(EaPU, lr=1.0, threshold=0.08, momentum=0.0, verify=verify)
        tile, _, update = alone(make, KINDS[name], at)
        before, asked = tile.weight.clone(), torch.zeros(ROWS, COLS)
        asked[:, ::2] = 0.08 * torch.where(torch.rand(ROWS, COLS // 2, generator=g) > 0.5, 1.0, -1.0)
        update(-asked)
        assert torch.equal(tile.weight[:, 1::2], before[:, 1::2])
        gaps[verify] = float((tile.weight - before - asked)[:, ::2].abs().median())
    assert gaps[4] < 2 * 0.002
    assert gaps[4] < gaps[0]


@pytest.mark.parametrize(("lr", "noise"), [(0.003, 0.0), (0.006, 0.0), (0.006, 3.0)])
def test_the_floor_of_eapu_does_not_depend_on_the_learning_rate(lr: float, noise: float) -> None:
    """4096 runs of f = w^2 / 2 on flat steps in an open loop, gradient noise +-1, writes of five pulses:
    the variance is (threshold + s^2 / threshold) / 2, s the error of a write."""
    device = Device(ConstantStep(-1.5, 1.5), 0.002, noise=Noise(noise))
    make = partial(EaPU, lr=lr, threshold=0.01, momentum=0.0, verify=0)
    tile, _, update = alone(make, device)
    generator = torch.Generator().manual_seed(1)
    for _ in range(round(4 / lr)):  # the variance relaxes with 2 lr
        update(tile.weight + 2.0 * (torch.rand(ROWS, COLS, generator=generator) > 0.5) - 1)
    variance = (0.01 + 5 * (noise * 0.002) ** 2 / 0.01) / 2
    assert_mean(tile.weight, 0.0)
    assert_variance(tile.weight, variance, slack=4e-4 * variance)


@pytest.mark.parametrize("verify", [0, 1, 3])
def test_the_bias_of_eapu_is_that_of_the_asymmetry_that_is_left(verify: int) -> None:
    """Rests where E w - w* = -sigma E |w / tau|^(1 + verify) (w > 0), in 4096 runs with noise +-sigma."""
    solution, sigma, lr = 0.5, 0.6, 0.01
    make = partial(EaPU, lr=lr, momentum=0.0, verify=verify)
    tile, _, update = alone(make, Device(SoftBounds.symmetric(1.0), 0.002), 0.4)
    generator = torch.Generator().manual_seed(1)
    for _ in range(500):
        signs = 2.0 * (torch.rand(ROWS, COLS, generator=generator) > 0.5) - 1
        update(tile.weight - solution + sigma * signs)
    w = tile.weight.double()
    pull = sigma * w.abs() ** (1 + verify) * w.sign()
    assert_mean(w - solution + pull, 0.0, slack=0.002)  # the response bends within a step
    assert abs(float(w.mean()) - solution) > 0.01


def test_reads_are_counted_by_column_and_round() -> None:
    for verify in (0, 1, 3):
        make = partial(EaPU, lr=1.0, momentum=0.0, verify=verify)
        _, optimizer, update = alone(make, FLAT)
        g = torch.zeros(ROWS, COLS)
        g[2, 5], g[9, 5], g[0, 60] = 0.01, -0.01, 0.003  # two columns
        update(g)
        events = optimizer.events()
        assert events["read_columns"] == (2 * (1 + verify) if verify else 0)
        assert events["pulses_up"] == 10
        assert events["pulses_down"] == 13
        update(torch.zeros(ROWS, COLS))
        assert optimizer.events()["read_columns"] == events["read_columns"]  # nothing to write
