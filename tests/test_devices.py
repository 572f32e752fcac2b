"""One element: its response, its symmetric point, its closed form, its spread, and what it refuses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import Tensor

from cases import CALLABLE_DEVICES, DEVICES, RESPONSES, DeviceCase
from ohmgrad import (
    ConstantStep,
    Custom,
    Device,
    InputError,
    LinearStep,
    Noise,
    Pulsing,
    SoftBounds,
    Spread,
    Tile,
)
from ohmgrad.devices import Elements, draw
from ohmgrad.devices.presets import PRESETS, Preset
from ohmgrad.report import device_figure, device_table
from ohmgrad.rng import Key
from stats import assert_mean, assert_share, assert_variance

KEY = Key(3, 4)
BIG = (250, 400)  # elements in the tests of laws
TAU = 0.6


# --- responses -----------------------------------------------------------------------------------


def test_soft_bounds_are_the_papers_asymmetric_linear_device() -> None:
    w = torch.linspace(-TAU, TAU, 25, dtype=torch.float64)
    response = SoftBounds.symmetric(TAU)
    torch.testing.assert_close(response.q_plus(w), 1 - w / TAU)
    torch.testing.assert_close(response.q_minus(w), 1 + w / TAU)
    torch.testing.assert_close(response.F(w), torch.ones_like(w))
    torch.testing.assert_close(response.G(w), w / TAU)
    assert response.symmetric_point() == 0.0


@pytest.mark.parametrize("name", RESPONSES)
def test_f_and_g_give_the_steps_back(name: str) -> None:
    response = RESPONSES[name]
    w = torch.linspace(response.w_min, response.w_max, 31, dtype=torch.float64)
    torch.testing.assert_close(response.F(w) - response.G(w), response.q_plus(w))
    torch.testing.assert_close(response.F(w) + response.G(w), response.q_minus(w))
    assert bool((response.F(w) >= response.G(w).abs() - 1e-12).all())  # no step changes its sign


@pytest.mark.parametrize(
    ("response", "point"),
    [
        (SoftBounds(-0.5, 0.8, up=1.2, down=0.9), 0.3 / (1.2 / 0.8 + 0.9 / 0.5)),
        (SoftBounds(-1, 1, up=1.5, down=0.5), 0.5),
        (LinearStep(-1, 1, 0.5, 0.5, up=1.0, down=3.0), -1.0),  # root exactly at a bound
        (LinearStep(-1, 1, 0.5, 0.5, up=3.0, down=1.0), 1.0),
        (LinearStep(-1, 1, 0.5, 0.5, up=9.0, down=1.0), 1.0),  # no root: the bound it drifts to
        (LinearStep(-1, 2, 0.5, 0.5, up=1.0, down=9.0), -1.0),
        (ConstantStep(-1, 2, up=1.1), 2.0),
        (ConstantStep(-1, 2, down=1.1), -1.0),
        (ConstantStep(-1, 2), 0.0),
    ],
)
def test_symmetric_point_by_bisection_and_in_closed_form(response: Any, point: float) -> None:
    assert response.symmetric_point() == pytest.approx(point, abs=1e-9)
    elements = draw(Device(response, dw_min=0.01), (1, 1), KEY)
    assert float(elements.symmetric_point()) == pytest.approx(point, abs=1e-6)


def test_closed_form_of_the_symmetric_point_is_the_root_of_every_element() -> None:
    spread = Spread(dw_min=0.3, up_down=0.1, w_max=0.3, w_min=0.3)
    elements = draw(Device(LinearStep(-TAU, TAU, 0.5, 0.9), 0.001, spread), (40, 50), KEY)
    point = elements.symmetric_point()
    inner = (point > elements.lower) & (point < elements.upper)
    assert inner.double().mean() > 0.9
    gap = elements.q_plus(point) - elements.q_minus(point)
    assert float(gap[inner].abs().max()) < 1e-5


@pytest.mark.parametrize("case", CALLABLE_DEVICES, ids=lambda c: c.name)
def test_callable_elements_have_their_symmetric_point_by_bisection(case: DeviceCase) -> None:
    elements = draw(case.device, (5, 7), KEY)
    point = elements.symmetric_point()
    gap = elements.q_plus(point) - elements.q_minus(point)
    assert float(gap.abs().max()) < 1e-4


def test_an_ideal_callable_element_rests_at_zero() -> None:
    device = Device(Custom(torch.ones_like, torch.ones_like), dw_min=0.01)
    assert device.response.symmetric_point() == 0.0
    assert float(draw(device, (1, 1), KEY).symmetric_point()) == 0.0


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("name", ["soft", "soft_skewed", "linear"])
def test_alternating_pulses_drive_every_element_to_its_symmetric_point(name: str, backend: str) -> None:
    """Pairs contract by 1 - 2 F' dw_min and rest within the step of a single pulse of the point."""
    spread = Spread(dw_min=0.2, up_down=0.1, w_max=0.1, w_min=0.1)
    device = Device(RESPONSES[name], dw_min=0.02, spread=spread)
    tile = Tile((6, 9), device, pulsing=Pulsing("pulsed"), seed=5, backend=backend)
    tile.weight.copy_(torch.linspace(-0.3, 0.3, 54).view(6, 9))
    tile.zero_shift(800)
    elements = tile.elements
    one = elements.dw_min * torch.maximum(elements.q_plus(tile.weight), elements.q_minus(tile.weight))
    assert bool(((tile.weight - elements.symmetric_point()).abs() <= 1.01 * one).all())


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse"])
@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_n_pulses_on_soft_bounds_have_the_closed_form(fidelity: Any, backend: str) -> None:
    """w_n = b + (w - b)(1 - a dw_min/|b|)^n."""
    response = SoftBounds(-0.5, 0.8, up=1.2, down=0.9)
    start = torch.linspace(-0.5, 0.8, 27)
    for n in (1, 2, 7, 40, 160, -1, -2, -7, -40, -160):
        tile = Tile(start.clone().view(1, -1), Device(response, 0.004),
                    pulsing=Pulsing(fidelity), backend=backend)  # fmt: skip
        tile.pulse_counts(torch.full((1, 27), n))
        bound, a = (0.8, 1.2) if n > 0 else (-0.5, 0.9)
        expected = bound + (start.double() - bound) * (1 - a * 0.004 / abs(bound)) ** abs(n)
        # float32: 2^-24 per pulse at worst
        torch.testing.assert_close(tile.weight[0].double(), expected, atol=(2 + abs(n)) * 2.0**-24, rtol=0)


