"""Every named device: its source is complete, it trains, and what is drawn has the stated figures."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

import ohmgrad
from ohmgrad.cli import main
from ohmgrad.devices import AffineResponse, Device, Elements, draw
from ohmgrad.devices.presets import PRESETS, preset
from ohmgrad.rng import Key
from stats import Z, assert_mean, assert_share, assert_variance

BIG = (250, 400)  # elements in the tests of laws
ALARM = 1e-3 / 100  # of one Kolmogorov-Smirnov test; there are fewer than 100 in this file
SPREAD_OUT = [name for name, entry in PRESETS.items() if not entry.device.spread.uniform]
Law = Callable[[np.ndarray], np.ndarray]

#: what the publications and their fits state: range, number of states, up and down slope, noise
STATED = {
    "ald": (-0.6, 0.6, 1200, 1, 1, 0),
    "paper": (-0.6, 0.6, 1200, 1, 1, 0.3),
    "ideal": (-1, 1, 2000, 0, 0, 0),
    "gokmen-vlasov": (-0.6, 0.6, 1200, 0, 0, 0.3),
    "idealised": (-1, 1, 10_000, 0, 0, 0.3),
    "reram-sb": (-0.75, 1.25, 1000, 1, 1, 3.75),
    "reram-array-om": (-1, 1, 21, 1, 1, 0.4158),
    "reram-array-hfo2": (-1, 1, 4, 1, 1, 0.2174),
    "capacitor": (-1, 1, 400, 0.05, 0.05, 0.3),
    "ecram": (-0.8276, 1.1724, 1000, 0.1153, 0.5085, 0.3),
    "ecram-mo": (-0.8286, 1.1714, 7089, 0.4152, 0.7342, 2.0),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_where_it_comes_from(name: str) -> None:
    entry = PRESETS[name]
    assert re.search(r"doi 10\.\d{4,}/\S+|arXiv \d{4}\.\d{5}", entry.source)
    assert entry.note
    assert entry.figures
    assert preset(name) is entry.device


@pytest.mark.parametrize("name", STATED)
def test_a_preset_has_the_stated_figures(name: str) -> None:
    w_min, w_max, states, slope_up, slope_down, noise = STATED[name]
    device = preset(name)
    response = device.response
    assert isinstance(response, AffineResponse)
    assert (response.w_min, response.w_max) == (w_min, w_max)
    assert round(device.states) == states
    assert response.slopes == (slope_up, slope_down)
    assert device.noise.std == noise
    assert response.symmetric_point() == 0.0  # all of them are shifted to it


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_converts_and_trains(name: str) -> None:
    """Losses on a fixed batch stay finite, and every layer got pulses."""
    torch.manual_seed(0)
    model = ohmgrad.convert(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), preset(name))
    optimizer = ohmgrad.AnalogSGD(model.parameters(), lr=0.1)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    for _, layer in ohmgrad.nn.analog_layers(model):
        assert all(tile.count("pulses_up") + tile.count("pulses_down") > 0 for tile in layer.tiles)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_goes_through_yaml(name: str) -> None:
    assert Device.from_yaml(preset(name).to_yaml()) == preset(name)


def _kept(sample: Any, law: Law) -> None:
    """A sample follows a law given by its distribution function (Kolmogorov-Smirnov)."""
    result: Any = stats.kstest(np.asarray(sample, dtype=np.float64).ravel(), law)
    assert result.pvalue > ALARM, f"distance {result.statistic:.4g}, p = {result.pvalue:.2g}"


def _folded(std: float) -> Law:
    """Distribution function of |1 + std z|."""
    return lambda t: special.ndtr((t - 1) / std) - special.ndtr((-t - 1) / std)


def _drawn(name: str, dw_min: float | None = None) -> tuple[Device, Elements]:
    device = preset(name)
    if dw_min is not None:
        device = dataclasses.replace(device, dw_min=dw_min)
    return device, draw(device, BIG, Key(7, 11))


@pytest.mark.parametrize("name", SPREAD_OUT)
def test_granularity_and_balance_have_the_stated_spread(name: str) -> None:
    """(up + down)/2 is dw_min g, and (up - down)/(up + down) the balance."""
    device, e = _drawn(name)
    up, down = e.up.double(), e.down.double()
    gain, std = (up + down) / (2 * device.dw_min), device.spread.dw_min
    if device.spread.law == "lognormal":
        _kept(gain, lambda t: special.ndtr(np.log(t) / std))
    else:
        _kept(gain, _folded(std))
    balance = (up - down) / (up + down)
    if device.spread.up_down:
        _kept(balance, lambda t: special.ndtr(t / device.spread.up_down))
    else:
        assert float(balance.abs().max()) < 1e-6


@pytest.mark.parametrize("name", SPREAD_OUT)
def test_bounds_have_the_stated_spread(name: str) -> None:
    """At a granularity so fine that the rule of two steps to a bound widens none."""
    device, e = _drawn(name, dw_min=1e-7)
    spread, response = device.spread, device.response
    upper, lower = _folded(spread.w_max), _folded(spread.w_min)
    _kept(e.upper.double() / response.w_max, upper)
    _kept(e.lower.double() / response.w_min, lower)


@pytest.mark.parametrize("name", ["reram-array-om", "reram-array-hfo2"])
def test_coarse_elements_keep_two_steps_to_each_bound(name: str) -> None:
    """The share of upper bounds that this rule widens, against 10^6 elements drawn here by the law."""
    device, e = _drawn(name)
    largest = torch.maximum(e.up, e.down)
    assert bool((e.upper >= 2 * largest * (1 - 1e-6)).all())
    assert bool((-e.lower >= 2 * largest * (1 - 1e-6)).all())
    spread, z = device.spread, np.random.default_rng(0).standard_normal((3, 10**6))
    upper, balance = np.abs(1 + spread.w_max * z[0]), spread.up_down * z[1]  # the range is [-1, 1]
    step = device.dw_min * np.exp(spread.dw_min * z[2]) * (1 + np.abs(balance))
    expected = (upper < 2 * step).mean()
    widened = (e.upper <= 2 * largest * (1 + 1e-6)).double().mean()
    error = np.sqrt(expected * (1 - expected) * (1 / largest.numel() + 1e-6))
    assert abs(float(widened) - expected) < Z * error
    assert 0.02 < expected < 0.9


@pytest.mark.parametrize("name", PRESETS)
def test_a_pulse_has_the_stated_noise(name: str) -> None:
    """One pulse up and one down at w = 0 on 10^5 elements alike: mean dw_min, deviation noise dw_min."""
    device = preset(name).nominal
    for sign in (1, -1):
        tile = ohmgrad.Tile(BIG, device, pulsing=ohmgrad.Pulsing("pulse-by-pulse"), seed=3)
        tile.pulse_counts(torch.full(BIG, sign))
        step = sign * tile.weight.double() / device.dw_min
        low, high = device.response.w_min / device.dw_min, device.response.w_max / device.dw_min
        assert float(step.min()) > min(low, -high)  # no element was clipped
        if device.noise.std:
            assert_mean(step, 1.0)
            assert_variance(step, device.noise.std**2)
            assert_share(int((step > 1).sum()), step.numel(), 0.5)
        else:
            torch.testing.assert_close(step, torch.ones_like(step), rtol=1e-6, atol=0)


def test_the_command_line_lists_and_shows_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "240")
    with pytest.raises(SystemExit) as done:
        main(["devices", "show", "capacitor"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "# left out: leakage" in shown
    assert "10.1109/VLSIT.2018.8510648" in shown
    assert Device.from_yaml(shown[: shown.index("figure:")]) == preset("capacitor")
