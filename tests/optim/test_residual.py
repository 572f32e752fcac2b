"""Residual learning, many arrays, and tracking of the symmetric point: recursions and what they are for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import (
    AnalogLinear,
    ChoppedSPTracking,
    ConstantStep,
    Device,
    InputError,
    MultiTile,
    Noise,
    Periphery,
    Pulsing,
    ResidualLearning,
    ResidualLearningV2,
    SoftBounds,
    Spread,
    SPTracking,
    TikiTaka,
    Tile,
)
from ohmgrad.optim.transfer import next_columns, program_columns
from tests.stats import assert_mean, assert_share

FINE = Device(ConstantStep(-50, 50), dw_min=1e-6)
MEAN = Pulsing("mean")
ROWS, COLS = 3, 5


def train(
    make: Callable[..., Any], steps: int
) -> Iterator[tuple[Any, Any, Tensor, Callable[[Tensor], Tensor]]]:
    """Least squares y = x W^T on an ideal device; yields, before every step, the layer, the optimizer, x
    and the output gradients at given weights; takes the step when asked to go on."""
    torch.manual_seed(5)
    layer = AnalogLinear(COLS, ROWS, FINE, bias=False, pulsing=MEAN, array=0)
    layer.out_scale.requires_grad_(False)
    optimizer = make(layer.parameters())
    x = torch.zeros(0)
    for _ in range(steps):
        x, y = torch.randn(7, COLS), torch.randn(7, ROWS)
        yield layer, optimizer, x, lambda w, x=x, y=y: 2 * (x @ w.t() - y)
        optimizer.zero_grad()
        (layer(x) - y).square().sum().backward()
        optimizer.step()
    yield layer, optimizer, x, lambda w: w


def arrays(layer: Any, optimizer: Any) -> dict[str, Tensor]:
    """Weights of all arrays of a layer, and the digital tensors of the algorithm."""
    state = optimizer.state[layer.weight][0]
    found = {n: v["weight"] if isinstance(v, dict) else v for n, v in state.items() if n != "updates"}
    return {"W": layer.weight.detach(), **found}


def assert_close(got: Tensor, expected: Tensor) -> None:
    """Steps of 1e-6 and float32, over a few dozen updates."""
    torch.testing.assert_close(got, expected, atol=3e-5, rtol=1e-4)


COLUMNS = [{}, {"columns": 2}, {"columns": None}, {"columns": 9}, {"transfer_every": 3, "columns": 2}]


def due(t: int, o: dict[str, Any]) -> list[int]:
    """Columns that move after update t (1, 2, ...)."""
    every, columns = o.get("transfer_every", 1), o.get("columns", 1)
    if t % every:
        return []
    some = COLS if columns is None else min(columns, COLS)
    return [((t // every - 1) * (columns or 0) + i) % COLS for i in range(some)]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("options", COLUMNS, ids=str)
def test_residual_learning_is_its_recursion(options: dict[str, Any], version: int) -> None:
    make = ResidualLearning if version == 1 else ResidualLearningV2
    run = train(lambda p: make(p, lr=0.02, beta=0.2, gamma=0.5, **options), 20)
    P, H, W = torch.zeros(ROWS, COLS), torch.zeros(ROWS, COLS), None
    for t, (layer, optimizer, x, d_of) in enumerate(run, 1):
        now = arrays(layer, optimizer)
        W = now["W"].clone() if W is None else W
        assert_close(now["W"], W)
        assert_close(now["fast"], P)
        P = P - 0.02 * d_of(W + 0.5 * P).t() @ x if t <= 20 else P
        for j in due(t, options):
            H[:, j] = 0.8 * H[:, j] + 0.2 * P[:, j]
            W[:, j] += 0.2 * (P if version == 1 else H)[:, j]


@pytest.mark.parametrize(("beta", "dies"), [(0.02, True), (0.1, False)])
def test_version_2_swings_where_its_average_is_slow(beta: float, dies: bool) -> None:
    """Curvature 1, G = 0, 2 columns in turn: the limit is beta = 2 alpha gamma^2 / (1 - gamma) = 0.053."""
    layer = AnalogLinear(2, 3, Device(ConstantStep(-1, 1), 5e-4), bias=False, pulsing=MEAN)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    layer.weight.data.zero_()
    optimizer = ResidualLearningV2(layer.parameters(), lr=0.1, beta=beta)
    far: list[float] = []
    for _ in range(2000):
        optimizer.zero_grad()
        y = layer(torch.eye(2))
        (y - 0.4).square().sum().div(2).backward()
        optimizer.step()
        far.append(float((y.detach() - 0.4).abs().max()))
    assert max(far[:200]) > 0.3
    assert (max(far[-200:]) < 0.01) == dies
    assert dies or max(far[-200:]) > 0.3


def test_version_2_spares_w_what_is_below_a_step() -> None:
    """With a granularity of 0.05, filtered residuals below it do not reach W."""
    layer = AnalogLinear(4, 2, Device(ConstantStep(-1, 1), dw_min=0.05), bias=False, pulsing=MEAN)
    optimizer = ResidualLearningV2(layer.parameters(), lr=0.1, beta=0.5, columns=None)
    state = optimizer.state[layer.weight][0]
    layer.weight.data.zero_()
    for row, residual in enumerate((0.09, 0.11)):  # their averages: 0.045 and 0.055 at the first read
        state["fast"]["weight"][row] = residual
    layer(torch.zeros(1, 4)).sum().backward()
    optimizer.step()
    assert_close(layer.weight.detach(), torch.tensor([[0.0] * 4, [0.5 * 0.055] * 4]))


@pytest.mark.parametrize("options", [
    {}, {"tiles": 2}, {"tiles": 5, "inner": 2}, {"columns": None, "inner": 1},
    {"columns": 2, "transfer_every": 1}, {"tiles": 4, "warm_start": 6, "inner": 2},
    {"tiles": 4, "inner": 2, "beta_ratio": 1.5},
], ids=str)  # fmt: skip
def test_multi_tile_is_its_recursion(options: dict[str, Any]) -> None:
    o = {
        "tiles": 3,
        "transfer_every": 2,
        "inner": 5,
        "columns": 1,
        "warm_start": 0,
        "beta_ratio": 1.0,
        **options,
    }
    steps, last = 40, o["tiles"] - 1
    run = train(lambda p: MultiTile(p, lr=0.02, beta=0.3, gamma=0.4, **options), steps)
    A: list[Tensor] = [torch.zeros(ROWS, COLS) for _ in range(o["tiles"])]

    def move(source: int, into: int, t: int, every: int, rate: float = 0.3) -> None:
        for j in due(t, {"transfer_every": every, "columns": o["columns"]}):
            A[into][:, j] += rate * A[source][:, j]

    for t, (layer, optimizer, x, d_of) in enumerate(run, 1):
        now = arrays(layer, optimizer)
        A[0] = now["W"].clone() if t == 1 else A[0]
        for n, array in enumerate(A):
            assert_close(now["W" if n == 0 else f"tile_{n}"], array)
        if t > steps:
            break
        seen = sum(0.4**n * array for n, array in enumerate(A))
        assert isinstance(seen, Tensor)
        A[last] = A[last] - 0.02 * d_of(seen).t() @ x
        warm = t - last * o["warm_start"]
        if warm <= 0:
            move(last, (t - 1) // o["warm_start"], t, o["transfer_every"])
            continue
        for level in range(last):
            every = o["transfer_every"] * o["inner"] ** level
            if warm % every == 0:
                move(last - level, last - level - 1, warm, every, 0.3 * o["beta_ratio"] ** level)


def test_a_warm_start_until_plateaus_fills_the_arrays_in_turn() -> None:
    """The first four turns end with a loss above the one before, the fifth when two of the last five are."""
    layer = AnalogLinear(1, 1, Device(ConstantStep(-1, 1), dw_min=0.01), bias=False, pulsing=MEAN)
    optimizer = MultiTile(layer.parameters(), lr=0.1, tiles=7, transfer_every=1, warm_start="plateau")
    # loss of an epoch, and the array that W_N moves into in the next; -1 is none: all move
    falls = [
        (9.0, 0, (8.0,)), (8.5, 1, (7.0, 6.0, 5.0, 4.0)), (4.5, 2, (4.4, 4.3, 4.2, 4.1)),
        (4.2, 3, (4.1, 4.0, 3.9, 3.8)), (3.9, 4, (3.7, 3.6)), (3.65, 5, ()), (3.5, -1, (3.4,)),
    ]  # fmt: skip
    epochs = [(loss, turn) for first, turn, more in falls for loss in (first, *more)]
    for loss, turn in epochs:
        optimizer.end_epoch(loss)
        state = optimizer.state_dict()  # a restored one goes on
        optimizer.load_state_dict(state)
        before = {
            name: w.clone() if isinstance(w, Tensor) else w for name, w in arrays(layer, optimizer).items()
        }
        layer(torch.ones(1, 1)).sum().backward()
        optimizer.step()
        after = arrays(layer, optimizer)
        names = ["W", *(f"tile_{n}" for n in range(1, 6))]
        moved = [n for n, name in enumerate(names) if not torch.equal(before[name], after[name])]
        assert moved == ([5] if turn == -1 else [turn])
    optimizer.end_epoch(float("nan"))
    with pytest.raises(InputError, match="loss is 'low'"):
        optimizer.end_epoch("low")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("options", COLUMNS, ids=str)
@pytest.mark.parametrize("chopped", [False, True])
def test_sp_tracking_is_its_recursion(chopped: bool, options: dict[str, Any]) -> None:
    """The choppers' signs are taken from the optimizer; that and when they flip is for the next tests."""
    more: dict[str, Any] = {"chop_prob": 0.4} if chopped else {}
    make: Callable[..., Any] = ChoppedSPTracking if chopped else SPTracking
    run = train(lambda p: make(p, lr=0.02, beta=0.2, gamma=0.5, eta=0.3, **options, **more), 30)
    P, Q, R, c, W = *(torch.zeros(ROWS, COLS) for _ in range(3)), torch.ones(COLS), None
    flips = 0
    for t, (layer, optimizer, x, d_of) in enumerate(run, 1):
        now = arrays(layer, optimizer)
        W = now["W"].clone() if W is None else W
        flipped = now["chopper"] != c if chopped else torch.ones(COLS, dtype=torch.bool)
        R[:, flipped] = Q[:, flipped]
        flips += int(flipped.sum())
        c = now["chopper"].clone() if chopped else c
        for got, expected in (
            (now["W"], W),
            (now["fast"], P),
            (now["q"].t() if chopped else now["q"], Q),
        ):
            assert_close(got, expected)
        if chopped:
            assert_close(now["reference"], R)
        if t > 30:
            break
        P = P - 0.02 * d_of(W + 0.5 * (P - R) * c).t() @ (x * c)
        for j in due(t, options):
            W[:, j] += 0.2 * c[j] * (P - R)[:, j]
            Q[:, j] = 0.7 * Q[:, j] + 0.3 * P[:, j]
    assert flips > 5  # or the choppers were not tried