# --- spread --------------------------------------------------------------------------------------


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


# --- specifications ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", DEVICES, ids=lambda c: c.name)
def test_yaml_round_trip(case: DeviceCase) -> None:
    again = Device.from_yaml(case.device.to_yaml())
    assert again == case.device
    assert again.states == case.device.states


def test_yaml_from_a_file_and_with_defaults(tmp_path: Any) -> None:
    path = tmp_path / "device.yaml"
    path.write_text("response: {family: soft_bounds, w_min: -0.6, w_max: 0.6}\n")
    assert Device.from_yaml(path) == Device(SoftBounds.symmetric(0.6))


def test_specifications_are_immutable_and_hashable() -> None:
    device = Device(SoftBounds.symmetric(TAU), 0.01, Spread(0.1), Noise(0.2))
    for part, name in ((device, "dw_min"), (device.spread, "w_max"), (device.noise, "std")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, 0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        device.response.w_max = 2.0
    assert hash(device) == hash(dataclasses.replace(device))


def test_elements_know_the_response_of_callables_on_their_own_range() -> None:
    """q+ and q- are asked at w scaled to the nominal range, and grow with the element's step."""
    device = Device(Custom(lambda w: 1 - w, lambda w: 1 + w), 0.01, Spread(0.3, w_max=0.2, w_min=0.2))
    soft = dataclasses.replace(device, response=SoftBounds())
    one, other = draw(device, (9, 11), KEY), draw(soft, (9, 11), KEY)
    w = other.clip(torch.rand(9, 11) * 1.6 - 0.8)
    up = torch.where(w >= 0, one.q_plus(w), other.q_plus(w))  # on the side of its own bound
    torch.testing.assert_close(up, other.q_plus(w))
    down = torch.where(w <= 0, one.q_minus(w), other.q_minus(w))
    torch.testing.assert_close(down, other.q_minus(w))


@pytest.mark.parametrize(
    ("spread", "point"),
    [
        (Spread(dw_min=0.3, up_down=0.05, up_down_mean=0.5, w_max=0.3, w_min=0.3), 0.3),
        (Spread(dw_min=0.3, w_max=0.3, symmetric_point=0.1, symmetric_point_mean=-0.2), -0.2),
        (Spread(dw_min=0.3, law="lognormal"), 0.0),
    ],
)
def test_the_nominal_device_keeps_means_and_is_what_is_drawn(
    spread: Spread, point: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On soft bounds +-tau the balance is point/tau, and q+ = (1 + point/tau)(1 - w/tau)."""
    device = Device(SoftBounds.symmetric(TAU), 0.001, spread, Noise(0.1))
    assert device.nominal.spread.uniform
    assert device.nominal.noise == device.noise
    assert device.nominal.nominal == device.nominal
    assert device.nominal_steps == pytest.approx((1 + point / TAU, 1 - point / TAU))
    figure = device_figure(device, "it", pulses=3)
    left, right = figure.axes
    lines = {line.get_label(): line for line in left.lines}
    w = np.linspace(-TAU, TAU, 201)
    for label, q in (("pulse up, $q_+$", 1 - w / TAU), ("pulse down, $q_-$", 1 + w / TAU)):
        sign = 1 if "up" in label else -1
        drawn = np.asarray(lines[label].get_ydata())
        np.testing.assert_allclose(drawn, (1 + sign * point / TAU) * q, rtol=0, atol=1e-6)
    dotted = next(line for line in left.lines if line.get_linestyle() == ":")
    assert np.asarray(dotted.get_xdata())[0] == pytest.approx(point, abs=1e-6)
    figure.draw_without_rendering()
    assert all(float(tick).is_integer() for tick in right.get_xticks())
    monkeypatch.setitem(PRESETS, "it", Preset(device, "note", "source"))
    table = device_table()
    shown = list(table.columns[2].cells)[list(table.columns[0].cells).index("it")]
    assert float(str(shown)) == pytest.approx(point, abs=1e-6)


def test_the_legend_leaves_the_plot_free() -> None:
    figure = device_figure(Device(SoftBounds.symmetric(TAU), 0.01), "it", pulses=2)
    figure.draw_without_rendering()
    for axis in figure.axes:
        legend = axis.get_legend()
        assert legend is not None
        assert legend.get_window_extent().y0 >= axis.get_window_extent().y1 - 1


def test_the_coarsest_device_has_one_step_to_a_bound() -> None:
    """With up/down and balance: the largest dw_min is that of one step from zero to the nearest bound."""
    for response, spread, top in (
        (SoftBounds(-1, 1, up=10), Spread(), 0.1),
        (SoftBounds(-1, 2, down=0.5), Spread(), 1.0),
        (SoftBounds(-1, 1), Spread(up_down_mean=-0.25), 0.8),
        (SoftBounds(-1, 1), Spread(symmetric_point=0.0, symmetric_point_mean=0.25), 0.8),
        (Custom(lambda w: 2 - 2 * w, lambda w: 1 + w), Spread(), 0.5),
    ):
        elements = draw(Device(response, top, spread), (1, 1), KEY)
        assert float(elements.upper) == pytest.approx(response.w_max)
        assert float(elements.lower) == pytest.approx(response.w_min)
        with pytest.raises(InputError, match=r"in \(0, [0-9.]+\]: positive, and at least one step"):
            Device(response, 1.01 * top, spread)


def _not_a_function_of_tensors(w: Tensor) -> Tensor:
    return math.exp(w)  # pyright: ignore


OK = SoftBounds.symmetric(0.6)
WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Device(OK, dw_min=0.0), r"granularity dw_min is 0.0, but must be a number in \(0, 0.6\]"),
    (lambda: Device(OK, dw_min=-0.1), "granularity dw_min is -0.1"),
    (lambda: Device(OK, dw_min=math.nan), "granularity dw_min is nan"),
    (lambda: Device(OK, dw_min=math.inf), "granularity dw_min is inf"),
    (lambda: Device(OK, dw_min=0.61), "at least one step from zero to each bound"),
    (lambda: Device(OK, dw_min="0.1"), "granularity dw_min is '0.1'"),  # pyright: ignore
    (lambda: Device("soft_bounds"), "response is 'soft_bounds', but must be a response such as"),  # pyright: ignore
    (lambda: SoftBounds(0.5, -0.5), r"weight range is \[0.5, -0.5\], but w_min < 0 < w_max"),
    (lambda: SoftBounds(0.0, 1.0), "w_min < 0 < w_max is needed"),
    (lambda: SoftBounds(-1.0, math.nan), "w_max is nan, but must be a number"),
    (lambda: SoftBounds(-math.inf, 1.0), "w_min is -inf"),
    (lambda: SoftBounds.symmetric(-0.6), r"tau is -0.6, but must be a number in \(0, inf\)"),
    (lambda: SoftBounds(up=0.0), r"up is 0.0, but must be a number in \(0, inf\)"),
    (lambda: ConstantStep(down=-1.0), "down is -1.0"),
    (lambda: LinearStep(slope_up=1.1), r"slope_up is 1.1, but must be a number in \[-1, 1\]"),
    (lambda: LinearStep(slope_down=-2.0), "slope_down is -2.0"),
    (lambda: Custom(1.0, abs), "up is 1.0, but must be a function"),  # pyright: ignore
    (lambda: Custom(abs, None), "down is None, but must be a function"),  # pyright: ignore
    (lambda: Custom(abs, abs, 1.0, 2.0), r"weight range is \[1.0, 2.0\]"),
    (lambda: Spread(dw_min=-0.1), r"spread of dw_min is -0.1, but must be a number in \[0, inf\)"),
    (lambda: Spread(up_down=math.nan), "spread of up_down is nan"),
    (lambda: Spread(w_max=-1), "spread of w_max is -1"),
    (lambda: Spread(w_min=math.inf), "spread of w_min is inf"),
    (lambda: Spread(up_down_mean=0.95), r"up_down_mean is 0.95, .* in \[-0.9, 0.9\]"),
    (lambda: Spread(law="norml"), "unknown law of the granularity 'norml': did you mean 'normal'"),  # pyright: ignore
    (lambda: Spread(symmetric_point=-0.1), "spread of symmetric_point is -0.1"),
    (lambda: Spread(symmetric_point_mean=0.1), "symmetric_point is not set: give its spread too"),
    (lambda: Spread(up_down=0.1, symmetric_point=0.1), "both up_down and symmetric_point are set"),
    (lambda: Device(OK, spread=Spread(symmetric_point=0.1, symmetric_point_mean=0.6)),
     r"symmetric_point_mean is 0.6, but must be a number in \(-0.6, 0.6\)"),
    (lambda: Noise(-0.1), "std of the cycle-to-cycle noise is -0.1"),
    (lambda: Noise(math.nan), "std of the cycle-to-cycle noise is nan"),
    (lambda: Noise(0.1, "additiv"), "unknown kind of noise 'additiv': did you mean 'additive'"),  # pyright: ignore
    (lambda: draw(Device(OK), (0, 3), KEY), r"shape of the array is \(0, 3\)"),
    (lambda: draw(Device(OK), (3,), KEY), r"shape of the array is \(3,\)"),  # pyright: ignore
    (lambda: Custom(lambda w: 1.0, abs), r"up returned 1.0 for weights of \(3, 11\)"),  # pyright: ignore
    (lambda: Custom(abs, lambda w: w.sum()), r"down returned a tensor of shape \(\) for weights of"),
    (lambda: Custom(lambda w: 1 - 2 * w, abs), r"up\(0.5625\) is -0.125, but .* >= 0 from -1 to 1 is needed"),
    (lambda: Custom(lambda w: 1 / (1 + w), abs), r"up\(-1\) is inf"),
    (lambda: Custom(abs, torch.sqrt), r"down\(-1\) is nan"),
    (lambda: Custom(_not_a_function_of_tensors, abs), "up raised (TypeError|ValueError|RuntimeError)"),
    (lambda: Device(Custom(abs, abs)), "the response's step up at w = 0 is 0, but must be positive"),
    (lambda: Device(ConstantStep(up=1.2), spread=Spread(symmetric_point=0.1)),
     r"spread of symmetric_point is 0.1, but q\+/q- of this ConstantStep does not depend on w"),
    (lambda: Device(LinearStep(slope_up=0.5, slope_down=-0.5), spread=Spread(symmetric_point=0.0)),
     "of this LinearStep does not depend on w, so that it has no inner symmetric point"),
    (lambda: Device(SoftBounds(up=10.0), dw_min=0.5), r"dw_min is 0.5, but must be a number in \(0, 0.1\]"),
    (lambda: Device(Custom(torch.ones_like, torch.ones_like)).to_yaml(),
     "made of callables and cannot be written to YAML"),
    (lambda: Device.from_yaml("response: {family: softbounds}"), "did you mean 'soft_bounds'"),
    (lambda: Device.from_yaml("response: {w_max: 1}"), "response has no family: choose one of"),
    (lambda: Device.from_yaml("dw_min: 0.1"), "response is None, but must be a mapping"),
    (lambda: Device.from_yaml("[1, 2]"), r"device is \[1, 2\], but must be a mapping"),
    (lambda: Device.from_yaml("a: b: c"), "device is not valid YAML"),
    (lambda: Device.from_yaml("respons: 1"), "unknown entry of device 'respons': did you mean"),
    (lambda: Device.from_yaml("response: {family: soft_bounds, tau: 1}"), "unknown entry of soft_bounds"),
    (lambda: Device.from_yaml("response: {family: soft_bounds}\nnoise: 3"), "noise is 3, but must be"),
    (lambda: Device.from_yaml("response: {family: soft_bounds}\ndw_min: -1"), "granularity dw_min is -1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[m[:40] for _, m in WRONG])
def test_wrong_input_is_refused_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_missing_device_file_is_refused(tmp_path: Any) -> None:
    with pytest.raises(InputError, match=r"cannot read the device file .*nowhere\.yaml"):
        Device.from_yaml(tmp_path / "nowhere.yaml")
