"""Events: what a tile counts, against what the specification drove, sent and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import Device, Noise, Periphery, SoftBounds, TikiTaka, Tile, convert
from ohmgrad.crossbar import EVENTS
from ohmgrad.crossbar.pair_state import PairState, ResetPairs
from ohmgrad.devices import OneSided, Reference, Retention, Spread
from ohmgrad.kernels import ops
from ohmgrad.kernels.periphery import MAX_DOUBLINGS, NOISY_PERIPHERY
from ohmgrad.kernels.reference import products
from ohmgrad.kernels.reference.trains import update_trains
from ohmgrad.rng import Purpose
from tests.cases import SETTINGS, SPREADS, Setting, factors
from tests.kernels.test_backends import BACKENDS
from tests.updates import product

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, COLS = 7, 11
SOFT = SoftBounds.symmetric(0.6)
PLAIN = Device(SOFT, 0.01, SPREADS["spread"], Noise(0.3))
DEVICES = {
    "plain": PLAIN,
    "reference": Device(SOFT, 0.01, SPREADS["spread"], Noise(0.3), reference=Reference(0.1)),
    "pair": Device(SOFT, 0.01, SPREADS["spread"], Noise(0.3), pair=OneSided(refresh_every=1000)),
}


def counted(tile: Tile, primitive: Callable[[Tile], Any]) -> dict[str, int]:
    """Events of one primitive, those that are not 0."""
    before = tile.events.tolist()
    primitive(tile)
    each = zip(EVENTS, before, tile.events.tolist(), strict=True)
    return {name: after - first for name, first, after in each if after != first}


def by_line(n: Tensor, columns_only: bool = False) -> dict[str, int]:
    """Slots and toggles of counts (rows, cols) that are sent line by line, slot after slot."""
    slots = {}
    for way, lines in (("columns", n.abs().t()), ("rows", n.abs())):
        fires = [sum(1 + int((line > slot).sum()) for slot in range(int(line.max()))) for line in lines]
        slots[way] = (sum(int(line.max()) for line in lines), sum(fires))
    best = slots["columns"] if columns_only else min(slots.values())
    return {"slots": best[0], "line_toggles": best[1]}


def test_names_of_old_events_keep_their_places() -> None:
    """Checkpoints hold events by place."""
    assert EVENTS[:10] == (
        "updates", "pulses_up", "pulses_down", "line_toggles", "slots", "forward_vectors",
        "backward_vectors", "read_columns", "dac", "adc",
    )  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_an_update_counts_what_its_trains_do(setting: Setting, device: str, backend: str) -> None:
    """Slot by slot: a sample takes its bit length, and drives no x-line where no d-line fires at all."""
    tile = Tile((ROWS, COLS), DEVICES[device], pulsing=setting.pulsing, backend=backend, seed=2)
    x, d = factors((ROWS, COLS), setting)
    lr = -setting.pulses * 0.01
    xs, ds, bl = update_trains(x, d, lr, 0.01, setting.pulsing, tile.key, 0)
    found = {"updates": 1, "pulses_up": 0, "pulses_down": 0, "line_toggles": 0, "slots": int(bl.sum())}
    for b in range(len(x)):
        driven = [((xs[:, b] >> slot) & 1, (ds[:, b] >> slot) & 1) for slot in range(31)]
        if not any(bool(down.any()) for _, down in driven):
            continue
        sign = torch.outer(d[b].sign(), x[b].sign()) * torch.tensor(lr).sign()
        for across, down in driven:
            found["line_toggles"] += int(across.sum() + down.sum())
            met = torch.einsum("wr,wc->rc", down.float(), across.float())
            found["pulses_up"] += int(met[sign > 0].sum())
            found["pulses_down"] += int(met[sign < 0].sum())
    assert counted(tile, lambda t: t.pulse(x, d, lr)) == {k: v for k, v in found.items() if v}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", DEVICES)
def test_given_counts_are_counted_line_by_line(device: str, backend: str) -> None:
    n = torch.randint(-3, 4, (ROWS, COLS), generator=torch.Generator().manual_seed(1))
    tile = Tile((ROWS, COLS), DEVICES[device], backend=backend)
    pulses = {"pulses_up": int(n[n > 0].sum()), "pulses_down": -int(n[n < 0].sum())}
    assert counted(tile, lambda t: t.pulse_counts(n)) == {"updates": 1, **pulses, **by_line(n)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_zero_shift_fires_every_line(device: str, backend: str) -> None:
    tile, pairs = Tile((ROWS, COLS), DEVICES[device], backend=backend), 3
    assert counted(tile, lambda t: t.zero_shift(pairs)) == {
        "updates": 2 * pairs,
        "pulses_up": pairs * ROWS * COLS,
        "pulses_down": pairs * ROWS * COLS,
        "slots": 2 * pairs,
        "line_toggles": 2 * pairs * (ROWS + COLS),
    }


@pytest.mark.parametrize("device", DEVICES)
def test_a_reset_is_a_pulse_on_each_element(device: str) -> None:
    tile = Tile(0.3 * torch.randn(ROWS, COLS).clamp(-1, 1), DEVICES[device])
    below, every = int((tile.weight < 0.1).sum()), ROWS * COLS
    up, down = (every, every) if device == "pair" else (below, every - below)
    assert 0 < below < every
    assert counted(tile, lambda t: t.reset(0.1)) == {
        "pulses_up": up, "pulses_down": down, "slots": COLS, "line_toggles": COLS + up + down,
        "rewrite_pulses": up + down, "rewrite_slots": COLS,
    }  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rounds", [1, 2, 20])
@pytest.mark.parametrize("device", ["plain", "reference"])
def test_programming_counts_its_rounds_and_its_reads(device: str, rounds: int, backend: str) -> None:
    """A twin is written by hand: every round reads all columns, the one that finds nothing to do too."""
    reaching = replace(DEVICES[device], spread=Spread(dw_min=0.3))
    tile, twin = (Tile((ROWS, COLS), reaching, backend=backend, seed=4) for _ in range(2))
    goal = torch.linspace(-0.3, 0.3, ROWS * COLS).view(ROWS, COLS)
    reads, found = 0, dict.fromkeys(("updates", "pulses_up", "pulses_down", "slots", "line_toggles"), 0)
    for _ in range(rounds):
        left, held = goal - twin.weight, twin.held
        reads += COLS
        q = torch.where(left >= 0, twin.elements.q_plus(held), twin.elements.q_minus(held))
        n = (left / (0.01 * q)).round().long()
        if not bool(n.any()):
            break
        twin.pulse_counts(n)
        pulses = {"pulses_up": int(n[n > 0].sum()), "pulses_down": -int(n[n < 0].sum())}
        sent = {"updates": 1, **pulses, **by_line(n)}
        found = {name: number + sent[name] for name, number in found.items()}
    assert reads < rounds * COLS or rounds < 20
    found |= {"read_columns": reads, "verify_columns": reads, "dac": reads * COLS, "adc": reads * ROWS}
    expected = {name: number for name, number in found.items() if number}
    assert counted(tile, lambda t: t.program(goal, rounds=rounds)) == expected
    assert torch.equal(tile.weight, twin.weight)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", ["program", "few rounds", "refresh", "nothing full"])
def test_pairs_count_resets_rounds_and_reads(
    what: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every round that the specification wrote is recorded with its pulses, (k,) by cell."""
    device = Device(SOFT, 0.01, SPREADS["spread"], Noise(0.3), pair=OneSided(1, 0.5))
    tile = Tile((ROWS, COLS), device, backend=backend, seed=6)
    rounds: list[tuple[Tensor, Tensor]] = []
    of_cells: list[Tensor] = []
    make, missing = ResetPairs.__init__, ResetPairs.missing

    def made(pairs: Any, arrays: Any, numbers: Any, cells: Tensor) -> None:
        make(pairs, arrays, numbers, cells)
        of_cells.append(cells)

    def recorded(pairs: Any, goal: Tensor) -> Tensor:
        n = missing(pairs, goal)
        rounds.append((of_cells[-1], n))
        return n

    monkeypatch.setattr(ResetPairs, "__init__", made)
    monkeypatch.setattr(ResetPairs, "missing", recorded)
    tile.memory["plus"].view(-1)[[0, 1, COLS + 1, 40]] = 0.5
    tile.memory["minus"].view(-1)[[0, 1, COLS + 1, 40]] = 0.0 if what == "nothing full" else 0.4
    assert isinstance(tile.contents.cell_state, PairState)
    tile.contents.cell_state.refresh_weights(tile.weight)
    tile.contents.mark_synced()
    expected = dict.fromkeys(EVENTS, 0)
    if what in ("program", "few rounds"):
        limit = {"program": 20, "few rounds": 2}[what]
        goal = torch.linspace(-0.2, 0.3, ROWS * COLS).view(ROWS, COLS)
        found = counted(tile, lambda t: t.program(goal, rounds=limit))
        assert (len(rounds) == limit) == (what == "few rounds")
    else:
        none = torch.zeros(ROWS, COLS, dtype=torch.int64)
        found = counted(tile, lambda t: t.pulse_counts(none))
        expected |= {"updates": 1, "read_columns": 2 * COLS, "verify_columns": 2 * COLS}
        assert bool(rounds) == (what == "refresh")
    if rounds:
        cells = rounds[0][0]
        for n in (torch.ones(2, len(cells)).long(), *(torch.stack([n, -n]).clamp(min=0) for _, n in rounds)):
            planes = torch.zeros(2, ROWS * COLS, dtype=torch.int64)
            planes[:, cells] = n
            # both arrays are driven at once: a column takes as many slots as the most on either
            most = planes.view(2, ROWS, COLS).amax((0, 1))
            up, down, slots = int(n[0].sum()), int(n[1].sum()), int(most.sum())
            expected["pulses_up"] += up
            expected["pulses_down"] += down
            expected["slots"] += slots
            expected["line_toggles"] += slots + up + down
            expected["rewrite_pulses"] += up + down
            expected["rewrite_slots"] += slots
        verified = len(rounds) * len({int(cell) % COLS for cell in cells})
        expected["read_columns"] += verified
        expected["verify_columns"] += verified
    expected["dac"], expected["adc"] = expected["read_columns"] * COLS, expected["read_columns"] * ROWS
    assert found == {name: number for name, number in expected.items() if number}


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("scale", [0.1, 3.0, 1e9])
@pytest.mark.parametrize(
    "periphery",
    [Periphery(), NOISY_PERIPHERY, Periphery(out_bound=0.5, bound_management="iterative"),
     Periphery(in_bound=1.0, out_bound=0.5)],
    ids=["perfect", "noisy", "iterative", "bounds"],
)  # fmt: skip
def test_products_count_every_vector_that_is_driven(
    periphery: Periphery, scale: float, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The specification's inputs are recorded, doubling by doubling."""
    driven: list[int] = []
    inputs = products._inputs

    def recorded(x: Tensor, *rest: Any) -> Any:
        driven.append(len(x))
        return inputs(x, *rest)

    monkeypatch.setattr(products, "_inputs", recorded)
    size = {"forward": (COLS, ROWS), "backward": (ROWS, COLS)}[direction]
    vectors = scale * torch.randn(10, size[0], generator=torch.Generator().manual_seed(3))
    start = 0.4 * torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(4)).clamp(-1, 1)
    found = []
    for backend in BACKENDS:
        tile = Tile(start.clone(), PLAIN, periphery=periphery, backend=backend)
        found.append(counted(tile, lambda t: getattr(t, direction)(vectors)))
    total = sum(driven) if driven else 10  # a perfect product needs no circuits to be computed
    expected = {f"{direction}_vectors": 10, "dac": total * size[0], "adc": total * size[1]}
    if total > 10:
        expected["driven_again"] = total - 10
    assert found == [expected, expected]
    if periphery.bound_management == "iterative" and periphery.noise_management == "none" and scale > 1:
        assert total > 10
        assert (total == 10 + 10 * MAX_DOUBLINGS) == (scale == 1e9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", ["plain", "reference"])
def test_reads_and_calibrations_count_their_columns(
    device: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven: list[tuple[int, int]] = []

    def recorded(x: Tensor, matrix: Tensor, *rest: Any) -> Any:
        driven.append((len(x), matrix.shape[1]))
        return analog_product(x, matrix, *rest)

    analog_product = ops.analog_product
    monkeypatch.setattr(ops, "analog_product", recorded)
    tile = Tile((ROWS, COLS), DEVICES[device], periphery=NOISY_PERIPHERY, backend=backend)
    for read, others in (
        (lambda t: t.read([3]), {}),
        (lambda t: t.read([3, 0, 5], 4), {}),
        (lambda t: t.calibrate(2, reads=3), counted(Tile((ROWS, COLS), PLAIN), lambda t: t.zero_shift(2))),
    ):
        driven.clear()
        found = counted(tile, read)
        columns, converted = sum(n for n, _ in driven), sum(n * out for n, out in driven)
        assert columns > 0
        assert found == {**others, "read_columns": columns, "dac": columns * COLS, "adc": converted}


def test_waiting_counts_nothing() -> None:
    device = Device(SOFT, 0.01, retention=Retention(lifetime=10.0, diffusion=0.1))
    tile = Tile(torch.full((ROWS, COLS), 0.3), device)
    assert counted(tile, lambda t: t.wait(5)) == {}
    assert float(tile.weight.max()) < 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_reads_of_write_verify_take_no_random_numbers(backend: str) -> None:
    """Column number k of those read through the periphery has the numbers of k; no two are alike."""
    tile = Tile((ROWS, COLS), PLAIN, periphery=Periphery(out_noise=0.06), backend=backend, seed=8)
    weight, first = tile.weight, 0
    for columns, repeats in (([4], 1), ([4], 1), ([1, 2], 1), ([5], 3), ([4], 1)):
        one = torch.eye(COLS)[columns].repeat(repeats, 1)
        circuits = (Periphery(out_noise=0.06), Purpose.READ_COLUMNS, tile.key, first)
        expected = product(one, weight.t(), *circuits, "reference")[0]
        got = tile.read(columns, repeats)
        torch.testing.assert_close(got, expected.view(repeats, len(columns), ROWS).mean(0).t())
        first += len(one)
        tile.program(weight + 0.05)
    noise = [tile.read([4]) - weight[:, [4]] for _ in range(3)]
    assert float((noise[0] - noise[1]).abs().min()) > 0
    assert float((noise[1] - noise[2]).abs().min()) > 0


def test_states_of_before_an_event_was_counted_are_taken_over() -> None:
    """Ten events, as before driven_again: the others start at 0, and the same random numbers follow."""
    ends = []
    for length in (len(EVENTS), 10):
        torch.manual_seed(0)
        x = torch.randn(5, 6)
        models: list[Any] = [convert(nn.Linear(6, 4), PLAIN, periphery=NOISY_PERIPHERY) for _ in range(2)]
        optimizers = [TikiTaka(model.parameters(), lr=0.1) for model in models]
        models[0](x).square().sum().backward()
        optimizers[0].step()
        state, arrays = models[0].state_dict(), optimizers[0].state_dict()
        state["analog.events"] = state["analog.events"][:, :length]
        (fast,) = [s[0]["fast"] for s in arrays["state"].values() if 0 in s]
        fast["events"] = fast["events"][:length]
        models[1].load_state_dict(state)
        optimizers[1].load_state_dict(arrays)
        for tile in (*models[1].tiles, *optimizers[1].arrays()):
            assert len(tile.events) == len(EVENTS)
            assert not tile.events[length:].any()
        assert sum(optimizers[1].events().values()) > 0
        models[1](x).square().sum().backward()
        optimizers[1].step()
        ends.append((models[1](x).detach(), models[1].weight.detach()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
