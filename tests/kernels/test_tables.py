"""Tabulated and measured devices: their tables, their kernels, and the law of their collapse."""

from __future__ import annotations

import gzip
import itertools
import math
import os
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ohmgrad import (
    Custom,
    Device,
    ExpBounds,
    ExpStep,
    InputError,
    LinearStep,
    Measured,
    Noise,
    PiecewiseStep,
    PowStep,
    Pulsing,
    SoftBounds,
    Spread,
    Tile,
)
from ohmgrad.devices import Elements, Table, draw, tabulate
from ohmgrad.devices.measured import MOST_PLACES
from ohmgrad.devices.parabolas import CURVED
from ohmgrad.devices.table import ERROR, TOLERANCE
from ohmgrad.kernels import FIDELITIES
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.kernels.reference.trains import coincidences, update_trains
from ohmgrad.rng import Key
from tests.cases import SETTINGS, SPREADS, TABULATED, Setting, factors, measured, start
from tests.stats import Z as BOUND
from tests.stats import assert_all_within, z_mean_pair, z_variance_pair
from tests.updates import apply_counts_, pulsed_update_

KEY = Key(3, 4)
STEP = 7
NOISES = {"quiet": Noise(), "additive": Noise(0.3), "multiplicative": Noise(0.3, "multiplicative")}
SAMPLE = measured()
SHAPES = Spread(dw_min=0.3, w_max=0.3, w_min=0.3, shape_up=0.3, shape_down=0.1)
DEVICES = {
    **{
        f"{name}-{spread}-{noise}": Device(r, 0.002, SPREADS[spread], NOISES[noise])
        for (name, r), spread, noise in itertools.product(TABULATED.items(), ("alike", "spread"), NOISES)
    },
    "linear-shapes": Device(LinearStep(-0.6, 0.5), 0.002, SHAPES, NOISES["additive"]),
    "pow-shapes": Device(TABULATED["pow"], 0.002, SHAPES, NOISES["multiplicative"]),
    "measured-alike": Device(measured(1), measured(1).dw_min),
    "measured-spread": Device(SAMPLE, SAMPLE.dw_min, SPREADS["spread"]),
}


def table_of(response: Any) -> Table:
    table = tabulate(response)
    assert isinstance(table, Table)
    return table


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TABULATED, "custom"])
def test_the_stated_error_is_met(name: str) -> None:
    """At 10,001 points, none of them a node, against the response itself."""
    own = Custom(lambda w: 1 - torch.exp(3 * w - 2), lambda w: 1 - torch.exp(-3 * w - 2), -0.6, 0.6)
    response = {**TABULATED, "custom": own}[name]
    table = table_of(response)
    w = torch.linspace(response.w_min, response.w_max, 10_003, dtype=torch.float64)[1:-1]
    zero = torch.zeros(1, dtype=torch.float64)
    worst = 0.0
    for down, q in enumerate((response.q_plus, response.q_minus)):
        value, _ = table.tangent(table.q, torch.tensor(0), torch.tensor(down), w)
        worst = max(worst, float(((value - q(w)).abs() / q(zero)).max()))
    assert worst <= 1.05 * table.error + 1e-12  # the error is measured at 7 points an interval
    assert table.error <= ERROR
    coarser = table.intervals // 2
    assert coarser < 64 or table.error > ERROR / 8  # half as many intervals would not do: 4 times the error


def test_a_parabola_predicts_within_its_reach() -> None:
    """From random places, up to the valid radius, the step is known to TOLERANCE of q(0), and what the
    curvature adds to the tangent is at most CURVED of it."""
    for response in TABULATED.values():
        table = table_of(response)
        g = torch.Generator().manual_seed(1)
        w = (torch.rand(4000, generator=g, dtype=torch.float64) * 0.98 + 0.01) * 1.1 - 0.6
        none = torch.zeros(4000, dtype=torch.int64)
        interval, _ = table.interval(w)
        middle = w - table.offset(interval, w) / table.per_weight
        radius = table.valid_radius[0, interval] / table.per_weight
        assert float(radius.min()) >= 0.5 / table.per_weight
        for side, down in itertools.product((-1, 1), (0, 1)):
            away = radius.clamp(max=2.0) * torch.rand(4000, generator=g, dtype=torch.float64)
            to = middle + side * away
            inside = (to > response.w_min) & (to < response.w_max)
            value, _, half = table.parabola(table.curve, none, none + down, interval, to)
            there, _ = table.tangent(table.q, none, none + down, to)
            unit = float((response.q_minus if down else response.q_plus)(torch.zeros(1)))
            assert float(((there - value).abs() / unit)[inside].max()) <= 1.0001 * TOLERANCE
            assert float((half.abs() * away**2 / unit).max()) <= 1.0001 * CURVED
    flat = table_of(Custom(lambda w: 1 - w, lambda w: 1 + w))
    assert bool(torch.isinf(flat.valid_radius).all())


