"""Operations on stacks: each array is to the bit what the operation does to it alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad.devices import Device, Noise, PowStep, draw
from ohmgrad.errors import InputError
from ohmgrad.kernels import FIDELITIES, Cells, Pulsing, ops
from ohmgrad.kernels.reference.mean import change, mean_counts
from ohmgrad.rng import Key
from tests.cases import CALLABLE_DEVICES, DEVICES, RESPONSES, SPREADS

pytestmark = pytest.mark.usefixtures("one_thread")

AFFINE = [case.device for case in DEVICES[::5]]  # every response, granularity, spread and noise
SPREAD = Device(RESPONSES["soft_skewed"], 0.004, SPREADS["spread"], Noise(0.3))
ALIKE = Device(RESPONSES["soft"], 0.01)
TABLE = Device(PowStep(-0.6, 0.6, 1.5, 1.5), 0.01, SPREADS["spread"])
STACKS: dict[str, tuple[list[Device], str]] = {
    "affine": (AFFINE, "auto"),
    "alike": ([ALIKE] * 3, "auto"),
    "reference": ([SPREAD, ALIKE], "reference"),
    "table": ([SPREAD, TABLE, ALIKE], "auto"),
    "callable": ([CALLABLE_DEVICES[0].device, TABLE, SPREAD], "auto"),
}
SHAPES = [(1, 1), (1, 13), (5, 3), (7, 65)]
STEP = torch.tensor(11)
BIG = 2**31 - 1
NAN = float("nan")


def stack_of(name: str, shape: tuple[int, int]) -> tuple[Cells, list[Cells], Tensor]:
    """Cells of a stack, those of each array by itself, and weights."""
    devices, backend = STACKS[name]
    keys = [Key(5 + t, 9 * t) for t in range(len(devices))]
    cells = Cells.draw(devices, shape, keys, backend)
    single = [Cells.of(draw(d, shape, k), k, backend) for d, k in zip(devices, keys, strict=True)]
    g = torch.Generator().manual_seed(1)
    return cells, single, cells.clip(0.8 * torch.rand(len(devices), *shape, generator=g) - 0.4).float()


def factors(arrays: int, shape: tuple[int, int], shared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """x, d and learning rates: some lines silent, some learning rates 0, changes of up to some 30 pulses."""
    g, samples = torch.Generator().manual_seed(2), 6
    x = torch.randn(1 if shared else arrays, samples, shape[1], generator=g)
    x *= torch.rand(x.shape, generator=g) < 0.7
    d = torch.randn(arrays, samples, shape[0], generator=g)
    d *= torch.rand(d.shape, generator=g) < 0.6
    lr = 0.03 * torch.randn(arrays, generator=g).double()
    lr[1] = 0.0
    return x, d, lr


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", list(STACKS))
@pytest.mark.parametrize("pulsing", [Pulsing(), Pulsing("pulsed", 100, False), Pulsing("pulse-by-pulse")])
def test_updates_are_those_of_each_array(name: str, pulsing: Pulsing, shape: tuple[int, int]) -> None:
    cells, single, w = stack_of(name, shape)
    for shared in (False, True):
        x, d, lr = factors(len(cells), shape, shared)
        events, alone = torch.zeros(len(cells), 4, dtype=torch.int64), w.clone()
        expected = torch.zeros_like(events)
        ops.pulsed_update_(w, cells, x, d, lr, pulsing, STEP, events)
        for t, own in enumerate(single):
            xt = x[0 if shared else t]
            ops.pulsed_update_(alone[t], own, xt, d[t], float(lr[t]), pulsing, STEP, expected[t])
        assert torch.equal(w, alone)
        assert torch.equal(events, expected)
        assert shape == (1, 1) or int(events[:, :2].sum()) > 0


@pytest.mark.parametrize("name", ["affine", "reference", "table"])
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_touched_cells_are_those_of_each_array(name: str, fidelity: Any) -> None:
    cells, single, w = stack_of(name, (5, 7))
    x, d, lr = factors(len(cells), (5, 7), True)
    touched, expected = torch.zeros(2, *w.shape, dtype=torch.bool)
    events = torch.zeros(len(cells), 4, dtype=torch.int64)
    alone = w.clone()
    ops.pulsed_update_(w, cells, x, d, lr, Pulsing(fidelity), STEP, events, touched)
    for t, own in enumerate(single):
        lone = torch.zeros(4, dtype=torch.int64)
        ops.pulsed_update_(
            alone[t], own, x[0], d[t], float(lr[t]), Pulsing(fidelity), STEP, lone, expected[t]
        )
    assert torch.equal(w, alone)
    assert torch.equal(touched, expected)
    assert 0 < int(touched.sum()) < touched.numel()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", list(STACKS))
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_counts_are_those_of_each_array(name: str, fidelity: str, shape: tuple[int, int]) -> None:
    cells, single, w = stack_of(name, shape)
    g = torch.Generator().manual_seed(4)
    for size in (1, len(cells)):
        counts = torch.randint(-9, 10, (size, *shape), generator=g)
        counts *= torch.rand(counts.shape, generator=g) < 0.8
        events, alone = torch.zeros(len(cells), 4, dtype=torch.int64), w.clone()
        expected = torch.zeros_like(events)
        ops.apply_counts_(w, cells, counts, fidelity, STEP, events)
        for t, own in enumerate(single):
            ops.apply_counts_(alone[t], own, counts[t if size > 1 else 0], fidelity, STEP, expected[t])
        assert torch.equal(w, alone)
        assert torch.equal(events, expected)


@pytest.mark.parametrize("name", list(STACKS))
def test_the_dynamics_are_those_of_each_array(name: str) -> None:
    """To the bit in float32; in float64 the reference's, to rounding."""
    cells, single, w = stack_of(name, (5, 7))
    x, d, lr = factors(len(cells), (5, 7), False)
    fine, finer = w.double(), w.double()
    counts = torch.randint(-9, 10, (len(cells), 5, 7), generator=torch.Generator().manual_seed(4))
    alone, events = w.clone(), torch.zeros(len(cells), 4, dtype=torch.int64)
    ops.pulsed_update_(w, cells, x, d, lr, Pulsing("mean"), STEP, events)
    ops.pulsed_update_(fine, cells, x, d, lr, Pulsing("mean"), STEP, events)
    assert not events.any()
    ops.apply_counts_(finer, cells, counts, "mean", STEP)
    for t, own in enumerate(single):
        e, start = own.elements[0], alone[t].double()
        torch.testing.assert_close(fine[t], change(start, e, x[t], d[t], float(lr[t])), atol=1e-7, rtol=0)
        torch.testing.assert_close(finer[t], mean_counts(start, e, counts[t]), atol=1e-7, rtol=0)
        ops.apply_mean_(alone[t], own, x[t], d[t], float(lr[t]))
    assert torch.equal(w, alone)


