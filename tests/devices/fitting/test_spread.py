"""What differs between devices, as it is fitted and written; and read noise, which goes into the device."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import ohmgrad as og
from ohmgrad.devices import ReadNoise, draw
from ohmgrad.devices.fitting.build import device_of
from ohmgrad.devices.fitting.card import write
from ohmgrad.devices.fitting.estimates import spread_estimates
from ohmgrad.devices.fitting.fit import fit_pulses, fitted_family
from ohmgrad.devices.fitting.laws import LAWS
from ohmgrad.devices.fitting.model import Data, Fitted, Model
from ohmgrad.devices.fitting.pulses import ReadOptions
from ohmgrad.devices.fitting.spread import between, device_spread
from ohmgrad.devices.fitting.synthetic import synthetic
from ohmgrad.devices.shapes import numbers
from ohmgrad.rng import Key

SOFT = og.Device(og.SoftBounds(-1.1, 1.0, 1.1, 0.9), 0.02, noise=og.Noise(0.3))


def test_the_spread_between_devices() -> None:
    device = og.Device(
        SOFT.response, 0.02, spread=og.Spread(dw_min=0.3, law="lognormal"), noise=og.Noise(0.3)
    )
    data = Data(synthetic(device, 80, 1, 12, read_noise=0.02, seed=4).ramps)
    best = fitted_family("soft_bounds", "additive", False, data)
    spread = device_spread(best)
    assert spread is not None
    assert spread.devices == 12
    # sd of 12 devices: chi-squared with 11 degrees of freedom at 1e-3 on both sides
    low, high = np.sqrt(stats.chi2.ppf([1e-3, 1 - 1e-3], 11) / 11) * 0.3
    assert low < spread.granularity.value < high
    assert spread.balance.value < 0.1
    made = device_of(best, spread)
    assert made.spread.dw_min == pytest.approx(spread.granularity.value, abs=1e-6)
    assert device_spread(fitted_family("soft_bounds", "additive", False, data.of_device("1"))) is None


def test_between_is_what_errors_do_not_explain() -> None:
    rng = np.random.default_rng(0)
    errors = np.full(200, 0.2)
    same = between(errors * rng.standard_normal(200), errors)
    other = between(np.hypot(0.2, 0.3) * rng.standard_normal(200), errors)
    assert same.low == 0
    assert same.open_low
    assert same.value < 0.12
    assert other.low < 0.3 < other.high
    assert other.value == pytest.approx(0.3, abs=0.08)


SHAPES: dict[str, tuple[Any, float]] = {
    "linear_step": (og.LinearStep(-1, 1, 0.5, 0.4), 0.2),
    "exponential": (
        og.ExpStep(-1, 1, 1 - 1e6, 1 - 1e6, -1.0, -0.8, 1.0, 0.0, 1e-6, 1e-6), 0.3,
    ),
    "piecewise_step": (og.PiecewiseStep(-1, 1, (1.8, 0.7, 1.2, 1.1, 0.3), (0.3, 0.5, 1.1, 0.7, 1.6)), 0.3),
}  # fmt: skip


def fits_of(family: str, device: og.Device, seed: int = 4) -> Fitted:
    data = Data(synthetic(device, 80, 2, 12, read_noise=0.01, seed=seed).ramps)
    return fitted_family(family, "additive", False, data)


@pytest.mark.parametrize("family", SHAPES)
def test_the_spread_of_shapes(family: str) -> None:
    """Of 12 devices whose own shapes are known: the interval holds their standard deviation, widened by the
    tenth by which it is itself a guess; and of devices alike in shape it reaches 0."""
    response, std = SHAPES[family]
    both = og.Spread(dw_min=0.2, law="lognormal", shape_up=std, shape_down=std)
    best = fits_of(family, device := og.Device(response, 0.02, both, og.Noise(0.2)))
    spread = device_spread(best)
    assert spread is not None
    assert spread.upper is None
    which = draw(device, (1, 12), Key(4, 0)).which[0].long()
    for z, found in zip(numbers(64), (spread.shape_up, spread.shape_down), strict=True):
        own = std * float(z[which].std())
        assert found is not None
        assert 0.9 * found.low < own < 1.1 * found.high
    made = device_of(best, spread)
    assert made.spread.shape_up > 0
    assert type(made.response) is type(response)
    draw(made, (4, 4), Key(0, 0))
    alike = device_spread(fits_of(family, og.Device(response, 0.02, noise=og.Noise(0.2))))
    assert alike is not None
    assert alike.shape_up is not None
    assert alike.shape_up.low == 0
    assert alike.shape_up.high < std


def test_bounds_and_exponents_are_not_both_taken_to_differ() -> None:
    """Where a family has both, one explains what the other does; the other is said not to be told."""
    response, model = og.PowStep(-1.1, 1.0, 2.0, 1.5), Model(LAWS["pow_step"])
    size, up, down = math.log(0.02), math.log(2.0), math.log(1.5)
    true = np.array([size, 1.0, up, size, 1 / 1.1, down, math.log(0.2), math.log(0.01), -8.0])
    alike, bounds, shapes = (
        og.Spread(law="lognormal", w_max=b, w_min=b, shape_up=s, shape_down=s)
        for b, s in ((0.0, 0.0), (0.25, 0.0), (0.0, 0.6))
    )
    for between_devices, name in ((alike, "none"), (bounds, "bounds"), (shapes, "shapes")):
        device = og.Device(response, 0.02, between_devices, og.Noise(0.2))
        data = Data(synthetic(device, 80, 1, 8, read_noise=0.01, seed=1).ramps)
        best = Fitted(model, data, true, model.evaluate(true, data))
        spread = device_spread(best)
        assert spread is not None
        assert (spread.upper is None) != (spread.shape_up is None)
        made = device_of(best, spread).spread
        assert (made.shape_up > 0) == (name == "shapes")
        assert (made.w_max > 0.1) == (name == "bounds")
        if name == "bounds":
            told = {e.name: e for e in spread_estimates(best, spread)}
            assert "not told apart" in told["device-to-device spread, exponent up"].note


def test_read_noise_goes_into_the_device_and_comes_out_of_it(tmp_path: Path) -> None:
    """A device with read noise is measured, fitted, written, read, and measured again."""
    own = ReadNoise(fast=4.0, slow=6.0, correlation=10.0)
    true = og.Device(SOFT.response, 0.01, noise=og.Noise(0.3), read_noise=own)
    found = fit_pulses(synthetic(true, 300, 1, seed=1), ["soft_bounds"])
    write(found, tmp_path / "d.yaml", [], ReadOptions())
    read = og.Device.from_yaml(tmp_path / "d.yaml")
    assert read == found.device
    noise = read.read_noise
    assert noise is not None
    # 600 readings, of which 30 are independent in the slow part: known to 13 %, and 4.5 of these
    for name, part in (("fast", 0.2), ("slow", 0.6), ("correlation", 0.9)):
        assert getattr(noise, name) == pytest.approx(getattr(own, name), rel=part)
    again = synthetic(read, 300, 1, seed=2).ramps[1].readings
    scatter = np.diff(again).std() / math.sqrt(2) / 0.01
    assert scatter == pytest.approx(math.sqrt(4.0**2 + 6.0**2 * (1 - math.exp(-0.1))), rel=0.3)
    quiet = fit_pulses(synthetic(SOFT, 50, 1, seed=1), ["soft_bounds"]).device.read_noise
    assert quiet is None or quiet.fast < 0.3
