"""Groups of samples: the mixture of pulses, the law of their order, the bound; Numba against the reference.

Sample sizes stand with each test; bounds are those of the law at the false alarm rates of `tests.stats`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import Device, InputError, Noise, Pulsing, SoftBounds, Spread
from ohmgrad.devices import Elements, draw
from ohmgrad.kernels.reference import affine, groups
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.kernels.reference.trains import coincidences, update_trains
from ohmgrad.rng import Key
from tests.cases import NOISES, RESPONSES, SPREADS, Setting, factors
from tests.cases import start as start_weights
from tests.stats import Z, assert_all_within, z_mean, z_variance
from tests.updates import pulsed_update_

KEY, STEP = Key(5, 6), 3
NOISY = {name: NOISES[name] for name in ("additive", "multiplicative")}
#: orders, or cells, of a test of a law
N = 20_000


def cells(name: str, noise: Noise, dw_min: float = 0.001) -> Elements:
    """N elements that are alike."""
    return draw(Device(RESPONSES[name], dw_min, noise=noise), (1, N), KEY)


def mixture(w: Tensor, elements: Elements, up: Any, down: Any) -> tuple[Tensor, Tensor]:
    """Mean and variance after a group."""
    zero = torch.zeros_like(w)
    passed = affine.Passed(w, w, zero, zero > 0)
    m, v, _ = groups._advance(w, zero, zero + up, zero + down, elements, passed)
    return m, v


# --- the mixture ---------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [Noise(0.3), Noise(1.0, "multiplicative")], ids=str)
@pytest.mark.parametrize("name", RESPONSES)
def test_in_one_direction_the_mixture_is_exact(name: str, noise: Noise) -> None:
    elements = draw(Device(RESPONSES[name], 0.01, SPREADS["spread"], noise), (9, 11), KEY)
    w = start_weights((9, 11)).double() * 0.8
    for n in (0, 1, 5, 40, -1, -40):
        mean, variance, _ = affine.collapse(w, elements, torch.full((1, 9, 11), n))
        m, v = mixture(w, elements, max(n, 0), max(-n, 0))
        torch.testing.assert_close(m, mean, atol=1e-12, rtol=0)
        torch.testing.assert_close(v, variance, atol=1e-18, rtol=1e-9)


def orders(up: int, down: int, clump: int) -> Tensor:
    """N random orders of samples with `clump` pulses each, int64 (samples, 1, N)."""
    signs = torch.cat([torch.ones(up // clump), -torch.ones(down // clump)]).long() * clump
    g = torch.Generator().manual_seed(up + 10 * clump)
    return signs[torch.rand(N, len(signs), generator=g).argsort(1)].t().unsqueeze(1)


def order_errors(elements: Elements, counts: Tensor, up: int, down: int) -> tuple[np.ndarray, float]:
    """Means after random orders less that of the mixture, and the swap c."""
    w = torch.full((1, N), 0.1, dtype=torch.float64)
    m, _, _ = affine.collapse(w, elements, counts)
    (u, e_up), (d, e_down) = (
        (float(t.flatten()[0]) for t in elements.tangent(w, w < s)) for s in (-1.0, 1.0)
    )
    return (m - mixture(w, elements, up, down)[0]).numpy(), e_down * u - e_up * d


@pytest.mark.parametrize(("up", "down", "clump"), [(1, 1, 1), (6, 6, 1), (3, 10, 1), (6, 9, 3), (20, 20, 5)])
@pytest.mark.parametrize("name", [name for name in RESPONSES if name != "constant"])
def test_the_order_follows_the_law_of_mann_and_whitney(name: str, up: int, down: int, clump: int) -> None:
    """20,000 orders: mean 0, and variance C n_u n_d (n + C) c^2/12, to terms of relative size n e.

    The mean is off by a third commutator of e, at most n e of the standard deviation.
    """
    elements = cells(name, Noise(0.3))
    found, swap = order_errors(elements, orders(up, down, clump), up, down)
    variance = clump * up * down * (up + down + clump) * swap**2 / 12
    slack = (up + down) / 300  # twice n e
    std = variance**0.5
    assert abs(found.mean()) <= std * (Z / N**0.5 + slack)
    kurtosis = float(((found - found.mean()) ** 4).mean()) / found.var() ** 2
    assert abs(found.var() / variance - 1) <= Z * ((kurtosis - 1) / N) ** 0.5 + slack + 1e-6


def test_a_mixture_that_sends_all_pulses_up_first_is_caught() -> None:
    """The planted bug: its mean is off by half of all swaps."""
    elements = cells("soft", Noise(0.3))
    found, swap = order_errors(elements, orders(6, 6, 1), 6, 6)
    wrong = found - 6 * 6 / 2 * swap
    assert abs(wrong.mean()) > (6 * 6 * 13 / 12) ** 0.5 * swap * (Z / N**0.5 + 12 / 300)


# --- the bound -----------------------------------------------------------------------------------

#: settings in which groups are taken: pulses of a cell, bit lengths and samples differ
BOUNDED = [
    Setting("BL1", Pulsing(max_bl=1), 256, 0.3, 1.0),
    Setting("BL4", Pulsing(max_bl=4), 128, 0.5, 1.0),
    Setting("BL31", Pulsing(), 64, 2.0, 0.4),
    Setting("fixed", Pulsing("pulsed", 8, False, False), 100, 0.5, 1.0),
]


def order_error(device: Device, setting: Setting, shape: tuple[int, int] = (40, 200)) -> tuple[float, int]:
    """Rms over the cells of the error of the order, in rms deviations of the noise; and size of groups."""
    elements = draw(device, shape, KEY)
    w = elements.clip(start_weights(shape) / 2).double()
    x, d = factors(shape, setting)
    lr = setting.pulses * device.dw_min
    xs, ds, bl = update_trains(x, d, lr, device.dw_min, setting.pulsing, KEY, STEP)
    counts = coincidences(xs, ds)
    together = groups.groups_of(xs, ds, bl, counts, elements, setting.pulsing)
    if together.size == 1:
        return 0.0, 1
    m, _, _, in_order = groups.collapse(w, elements, counts, together)
    mean, variance, _ = affine.collapse(w, elements, counts)
    kept = ~groups.steep(elements, together.bound).expand(shape) & ~affine.coarse(elements).expand(shape)
    kept &= ~in_order
    error = float((m - mean)[kept].square().sum() / variance[kept].sum()) ** 0.5 if kept.any() else 0.0
    return error, together.size


@pytest.mark.parametrize("setting", BOUNDED, ids=lambda s: s.name)
@pytest.mark.parametrize("noise", NOISY)
@pytest.mark.parametrize("name", ["soft_skewed", "linear", "linear_rising"])
@pytest.mark.parametrize("spread", ["alike", "spread"])
def test_the_error_of_the_order_keeps_to_the_bound(
    name: str, noise: str, spread: str, setting: Setting
) -> None:
    """8,000 cells; the bound is one on the expectation over orders, of which the rms over so many rows is
    within 10 %."""
    device = Device(RESPONSES[name], 0.001, SPREADS[spread], NOISY[noise])
    error, _ = order_error(device, setting)
    assert error <= 1.1 * groups.PART


def test_the_groups_are_not_shorter_than_they_need_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the planted bug: with a bound 10 times as wide the error is beyond the stated one."""
    device = Device(RESPONSES["soft"], 0.001, noise=Noise(0.3))
    error, size = order_error(device, BOUNDED[0])
    assert size >= 8
    assert error > groups.PART / 10
    monkeypatch.setattr(groups, "PART", 10 * groups.PART)
    wide, _ = order_error(device, BOUNDED[0])
    assert wide > 1.1 * groups.PART / 10


