"""Specifications of devices: to and from YAML, what is nominal, and what they refuse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import (
    ConstantStep,
    Custom,
    Device,
    InputError,
    LinearStep,
    Noise,
    SoftBounds,
    Spread,
)
from ohmgrad.devices import draw
from ohmgrad.devices.presets import PRESETS, Preset
from ohmgrad.report import device_figure, device_table
from ohmgrad.rng import Key
from tests.cases import DEVICES, DeviceCase

KEY = Key(3, 4)
TAU = 0.6


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
    left, middle, right = figure.axes
    lines = {line.get_label(): line for line in left.lines}
    w = np.linspace(-TAU, TAU, 201)
    for label, q in (("pulse up, $q_+$", 1 - w / TAU), ("pulse down, $q_-$", 1 + w / TAU)):
        sign = 1 if "up" in label else -1
        drawn = np.asarray(lines[label].get_ydata())
        np.testing.assert_allclose(drawn, (1 + sign * point / TAU) * q, rtol=0, atol=1e-6)
    shift = point / TAU  # F = 1 - shift w/tau, G = w/tau - shift
    for label, part in (("symmetric part, $F$", 1 - shift * w / TAU), ("asymmetry, $G$", w / TAU - shift)):
        drawn = next(line for line in middle.lines if line.get_label() == label).get_ydata()
        np.testing.assert_allclose(np.asarray(drawn), part, rtol=0, atol=1e-6)
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
        with pytest.raises(InputError, match=r"in \[1e-12, [0-9.]+\]: positive, and at least one step"):
            Device(response, 1.01 * top, spread)


def _not_a_function_of_tensors(w: Tensor) -> Tensor:
    return math.exp(w)  # pyright: ignore


OK = SoftBounds.symmetric(0.6)
WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Device(OK, dw_min=0.0), r"granularity dw_min is 0.0, but must be a number in \[1e-12, 0.6\]"),
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
    (lambda: SoftBounds(up=0.0), r"up is 0.0, but must be a number in \[1e-09, 1e\+09\]"),
    (lambda: ConstantStep(down=-1.0), "down is -1.0"),
    (lambda: LinearStep(slope_up=1.1), r"slope_up is 1.1, but must be a number in \[-1, 1\]"),
    (lambda: LinearStep(slope_down=-2.0), "slope_down is -2.0"),
    (lambda: Custom(1.0, abs), "up is 1.0, but must be a function"),  # pyright: ignore
    (lambda: Custom(abs, None), "down is None, but must be a function"),  # pyright: ignore
    (lambda: Custom(abs, abs, 1.0, 2.0), r"weight range is \[1.0, 2.0\]"),
    (lambda: Spread(dw_min=-0.1), r"spread of dw_min is -0.1, but must be a number in \[0, 1e\+09\]"),
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
    (lambda: draw(Device(OK), (3,), KEY), r"shape is \(3,\), but must be \(an integer, an integer\)"),  # pyright: ignore
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
    (lambda: Device(SoftBounds(up=10.0), dw_min=0.5), r"dw_min is 0.5, but must be a number in \[.*, 0.1\]"),
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
