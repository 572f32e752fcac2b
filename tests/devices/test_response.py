"""One element's response: its steps, its symmetric point and its closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ohmgrad import (
    ConstantStep,
    Custom,
    Device,
    LinearStep,
    Pulsing,
    SoftBounds,
    Spread,
    Tile,
)
from ohmgrad.devices import draw
from tests.cases import CALLABLE_DEVICES, RESPONSES, DeviceCase
from tests.devices.test_device import KEY, TAU


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
