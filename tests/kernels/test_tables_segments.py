"""Segments of pulses on parabolas of a table: the kink at w = 0, long ones, and steps far too large."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import Device, Noise, PiecewiseStep, PowStep, Pulsing, Tile
from ohmgrad.devices import Elements, draw
from ohmgrad.devices.table import Table, tabulate
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.kernels.reference import tables
from ohmgrad.rng import Key
from tests.cases import measured
from tests.stats import assert_all_within, z_mean_pair, z_variance_pair
from tests.updates import apply_counts_

KEY = Key(5, 6)
CHAINS = (200, 100)
WAY = [12, -9, 14, -12, 9, -14, 6, -9]


def _kinked() -> Elements:
    """Squares whose upper bound is half as far as the lower: slopes of 2/0.3 and 2/0.6 meet at w = 0."""
    elements = draw(Device(PowStep(-0.6, 0.6, 2.0, 2.0), 0.001, noise=Noise(0.3)), CHAINS, KEY)
    return dataclasses.replace(elements, upper=elements.upper / 2)


def _run(elements: Elements, at: float, way: list[int], fidelity: str, step: int) -> np.ndarray:
    n = torch.tensor(way).view(-1, 1, 1).expand(-1, *CHAINS)
    w = torch.full(CHAINS, at, dtype=torch.float64)
    return reference.apply_counts(w, elements, n, fidelity, KEY, step).numpy().reshape(1, -1)


def _deviations(way: list[int]) -> np.ndarray:
    elements, z = _kinked(), []
    for i, at in enumerate((-0.008, -0.003, 0.0, 0.004)):
        a, b = (_run(elements, at, way, f, 10 * i + j) for j, f in enumerate(("pulsed", "pulse-by-pulse")))
        z += [z_mean_pair(a, b), z_variance_pair(a, b)]
    return np.concatenate(z)


@pytest.mark.parametrize("way", [WAY, [1, -1] * 80], ids=["passed", "in the noise"])
def test_the_kink_at_zero_has_the_moments_of_single_pulses(way: list[int]) -> None:
    """2 x 10^4 chains each, that cross zero run by run, or stay around it."""
    assert_all_within(_deviations(way), 1e-3)


@pytest.mark.parametrize("part", ["step", "slope"])
def test_a_kink_that_is_left_out_is_caught(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true = tables.over_the_kink

    def without(middle: Tensor, variance: Tensor, one: Tensor, e: Tensor, elements: Elements) -> Any:
        with_kink = true(middle, variance, one, e, elements)
        return (with_kink[0], e) if part == "slope" else (one, with_kink[1])

    monkeypatch.setattr(tables, "over_the_kink", without)
    with pytest.raises(AssertionError):
        assert_all_within(_deviations([1, -1] * 80), 1e-3)


@pytest.mark.parametrize("rows", [1, 300])
def test_long_segments_are_the_reference(rows: int) -> None:
    """31 pulses of a tenth of the range or more: the row is cut into segments, as vectors and by cell."""
    shape = (3, rows)
    for noise in (Noise(), Noise(0.3), Noise(0.3, "multiplicative")):
        elements = draw(Device(PowStep(-0.6, 0.6, 2.0, 2.0), 0.003, noise=noise), shape, KEY)
        g = torch.Generator().manual_seed(1)
        w = torch.empty(shape).uniform_(-0.3, 0.3, generator=g)
        n = torch.randint(-31, 32, shape, generator=g)
        expected = reference.apply_counts(w, elements, n.unsqueeze(0), "pulsed", KEY, 3)
        got = w.clone()
        apply_counts_(got, elements, n, "pulsed", KEY, 3, "numba")
        assert float((got - expected).abs().max()) <= 70 * 2.0**-24


def test_steps_beyond_all_measure_end_inside_the_bounds() -> None:
    """Measured steps several times as large as the range: moments overflow; every pulse counts by itself."""
    response = measured(1)
    elements = draw(Device(response, response.dw_min), (2, 40), KEY)
    huge = dataclasses.replace(elements, up=elements.up * 300, down=elements.down * 300)
    n = torch.full((2, 40), 31, dtype=torch.int64)
    n[1] = -31
    for backend in ("reference", "numba"):
        w = torch.linspace(-0.9, 0.9, 40).repeat(2, 1)
        apply_counts_(w, huge, n, "pulsed", KEY, 3, backend)
        assert torch.equal(w, huge.clip(w))


#: steps up and down at five nodes: the slope jumps at w = 0
FIVE = ((0.188, 1.333, 1.347, 0.207, 0.756), (1.467, 0.112, 1.922, 0.141, 0.509))


@pytest.mark.parametrize("tau", [1.502, 0.318, 0.334])
def test_zero_is_in_the_interval_to_its_right(tau: float) -> None:
    """w = 0 is a node of the table; of the last two in float32 alone, in float64 but for rounding."""
    table = tabulate(PiecewiseStep(-tau, tau, *FIVE))
    assert isinstance(table, Table)
    i, t = table.interval(torch.zeros(1))
    assert (int(i), float(t)) == (table.intervals // 2, 0.0)


def test_new_arrays_are_pulsed_alike_by_both_back_ends() -> None:
    device = Device(PiecewiseStep(-1.502, 1.502, *FIVE), 0.00346, noise=Noise(0.196, "multiplicative"))
    g = torch.Generator().manual_seed(1)
    x, d = torch.rand(8, 53, generator=g), torch.randn(8, 37, generator=g)
    for order in ("strict", "bounded"):
        weights = []
        for backend in ("reference", "numba"):
            tile = Tile((37, 53), device, backend=backend, seed=3, pulsing=Pulsing(order=order))
            tile.pulse(x, d, 0.05)
            weights.append(tile.weight)
        torch.testing.assert_close(*weights, rtol=0, atol=2.0**-22)
