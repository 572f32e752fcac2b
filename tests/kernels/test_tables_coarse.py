"""Tabulated elements of which one pulse goes beyond the fixed point of its line, and counts without end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import Device, ExpStep, Noise, PowStep
from ohmgrad.devices import Elements, draw
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.rng import Key
from tests.stats import assert_all_within, z_mean_pair, z_variance_pair
from tests.updates import apply_counts_

KEY = Key(5, 6)
SHAPE = (200, 100)
#: up to here cubes fall so steeply that a pulse has an e of 1.7 and 2.4, and ends 0.15 and more from a bound
STARTS = (-0.3, -0.4)
NOISES = [Noise(), Noise(0.1), Noise(0.02, "multiplicative")]


def _elements(noise: Noise) -> Elements:
    return draw(Device(PowStep(-1.0, 0.3, 3.0, 3.0), 0.0433, noise=noise), SHAPE, KEY)


def _pulse(elements: Elements, at: float, fidelity: str, backend: str, step: int) -> Tensor:
    w = torch.full(SHAPE, at)
    apply_counts_(w, elements, torch.ones(SHAPE, dtype=torch.int64), fidelity, KEY, step, backend)
    return w


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("noise", NOISES, ids=["quiet", "additive", "multiplicative"])
def test_one_pulse_may_contract_by_more_than_all(noise: Noise, backend: str) -> None:
    """2 x 10^4 elements, pulsed once, against single pulses drawn: mean, variance; without noise itself."""
    elements, z = _elements(noise), []
    for at in STARTS:
        a = _pulse(elements, at, "pulsed", backend, 3)
        b = _pulse(elements, at, "pulse-by-pulse", backend, 3)
        assert bool((a < 0.2).all())  # and the bound is at 0.3
        if noise.std:
            a, b = (t.double().numpy().reshape(1, -1) for t in (a, b))
            z += [z_mean_pair(a, b), z_variance_pair(a, b)]
        else:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4 * elements.dw_min)
    if z:
        assert_all_within(np.concatenate(z), 1e-3)


@pytest.mark.parametrize("noise", NOISES, ids=["quiet", "additive", "multiplicative"])
def test_coarse_pulses_are_the_reference(noise: Noise) -> None:
    elements = _elements(noise)
    g = torch.Generator().manual_seed(1)
    w, n = torch.empty(SHAPE).uniform_(-1.0, 0.3, generator=g), torch.randint(-1, 2, SHAPE, generator=g)
    expected = reference.apply_counts(w, elements, n.unsqueeze(0), "pulsed", KEY, 3)
    apply_counts_(w, elements, n, "pulsed", KEY, 3, "numba")
    torch.testing.assert_close(w, expected, rtol=0, atol=1e-4 * elements.dw_min)


@pytest.mark.parametrize("cols", [1, 300])
def test_counts_that_float32_does_not_hold_come_to_an_end(cols: int) -> None:
    """A billion pulses of an element that one run takes by three of them at most: it stays at its bound."""
    elements = draw(Device(ExpStep(-0.6, 0.6), 0.04), (1, cols), KEY)
    w = torch.zeros(1, cols)
    apply_counts_(w, elements, torch.full((1, cols), -(10**9)), "pulsed", KEY, 3, "numba")
    assert torch.equal(w, elements.lower.expand(1, cols))