def test_what_has_no_table_says_why() -> None:
    for response in (
        PowStep(gamma_up=0.2),
        Custom(lambda w: 1.0 + (w > 0.3), torch.ones_like),
    ):
        reason = tabulate(response)
        assert isinstance(reason, str)
        assert "are off by" in reason
        assert draw(Device(response), (2, 2), KEY).form == "callable"


# --- families ------------------------------------------------------------------------------------


def test_families_follow_their_laws() -> None:
    w = torch.tensor([-0.5, 0.0, 0.3], dtype=torch.float64)
    z = 2 * 0.244 * w / 1.2 + 0.2425
    exp = ExpStep(-0.6, 0.6)
    torch.testing.assert_close(exp.q_plus(w), 1 - 0.00081 * torch.exp(12.44625 * z))
    torch.testing.assert_close(exp.q_minus(w), 1 - 0.36833 * torch.exp(-12.78785 * z))
    assert float(ExpStep(A_up=0.9, b=0.0).q_plus(torch.tensor(1.0))) == 0.0
    power = PowStep(-0.6, 0.5, 2.0, 1.5, up=1.1)
    torch.testing.assert_close(power.q_plus(w), 1.1 * ((0.5 - w) / 0.5) ** 2)
    torch.testing.assert_close(power.q_minus(w), ((w + 0.6) / 0.6) ** 1.5)
    bounds = ExpBounds(-0.6, 0.5, 2.0, 0.5, down=1.1)
    torch.testing.assert_close(bounds.q_plus(w), (torch.exp(2 * (1 - 2 * w)) - 1) / (math.e**2 - 1))
    torch.testing.assert_close(
        bounds.q_minus(w), 1.1 * (torch.exp(0.5 * (1 + w / 0.6)) - 1) / (math.e**0.5 - 1)
    )
    steps = PiecewiseStep(-1, 1, (2.0, 1.0, 0.0), (1.0, 1.0, 3.0))
    torch.testing.assert_close(steps.q_plus(w), torch.tensor([1.5, 1.0, 0.7], dtype=torch.float64))
    torch.testing.assert_close(steps.q_minus(w), torch.tensor([1.0, 1.0, 1.6], dtype=torch.float64))


@pytest.mark.parametrize("name", [n for n in DEVICES if not n.startswith("measured")])
def test_yaml_round_trip(name: str) -> None:
    again = Device.from_yaml(DEVICES[name].to_yaml())
    assert again == DEVICES[name]
    assert hash(again) == hash(DEVICES[name])