def test_without_chopper_w_and_q_move_together() -> None:
    """W - W_0 = (beta/eta) (Q - Q_0) where W is ideal: both add up P - Q."""
    run = train(lambda p: SPTracking(p, lr=0.02, beta=0.1, gamma=0.5, eta=0.05, columns=None), 30)
    first, *_ = ((layer, arrays(layer, optimizer)["W"].clone()) for layer, optimizer, *_ in run)
    layer, before = first
    (q,) = [companion.weight for factor, companion in layer.tiles[0].companions if factor < 0]
    assert float(q.abs().max()) > 0.1
    torch.testing.assert_close(layer.weight.detach() - before, 2 * q, atol=3e-5, rtol=1e-4)


def test_choppers_flip_by_their_law() -> None:
    """A column's sign flips with the stated probability, independently of the time and of its neighbour."""
    layer = AnalogLinear(40, 1, FINE, bias=False, pulsing=MEAN, seed=3, array=0)
    optimizer = ChoppedSPTracking(layer.parameters(), lr=0.1, chop_prob=0.3, columns=None)
    signs = []
    for _ in range(150):
        layer(torch.zeros(1, 40)).sum().backward()
        optimizer.step()
        signs.append(optimizer.state[layer.weight][0]["chopper"].clone())
    flips = torch.stack(signs)[1:] != torch.stack(signs)[:-1]
    assert_share(int(flips.sum()), flips.numel(), 0.3)
    assert_share(int((flips[1:] & flips[:-1]).sum()), flips[1:].numel(), 0.09)
    assert_share(int((flips[:, 1:] & flips[:, :-1]).sum()), flips[:, 1:].numel(), 0.09)