def test_blocks_of_a_matrix_are_a_stack() -> None:
    """A row of blocks is a strided view, and one learning rate is for all."""
    whole = torch.zeros(6, 28)
    w = whole.view(6, 4, 7).transpose(0, 1)
    cells = Cells.draw([SPREAD] * 4, (6, 7), [Key(1, t) for t in range(4)])
    x, d, _ = factors(4, (6, 7), False)
    events = torch.zeros(4, 4, dtype=torch.int64)
    ops.pulsed_update_(w, cells, x, d, 0.03, Pulsing(), STEP, events)
    ops.apply_counts_(w, cells, torch.ones(1, 6, 7, dtype=torch.int64), "pulsed", STEP)
    for t in range(4):
        alone = torch.zeros(6, 7)
        ops.pulsed_update_(alone, cells.array(t), x[t], d[t], 0.03, Pulsing(), STEP, events[t])
        ops.apply_counts_(alone, cells.array(t), torch.ones(6, 7, dtype=torch.int64), "pulsed", STEP)
        assert torch.equal(whole[:, 7 * t : 7 * t + 7], alone)


@pytest.mark.parametrize("name", ["affine", "table"])
def test_what_does_not_fit_is_refused_and_changes_nothing(name: str) -> None:
    cells, _, w = stack_of(name, (2, 3))
    arrays, before = len(cells), w.clone()
    x, d, lr = torch.ones(1, 4, 3), torch.ones(arrays, 4, 2), torch.full((arrays,), 0.05).double()
    events = torch.zeros(arrays, 4, dtype=torch.int64)

    def with_nan(t: Tensor, *at: int) -> Tensor:
        t = t.clone()
        t[at] = NAN
        return t

    own = x.expand(arrays, -1, -1)
    wrong: list[tuple[Any, Any, Any, str]] = [
        (x[:, :3], d, lr, r"x is \(1, 3, 3\) and d is \(\d+, 4, 2\)"),
        (x, d[1:], lr, r"need x of \(1 or \d+, samples, 3\) and d of \(\d+, samples, 2\)"),
        (x[0], d, lr, "x is"),
        (x, d, lr[1:], r"lr is \(\d+,\), but must be a number or of"),
        (x, d, with_nan(lr, 2), "lr has the value nan in array 2"),
        (with_nan(x, 0, 1, 2), d, lr, "x has the value nan in the lines of all arrays"),
        (with_nan(own, 1, 1, 2), d, lr, "x has the value nan in array 1"),
        (x, with_nan(d, 1, 3, 1), lr, "d has the value nan in array 1"),
    ]
    for weights, how in (
        (w, Pulsing()),
        (w, Pulsing("pulse-by-pulse")),
        (w, Pulsing("mean")),
        (w.double(), Pulsing("mean")),
    ):
        for lines, errors, rates, message in wrong:
            with pytest.raises(InputError, match=message):
                ops.pulsed_update_(weights, cells, lines, errors, rates, how, STEP, events)
        assert torch.equal(weights.float(), before)
    with pytest.raises(InputError, match=r"weights are torch\.float64, but pulses change float32"):
        ops.pulsed_update_(w.double(), cells, x, d, lr, Pulsing(), STEP, events)
    with pytest.raises(InputError, match=r"weights are \(1, 2, 3\), but the cells are"):
        ops.pulsed_update_(w[:1], cells, x, d, lr, Pulsing(), STEP, events)
    one = torch.ones(1, 2, 3, dtype=torch.int64)
    for counts, most, message in (
        (one[0], BIG, "pulse counts are"),
        (one.float(), BIG, "pulse counts are .* torch.float32"),
        (one.expand(2, 2, 3), BIG, "pulse counts are"),
        (7 * one, 6, r"pulse counts reach 7, but must be in \[-6, 6\]"),
    ):
        with pytest.raises(InputError, match=message):
            ops.apply_counts_(w, cells, counts, "pulsed", STEP, events, most)
    assert torch.equal(w, before)
    assert not events.any()


