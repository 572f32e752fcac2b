"""Every named device: its source is complete, it trains, and what is drawn has the stated figures."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy import special, stats
from torch import nn

import ohmgrad
from ohmgrad import conformance
from ohmgrad.cli import main
from ohmgrad.conformance.arrays import plain
from ohmgrad.devices import (
    AffineResponse,
    Device,
    Elements,
    ExpStep,
    Measured,
    OneSided,
    Reference,
    Retention,
    Stuck,
    draw,
)
from ohmgrad.devices.presets import PRESETS, preset
from ohmgrad.rng import Key
from tests.stats import assert_mean, assert_share, assert_variance

BIG = (250, 400)  # elements in the tests of laws
ALARM = 1e-3 / 100  # of one Kolmogorov-Smirnov test; there are fewer than 100 in this file
DATA = Path(os.environ.get("OHMGRAD_DATA", "")) / "devices" / "cross-sim"
#: presets that are read from files
FROM_FILES = {
    "taox": ("taox_41_devices.npz",),
    "taox-41": ("taox_41_devices.npz",),
    "enode": ("enode_dG_increasing.txt.gz", "enode_dG_decreasing.txt.gz"),
    "enode-9": ("enode_9_devices.npz",),
}
WRITTEN = [name for name in PRESETS if name not in FROM_FILES]
has_tables = pytest.mark.skipif(
    not all((DATA / file).is_file() for files in FROM_FILES.values() for file in files),
    reason="no measured tables under OHMGRAD_DATA",
)
ALL = [*WRITTEN, *(pytest.param(name, marks=has_tables) for name in FROM_FILES)]
SPREAD_OUT = [name for name in WRITTEN if not preset(name).spread.uniform]
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
    assert entry.left_out or entry.aihwkit or name in ("ald", "ideal")


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


#: what else they are stated to do, as arguments of `Device`
_ARRAY = Reference(std=0.05)
BESIDES: dict[str, dict[str, Any]] = {
    "reram-sb": {"write_noise": 56.0},
    "reram-es": {"write_noise": 75.0},
    "reram-array-om": {"write_noise": 1.4113, "stuck": Stuck(0.1348, 0.0), "reference": _ARRAY},
    "reram-array-hfo2": {"write_noise": 0.5841, "stuck": Stuck(0.0977, 0.0), "reference": _ARRAY},
    "capacitor": {"retention": Retention(lifetime=1e6, lifetime_spread=0.3)},
    "pcm": {"pair": OneSided(refresh_every=1, refresh_at=0.75)},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_preset_does_besides_what_is_stated(name: str) -> None:
    device = preset(name)
    found = {n: getattr(device, n) for n in ("write_noise", "stuck", "retention", "pair", "reference")}
    assert {n: v for n, v in found.items() if v} == BESIDES.get(name, {})


def test_the_exponential_ones_have_the_stated_steps() -> None:
    """The figures of the source's formulas, at the ends and in the middle of the range (weight units)."""
    es, pcm = preset("reram-es"), preset("pcm")
    assert isinstance(es.response, ExpStep)
    assert (es.noise.std, es.noise.kind, round(es.states)) == (5.0, "multiplicative", 1481)
    assert (pcm.noise.kind, round(pcm.states)) == ("additive", 400)
    at = torch.tensor([0.0], dtype=torch.float64)
    assert float(es.response.q_plus(at)) * es.dw_min == pytest.approx(0.00148126, rel=1e-5)
    assert float(es.response.q_minus(at)) * es.dw_min == pytest.approx(0.00199143, rel=1e-5)
    assert es.response.symmetric_point() < 0
    for g, step in ((0.0, 0.28235), (2.0, 0.011835)):
        assert float(pcm.response.q_plus(at + g)) * pcm.dw_min == pytest.approx(step, rel=1e-4)
    # the source's noise, 0.6 (step + 0.042 + 0.108 g), over the range of one element
    g = torch.linspace(0, 2, 20_001, dtype=torch.float64)
    noise = 0.6 * (pcm.dw_min * pcm.response.q_plus(g) + 0.042 + 0.108 * g)
    assert pcm.noise.std * 0.28235 == pytest.approx(float(noise.square().mean().sqrt()), rel=0.002)