# --- what they are for ---------------------------------------------------------------------------


def soft(symmetric_point: float = 0.0, dw_min: float = 0.001, noise: float = 0.0) -> Device:
    spread = Spread(symmetric_point=0.0, symmetric_point_mean=symmetric_point)
    return Device(SoftBounds.symmetric(1.0), dw_min, spread, Noise(noise))


def error(
    make: Callable[..., Any], device: Device, steps: int, seed: int, *, noise: float, fidelity: Any = "mean"
) -> tuple[float, Any]:
    """Mean square of what is left of 4 x 6 weights to learn, over the last fifth of the steps, and the
    optimizer. Full batches of 32 without noise; else minibatches of 8 with noise on the targets."""
    g = torch.Generator().manual_seed(seed)
    inputs, goal = torch.randn(32, 6, generator=g), (torch.rand(4, 6, generator=g) - 0.5) * 0.8
    layer = AnalogLinear(6, 4, device, bias=False, seed=seed, array=0, pulsing=Pulsing(fidelity))
    layer.weight.data.zero_()
    layer.out_scale.requires_grad_(False)
    optimizer, left = make(layer.parameters()), []
    for step in range(steps):
        x = inputs if noise == 0 else inputs[torch.randint(32, (8,), generator=g)]
        y = x @ goal.t() + noise * torch.randn(len(x), 4, generator=g)
        optimizer.zero_grad()
        ((layer(x) - y).square().sum() / (2 * len(x))).backward()
        optimizer.step()
        if step >= 0.8 * steps:
            left.append(float((layer.tiles[0].effective_weight() - goal).square().mean()))
    return sum(left) / len(left), optimizer