# --- numba is the reference ----------------------------------------------------------------------


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_an_update_is_the_reference(name: str, setting: Setting) -> None:
    """Events exactly, weights to a few roundings of float32 per pulse."""
    shape, device = (37, 53), DEVICES[name]
    elements = draw(device, shape, KEY)
    assert elements.form == "table"
    w = elements.clip(start(shape)).contiguous()
    x, d = factors(shape, setting)
    lr = -setting.pulses * device.dw_min
    expected, events = reference.pulsed_update(w, elements, x, d, lr, setting.pulsing, KEY, STEP)
    got = w.clone()
    assert pulsed_update_(got, elements, x, d, lr, setting.pulsing, KEY, STEP, "numba") == events
    counts = coincidences(*update_trains(x, d, lr, device.dw_min, setting.pulsing, KEY, STEP)[:2])
    most = int(counts.abs().sum(0).max())
    assert float((got - expected).abs().max()) <= (8 + 2 * most) * 2.0**-24
    untouched = (counts == 0).all(0)
    assert torch.equal(got[untouched], w[untouched])


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("density", [0.01, 1.0])
@pytest.mark.parametrize("name", DEVICES)
def test_counts_and_means_are_the_reference(name: str, density: float, fidelity: Any) -> None:
    shape, device = (37, 53), DEVICES[name]
    elements = draw(device, shape, KEY)
    w = elements.clip(start(shape)).contiguous()
    g = torch.Generator().manual_seed(2)
    n = torch.randint(-20, 21, shape, generator=g) * (torch.rand(shape, generator=g) < density)
    x, d = factors(shape, SETTINGS[1])
    ends: list[list[Tensor]] = []
    for backend in ("numba", "reference"):
        one, other = w.clone(), w.clone()
        apply_counts_(one, elements, n, fidelity, KEY, STEP, backend)
        pulsed_update_(other, elements, x, d, -0.05, Pulsing("mean"), KEY, STEP, backend)
        ends.append([one, other])
    assert float((ends[0][0] - ends[1][0]).abs().max()) <= 48 * 2.0**-24
    torch.testing.assert_close(ends[0][1], ends[1][1], atol=2e-6, rtol=0)
    assert torch.equal(ends[0][0][n == 0], w[n == 0])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")  # pyright: ignore
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("name", ["exp-spread-additive", "measured-spread"])
def test_threads_change_no_bit(name: str) -> None:
    shape, ends = (157, 131), []
    x, d = factors(shape, SETTINGS[1])
    elements = draw(DEVICES[name], shape, KEY)
    for threads, fidelity in itertools.product((1, 2), ("pulsed", "mean")):
        torch.set_num_threads(threads)
        w = elements.clip(start(shape)).contiguous()
        pulsed_update_(w, elements, x, d, -0.006, Pulsing(fidelity), KEY, STEP)  # pyright: ignore
        ends.append(w)
    assert torch.equal(ends[0], ends[2])
    assert torch.equal(ends[1], ends[3])


def test_a_tabulated_soft_bound_is_the_affine_one() -> None:
    """To the rounding of the bounds to float32, 2^-25, on moves of up to 0.1; tables go in order."""
    soft = SoftBounds(-0.6, 0.6, 1.2, 0.9)
    own = Custom(soft.q_plus, soft.q_minus, -0.6, 0.6)
    for noise in NOISES.values():
        ends = []
        for response in (soft, own):
            elements = draw(Device(response, 0.001, noise=noise), (19, 18), KEY)
            w = start((19, 18)).double() * 0.8
            x, d = factors((19, 18), SETTINGS[1])
            new, _ = reference.pulsed_update(w, elements, x, d, 0.003, Pulsing(order="strict"), KEY, STEP)
            ends.append(new)
        torch.testing.assert_close(ends[0], ends[1], atol=4e-9, rtol=0)


# --- the law of the collapse ---------------------------------------------------------------------

CHAINS = (200, 100)
LAWS = {
    "exp": Device(ExpStep(-0.6, 0.6), 0.002, noise=Noise(0.3)),
    "pow": Device(PowStep(-0.6, 0.6, 2.0, 2.0), 0.001, noise=Noise(0.5, "multiplicative")),
    "piecewise": Device(TABULATED["piecewise"], 0.001, noise=Noise(1.0)),
    "measured": Device(measured(1), measured(1).dw_min),
}
WAYS = ([3, -3, 5], [12, -4, 9, 9], [20, 20, -31, 20])


def _run(elements: Elements, at: float, way: list[int], fidelity: str, step: int) -> np.ndarray:
    n = torch.tensor(way).view(-1, 1, 1).expand(-1, *CHAINS)
    w = torch.full(CHAINS, at, dtype=torch.float64)
    return reference.apply_counts(w, elements, n, fidelity, KEY, step).numpy().reshape(1, -1)


def _deviations(name: str) -> np.ndarray:
    elements = draw(LAWS[name], CHAINS, KEY)
    z = []
    for (i, way), at in itertools.product(enumerate(WAYS), (-0.35, 0.02, 0.2, 0.45)):
        a, b = (_run(elements, at, way, f, 10 * i + j) for j, f in enumerate(("pulsed", "pulse-by-pulse")))
        z += [z_mean_pair(a, b), z_variance_pair(a, b)]
    return np.concatenate(z)


