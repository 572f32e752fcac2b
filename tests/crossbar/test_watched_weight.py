"""Weights that somebody writes: seen in whatever way they were written, and kept within their bounds."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, parametrizations, prune, vector_to_parameters
from torch.optim.swa_utils import AveragedModel

import ohmgrad
from ohmgrad import AnalogSGD, Device, InputError, Noise, SoftBounds, Spread, TikiTaka
from ohmgrad.crossbar.memory_state import MemoryState
from ohmgrad.kernels import ops
from tests.cases import MEMORIES

pytestmark = pytest.mark.usefixtures("one_thread")

DW = 0.002
SPREAD = Spread(dw_min=0.3, w_max=0.3, w_min=0.3)
DEVICES: dict[str, dict[str, Any]] = {"plain": {}, **MEMORIES}


def device(**parts: Any) -> Device:
    return Device(SoftBounds.symmetric(0.6), DW, SPREAD, Noise(0.3), **parts)


def layer(rows: int = 12, cols: int = 10, max_tile: Any = None, **parts: Any) -> Any:
    torch.manual_seed(0)
    return ohmgrad.convert(nn.Linear(cols, rows, bias=False), device(**parts), max_tile=max_tile, seed=1)


def in_place(m: Any, w: Tensor) -> None:
    with torch.no_grad():
        m.weight.copy_(w)


def in_its_data(m: Any, w: Tensor) -> None:
    m.weight.data.copy_(w)


def in_numpy(m: Any, w: Tensor) -> None:
    np.copyto(m.weight.detach().numpy(), w.numpy())


def replaced(m: Any, w: Tensor) -> None:
    m.weight.data = w.clone()


def transposed(m: Any, w: Tensor) -> None:
    m.weight.data = w.t().contiguous().t()


def as_a_vector(m: Any, w: Tensor) -> None:
    values = parameters_to_vector(m.parameters()).detach().clone()
    values[: w.numel()] = w.flatten()
    vector_to_parameters(values, m.parameters())


def new_parameter(m: Any, w: Tensor) -> None:
    m.weight = nn.Parameter(w.clone())


def loaded(m: Any, w: Tensor) -> None:
    m.load_state_dict({"weight": w, "out_scale": m.out_scale.detach()}, strict=False)


def edited_state(m: Any, w: Tensor) -> None:
    m.load_state_dict({**m.state_dict(), "weight": w})


WRITES: dict[str, Callable[[Any, Tensor], None]] = {
    "no_grad": in_place,
    "data": in_its_data,
    "data-replaced": replaced,
    "data-strided": transposed,
    "vector_to_parameters": as_a_vector,
    "numpy": in_numpy,
    "new-parameter": new_parameter,
    "load_state_dict": loaded,
    "edited-state": edited_state,
}


def idle_step(m: Any, optimizer: Any) -> None:
    """A step without a gradient."""
    optimizer.zero_grad()
    (m(torch.ones(1, m.in_features)).sum() * 0).backward()
    optimizer.step()


def within(m: Any, w: Tensor) -> list[Tensor]:
    """`w` as the elements of every tile can hold it; stuck ones where they are."""
    found = []
    for tile in m.tiles:
        state = tile.contents.cell_state
        part = state.nearest(tile.part_of(w).clone())
        if isinstance(state, MemoryState):
            array, offset = state.array, tile.memory.get("reference", torch.zeros(tile.shape))
            part.view(-1)[array.stuck] = array.stuck_value - offset.view(-1)[array.stuck]
        found.append(part)
    return found


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("max_tile", [None, (7, 6)], ids=["whole", "split"])
def test_written_weights_are_taken_over_and_kept_within_bounds(name: str, write: str, max_tile: Any) -> None:
    m = layer(max_tile=max_tile, **DEVICES[name])
    optimizer = AnalogSGD(m.parameters(), lr=1e-6)
    idle_step(m, optimizer)
    w = torch.rand(12, 10, generator=torch.Generator().manual_seed(3)) * 1.18 - 0.59
    WRITES[write](m, w)
    m(torch.ones(1, 10))
    wanted = within(m, w)
    assert any(not torch.equal(part, tile.part_of(w)) for part, tile in zip(wanted, m.tiles, strict=True))
    if write == "new-parameter":
        with pytest.raises(InputError, match="got a new weight after this optimizer was made"):
            optimizer.step()
        optimizer = AnalogSGD(m.parameters(), lr=1e-6)
    free = "stuck" not in DEVICES[name] or "pair" not in DEVICES[name]  # a pair with one stuck is where it is
    for tile, part in zip(m.tiles, wanted, strict=True):
        close = (tile.weight - part).abs() < 1e-6
        assert bool(close.all()) if free else float(close.float().mean()) > 0.6
    before = m.weight.detach().clone()
    idle_step(m, optimizer)  # nothing comes back but what time does: drift by a few percent, noise
    quiet = not {"retention", "read_noise"} & {*DEVICES[name]}
    assert float((m.weight - before).abs().max()) <= (0.0 if quiet else 0.15)
    assert [tile.count("updates") for tile in m.tiles] == [2] * len(m.tiles)


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("write", WRITES)
def test_weights_outside_the_range_are_refused_and_stay_as_written(name: str, write: str) -> None:
    m = layer(**DEVICES[name])
    idle_step(m, AnalogSGD(m.parameters(), lr=1e-6))
    memory = copy.deepcopy(m.tiles[0].memory)
    w = m.weight.detach().clone()
    w[2, 3] = 5.0

    def write_and_use() -> None:
        WRITES[write](m, w)
        m(torch.ones(1, 10))

    for _ in range(2):
        with pytest.raises(InputError, match=r"weight 5 is outside the device's range \[-0.6, 0.6\]"):
            write_and_use()
    assert all(torch.equal(value, m.tiles[0].memory[key]) for key, value in memory.items())
    WRITES[write](m, w.clamp(-0.5, 0.5))
    m(torch.ones(1, 10))


def test_a_primitive_sees_writes_too() -> None:
    for work in (
        lambda t: t.pulse(torch.zeros(1, 10), torch.zeros(1, 12), 0.1),
        lambda t: t.pulse_counts(torch.zeros(12, 10, dtype=torch.int64)),
    ):
        for parts in DEVICES.values():
            m = layer(**parts)
            m.weight.data.fill_(0.59)
            work(m.tiles[0])
            assert float((m.weight.detach() - within(m, torch.full((12, 10), 0.59))[0]).abs().median()) < 1e-6
            m.weight.data[0, 0] = 5.0
            with pytest.raises(InputError, match="weight 5 is outside"):
                work(m.tiles[0])


def test_large_arrays_see_writes_of_all_cells_and_with_a_memory_of_one() -> None:
    plain, noisy = layer(300, 200), layer(300, 200, write_noise=0.5)
    for m, cells in ((plain, (slice(None), slice(None))), (noisy, (217, 133))):
        m(torch.ones(1, 200))
        m.weight.data[cells] = 5.0
        with pytest.raises(InputError, match="weight 5 is outside"):
            m(torch.ones(1, 200))


def fingerprint(bits: np.ndarray, every: int) -> int:
    """Of weights with these bits, uint32 (rows, cols)."""
    return ops.fingerprint_of(torch.from_numpy(bits.view(np.float32)), every)()


def test_a_fingerprint_sees_every_cell_every_bit_and_the_order() -> None:
    g = np.random.default_rng(0)
    bits = g.integers(0, 2**32, (9, 83), dtype=np.uint32)
    first = fingerprint(bits, 1)
    seen = {first}
    for row, col in np.ndindex(*bits.shape):
        for bit in (0, 22, 23, 30, 31):
            other = bits.copy()
            other[row, col] ^= np.uint32(1 << bit)
            seen.add(fingerprint(other, 1))
    assert len(seen) == 1 + 5 * bits.size  # two of 4000 agree by chance in 4e-13 of all cases
    for other in (bits ^ np.uint32(1 << 31), bits[::-1].copy(), bits[:, ::-1].copy(), np.roll(bits, 1, 1)):
        assert fingerprint(other, 1) != first
    assert fingerprint(np.zeros_like(bits), 1) != fingerprint(np.full_like(bits, 1 << 31), 1)
    assert fingerprint(np.asfortranarray(bits)[:, :], 1) == first
    wide = np.pad(bits, ((2, 3), (1, 4)))
    assert fingerprint(wide[2:-3, 1:-4], 1) == first


@pytest.mark.parametrize("every", [3, 5, 9])
def test_a_part_of_the_cells_is_spread_over_rows_and_columns(every: int) -> None:
    shape = (70, 64 * 12)
    bits = np.zeros(shape, np.uint32)
    before = fingerprint(bits, every)
    seen = np.zeros((70, 12), bool)
    for row, stretch in np.ndindex(*seen.shape):
        bits[row, 64 * stretch + 17] = 1
        seen[row, stretch] = fingerprint(bits, every) != before
        bits[row, 64 * stretch + 17] = 0
    assert abs(seen.mean() * every - 1) < 0.1
    assert seen.any(0).all()
    assert seen.any(1).all()


# --- weights that are no longer the layer's own --------------------------------------------------


def two() -> Any:
    return ohmgrad.convert(nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]), device())


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("max_tile", [None, (2, 3)])
def test_weights_tied_after_convert_are_refused(first: int, max_tile: Any) -> None:
    m: Any = ohmgrad.convert(nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]), device(), max_tile=max_tile)
    m[1 - first].weight = m[first].weight
    with pytest.raises(InputError, match="two analog layers share one weight"):
        m[1](m[0](torch.ones(1, 4)))
    m[1 - first].weight = nn.Parameter(m[first].weight.detach().clone())
    m[1](m[0](torch.ones(1, 4)))


def test_one_layer_used_twice_gets_both_shares() -> None:
    m = two()
    m[1] = m[0]
    optimizer = AnalogSGD(m.parameters(), lr=0.1)
    m[1](m[0](torch.ones(1, 4))).sum().backward()
    optimizer.step()
    assert m[0].tiles[0].count("updates") == 1
    assert m[0].tiles[0].count("forward_vectors") == 2


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    "change",
    [
        parametrizations.spectral_norm,
        parametrizations.weight_norm,
        nn.utils.weight_norm,
        lambda one: prune.l1_unstructured(one, "weight", 0.3),
    ],
    ids=["spectral_norm", "weight_norm", "old-weight_norm", "prune"],
)
def test_weights_that_are_computed_are_refused(change: Any) -> None:
    m = two()
    change(m[0])
    with pytest.raises(InputError, match="not a parameter but computed from others: undo that"):
        m[0](torch.ones(1, 4))
    m[1](torch.ones(1, 4))


# --- copies that others make ---------------------------------------------------------------------


@pytest.mark.parametrize("name", DEVICES)
def test_an_average_of_the_weights_is_what_products_see(name: str) -> None:
    m = layer(**DEVICES[name])
    average = AveragedModel(m, avg_fn=lambda old, new, n: old.lerp(new, 0.5))
    optimizer, wanted = AnalogSGD(m.parameters(), lr=0.1), m.weight.detach().clone()
    for i in range(3):
        optimizer.zero_grad()
        m(torch.linspace(-1, 1, 20).view(2, 10)).square().sum().backward()
        optimizer.step()
        average.update_parameters(m)
        wanted = m.weight.detach().clone() if not i else wanted.lerp(m.weight.detach(), 0.5)
    y = average(torch.eye(10))
    seen: Any = average.module
    part = within(seen, wanted)[0]
    close = (seen.weight.detach() - part).abs() < 1e-6
    assert bool(close.all()) if "pair" not in name else float(close.float().mean()) > 0.6
    torch.testing.assert_close(y, (seen.weight * seen.out_scale[:, None]).t())
    assert not torch.equal(seen.weight, m.weight)
    idle_step(m, optimizer)
    assert torch.equal(average(torch.eye(10)), y)


def test_a_model_goes_to_meta_and_back() -> None:
    for parts in DEVICES.values():
        m = layer(**parts)
        optimizer = TikiTaka(m.parameters(), lr=0.1, fast_lr=0.1, gamma=0.3)
        idle_step(m, optimizer)
        state, y = copy.deepcopy(m.state_dict()), m(torch.eye(10))
        m.to("meta")
        with pytest.raises(
            InputError, match=r"on meta, without weights: call model.to_empty\(device='cpu'\)"
        ):
            m(torch.eye(10))
        m.to_empty(device="cpu")
        m.load_state_dict(state)
        assert torch.equal(m(torch.eye(10)), y)


def test_an_average_of_weights_that_an_optimizers_arrays_add_to_says_so() -> None:
    m = layer()
    optimizer = TikiTaka(m.parameters(), lr=0.1, fast_lr=0.1, gamma=0.5)
    pair: Any = copy.deepcopy((m, optimizer))
    average = AveragedModel(m)
    for one in (m, pair[0]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            in_place(one, torch.full((12, 10), 0.1))
            one(torch.ones(1, 10))
    for _ in range(2):
        average.update_parameters(m)
    with pytest.warns(UserWarning, match=r"an optimizer \(gamma > 0\) add to them stayed: average or copy"):
        average(torch.ones(1, 10))


@pytest.mark.parametrize("what", ["calibrate", "hold"])
def test_a_single_cell_is_seen_once_elements_hold_more_than_weights(what: str) -> None:
    """Of 40,000 weights, which were looked at in parts before, where most cells are not."""
    m = layer(200, 200)
    m(torch.zeros(1, 200))
    tile = m.tiles[0]
    if what == "calibrate":
        tile.calibrate(1)
    else:
        tile.hold(torch.ones(tile.shape, dtype=torch.bool))
    one = torch.full((1, 200), 1e-3)
    for cell in range(0, 40_000, 3_999):
        m.weight.data.view(-1)[cell] = 0.0123
        tile.pulse(one, one, 1e-9)
        assert float(tile.weight.view(-1)[cell]) == pytest.approx(0.0123, abs=2e-6)