@pytest.mark.parametrize("seed", range(3))
def test_residual_learning_is_exact_at_a_shifted_symmetric_point_where_tiki_taka_stalls(seed: int) -> None:
    """Without gradient noise, symmetric point at 0.3 tau; the goal's mean square is 0.05."""
    device = soft(0.3)
    exact, _ = error(
        lambda p: ResidualLearning(p, lr=0.3, beta=0.1, gamma=0.4, columns=None), device, 600, seed, noise=0
    )
    stalled, _ = error(lambda p: TikiTaka(p, lr=0.1, fast_lr=0.3, columns=6), device, 600, seed, noise=0)
    assert exact < 1e-8
    assert stalled > 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_more_arrays_help_where_states_are_few(seed: int) -> None:
    """16 states, pulses with 30 % noise: three arrays against single-array Tiki-Taka at its better rates."""
    few, steps = soft(dw_min=2 / 16, noise=0.3), 800
    single = min(
        error(
            lambda p, rate=rate: TikiTaka(p, lr=rate, fast_lr=0.05), few, steps, seed, noise=0.02,
            fidelity="pulsed",
        )[0]
        for rate in (0.05, 0.1)
    )  # fmt: skip
    many, _ = error(
        lambda p: MultiTile(p, lr=0.2, tiles=3, gamma=0.2, inner=3), few, steps, seed, noise=0.02,
        fidelity="pulsed",
    )  # fmt: skip
    assert many < 0.6 * single


def test_tracking_finds_the_symmetric_point_and_then_trains() -> None:
    """Noisy gradients, symmetric point at 0.3 tau: Q ends there, and the error is a fraction of what
    residual learning without a reference keeps. 24 elements; Q's own spread gives the interval."""
    device = soft(0.3)
    plain, _ = error(
        lambda p: ResidualLearning(p, lr=0.05, beta=0.02, gamma=0.4, columns=None), device, 1000, 1, noise=0.5
    )
    tracked, optimizer = error(
        lambda p: ChoppedSPTracking(p, lr=0.05, beta=0.02, gamma=0.4, chop_prob=0.1, columns=None),
        device, 1000, 1, noise=0.5,
    )  # fmt: skip
    (state,) = (s[0] for s in optimizer.state.values() if 0 in s)
    assert_mean(state["q"], 0.3)
    assert float(state["q"].std()) / math.sqrt(24) < 0.02  # so that the interval says something
    assert tracked < 0.4 * plain


