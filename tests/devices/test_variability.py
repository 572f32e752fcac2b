"""The elements of an array are drawn by the laws of their spread, each by its address."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.special import ndtr
from torch import Tensor

from ohmgrad import (
    Device,
    LinearStep,
    SoftBounds,
    Spread,
)
from ohmgrad.devices import Elements, draw
from ohmgrad.rng import Key
from tests.devices.test_device import KEY, TAU
from tests.stats import assert_mean, assert_share, assert_variance

BIG = (250, 400)  # elements in the tests of laws


def _folded(mean: float, std: float) -> tuple[float, float]:
    """Mean and variance of |N(mean, std^2)|."""
    first = std * math.sqrt(2 / math.pi) * math.exp(-((mean / std) ** 2) / 2)
    first += mean * (1 - 2 * float(ndtr(-mean / std)))
    return first, mean**2 + std**2 - first**2


def _clamped(mean: float, std: float, low: float, high: float) -> tuple[float, float]:
    """Mean and variance of N(mean, std^2) kept in [low, high]: the tails sit at the ends."""
    a, b = (low - mean) / std, (high - mean) / std
    pa, pb = (math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi) for t in (a, b))
    below, inside, above = float(ndtr(a)), float(ndtr(b) - ndtr(a)), float(ndtr(-b))
    first = a * below + b * above + pa - pb
    second = a**2 * below + b**2 * above + inside + a * pa - b * pb
    return mean + std * first, std**2 * (second - first**2)


def _big(spread: Spread, response: Any = None, dw_min: float = 0.0001) -> Elements:
    return draw(Device(response or SoftBounds.symmetric(TAU), dw_min, spread), BIG, KEY)


def _check(sample: Tensor, mean: float, variance: float) -> None:
    assert_mean(sample, mean)
    assert_variance(sample, variance)


@pytest.mark.parametrize("std", [0.1, 0.3, 1.0])
def test_granularity_is_normal_folded_at_zero(std: float) -> None:
    elements = _big(Spread(dw_min=std))
    _check(elements.up.double() / 0.0001, *_folded(1, std))
    assert torch.equal(elements.up, elements.down)
    assert bool((elements.up > 0).all())


@pytest.mark.parametrize("std", [0.1, 0.5])
def test_granularity_is_lognormal(std: float) -> None:
    elements = _big(Spread(dw_min=std, law="lognormal"))
    mean = math.exp(std**2 / 2)
    _check(elements.up.double() / 0.0001, mean, mean**2 * math.expm1(std**2))
    _check((elements.down.double() / 0.0001).log(), 0.0, std**2)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.01), (0.2, 0.1), (0.5, 0.6)])
def test_balance_is_normal_and_kept_in_range(mean: float, std: float) -> None:
    elements = _big(Spread(up_down=std, up_down_mean=mean))
    up, down = elements.up.double() / 0.0001, elements.down.double() / 0.0001
    _check((up - down) / 2, *_clamped(mean, std, -0.9, 0.9))
    torch.testing.assert_close(up + down, torch.full_like(up, 2.0))


@pytest.mark.parametrize("std", [0.1, 0.3])
def test_bounds_are_normal_and_folded(std: float) -> None:
    elements = _big(Spread(w_max=std, w_min=2 * std))
    mean, variance = _folded(1, std)
    _check(elements.upper.double(), TAU * mean, TAU**2 * variance)
    mean, variance = _folded(1, 2 * std)
    _check(elements.lower.double(), -TAU * mean, TAU**2 * variance)
    product = (elements.upper.double() - elements.upper.mean()) * (elements.lower + 1).double()
    assert_mean(product, 0.0)  # upper and lower bound are independent


def test_coarse_elements_are_as_drawn() -> None:
    """Bounds nearer than a step are as the law has them; only a thousandth of the nominal one is kept."""
    spread = Spread(dw_min=0.5, w_max=0.5, w_min=1.0, up_down=0.3)
    fine, coarse = _big(spread, dw_min=0.0001), _big(spread, dw_min=0.3)
    assert torch.equal(fine.upper, coarse.upper)
    assert torch.equal(fine.lower, coarse.lower)
    torch.testing.assert_close(coarse.up, 3000 * fine.up)
    assert float((coarse.upper < coarse.up).double().mean()) > 0.1
    assert float(coarse.lower.max()) == pytest.approx(-0.001 * TAU)  # |1 + z| below 0.001: 50 of 10^5
    assert_share(int((coarse.lower > -0.001001 * TAU).sum()), coarse.lower.numel(), _near(1.0, 0.001))


def _near(std: float, part: float) -> float:
    """P(|1 + std z| < part)."""
    return float(ndtr((part - 1) / std) - ndtr((-part - 1) / std))


@pytest.mark.parametrize("response", [SoftBounds.symmetric(TAU), LinearStep(-TAU, TAU, 0.8, 0.6)])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.05), (0.1, 0.1)])
def test_symmetric_points_are_normal_and_kept_in_90_percent(response: Any, mean: float, std: float) -> None:
    elements = _big(Spread(symmetric_point=std, symmetric_point_mean=mean), response)
    _check(elements.symmetric_point().double(), *_clamped(mean, std, -0.9 * TAU, 0.9 * TAU))


def test_wide_symmetric_points_pile_up_at_90_percent() -> None:
    points = _big(Spread(symmetric_point=0.6)).symmetric_point().double()
    _check(points, *_clamped(0, 0.6, -0.9 * TAU, 0.9 * TAU))
    at_the_end = (points - 0.9 * TAU).abs() < 1e-6
    assert_share(int(at_the_end.sum()), points.numel(), float(ndtr(-0.9)))


def test_wrong_laws_are_caught() -> None:
    """The planted bugs: no folding, no clamping, the standard deviation 2 % off."""
    folded = _big(Spread(dw_min=1.0)).up.double() / 0.0001
    clamped = _big(Spread(up_down=0.6)).up.double() / 0.0001 - 1
    for sample, mean, variance in (
        (folded, 1.0, 1.0), (clamped, 0.0, 0.36),
        (_big(Spread(dw_min=0.3)).up.double() / 0.0001, 1.0, (0.3 * 1.02) ** 2),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            _check(sample, mean, variance)


def test_same_seed_same_elements_other_array_other_elements() -> None:
    device = Device(SoftBounds.symmetric(TAU), 0.001, Spread(0.3, 0.01, 0.0, 0.3, 0.3))
    planes = ("up", "down", "lower", "upper")
    one, again = draw(device, (20, 30), Key(1, 2)), draw(device, (20, 30), Key(1, 2))
    assert all(torch.equal(getattr(one, p), getattr(again, p)) for p in planes)
    for key in (Key(2, 2), Key(1, 3), Key(2, 1)):
        other = draw(device, (20, 30), key)
        for p in planes:
            assert float((getattr(one, p) == getattr(other, p)).double().mean()) < 0.01
    taller = draw(device, (25, 30), Key(1, 2))  # rows are addressed: more of them change nothing
    assert torch.equal(taller.up[:20], one.up)


def test_alike_elements_take_one_number_per_plane() -> None:
    for spread in (Spread(), Spread(up_down_mean=0.1), Spread(symmetric_point=0.0)):
        elements = draw(Device(SoftBounds(), 0.001, spread), (50, 60), KEY)
        assert spread.uniform
        assert elements.up.shape == (1, 1)
