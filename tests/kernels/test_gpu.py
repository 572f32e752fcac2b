"""The Triton back end is the reference: on a card where there is one, else in Triton's interpreter.

The interpreter takes 50 microseconds for each operation on a block of cells. So there shapes are small, and
some of the cases have to do, without coarse elements that get many pulses, one by one; a card runs all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogLinear,
    AnalogOptimizer,
    AnalogSGD,
    Device,
    InputError,
    Noise,
    Pulsing,
    TikiTaka,
    Tile,
)
from ohmgrad.devices import Elements, Retention, draw
from ohmgrad.kernels import Cells, Periphery, ops
from ohmgrad.kernels.counts import Pulses
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.kernels.reference.trains import coincidences, update_trains
from ohmgrad.rng import Key, Purpose
from tests.cases import (
    COARSE,
    RESPONSES,
    SETTINGS,
    SPREADS,
    BackendCase,
    Setting,
    backend_cases,
    factors,
    start,
)
from tests.kernels.gpu import PLACE, interpreting, needs_triton
from tests.kernels.test_periphery import PERIPHERIES, vectors
from tests.kernels.test_tables import DEVICES as TABULATED

pytestmark = needs_triton

KEY, STEP = Key(3, 2**32 - 4), 7
SHAPES = [(1, 1), (37, 53), (63, 65)] if PLACE == "cuda" else [(5, 13)]
SHAPE = SHAPES[-1]
DEVICE = Device(RESPONSES["soft"], 0.01)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with interpreting():
        yield


def _cells(elements: Elements) -> Cells:
    return Cells.of(elements.to(torch.device(PLACE)), KEY, "triton")


def _step() -> Tensor:
    return torch.tensor(STEP, device=PLACE)


def _events() -> Tensor:
    return torch.zeros(4, dtype=torch.int64, device=PLACE)


def _tabulated_cases() -> list[BackendCase]:
    pairs = zip(itertools.product(TABULATED.items(), SHAPES), itertools.cycle(SETTINGS), strict=False)
    return [
        BackendCase(f"{name}-{shape[0]}x{shape[1]}-{s.name}", d, shape, s) for ((name, d), shape), s in pairs
    ]


def _coarse_cases() -> list[BackendCase]:
    some = [s for s in SETTINGS if s.name in ("one-sample", "sparse")]
    pairs = zip(itertools.product(COARSE, SHAPES), itertools.cycle(some), strict=False)
    return [
        BackendCase(f"{d.name}-{shape[0]}x{shape[1]}-{s.name}", d.device, shape, s) for (d, shape), s in pairs
    ]


def _chosen(cases: list[BackendCase], every: int, wanted: float = 100.0) -> list[BackendCase]:
    """All on a card; else every so many of those that ask for so many pulses, of coarse elements for few."""
    if PLACE == "cuda":
        return cases
    return [c for c in cases if c.setting.pulses <= (5 if "coarse" in c.name else wanted)][::every]


AFFINE_CASES = _chosen(backend_cases(SHAPES), 5)
TABULATED_CASES = _chosen(_tabulated_cases(), 2, 5)
COARSE_CASES = _chosen(_coarse_cases(), 2)


def _update(case: BackendCase) -> tuple[Tensor, Tensor, Tensor]:
    """Weights by Triton and by the reference, and signed counts; events and touched cells are compared."""
    s, dw_min = case.setting, case.device.dw_min
    elements = draw(case.device, case.shape, KEY)
    w = elements.clip(start(case.shape)).contiguous()
    x, d = factors(case.shape, s)
    lr = -s.pulses * dw_min
    pulsing = replace(s.pulsing, order="strict")  # Triton takes all samples in their order
    expected, events = reference.pulsed_update(w, elements, x, d, lr, pulsing, KEY, STEP)
    got, found, touched = (
        w.clone().to(PLACE),
        _events(),
        torch.zeros(case.shape, dtype=torch.bool, device=PLACE),
    )
    x_there, d_there = x.to(PLACE), d.to(PLACE)
    ops.pulsed_update_(got, _cells(elements), x_there, d_there, lr, s.pulsing, _step(), found, touched)
    counts = coincidences(*update_trains(x, d, lr, dw_min, s.pulsing, KEY, STEP)[:2])
    untouched = (counts == 0).all(0)
    assert found.tolist() == events
    assert torch.equal(touched.cpu(), ~untouched)
    assert torch.equal(got.cpu()[untouched], w[untouched])
    return got.cpu(), expected, counts


@pytest.mark.parametrize("case", [*AFFINE_CASES, *TABULATED_CASES], ids=lambda c: c.name)
def test_an_update_is_the_reference(case: BackendCase) -> None:
    """Events exactly; weights to one rounding of float32 per pulse."""
    got, expected, counts = _update(case)
    most = int(counts.abs().sum(0).max())
    assert float((got - expected).abs().max()) <= (4 + most) * 2.0**-24


@pytest.mark.parametrize("case", COARSE_CASES, ids=lambda c: c.name)
def test_coarse_elements_are_the_reference(case: BackendCase) -> None:
    """To rounding of weights up to 3, which steps of up to e = 300 amplify until a bound ends it."""
    got, expected, _ = _update(case)
    assert float((got - expected).abs().max()) <= 2e-4
    assert float(((got - expected).abs() > 1e-5).double().mean()) <= 0.02


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_trains_and_counts_are_the_reference_to_the_bit(setting: Setting) -> None:
    shape, dw_min = (13, 18), 0.002
    elements = draw(Device(RESPONSES["soft"], dw_min), shape, KEY)
    x, d = factors(shape, setting)
    for lr in (-setting.pulses * dw_min, setting.pulses * dw_min)[: 1 + (setting.pulses < 10)]:
        found = []
        for cells, place in ((Cells.of(elements, KEY, "reference"), "cpu"), (_cells(elements), PLACE)):
            step, events = torch.tensor(STEP, device=place), torch.zeros(4, dtype=torch.int64, device=place)
            lines = x.to(place), d.to(place)
            trains = ops.draw_trains(*lines, lr, cells, setting.pulsing, step)
            counts = ops.count_pulses(cells, *lines, lr, setting.pulsing, step, events)
            found.append([t.cpu() for t in (*trains, *map(_dense, counts), events)])
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def _dense(pulses: Pulses) -> Tensor:
    if pulses.cells is None:
        return pulses.n
    return torch.zeros(13 * 18, dtype=torch.int64).index_copy(0, pulses.cells, pulses.n).view(13, 18)


@pytest.mark.parametrize("fidelity", ["pulsed", "mean"])
@pytest.mark.parametrize(
    "name", ["linear_rising", "constant", "pow-spread-multiplicative", "measured-spread"]
)
def test_counts_and_mean_changes_are_the_reference(name: str, fidelity: Any) -> None:
    device = TABULATED.get(name) or Device(RESPONSES[name], 0.01, SPREADS["spread"], Noise(0.3))
    elements = draw(device, SHAPE, KEY)
    w, (x, d) = elements.clip(start(SHAPE)).contiguous(), factors(SHAPE, SETTINGS[1])
    n = torch.randint(-9, 10, SHAPE, generator=torch.Generator().manual_seed(2))
    found = []
    for cells, place in ((Cells.of(elements, KEY, "reference"), "cpu"), (_cells(elements), PLACE)):
        a, b, events = (t.clone().to(place) for t in (w, w, torch.zeros(4, dtype=torch.int64)))
        ops.apply_counts_(a, cells, n.to(place), fidelity, torch.tensor(STEP, device=place), events)
        ops.apply_mean_(b, cells, x.to(place), d.to(place), -0.05)
        found.append((a.cpu(), b.cpu(), events.tolist()))
    (slow, slow_mean, events), (fast, fast_mean, fast_events) = found
    assert float((slow - fast).abs().max()) <= 16 * 2.0**-24
    assert float((slow_mean - fast_mean).abs().max()) <= 1e-6
    assert events == fast_events


def test_numbers_by_cell_and_gradients_are_the_reference() -> None:
    elements = draw(Device(RESPONSES["soft"]), SHAPE, KEY)
    some = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < 0.3
    slow, fast = Cells.of(elements, KEY, "reference"), _cells(elements)
    for where in (None, some, torch.zeros_like(some)):
        there = None if where is None else where.to(PLACE)
        a = ops.random_words(slow, torch.tensor(STEP), Purpose.ROUNDING, where)
        assert torch.equal(a, ops.random_words(fast, _step(), Purpose.ROUNDING, there).cpu())
        z, out = torch.full(SHAPE, 7.0), torch.full(SHAPE, 7.0, device=PLACE)
        ops.normals_(z, slow, torch.tensor(STEP), Purpose.WRITE_NOISE, 3.0, where)
        ops.normals_(out, fast, _step(), Purpose.WRITE_NOISE, 3.0, there)
        torch.testing.assert_close(z, out.cpu(), atol=6e-6, rtol=0)
    x, d = factors(SHAPE, SETTINGS[1])
    g = ops.digital_gradient(x.to(PLACE), d.to(PLACE), fast)
    assert torch.equal(g.cpu(), ops.digital_gradient(x, d, slow))


@pytest.mark.parametrize("name", PERIPHERIES)
def test_products_are_the_reference(name: str) -> None:
    """To rounding, but that a value on the edge between two steps may fall to either side."""
    p, (x, matrix) = PERIPHERIES[name], vectors(30, 13, 18)
    address = Purpose.READ_FORWARD, KEY
    expected, again = ops.analog_product(x, matrix, p, *address, torch.tensor(3), "reference")
    first = torch.tensor(3, device=PLACE)
    got, driven = ops.analog_product(x.to(PLACE), matrix.to(PLACE), p, *address, first, "triton")
    off = (got.cpu() - expected).abs() > 1e-5 * (1 + expected.abs())
    assert float(off.double().mean()) < 5e-3
    assert float((got.cpu() - expected).abs().max()) <= (p.out_step + p.in_step) * float(x.abs().max()) + 1e-5
    assert int(driven) == int(again)
    assert (int(driven) > 0) == (name == "iterative")


def test_half_precision_and_the_split_of_a_batch_change_no_noise() -> None:
    x, matrix = (t.to(PLACE) for t in vectors(9, 13, 18))
    p, address = Periphery(out_noise=0.06, in_noise=0.01), (Purpose.READ_FORWARD, KEY)
    whole, _ = ops.analog_product(x, matrix, p, *address, torch.tensor(100, device=PLACE), "triton")
    parts = [
        ops.analog_product(part, matrix, p, *address, torch.tensor(n, device=PLACE), "triton")[0]
        for part, n in ((x[:4], 100), (x[4:], 104))
    ]
    torch.testing.assert_close(whole, torch.cat(parts), atol=1e-5, rtol=1e-5)
    half, _ = ops.analog_product(x.half(), matrix, p, *address, torch.tensor(100, device=PLACE), "triton")
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), whole, atol=0.01, rtol=0.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("fidelity", ["pulsed", "mean"])
def test_values_that_are_not_finite_change_nothing_and_are_told_of_later(fidelity: Any, value: float) -> None:
    elements = draw(Device(RESPONSES["soft"], 0.01), SHAPE, KEY)
    cells, w, events = _cells(elements), torch.zeros(SHAPE, device=PLACE), _events()
    fine, wrong = (torch.ones(2, SHAPE[1], device=PLACE) for _ in range(2))
    wrong[1, 2] = value
    d = torch.ones(2, SHAPE[0], device=PLACE)
    for x in (wrong, fine):
        ops.pulsed_update_(w, cells, x, d, 0.1, Pulsing(fidelity), _step(), events)
    assert not w.any()
    assert not events.any()
    with pytest.raises(InputError, match="a value of x or d was not finite"):
        ops.check_status(cells)
    ops.check_status(cells)  # told once
    ops.pulsed_update_(w, cells, fine, d, 0.1, Pulsing(fidelity), _step(), events)
    assert bool((w > 0).all())


def test_counts_that_are_too_large_change_nothing() -> None:
    elements = draw(Device(RESPONSES["soft"], 0.01), SHAPE, KEY)
    cells, w, n = _cells(elements), torch.zeros(SHAPE, device=PLACE), torch.ones(SHAPE, device=PLACE).long()
    for fidelity in ("pulsed", "mean"):
        for count in (11, -11, -(2**63), 2**63 - 1):
            n[1, 1] = count
            ops.apply_counts_(w, cells, n, fidelity, _step(), None, 10)
            assert not w.any()
            with pytest.raises(InputError, match="pulse counts were too large"):
                ops.check_status(cells)


@pytest.mark.parametrize("make", [AnalogSGD, partial(TikiTaka, fast_lr=0.05, gamma=0.3)], ids=["sgd", "tiki"])
def test_a_network_is_trained_as_by_numba(make: Any) -> None:
    """Two steps, noisy circuits, write noise and retention: weights to rounding, events exactly."""
    device = Device(
        RESPONSES["soft"], 0.005, SPREADS["spread"], Noise(0.3), write_noise=0.5,
        retention=Retention(lifetime=50.0, diffusion=0.2),
    )  # fmt: skip
    found = []
    for backend, place in (("numba", "cpu"), ("triton", PLACE)):
        torch.manual_seed(0)
        layer = AnalogLinear(13, 5, device, periphery=NOISY_PERIPHERY, backend=backend, seed=2, array=0).to(
            place
        )
        layer(torch.zeros(1, 13, device=place))  # elements follow their weights
        optimizer: AnalogOptimizer = make(layer.parameters(), lr=0.1)
        for x in torch.randn(2, 4, 13).to(place):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
        state = {name: t.cpu() for name, t in layer.state_dict().items() if "card" not in name}
        found.append((state, optimizer.events()))
    (slow, events), (fast, fast_events) = found
    assert events == fast_events
    assert events["pulses_up"] + events["pulses_down"] > 20
    assert slow.keys() == fast.keys()
    for name, t in slow.items():
        torch.testing.assert_close(fast[name], t, atol=2e-6, rtol=1e-5, msg=name)


def test_an_update_of_wrong_values_is_told_of_by_the_tile() -> None:
    tile = Tile(torch.zeros(SHAPE, device=PLACE), DEVICE, backend="triton")
    x, d = torch.ones(1, SHAPE[1], device=PLACE), torch.full((1, SHAPE[0]), float("nan"), device=PLACE)
    for update in (lambda: tile.pulse(x, d, 0.1), lambda: tile.digital_gradient(x, d)):
        update()
        with pytest.raises(InputError, match="was not finite in an update that ran since"):
            tile.count("pulses_up")
        assert tile.count("pulses_up") == 0


def test_a_back_end_for_cards_is_refused_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    elements = draw(Device(RESPONSES["soft"]), (2, 3), KEY)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(InputError, match="runs on a card, but the weights are on the CPU"):
        Cells.of(elements, KEY, "triton")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"need Triton, which is not installed: pip install 'ohmgrad\[gpu\]'"
    ):
        Cells.of(elements, KEY, "triton")
