"""Features that meet: measured devices in ensembles, stuck elements under calibration, spread and tables."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

import ohmgrad
from ohmgrad import Device, InputError, Noise, PowStep, Pulsing, SoftBounds, Spread, Tile
from ohmgrad.devices import OneSided, Reference, Stuck, draw
from ohmgrad.ensemble.arrays import Arrays
from ohmgrad.kernels.reference import tables
from ohmgrad.optim import calibrate_symmetric_points
from ohmgrad.rng import Key
from ohmgrad.theory import zero_shift_accuracy, zero_shift_pulses
from tests.cases import TABULATED, measured
from tests.updates import apply_counts_


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"pair": "x"}, "pair is 'x', but must be a OneSided"),
        ({"write_noise": -1.0}, "write_noise is -1.0"),
        ({"reference": Reference(at=5.0)}, "reference at is 5.0"),
        ({"spread": 0.3}, "spread is 0.3, but must be a Spread"),
        ({"noise": None}, "noise is None, but must be a Noise"),
    ],
)
@pytest.mark.parametrize("response", [SoftBounds(), measured()], ids=["soft", "measured"])
def test_parts_of_a_device_are_checked_whatever_its_response(response, parts, words) -> None:
    with pytest.raises(InputError, match=words):
        Device(response, getattr(response, "dw_min", 0.01), **parts)


@pytest.mark.parametrize("name", TABULATED)
def test_a_nominal_device_that_nothing_shifts_keeps_its_response(name: str) -> None:
    """And with it its table, its name and its equality."""
    device = Device(TABULATED[name], 0.002, Spread(dw_min=0.3, w_max=0.2))
    assert device.nominal == replace(device, spread=Spread())


def test_measured_runs_of_an_ensemble_have_the_devices_of_their_tiles() -> None:
    """To the bit, as the docstring says; without spread, measured elements differ all the same."""
    response, n = measured(), 40
    device = Device(response, response.dw_min)
    arrays = Arrays([device] * 3, n, [1, 2, 3], pulsing=Pulsing(), start=torch.zeros(3, n))
    x = torch.linspace(-1, 1, n).expand(3, n).contiguous()
    arrays.pulse(x, -20 * device.dw_min)
    for run, seed in enumerate((1, 2, 3)):
        tile = Tile((1, n), device, seed=seed)
        tile.pulse(x[:1], torch.ones(1, 1), -20 * device.dw_min)
        assert torch.equal(arrays.w[run : run + 1], tile.weight)


def test_calibration_starts_from_weights_that_were_written() -> None:
    tile = Tile((2, 3), Device(SoftBounds(), 0.01, reference=Reference(0.3)))
    with torch.no_grad():
        tile.owner.fill_(0.2)
    tile.calibrate(0)  # what is seen, 0.2, becomes the zero
    assert torch.equal(tile.weight, torch.zeros(2, 3))
    torch.testing.assert_close(tile.held, torch.full((2, 3), 0.5))


def test_stuck_elements_beyond_the_nominal_range_can_be_programmed_and_calibrated() -> None:
    """Their own bounds lie farther out, or a reference moves what is seen there."""
    wide = Device(SoftBounds(), 0.01, Spread(w_max=0.3, w_min=0.3), stuck=Stuck(0.2))
    tile = Tile((20, 20), wide)
    assert bool((tile.weight.abs() > 1).any())
    assert torch.equal(tile.program(tile.weight.clone()), torch.zeros(20, 20))
    seen = Device(SoftBounds(), 0.01, Spread(up_down=0.1), stuck=Stuck(0.3), reference=Reference(0.3))
    for device in (wide, seen):
        torch.manual_seed(0)
        model = ohmgrad.convert(nn.Linear(20, 10), device)
        assert bool((model.weight.abs() > 1).any())
        optimizer = ohmgrad.TikiTaka(model.parameters(), lr=0.1)
        calibrate_symmetric_points(optimizer, 3, weights=True)
        assert bool(torch.isfinite(model.weight).all())


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("n", [10, -10])
def test_tangents_at_zero_mind_unequal_bounds(backend: str, n: int) -> None:
    """Bounds of 0.3 and -1 bend the response at w = 0, from where ten pulses go: without noise, the collapse
    is the sum of the single pulses but for 1e-3 of each."""
    device = Device(PowStep(), 0.002, noise=Noise())
    elements = draw(device, (3, 5), Key(1, 2))
    elements = replace(elements, upper=torch.full((1, 1), 0.3), lower=torch.full((1, 1), -1.0), packed={})
    collapsed, single = torch.zeros(3, 5), torch.zeros(3, 5)
    counts = torch.full((3, 5), n)
    apply_counts_(collapsed, elements, counts, "pulsed", Key(1, 2), 0, backend)
    apply_counts_(single, elements, counts, "pulse-by-pulse", Key(1, 2), 0, backend)
    assert float((collapsed / single - 1).abs().max()) <= 1e-3


def test_a_pair_follows_the_pulsing_of_the_call() -> None:
    """A tile at fidelity "mean" that is pulsed for once does what a pulsed tile does."""
    device = Device(SoftBounds(), 0.01, noise=Noise(0.5), pair=OneSided())
    kinds = {name: Pulsing(name) for name in ("mean", "pulsed")}
    one, other = (Tile((5, 7), device, pulsing=kinds[name]) for name in ("mean", "pulsed"))
    x, d = torch.linspace(-1, 1, 7).view(1, 7), torch.linspace(1, -1, 5).view(1, 5)
    one.pulse(x, d, 0.1, kinds["pulsed"])
    other.pulse(x, d, 0.1)
    assert torch.equal(one.weight, other.weight)


def test_the_nominal_of_measured_steps_may_be_coarse() -> None:
    """Steps of half the range, as of tantalum oxide, and a balance: means, noise, table, pickles."""
    response = measured(2, states=3)
    device = Device(response, response.dw_min, Spread(up_down_mean=0.2))
    nominal = device.nominal
    w = torch.linspace(-1, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(nominal.response.q_plus(w), 1.2 * response.q_plus(w))
    torch.testing.assert_close(nominal.response.q_minus(w), 0.8 * response.q_minus(w))
    assert nominal.noise.std == response.relative_std
    assert pickle.loads(pickle.dumps(nominal)) == device.nominal
    assert draw(nominal, (1, 1), Key(0, 0)).form == "table"


def test_single_measured_pulses_vary_as_their_table_says() -> None:
    """Samples of one pulse are the common ones: in the collapse each adds the variance where it starts."""
    response = measured(1)
    elements = draw(Device(response, response.dw_min), (1, 5), Key(1, 2))
    w = torch.linspace(-0.6, 0.6, 5, dtype=torch.float64).view(1, 5)
    for n in (1, -1):
        _, variance, _ = tables.collapse(w, elements, torch.full((1, 1, 5), n))
        std = elements.pulse_std(w, torch.tensor(n < 0))
        torch.testing.assert_close(variance, std.square(), rtol=1e-9, atol=0)


def test_one_sided_pairs_are_not_zero_shifted() -> None:
    device = Device(SoftBounds(), 0.01, pair=OneSided())
    for advice in (zero_shift_accuracy, lambda d: zero_shift_pulses(d, 0.1)):
        with pytest.raises(InputError, match="one-sided pair has no symmetric point"):
            advice(device)