# --- shared moves and options --------------------------------------------------------------------


@pytest.mark.parametrize("periphery", [Periphery(), Periphery(out_noise=0.002)], ids=["exact", "noisy"])
def test_columns_are_programmed_to_a_step(periphery: Periphery) -> None:
    device = Device(SoftBounds(-0.5, 0.6), 0.01, Spread(dw_min=0.2), Noise(0.3))
    tile = Tile((30, 9), device, periphery=periphery, seed=2)
    target = torch.linspace(-0.3, 0.3, 60).view(30, 2)
    program_columns(tile, torch.tensor([4, 7]), target.t(), rounds=8)
    # a closed loop stops within half a step, or goes on with a few pulses of 0.01 and their noise
    assert float((tile.weight[:, [4, 7]] - target).abs().max()) < 3 * 0.01
    assert not tile.weight[:, [0, 1, 2, 3, 5, 6, 8]].any()


def test_columns_in_turn() -> None:
    five, three = Tile((2, 5), FINE), Tile((2, 3), FINE)
    columns = [torch.arange(5)[next_columns(five, 2, t)].tolist() for t in range(3)]
    assert columns == [[0, 1], [2, 3], [4, 0]]
    assert next_columns(three, None, 7) == slice(0, 3)
    assert torch.equal(torch.as_tensor(next_columns(three, 8, 1)), torch.tensor([2, 0, 1]))


Wrong = list[tuple[Callable[..., Any], dict[str, Any], str]]

SHARED: Wrong = [
    (make, options, message)
    for make in (ResidualLearning, ResidualLearningV2, SPTracking, ChoppedSPTracking)
    for options, message in (
        ({"alpha": 0.0}, r"alpha is 0.0, but must be a number in \(0, inf\)"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"gamma": 0.0}, "gamma is 0.0"),
        ({"columns": 0}, "columns is 0, but must be an integer of at least 1"),
        ({"reads": 1.5}, "reads is 1.5"),
        ({"transfer_every": True}, "transfer_every is True"),
    )
]
WRONG: Wrong = [
    *SHARED,
    (ResidualLearningV2, {"beta": 1.1}, r"beta is 1.1, but must be a number in \(0, 1\]"),
    (SPTracking, {"eta": 1.0}, r"eta is 1.0, but must be a number in \(0, 1\)"),
    (ChoppedSPTracking, {"eta": 0.0}, "eta is 0.0"),
    (ChoppedSPTracking, {"chop_prob": 0.0}, r"chop_prob is 0.0, but must be a number in \(0, 1\]"),
    (MultiTile, {"tiles": 1}, r"tiles is 1, but must be an integer in \[2, 255\]"),
    (MultiTile, {"tiles": 2.5}, "tiles is 2.5"),
    (MultiTile, {"alpha": -1.0}, "alpha is -1.0"),
    (MultiTile, {"beta": -1.0}, "beta is -1.0"),
    (MultiTile, {"gamma": 1.5}, "gamma is 1.5"),
    (MultiTile, {"inner": 0}, "inner is 0"),
    (MultiTile, {"warm_start": -1}, "warm_start is -1, but must be an integer of at least 0"),
    (MultiTile, {"beta_ratio": 0.0}, "beta_ratio is 0.0"),
]


@pytest.mark.parametrize(
    ("make", "options", "message"), WRONG, ids=[f"{a.__name__}-{b}" for a, b, _ in WRONG]
)
def test_wrong_options(make: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    layer = AnalogLinear(3, 2, FINE)
    with pytest.raises(InputError, match=message):
        make(layer.parameters(), lr=0.1, **options)
    make(layer.parameters(), lr=0.1)  # a refusal leaves no trace