def residuals(order: Any, fidelity: Any, noise: Noise) -> np.ndarray:
    """Weights after an update of 100 x 200 cells by 64 samples, less their exact mean, in exact standard
    deviations, both of the pulses in order."""
    shape, device = (100, 200), Device(RESPONSES["soft_skewed"], 0.001, noise=noise)
    setting = Setting("", Pulsing(fidelity, 4, order=order), 64, 0.5, 1.0)
    elements, w = draw(device, shape, KEY), start_weights(shape) / 2
    x, d = factors(shape, setting)
    lr = setting.pulses * device.dw_min
    xs, ds, _ = update_trains(x, d, lr, device.dw_min, setting.pulsing, KEY, STEP)
    mean, variance, _ = affine.collapse(w.double(), elements, coincidences(xs, ds))
    pulsed_update_(w, elements, x, d, lr, setting.pulsing, KEY, STEP, "numba")
    return ((w - mean) / variance.sqrt().clamp(min=1e-12))[variance > 0].numpy()


@pytest.mark.parametrize("noise", [Noise(0.3), Noise(0.5, "multiplicative")], ids=str)
def test_weights_have_the_law_of_single_pulses(noise: Noise) -> None:
    """About 20,000 cells, each at its own counts: in groups, in order and pulse by pulse residuals have mean
    0 and variance 1, with up to `PART`^2 more of it in groups."""
    for order, fidelity in (("bounded", "pulsed"), ("strict", "pulsed"), ("bounded", "pulse-by-pulse")):
        found = residuals(order, fidelity, noise)
        assert len(found) > 19_000
        z = np.array([z_mean(found, 0.0), z_variance(found, 1.0 + (order == "bounded") * groups.PART**2 / 2)])
        assert_all_within(z, 1e-3 / 6)