def test_no_samples_change_nothing() -> None:
    cells, _, w = stack_of("affine", (2, 3))
    before, events = w.clone(), torch.zeros(len(cells), 4, dtype=torch.int64)
    for how in FIDELITIES:
        x, d = torch.ones(1, 0, 3), torch.ones(len(cells), 0, 2)
        ops.pulsed_update_(w, cells, x, d, 0.1, Pulsing(how), STEP, events)
    assert torch.equal(w, before)


# --- cells of several arrays -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(STACKS))
def test_cells_hold_what_each_array_has(name: str) -> None:
    cells, single, w = stack_of(name, (5, 7))
    up, down, lower, upper = cells.planes.expand(4, *w.shape)
    plus, minus, point = cells.q_plus(w), cells.q_minus(w), cells.symmetric_point()
    for t, own in enumerate(single):
        e = own.elements[0]
        assert cells.array(t).backend == own.backend
        assert cells.array(t).keys == own.keys
        for plane, of_it in zip((up, down, lower, upper), (e.up, e.down, e.lower, e.upper), strict=True):
            assert torch.equal(plane[t], of_it.expand(5, 7))
        assert torch.equal(plus[t], e.q_plus(w[t]).double().expand(5, 7))
        assert torch.equal(minus[t], e.q_minus(w[t]).double().expand(5, 7))
        assert torch.equal(point[t], e.symmetric_point().double().expand(5, 7))
        assert float(cells.dw_min[t]) == e.dw_min


def test_arrays_of_one_device_without_spread_share_their_elements() -> None:
    keys = [Key(1, t) for t in range(4)]
    cells = Cells.draw([ALIKE, SPREAD, ALIKE, SPREAD], (2, 3), keys)
    assert cells.elements[0] is cells.elements[2]
    assert cells.elements[1] is not cells.elements[3]
    assert Cells.draw([ALIKE] * 1000, (200, 300), [Key(1, t) for t in range(1000)]).planes.numel() == 4000


def test_a_copy_takes_nothing_that_a_back_end_made() -> None:
    cells, _, w = stack_of("affine", (2, 3))
    x, d, lr = factors(len(cells), (2, 3), True)
    ops.pulsed_update_(w, cells, x, d, lr, Pulsing(), STEP, torch.zeros(len(cells), 4, dtype=torch.int64))
    other = copy.deepcopy(cells)
    assert cells.packed
    assert not other.packed
    assert torch.equal(other.planes, cells.planes)
    assert set(vars(copy.deepcopy(cells))) == {"elements", "keys", "backend", "packed", "asked"}
