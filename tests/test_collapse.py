"""The law of the collapse: its mean and variance are those of pulse-by-pulse simulation.

10^5 chains each: the cells of a uniform array that all start from one weight and get the same pulses.
The two fidelities draw at different addresses, so that they are independent samples. Every comparison
is held to 4 standard errors: seeds are fixed, and of the 8,000 comparisons of the grid chance lets a
handful exceed 4; `assert_all_within` allows as many as the binomial law does and none beyond
Bonferroni's bound, with a false alarm rate of 10^-3 for the whole grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from cases import LAWS, DeviceCase
from stats import assert_all_within, z_mean, z_mean_pair, z_variance, z_variance_pair
from torch import Tensor

from ohmgrad import ConstantStep, Device, LinearStep, Noise, Pulsing, SoftBounds, Tile
from ohmgrad.devices import Elements, draw
from ohmgrad.pulses import apply_counts_, reference
from ohmgrad.rng import Key

CHAINS = (100, 1000)
N = CHAINS[0] * CHAINS[1]
KEY = Key(2024, 7)
COUNTS = (1, 5, 30, 160, -1, -5, -30, -160)
#: starting weights: at the bounds, 3 % of the range from one, and inside
PLACES = (0.0, 0.03, 0.45, 0.8, 1.0)
ALARM = 1e-3 / len(LAWS)


def places(device: Device) -> np.ndarray:
    low, high = device.response.w_min, device.response.w_max
    return np.array([low + p * (high - low) for p in PLACES])


def exact(elements: Elements, start: Any, counts: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Mean and variance pulse by pulse without clipping, and the least distance to a bound in std.

    From w' = w + step(w) + noise, step(w) = +-dw (1 - slope w/bound):  E w' = E w + step(E w), and
    Var w' = (1 - e)^2 Var w + E noise^2, with e = slope dw/|bound|.
    """
    up, down, lower, upper = (
        float(getattr(elements, p)) for p in ("up", "down", "lower", "upper")
    )
    m = np.array(start, dtype=np.float64)
    v, room = np.zeros_like(m), np.full_like(m, np.inf)
    s = elements.noise_std
    for n in counts:
        n = np.broadcast_to(n, m.shape)
        dw, bound = np.where(n > 0, up, -down), np.where(n > 0, upper, lower)
        e = np.where(n > 0, elements.slope_up, elements.slope_down) * np.abs(dw / bound)
        for i in range(int(np.abs(n).max())):
            step = dw * (1 - e * m / np.abs(dw) * np.sign(n))
            if elements.noise == "additive":
                after = (1 - e) ** 2 * v + (s * dw) ** 2
            else:
                after = (1 - e) ** 2 * v + s**2 * (step**2 + e**2 * v)
            busy = i < np.abs(n)
            m, v = np.where(busy, m + step, m), np.where(busy, after, v)
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.fmin(room, np.minimum(upper - m, m - lower) / np.sqrt(v))
    return m, v, room


def comparisons(
    device: Device, collapsed: Any, by_pulse: Any, start: Any, counts: Sequence[Any]
) -> np.ndarray:
    """z of mean and variance (cases, 10^5): the fidelities against each other, and, where no chain
    comes near a bound, both against the exact moments."""
    elements = draw(device, (1, 1), KEY)
    mean, variance, room = exact(elements, start, counts)
    free = room > 6
    z = [z_mean_pair(collapsed, by_pulse), z_variance_pair(collapsed, by_pulse)]
    for sample in (collapsed[free], by_pulse[free]):
        z += [z_mean(sample, mean[free]), z_variance(sample, variance[free])]
    return np.concatenate(z)


def run_counts(device: Device, fidelity: str, step: int) -> tuple[np.ndarray, Any, Any]:
    """All starts with all counts in one array of 100 rows each: weights (cases, 10^5)."""
    start, counts = (t.ravel() for t in np.meshgrid(places(device), COUNTS))
    shape = (len(start) * CHAINS[0], CHAINS[1])
    w = torch.from_numpy(start.astype(np.float32)).repeat_interleave(CHAINS[0])
    w = w.unsqueeze(1).expand(shape).contiguous()
    n = torch.from_numpy(counts).repeat_interleave(CHAINS[0]).unsqueeze(1).expand(shape)
    apply_counts_(w, draw(device, shape, KEY), n.contiguous(), fidelity, KEY, step)
    return w.view(len(start), N).numpy(), start, counts


@pytest.mark.parametrize("case", LAWS, ids=lambda c: c.name)
def test_counts_in_one_direction(case: DeviceCase) -> None:
    collapsed, start, counts = run_counts(case.device, "pulsed", 1)
    by_pulse, _, _ = run_counts(case.device, "pulse-by-pulse", 2)
    z = comparisons(case.device, collapsed, by_pulse, start, [counts])
    assert_all_within(z, ALARM)


def test_a_variance_5_percent_off_is_caught() -> None:
    device = LAWS[0].device
    collapsed, start, counts = run_counts(device, "pulsed", 1)
    by_pulse, _, _ = run_counts(device, "pulse-by-pulse", 2)
    mean = collapsed.mean(-1, keepdims=True)
    for scale in (0.95, 1.05):
        wrong = mean + (collapsed - mean) * scale**0.5
        with pytest.raises(AssertionError):
            assert_all_within(comparisons(device, wrong, by_pulse, start, [counts]), ALARM)


@pytest.mark.parametrize("std", [0.0, 0.3])
@pytest.mark.parametrize("name", ["soft_skewed-15", "linear_rising-100", "constant-1000"])
def test_without_noise_the_collapse_is_exact(name: str, std: float) -> None:
    """Noise 0: both fidelities are one deterministic map; the law grid has no such point."""
    (device,) = {c.device for c in LAWS if c.name == f"{name}-additive-0.3"}
    quiet = Device(device.response, device.dw_min)
    start, counts = (t.ravel() for t in np.meshgrid(places(device), COUNTS))
    elements = draw(quiet, (1, len(start)), KEY)
    n = torch.from_numpy(counts).view(1, -1)
    for fidelity in ("pulsed", "pulse-by-pulse"):
        w = torch.from_numpy(start.astype(np.float32)).view(1, -1)
        apply_counts_(w, elements, n, fidelity, KEY, 1)
        mean, _, _ = exact(elements, start, [counts])
        expected = np.clip(mean, device.response.w_min, device.response.w_max)
        assert np.abs(w.numpy() - expected).max() < 165 * 2.0**-24  # a rounding per pulse