@pytest.mark.parametrize("name", LAWS)
def test_the_collapse_has_the_moments_of_single_pulses(name: str) -> None:
    """2 x 10^4 chains each. The parabolas' part, at most TOLERANCE/4 of a sample's move, is below 1 s.e."""
    assert_all_within(_deviations(name), 1e-3 / len(LAWS))


def test_a_wrong_slope_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: parabolas that are flat."""
    true = Table.parabola

    def flat(self: Table, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
        value, slope, half = true(self, *args)
        return value, 0 * slope, half

    monkeypatch.setattr(Table, "parabola", flat)
    with pytest.raises(AssertionError):
        assert_all_within(_deviations("pow"), 1e-3 / len(LAWS))


# --- measured devices ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_single_steps_have_the_measured_distribution(backend: str) -> None:
    """10^4 single pulses from a node against the quantiles of the table (Kolmogorov-Smirnov)."""
    device = Device(measured(1), measured(1).dw_min)
    response = device.response
    assert isinstance(response, Measured)
    node = 52
    at = float(np.linspace(-1, 1, 81)[node])
    for down in (0, 1):
        w = torch.full((100, 100), at)
        n = torch.full((100, 100), -1 if down else 1, dtype=torch.int64)
        apply_counts_(w, draw(device, (100, 100), KEY), n, "pulsed", KEY, 5 + down, backend)
        got = (w.double() - at).abs().numpy().ravel() / device.dw_min
        quantiles, p = response.steps[0, down, :, node].numpy(), response.cdf.numpy()
        found: Any = stats.kstest(got, lambda s, q=quantiles, p=p: np.interp(s, q, p))
        assert found.pvalue > 2 * stats.norm.sf(BOUND)


def test_elements_are_drawn_evenly_among_the_devices() -> None:
    """10^4 elements, 3 devices; and each moves by its own device's mean step."""
    elements = draw(Device(SAMPLE, SAMPLE.dw_min), (100, 100), KEY)
    number = np.bincount(elements.which.numpy().ravel(), minlength=3)
    assert stats.chisquare(number).pvalue > 2 * stats.norm.sf(BOUND)
    q = elements.q_plus(torch.zeros(1, 1))
    for k in range(3):
        assert torch.allclose(q[elements.which == k].double(), SAMPLE.mean[k, 0, 40], rtol=1e-6)


DATA = Path(os.environ.get("OHMGRAD_DATA", "")) / "devices" / "cross-sim"
has_data = pytest.mark.skipif(
    not (os.environ.get("OHMGRAD_DATA") and DATA.is_dir()), reason="OHMGRAD_DATA names no tables"
)


def test_an_array_says_of_how_many_devices_it_is() -> None:
    assert "3 measured devices, pulsed" in repr(Tile((2, 2), Device(SAMPLE, SAMPLE.dw_min)))
    assert "3 measured devices, d2d spread" in repr(Tile((2, 2), DEVICES["measured-spread"]))
    one = repr(Tile((2, 2), DEVICES["measured-alike"]))
    assert "alike" in one
    assert "devices" not in one