def test_a_variance_8_percent_off_is_caught() -> None:
    found = residuals("bounded", "pulsed", Noise(0.3)) * 1.08**0.5
    with pytest.raises(AssertionError):
        assert_all_within(np.array([z_variance(found, 1.0)]), 1e-3 / 6)


# --- Numba, and the user's choice ----------------------------------------------------------------

#: of words and of trains on the dense path, and on the sparse one; several groups, of several blocks, too
SHAPED = [
    ((5, 300), Setting("words", Pulsing(max_bl=4), 200, 0.3, 1.0)),
    ((7, 40), Setting("short", Pulsing(max_bl=8), 3, 0.5, 1.0)),
    ((9, 300), Setting("trains", Pulsing("pulsed", 12, False, False), 50, 0.3, 1.0)),
    ((6, 600), Setting("sparse", Pulsing(max_bl=3), 100, 0.3, 0.03)),
    ((6, 300), Setting("sparse BL33", Pulsing("pulsed", 33, False, False), 40, 0.3, 0.05)),
    ((8, 70), Setting("too many", Pulsing(), 30, 60.0, 1.0)),
]


@pytest.mark.parametrize(("shape", "setting"), SHAPED, ids=lambda s: getattr(s, "name", ""))
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", ["soft_skewed", "constant"])
def test_numba_takes_the_groups_of_the_reference(
    name: str, noise: str, shape: tuple[int, int], setting: Setting
) -> None:
    """Weights to one rounding of float32 per pulse, in groups and in order."""
    device = Device(RESPONSES[name], 0.001, SPREADS["spread"], NOISES[noise])
    elements = draw(device, shape, KEY)
    w, (x, d) = elements.clip(start_weights(shape)).contiguous(), factors(shape, setting)
    lr = -setting.pulses * device.dw_min
    xs, ds, bl = update_trains(x, d, lr, device.dw_min, setting.pulsing, KEY, STEP)
    counts = coincidences(xs, ds)
    together = groups.groups_of(xs, ds, bl, counts, elements, setting.pulsing)
    assert (together.size > 1) == (noise != "quiet" and (setting.name != "too many" or name == "constant"))
    most = int(counts.abs().sum(0).max())
    for order in ("bounded", "strict"):
        pulsing = replace(setting.pulsing, order=order)
        expected, events = reference.pulsed_update(w, elements, x, d, lr, pulsing, KEY, STEP)
        got = w.clone()
        assert pulsed_update_(got, elements, x, d, lr, pulsing, KEY, STEP, "numba") == events
        assert float((got - expected).abs().max()) <= (4 + most) * 2.0**-24


def test_one_sample_and_no_noise_are_in_order() -> None:
    for noise, samples in ((Noise(0.3), 1), (Noise(), 100)):
        elements = draw(Device(SoftBounds.symmetric(0.6), 0.001, Spread(dw_min=0.3), noise), (7, 9), KEY)
        x, d = factors((7, 9), Setting("", Pulsing(), samples, 0.3, 1.0))
        ends = []
        for order in ("bounded", "strict"):
            ends.append(torch.zeros(7, 9))
            pulsing = Pulsing(order=order)  # pyright: ignore[reportArgumentType]
            pulsed_update_(ends[-1], elements, x, d, 0.0005, pulsing, KEY, STEP, "numba")
        assert torch.equal(*ends)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(InputError, match="order"):
        Pulsing(order="any")  # pyright: ignore[reportArgumentType]
