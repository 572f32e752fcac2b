"""Elements of several shapes: the law of their numbers; each is the response with parameters of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import ohmgrad as og
from ohmgrad import Device, InputError, Spread
from ohmgrad.crossbar import card
from ohmgrad.devices import draw
from ohmgrad.devices.shapes import FEWEST, MOST, numbers, shaped
from ohmgrad.devices.table import OF_SHAPES
from ohmgrad.rng import Key
from tests.stats import assert_mean, assert_variance

LINEAR = og.LinearStep(-0.6, 0.8, 0.2, -0.3)
CASES: dict[str, tuple[Any, float, float]] = {
    "linear": (LINEAR, 0.3, 0.1),
    "exp": (og.ExpStep(-0.6, 0.6), 1.0, 0.5),
    "exp-bounds": (og.ExpBounds(-0.6, 0.5, 1.0, 0.5, down=1.1), 0.2, 0.0),
    "pow": (og.PowStep(-0.6, 0.5, 2.0, 1.5, up=1.1), 0.2, 0.1),
    "root": (og.PowStep(-0.6, 0.5, 1.2, 1.5), 0.5, 0.1),
    "piecewise": (og.PiecewiseStep(-0.6, 0.6, (1.2, 1.0, 0.9, 0.2), (0.3, 0.8, 1.1, 1.3)), 0.3, 0.2),
}


@pytest.mark.parametrize("count", [FEWEST, MOST])
def test_numbers_of_shapes_are_those_of_a_normal_law(count: int) -> None:
    up, down = numbers(count)
    for z in (up, down):
        assert len(set(z.tolist())) == count
        assert float(z.mean()) == pytest.approx(0, abs=1e-12)
        assert float(z.square().mean()) == pytest.approx(1)
        # quantiles of as many equal parts: kurtosis 3, less the tails that they do not reach
        assert 1.9 < float(z.pow(4).mean()) < 3
    assert float((up * down).mean()) == pytest.approx(0, abs=1e-12)
    # in every quadrant as many
    assert [int(((up > 0) == a).logical_and((down > 0) == b).sum()) for a in (0, 1) for b in (0, 1)] == [
        count // 4
    ] * 4


@pytest.mark.parametrize("name", CASES)
def test_every_element_is_one_of_the_shapes(name: str) -> None:
    """Its steps over those at 0 are those of the response with its parameters, to the error of its table."""
    response, up, down = CASES[name]
    other = Spread(dw_min=0.3, w_max=0.2, w_min=0.1)
    plain, e = (
        draw(Device(response, 0.002, spread), (12, 16), Key(1, 2))
        for spread in (other, replace(other, shape_up=up, shape_down=down))
    )
    for plane in ("up", "down", "lower", "upper"):  # what is spread besides is as without
        assert torch.equal(getattr(e, plane), getattr(plain, plane))
    assert e.table is not None
    count, zero = len(e.table.q), torch.zeros(1)
    assert count == (FEWEST if name in ("root", "exp") else MOST)
    assert e.table.error <= max(OF_SHAPES)
    shapes = shaped(response, up, down, count)
    assert len(set(e.which.flatten().tolist())) > count // 2
    for share in torch.linspace(0.02, 0.98, 13):
        w = e.lower + share * (e.upper - e.lower)
        for q, first, side in ((e.q_plus(w), e.up, "q_plus"), (e.q_minus(w), e.down, "q_minus")):
            for cell in ((0, 0), (3, 7), (11, 15)):
                one = getattr(shapes[int(e.which[cell])], side)
                wanted = float(one(e.nominal(w)[cell].view(1)) / one(zero))
                over = float(q[cell] * 0.002 / first[cell])
                assert over == pytest.approx(wanted, abs=2 * e.table.error + 1e-5)


def test_slopes_differ_as_their_spread_says() -> None:
    """Mean and variance of the slopes of 40,000 elements, up and down independently; kept in [-1, 1]."""
    e = draw(Device(LINEAR, 0.001, Spread(shape_up=0.3, shape_down=0.1)), (200, 200), Key(5, 0))
    w = torch.full((200, 200), 0.4)
    up, down = (1 - e.q_plus(w).double()) * 2, (e.q_minus(w).double() - 1) * 1.5
    assert_mean(up, 0.2)
    assert_variance(up, 0.3**2)
    assert_mean(down, -0.3, slack=1e-6)
    assert_variance(down, 0.1**2)
    assert_mean((up - 0.2) * (down + 0.3), 0.0)
    steep = draw(Device(og.LinearStep(slope_up=0.9), 0.001, Spread(shape_up=0.5)), (50, 50), Key(5, 0))
    assert float(steep.q_plus(torch.full((50, 50), 1.0)).min()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["linear", "pow"])
def test_symmetric_points_lie_where_the_spread_puts_them(name: str) -> None:
    response = {"linear": og.LinearStep(-0.6, 0.8, 0.5, 0.4), "pow": CASES["pow"][0]}[name]
    placed = Spread(symmetric_point=0.05, symmetric_point_mean=0.1, shape_up=0.1, shape_down=0.08)
    points = draw(Device(response, 0.001, placed), (100, 100), Key(2, 0)).symmetric_point().double()
    assert_mean(points, 0.1, slack=1e-3)
    assert_variance(points, 0.05**2, slack=1e-4)


def test_shapes_go_to_yaml_and_do_not_touch_devices_without_them() -> None:
    device = Device(LINEAR, 0.01, Spread(dw_min=0.3, shape_up=0.1, shape_down=0.05))
    assert Device.from_yaml(device.to_yaml()) == device
    assert not device.spread.uniform
    assert device.nominal.response == Device(LINEAR, 0.01).nominal.response
    assert draw(Device(LINEAR, 0.01), (2, 2), Key(0, 0)).form == "affine"


def test_a_state_of_a_version_without_shapes_is_of_the_same_elements() -> None:
    for spread, same in ((Spread(dw_min=0.3), True), (Spread(dw_min=0.3, shape_up=0.1), False)):
        tile = og.Tile((2, 3), Device(LINEAR, 0.01, spread))
        described: Any = card._described([tile])
        before = {**described, "device": {k: v for k, v in described["device"].items() if k != "read_noise"}}
        old = {k: v for k, v in before["device"]["spread"].items() if "shape" not in k}
        before["device"]["spread"] = old
        assert (card._difference(before, described) is None) == same


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spread(shape_up=-0.1), "spread of shape_up is -0.1"),
        (lambda: Device(og.SoftBounds(), spread=Spread(shape_up=0.1)), "SoftBounds has no slope.*LinearStep"),
        (
            lambda: Device(og.Custom(lambda w: 1 - w, lambda w: 1 + w), spread=Spread(shape_down=0.1)),
            "Custom has no slope or exponent",
        ),
        (
            lambda: Device(og.ExpStep(A_up=0.9, gamma_up=1.0, b=0.05), spread=Spread(shape_up=9.0)),
            "without a step at w = 0",
        ),
        (
            lambda: Device(LINEAR, spread=Spread(symmetric_point=0.0, shape_up=0.3)),
            "do not drive a LinearStep there",
        ),
        (
            lambda: draw(
                Device(og.ExpBounds(gamma_up=5.0), 0.001, Spread(shape_up=3.0)), (2, 2), Key(0, 0)
            ),
            "no table: lower them",
        ),
    ],
)  # fmt: skip
def test_wrong_shapes_are_said_in_one_line(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