def test_places_that_kernels_cannot_tell_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 devices of 81 conductances have 486 places; the last two of 2^24 + 2 have one float32."""
    assert np.float32(MOST_PLACES) == np.float32(MOST_PLACES + 1)
    assert len(np.unique(np.arange(MOST_PLACES - 4, MOST_PLACES, dtype=np.float32))) == 4
    monkeypatch.setattr("ohmgrad.devices.measured.MOST_PLACES", 487)
    assert measured().devices == 3
    monkeypatch.setattr("ohmgrad.devices.measured.MOST_PLACES", 486)
    with pytest.raises(InputError, match=r"3 devices of 81 conductances have 486 places .* fewer than 486"):
        measured()


@has_data
def test_published_tables_are_read() -> None:
    enode = Measured.from_crosssim(DATA / "enode_dG_increasing.txt.gz", DATA / "enode_dG_decreasing.txt.gz")
    many, taox = (Measured.from_npz(DATA / f) for f in ("enode_9_devices.npz", "taox_41_devices.npz"))
    assert (enode.devices, many.devices, taox.devices) == (1, 9, 41)
    with np.load(DATA / "enode_9_devices.npz") as file:  # its means are those over the whole distribution
        span = (file["G"][:, -1] - file["G"][:, 0]) / 2
        mean = file["mean_inc"] / span[:, None] / many.dw_min
    assert float((many.mean[:, 0] - torch.from_numpy(mean)).abs().max()) < 0.02
    for response in (enode, many, taox):
        tile = Tile((9, 8), Device(response, response.dw_min), seed=1)
        assert tile.cells.backend == "numba"
        tile.pulse(*factors((9, 8), SETTINGS[1]), 0.1)
        assert torch.equal(tile.weight, tile.elements.clip(tile.weight))
        assert bool(tile.weight.any())
    assert many.pick([2]).devices == 1
    one = many.pick([2])
    torch.testing.assert_close(one.mean[0] * one.dw_min, many.mean[2] * many.dw_min, atol=0, rtol=1e-12)


def test_a_crosssim_file_is_read(tmp_path: Path) -> None:
    for name, sign in (("up", 1), ("down", -1)):
        rows = ["header", "1, 2, 3", "0, 0.5, 1"] + [
            f"{sign * k}e-2,{sign * k}e-2,{sign * k}e-2" for k in (1, 2, 3)
        ]
        (tmp_path / f"{name}.txt.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    got = Measured.from_crosssim(tmp_path / "up.txt.gz", tmp_path / "down.txt.gz")
    assert got.dw_min == pytest.approx(0.02)
    assert got.steps[0, 0, :, 1].tolist() == pytest.approx([0.5, 1.0, 1.5])
    (tmp_path / "short.txt").write_text("header\n1,2,3\n0,1\n1,1,1\n")
    with pytest.raises(InputError, match="3 rows below its header, but a CrossSim table has"):
        Measured.from_crosssim(tmp_path / "short.txt", tmp_path / "down.txt.gz")


G, P = [0.0, 1.0, 2.0], [0.0, 1.0]
UP, DOWN = np.full((2, 3), 0.1), np.full((2, 3), -0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PowStep(gamma_up=0.0), r"gamma_up is 0.0, but must be a number in \(0, 20\]"),
        (lambda: ExpStep(up=-1.0), "up is -1.0"),
        (lambda: ExpBounds(gamma_up=0.0), r"gamma_up is 0.0, but must be a number in \(0, 10\]"),
        (lambda: Device(ExpStep(A_up=1.0)), "the response's step up at w = 0 is 0"),
        (lambda: PiecewiseStep(nodes_up=(1.0,)), "nodes_up is .* but must be 2 to 1025 numbers"),
        (lambda: PiecewiseStep(nodes_up=(1.0, 2.0)), "nodes_up has 2 values and nodes_down 3"),
        (lambda: PiecewiseStep(nodes_up=(1.0, -2.0, 0.0)), "a value of nodes_up is -2.0"),
        (lambda: Measured(G, P, UP[:, :2], DOWN), r"increasing has the shape \(1, 2, 2\), but"),
        (lambda: Measured(G[::-1], P, UP, DOWN), "conductance must have at least 3 values a device"),
        (lambda: Measured(G, [0.1, 1.0], UP, DOWN), "cdf must be one row"),
        (lambda: Measured(G, P, UP * np.nan, DOWN), "increasing has a value that is not finite"),
        (lambda: Measured(G, P, DOWN, UP), "the mean step of a pulse up at w = 0 is -0.1"),
        (lambda: Measured(G, P, "x", DOWN), "increasing is not an array of numbers"),
        (lambda: Measured.from_npz("/nowhere.npz"), "/nowhere.npz cannot be read"),
        (lambda: SAMPLE.pick([7]), "device 7 does not exist: this set has 0 to 2"),
        (lambda: SAMPLE.pick([]), "no device was picked"),
        (lambda: Device(SAMPLE), "dw_min is 0.001, but the measured step at w = 0 is"),
        (lambda: Device(SAMPLE, SAMPLE.dw_min, noise=Noise(0.3)), "noise has std 0.3, but the measured"),
        (lambda: Device(SAMPLE, SAMPLE.dw_min).to_yaml(), "Measured is made of measured tables"),
    ],
)  # fmt: skip
def test_wrong_input_is_named(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
