"""Arrays on boards: what a board gets is what a tile does, to the bit, and what goes wrong is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogSGD,
    Board,
    Device,
    InputError,
    MultiTile,
    Place,
    Pulsing,
    SimulatedBoard,
    SoftBounds,
    TikiTaka,
    Tile,
    convert,
    hold,
    on_boards,
    to_digital,
)
from ohmgrad.export import export_conductances, import_conductances, record_pulses
from ohmgrad.nn import analog_layers
from ohmgrad.optim import calibrate_symmetric_points
from tests.cases import ALGORITHMS
from tests.export.trained import SPREAD, network, step

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = Device(SoftBounds.symmetric(0.6), 0.005)


class Rack:
    """Simulated boards: those of the weights are tiles of a model of the same seed, which has its own."""

    def __init__(self, model: nn.Module) -> None:
        self.tiles = {tile.key.array: tile for _, layer in analog_layers(model) for tile in layer.tiles}
        self.boards: dict[tuple[str, int, int], Any] = {}

    def __call__(self, place: Place) -> Board:
        tile = self.tiles[place.array - place.role]
        board = SimulatedBoard(tile.sibling(place.role) if place.role else tile)
        self.boards[place.layer, place.tile, place.role] = board
        return board


def pair(device: Device = SPREAD, **more: Any) -> tuple[Any, Any, Rack]:
    """A model, the same one on simulated boards, and the boards."""
    settings: dict[str, Any] = {"max_tile": (5, 4), "seed": 3, "periphery": NOISY_PERIPHERY, **more}
    plain, other, inside = (convert(network(), device, **settings) for _ in range(3))
    for (_, one), *others in zip(*map(analog_layers, (plain, other, inside)), strict=True):
        for _, layer in others:  # numbers of arrays that are free are others
            layer.renumber([tile.key.array for tile in one.tiles])
            layer._bound_tiles()
    rack = Rack(inside)
    on_boards(other, rack, program=False)
    return plain, other, rack


@pytest.mark.parametrize("name", ALGORITHMS)
def test_training_on_a_simulated_board_is_that_on_tiles(name: str) -> None:
    """Losses, all arrays and scales, bit for bit, in noisy circuits, with spread, noise and split layers."""
    plain, other, rack = pair()
    one, two = (ALGORITHMS[name](model.parameters()) for model in (plain, other))
    for number in range(4):
        assert step(plain, one, number) == step(other, two, number)
    seen = 0
    for layer, module in analog_layers(plain):
        for i, tile in enumerate(module.tiles):
            for role, array in enumerate([tile, *one.arrays_of(tile).values()]):
                board = rack.boards[layer, i, array.key.array - tile.key.array]
                assert torch.equal(board.tile.weight, array.weight), (layer, i, role)
                seen += 1
    assert seen == len(rack.boards)
    assert torch.equal(plain[0].out_scale, other[0].out_scale)


class Plain:
    """A board as a user writes one: no base class, no shared lines, no counting, one array in memory."""

    def __init__(self, place: Place) -> None:
        self.w, self.place = torch.zeros(place.shape), place
        self.answer: Callable[[Tensor], Any] = torch.clone

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> None:
        self.w += lr * d.t() @ x

    def pulse_counts(self, n: Tensor) -> None:
        self.w += 0.005 * n

    def program(self, target: Tensor, rounds: int) -> Tensor:
        self.w = target + 0.001
        return self.w.clone()

    def read(self, columns: Sequence[int], repeats: int) -> Tensor:
        return self.answer(self.w[:, list(columns)])

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(x @ self.w.t())

    def backward(self, d: Tensor) -> Tensor:
        return d @ self.w


class Plains(dict[tuple[str, int, int], Plain]):
    def __call__(self, place: Place) -> Plain:
        return self.setdefault((place.layer, place.tile, place.role), Plain(place))


def on_plain(module: nn.Module, **more: Any) -> tuple[Any, Plains]:
    model, boards = convert(module, PLAIN, **more), Plains()
    on_boards(model, boards)
    return model, boards


def test_events_are_counted_as_on_tiles() -> None:
    plain, other, _ = pair(periphery=None)
    one, two = (TikiTaka(model.parameters(), lr=0.05, fast_lr=0.1) for model in (plain, other))
    for number in range(4):
        step(plain, one, number)
        step(other, two, number)
    assert one.events() == two.events()
    assert one.events()["pulses_up"] > 100


def test_states_are_read_and_loaded_states_programmed() -> None:
    """What a board does by itself is seen in the next state, and training goes on from there."""
    model, boards = on_plain(nn.Linear(4, 3, bias=False))
    optimizer = TikiTaka(model.parameters(), lr=0.05)
    assert [board.place.role for board in boards.values()] == [0, 1]
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    for board in boards.values():
        board.w.mul_(0.9)  # drift
    states = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    assert torch.equal(states[0]["weight"], boards["", 0, 0].w)
    assert torch.equal(states[1]["state"][0][0]["fast"]["weight"], boards["", 0, 1].w)
    assert torch.allclose(to_digital(model)(torch.ones(1, 4)), model(torch.ones(1, 4)), atol=1e-6)
    kept = {key: board.w.clone() for key, board in boards.items()}
    fresh, others = on_plain(nn.Linear(4, 3, bias=False))
    its = TikiTaka(fresh.parameters(), lr=0.05)
    fresh.load_state_dict(states[0])
    its.load_state_dict(states[1])
    fresh(torch.ones(1, 4))
    for key, board in others.items():
        assert torch.allclose(board.w, kept[key] + 0.001, atol=1e-6)  # as it programs
        assert torch.equal(board.w, fresh.weight if key[2] == 0 else its.arrays()[0].weight)


def test_arrays_that_are_seen_together_are_added_digitally() -> None:
    model, boards = on_plain(nn.Linear(4, 3, bias=False))
    MultiTile(model.parameters(), lr=0.05, tiles=3, gamma=0.5)
    for n, board in enumerate(boards.values()):
        board.w = torch.randn(3, 4, generator=torch.Generator().manual_seed(n))
    w, fine, finer = (board.w for board in boards.values())
    x: Any = torch.randn(5, 4, requires_grad=True)
    y = model(x)
    seen = w + 0.5 * fine + 0.25 * finer
    assert torch.allclose(y, x @ seen.t(), atol=1e-5)
    y.sum().backward()
    assert torch.allclose(x.grad, torch.ones(5, 3) @ seen, atol=1e-5)
    assert torch.allclose(to_digital(model)(x), y, atol=1e-5)
    tile = model.tiles[0]
    columns = torch.tensor([1.0, 0.0, 2.0, -1.0])
    tile.companions = [(columns, tile.companions[0][1])]
    assert torch.allclose(tile.forward(x.detach()), x.detach() @ (w + columns * fine).t(), atol=1e-5)
    assert torch.allclose(tile.backward(torch.ones(1, 3)), torch.ones(1, 3) @ (w + columns * fine), atol=1e-5)


def test_a_convolution_on_boards_is_the_convolution() -> None:
    torch.manual_seed(0)
    conv: Any = nn.Conv2d(2, 4, 3, groups=2, padding=1)
    model, boards = on_plain(conv)
    assert len(boards) == 2
    x = torch.randn(2, 2, 5, 5)
    assert torch.allclose(model(x), to_digital(model)(x), atol=1e-5)
    boards["", 0, 0].w.zero_()
    assert torch.allclose(model(x)[:, :2], conv.bias[:2].view(1, 2, 1, 1).expand(2, 2, 5, 5))


def test_an_optimizer_made_before_has_its_arrays_on_boards_too() -> None:
    model: Any = convert(nn.Linear(4, 3), PLAIN)
    boards = Plains()
    optimizer = TikiTaka(model.parameters(), lr=0.05, fast_lr=0.1)
    for _ in range(3):
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
    on_boards(model, boards)
    fast, scale = optimizer.arrays()[0].weight.clone(), model.out_scale.detach().clone()
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert torch.allclose(boards["", 0, 1].w, fast + 0.001 - 0.1 * 2 * scale.view(3, 1), atol=1e-5)


def test_a_copy_is_on_no_board() -> None:
    model, boards = on_plain(nn.Linear(4, 3))
    optimizer = AnalogSGD(model.parameters(), lr=0.05)
    copies: Any = copy.deepcopy((model, optimizer))
    before = boards["", 0, 0].w.clone()
    copies[0](torch.ones(2, 4)).sum().backward()
    copies[1].step()
    assert torch.equal(boards["", 0, 0].w, before)
    assert copies[0].tiles[0].board is None
    assert model.tiles[0].board is boards["", 0, 0]


def test_conductances_go_to_boards_and_come_back(tmp_path: Any) -> None:
    model, boards = on_plain(nn.Linear(4, 3))
    boards["", 0, 0].w.mul_(0.5)
    held = boards["", 0, 0].w.clone()
    export_conductances(model, tmp_path, g_min=0.0, g_max=1e-5)
    boards["", 0, 0].w.zero_()
    import_conductances(model, tmp_path)
    assert torch.allclose(boards["", 0, 0].w, held + 0.001, atol=1e-6)


def gives(change: Callable[[Tensor], Any]) -> Callable[[Any, Plains], object]:
    def call(model: Any, boards: Plains) -> object:
        boards["", 0, 0].answer = change
        return model(torch.ones(1, 4))

    return call


def held_layer() -> nn.Module:
    model = convert(nn.Linear(4, 3, bias=False), PLAIN)
    hold(model, torch.ones(3, 4, dtype=torch.bool))
    return model


HELD = torch.ones(3, 4, dtype=torch.bool)
REFUSED: dict[str, tuple[Callable[[Any, Any], object], str]] = {
    "shape": (gives(lambda t: t[:, :2]), r"forward of the board gave \(1, 2\), but a tensor of \(1, 3\)"),
    "kind": (gives(lambda t: t.numpy()), "forward of the board gave ndarray, but a tensor"),
    "nan": (gives(lambda t: t / 0 - t / 0), "forward of the board gave a value that is not finite"),
    "hold": (lambda m, b: hold(m, HELD), "cannot be held or calibrated from here"),
    "calibrate": (
        lambda m, b: calibrate_symmetric_points(AnalogSGD(m.parameters(), lr=0.1), 1, weights=True),
        "cannot be held or calibrated",
    ),
    "record": (lambda m, b: record_pulses(m, "nowhere").__enter__(), "is on a board, which alone knows"),
    "held before": (lambda m, b: on_boards(held_layer(), b), "has weights that are held"),
    "held state": (lambda m, b: m.load_state_dict(held_layer().state_dict()), "state has held weights"),
    "range": (lambda m, b: m.weight.data.fill_(0.7) + m(torch.ones(1, 4)), "weight 0.7 is outside"),
    "lacking": (lambda m, b: on_boards(m, cast(Any, id)), "has no pulse, pulse_counts, program, read"),
    "no boards": (lambda m, b: on_boards(m, cast(Any, 3)), "boards is a int, but must be callable"),
    "digital": (lambda m, b: on_boards(nn.Linear(2, 2), b), "no analog layer"),
    "counts": (lambda m, b: m.tiles[0].pulse_counts(torch.full((3, 4), 10**6)), "pulse count"),
    "vectors": (lambda m, b: m.tiles[0].forward(torch.ones(1, 3)), r"needs x of \(samples, 4\)"),
    "column": (lambda m, b: m.tiles[0].read([4]), "column 4 does not exist"),
    "infinite": (lambda m, b: m.tiles[0].pulse(torch.full((1, 4), torch.inf), HELD[:1, :3], 1.0), "finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_told(name: str) -> None:
    call, said = REFUSED[name]
    model, boards = on_plain(nn.Linear(4, 3, bias=False))
    before = boards["", 0, 0].w.clone()
    with pytest.raises(InputError, match=said):
        call(model, boards)
    assert torch.equal(boards["", 0, 0].w, before)


def test_boards_are_of_the_interface() -> None:
    place = Place("", 0, 0, (2, 3), 0)
    assert isinstance(SimulatedBoard(Tile((2, 3), PLAIN)), Board)
    assert isinstance(Plain(place), Board)
    assert not isinstance(object(), Board)
