"""Elements of which one pulse crosses a good part of the range: pulse by pulse, on both back ends alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor

from ohmgrad import Device, Noise, Pulsing, SoftBounds, Tile
from ohmgrad.devices import Elements, draw
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.rng import Key
from tests.cases import COARSE, SETTINGS, DeviceCase, Setting, factors, start
from tests.stats import assert_mean, assert_variance
from tests.updates import apply_counts_, pulsed_update_

KEY, SHAPE, STEP = Key(5, 6), (37, 53), 11
#: as the table of settings has them, for both paths of a row
PATHS = [s for s in SETTINGS if s.name in ("BL31", "dense", "sparse", "one-sample", "BL100")]


def _steepest(e: Elements) -> Tensor:
    """The larger |e| of both directions, by division."""
    up, down = abs(e.slope_up) * e.up / e.upper, abs(e.slope_down) * e.down / -e.lower
    return torch.maximum(up, down)


def _close(a: Tensor, b: Tensor) -> None:
    """To rounding of weights up to 3, which steps of up to e = 300 amplify until a bound ends it."""
    assert float((a - b).abs().max()) <= 2e-4
    assert float(((a - b).abs() > 1e-5).double().mean()) <= 0.002


@pytest.mark.parametrize("setting", PATHS, ids=lambda s: s.name)
@pytest.mark.parametrize("case", COARSE, ids=lambda c: c.name)
def test_an_update_is_the_reference(case: DeviceCase, setting: Setting) -> None:
    elements = draw(case.device, SHAPE, KEY)
    w = elements.clip(start(SHAPE)).contiguous()
    x, d = factors(SHAPE, setting)
    lr = -setting.pulses * case.device.dw_min
    expected, events = reference.pulsed_update(w, elements, x, d, lr, setting.pulsing, KEY, STEP)
    got = w.clone()
    assert pulsed_update_(got, elements, x, d, lr, setting.pulsing, KEY, STEP, "numba") == events
    _close(got, expected)


@pytest.mark.parametrize("density", [1.0, 0.05], ids=["full", "few"])
@pytest.mark.parametrize("case", COARSE, ids=lambda c: c.name)
def test_counts_are_applied_as_by_the_reference(case: DeviceCase, density: float) -> None:
    elements = draw(case.device, SHAPE, KEY)
    w = elements.clip(start(SHAPE)).contiguous()
    g = torch.Generator().manual_seed(2)
    n = torch.randint(-9, 10, SHAPE, generator=g) * (torch.rand(SHAPE, generator=g) < density)
    got, expected = w.clone(), w.clone()
    apply_counts_(got, elements, n, "pulsed", KEY, STEP, "numba")
    apply_counts_(expected, elements, n, "pulsed", KEY, STEP, "reference")
    _close(got, expected)


@pytest.mark.parametrize("case", COARSE, ids=lambda c: c.name)
def test_the_mean_dynamics_are_the_reference(case: DeviceCase) -> None:
    elements = draw(case.device, SHAPE, KEY)
    w = elements.clip(start(SHAPE)).contiguous()
    x, d = factors(SHAPE, SETTINGS[1])
    got, expected = w.clone(), w.clone()
    for out, backend in ((got, "numba"), (expected, "reference")):
        pulsed_update_(out, elements, x, d, -case.device.dw_min, Pulsing("mean"), KEY, STEP, backend)
    _close(got, expected)


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("case", [c for c in COARSE if "constant" not in c.name], ids=lambda c: c.name)
def test_coarse_elements_are_computed_pulse_by_pulse_and_others_are_not(
    case: DeviceCase, backend: Any
) -> None:
    """They have the noise of every pulse: what "pulse-by-pulse" gives, to the bit."""
    elements = draw(case.device, SHAPE, KEY)
    coarse = _steepest(elements) > 0.51
    assert 0.1 < float(coarse.double().mean()) < 0.9
    x, d = factors(SHAPE, SETTINGS[1])
    ends = []
    for fidelity in ("pulsed", "pulse-by-pulse"):
        w = elements.clip(start(SHAPE)).contiguous()
        pulsed_update_(w, elements, x, d, -case.device.dw_min, Pulsing(fidelity), KEY, STEP, backend)
        ends.append(w)
    assert torch.equal(ends[0][coarse], ends[1][coarse])


def test_a_nominal_bound_at_two_steps_is_collapsed() -> None:
    """e = 1/2 to rounding belongs to the collapse, on both backends."""
    for tau in (0.6, 0.7, 1.1):
        device = Device(SoftBounds.symmetric(tau), tau / 2, noise=Noise(1e-3))
        elements = draw(device, SHAPE, KEY)
        n = torch.full(SHAPE, 3)
        ends = []
        for backend in ("numba", "reference"):
            w = torch.full(SHAPE, -0.5 * tau)
            apply_counts_(w, elements, n, "pulsed", KEY, STEP, backend)
            ends.append(w)
        _close(*ends)
        by_pulse = torch.full(SHAPE, -0.5 * tau)
        apply_counts_(by_pulse, elements, n, "pulse-by-pulse", KEY, STEP)
        assert float((ends[0] - by_pulse).abs().max()) > 1e-4  # other random numbers, the same law


def test_one_pulse_reaches_a_bound_that_is_nearer_than_a_step() -> None:
    """Without noise: soft bounds with e >= 1 are at the bound ahead after one pulse, and stay there."""
    elements = draw(dataclasses.replace(COARSE[0].device, noise=Noise()), SHAPE, KEY)
    for sign, bound, e in (
        (1, elements.upper, elements.up / elements.upper),
        (-1, elements.lower, -elements.down / elements.lower),
    ):
        beyond = e >= 1
        assert int(beyond.sum()) > 100
        for pulses in (1, 2, 7):
            w = elements.clip(start(SHAPE)).contiguous()
            apply_counts_(w, elements, torch.full(SHAPE, sign * pulses), "pulsed", KEY, STEP)
            torch.testing.assert_close(w[beyond], bound[beyond], rtol=1e-6, atol=1e-6)


def test_a_switch_has_the_law_of_a_clipped_gaussian() -> None:
    """One up pulse at w = 0 with e = 0.9 and additive noise: min(b, s (1 + std xi)), 4 x 10^4 elements."""
    bound, step, std = 1.0, 0.9, 0.5
    tile = Tile((200, 200), Device(SoftBounds.symmetric(bound), step, noise=Noise(std)), seed=2)
    tile.pulse_counts(torch.ones(tile.shape, dtype=torch.int64))
    z = np.random.default_rng(0).standard_normal(4 * 10**6)
    law = np.clip(step * (1 + std * z), -bound, bound)
    w = tile.weight.double()
    assert_mean(w, law.mean())
    assert_variance(w, law.var())
    at_bound = float((w == bound).double().mean())
    expected = float(special.ndtr((1 - bound / step) / std))
    assert abs(at_bound - expected) < 4.5 * np.sqrt(expected * (1 - expected) / w.numel())