@has_tables
def test_measured_ones_have_the_stated_devices_and_states() -> None:
    """States by hand from the files: 2/(mean step at w = 0) over both directions and all devices."""
    for name, devices, states in (
        ("taox", 9, 13.6),
        ("taox-41", 41, 4.0),
        ("enode", 1, 161.9),
        ("enode-9", 9, 212.9),
    ):
        response = preset(name).response
        assert isinstance(response, Measured)
        assert response.devices == devices
        assert preset(name).states == pytest.approx(states, abs=0.1)
    with np.load(DATA / "taox_41_devices.npz") as file:
        g, cdf, inc, dec = (file[n].astype(np.float64) for n in ("G", "cdf", "inc", "dec"))
    up, down = np.trapezoid(inc, cdf, axis=1), -np.trapezoid(dec, cdf, axis=1)
    states = np.zeros(41)
    for k in range(41):
        cross = np.flatnonzero((up[k, :-1] > down[k, :-1]) & (up[k, 1:] <= down[k, 1:]))
        i = cross[np.abs(cross - 50).argmin()]
        fine = np.linspace(g[k, i], g[k, i + 1], 1001)  # the crossing by search, not by formula
        steps = np.interp(fine, g[k], up[k])
        j = np.abs(steps - np.interp(fine, g[k], down[k])).argmin()
        half = min(g[k, -1] - fine[j], fine[j] - g[k, 0])
        states[k] = 2 * half / steps[j]
    assert preset("taox-41").states == pytest.approx(1 / (1 / states).mean(), rel=0.02)
    chosen = np.flatnonzero(states >= 8)
    assert preset("taox").states == pytest.approx(1 / (1 / states[chosen]).mean(), rel=0.02)


@has_tables
@pytest.mark.parametrize("name", ["taox", "taox-41"])
def test_centred_devices_have_their_symmetric_point_at_zero(name: str) -> None:
    """Every device by itself: on the table's grid the mean steps up and down meet at w = 0."""
    response = preset(name).response
    assert isinstance(response, Measured)
    middle = response.mean.shape[-1] // 2
    up, down = response.mean[:, 0], response.mean[:, 1]
    gap = (up - down)[:, middle].abs()
    assert float((gap / up[:, middle]).max()) < 0.02
    assert bool(((up - down)[:, : middle - 5] > 0).double().mean(1).min() > 0.8)


def test_without_files_devices_are_listed_and_asking_for_one_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ohmgrad.cli.devices.console", Console(width=240))
    for root in (None, tmp_path):
        monkeypatch.delenv("OHMGRAD_DATA", raising=False)
        if root:
            monkeypatch.setenv("OHMGRAD_DATA", str(root))
        for name, files in FROM_FILES.items():
            with pytest.raises(ohmgrad.InputError, match="sandialabs/cross-sim-data") as caught:
                preset(name)
            assert "\n" not in str(caught.value)
            assert all(file in str(caught.value) for file in files)
    with pytest.raises(SystemExit) as done:
        main(["devices", "list"])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert "enode-9" in shown
    assert shown.count("files needed") == len(FROM_FILES)


@pytest.mark.parametrize("name", ALL)
def test_a_preset_obeys_the_laws(name: str) -> None:
    conformance.check_device(preset(name)).raise_if_failed()


@pytest.mark.parametrize("name", ALL)
def test_a_preset_converts_and_trains(name: str) -> None:
    """Losses on a fixed batch stay finite, and every layer got pulses."""
    torch.manual_seed(0)
    model = ohmgrad.convert(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), preset(name))
    optimizer = ohmgrad.AnalogSGD(model.parameters(), lr=0.1 + preset(name).dw_min)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    for _, layer in ohmgrad.nn.analog_layers(model):
        assert all(tile.count("pulses_up") + tile.count("pulses_down") > 0 for tile in layer.tiles)


@pytest.mark.parametrize("name", WRITTEN)
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
    """By steps over their nominal ones: (up + down)/2 is g, and (up - down)/(up + down) the balance."""
    device, e = _drawn(name)
    plus, minus = device.nominal_steps
    up, down = e.up.double() / plus, e.down.double() / minus
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
    """Also of the coarse arrays, whose bounds may be nearer than a step."""
    device, e = _drawn(name)
    spread, response = device.spread, device.response
    for bound, nominal, std in (
        (e.upper, response.w_max, spread.w_max),
        (e.lower, response.w_min, spread.w_min),
    ):
        if std:
            _kept(bound.double() / nominal, _folded(std))
        else:
            torch.testing.assert_close(bound, torch.full_like(bound, nominal))


@pytest.mark.parametrize("name", WRITTEN)
def test_a_pulse_has_the_stated_noise(name: str) -> None:
    """One pulse up and one down at w = 0 on 10^5 elements alike: mean q(0) dw_min and the deviation of it.

    Noise so large against the range that pulses are clipped is taken at steps a hundred times finer.
    """
    device, _ = plain(preset(name).nominal)
    reach = (1 + 6 * device.noise.std) * device.dw_min * max(device.nominal_steps)
    if reach > min(device.response.w_max, -device.response.w_min):
        device = dataclasses.replace(device, dw_min=device.dw_min / 100)
    zero = torch.zeros(1, dtype=torch.float64)
    for sign, q in ((1, device.response.q_plus(zero)), (-1, device.response.q_minus(zero))):
        tile = ohmgrad.Tile(BIG, device, pulsing=ohmgrad.Pulsing("pulse-by-pulse"), seed=3)
        tile.pulse_counts(torch.full(BIG, sign))
        step = sign * tile.weight.double() / (device.dw_min * float(q))
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
    assert "# left out: spread of the slopes" in shown
    assert "retention" in shown
    assert "10.1109/VLSIT.2018.8510648" in shown
    assert Device.from_yaml(shown[: shown.index("figure:")]) == preset("capacitor")
