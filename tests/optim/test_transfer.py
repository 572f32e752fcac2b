"""TTv2, c-TTv2 and AGAD: their digital recursions where G = 0, columns, choppers, and an offset of P."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from scipy import optimize, special
from torch import Tensor, nn

from ohmgrad import (
    AGAD,
    AnalogLinear,
    ChoppedTTv2,
    ConstantStep,
    Device,
    InputError,
    Noise,
    Pulsing,
    SoftBounds,
    Spread,
    TikiTaka,
    Tile,
    TTv2,
    convert,
)
from ohmgrad.crossbar.gradient import FactoredGradient
from ohmgrad.optim import ALGORITHMS
from ohmgrad.optim.buffers import flipped
from ohmgrad.optim.transfer import Lines, next_columns, next_transfer, write_pulses
from ohmgrad.rng import Key, Purpose, word, words
from tests.stats import Z, assert_share

#: F = 1 and G = 0, with pulses of W that are large enough to be seen one by one
STEP = 0.004
IDEAL = Device(ConstantStep(-50, 50), dw_min=STEP)
MEAN = Pulsing("mean")


def only_state(optimizer: Any) -> dict[str, Any]:
    (state,) = (s[0] for s in optimizer.state.values() if 0 in s)
    return state


# --- the digital recursions ------------------------------------------------------------------------

BUFFER: list[dict[str, Any]] = [
    {"buffer_momentum": 0.3, "max_pulses": 2}, {"rest": "keep", "buffer_momentum": 0.2},
    {"granularity": 3.0, "columns": 2, "transfer_every": 2, "transfer_lr": 0.3, "rest": "keep",
     "max_pulses": 3},
]  # fmt: skip
CHOPPED: list[dict[str, Any]] = [
    {**BUFFER[0], "chop_prob": 0.5, "chopping": "regular"},
    {**BUFFER[1], "chop_prob": 0.4, "chopping": "random"},
    {**BUFFER[2], "chop_prob": 0.7, "chopping": "random"},
    {"columns": 9, "chop_prob": 0.3, "chopping": "regular"},
]
CASES = (
    [(TTv2, o) for o in (*BUFFER, {"gamma": 0.4, "columns": 9})]
    + [(ChoppedTTv2, o) for o in CHOPPED]
    + [(AGAD, {**o, "tail": t}) for o, t in zip(CHOPPED, (1.0, 0.7, 5.0, 2.0), strict=True)]
)


def flips(o: dict[str, Any], column: int, transfer: int, reads: int, key: Key) -> bool:
    """Whether a column's chopper flips after so many reads of it."""
    if o["chop_prob"] and o["chopping"] == "random":
        drawn = int(words(1, column, transfer, Purpose.CHOPPER, key))
        return drawn < o["chop_prob"] * 2**32
    return o["chop_prob"] > 0 and reads % max(math.ceil(1 / o["chop_prob"]), 2) == 0


@pytest.mark.parametrize(("make", "options"), CASES, ids=str)
def test_without_asymmetry_it_is_its_digital_recursion(make: Any, options: dict[str, Any]) -> None:
    """Least squares y = W x + b written out, element by element of H."""
    torch.manual_seed(5)
    layer: Any = convert(nn.Linear(5, 3), IDEAL, pulsing=MEAN, seed=3)
    layer.out_scale.requires_grad_(False)
    steps = 60
    x, y = torch.randn(steps, 7, 5), torch.randn(steps, 7, 3)
    optimizer = make(layer.parameters(), lr=0.05, fast_lr=0.02, **options)
    o = {"chop_prob": 0.0, **optimizer.param_groups[0]}
    rate = 0.05 if o["transfer_lr"] is None else o["transfer_lr"]
    W, b = layer.weight.detach().double(), layer.bias.detach().double()
    P, H, m, r = (torch.zeros(3, 5, dtype=torch.float64) for _ in range(4))
    c, known, reads = torch.ones(5, dtype=torch.float64), [make is not AGAD] * 5, [0] * 5
    transfer, pulses, turned = 0, 0, 0
    for t in range(steps):
        optimizer.zero_grad()
        (layer(x[t]) - y[t]).square().sum().backward()
        optimizer.step()
        xt, yt = x[t].double(), y[t].double()
        d = 2 * (xt @ (W + o.get("gamma", 0.0) * P).t() + b - yt)
        P = P - 0.02 * d.t() @ (xt * c)
        b = b - 0.05 * d.sum(0)
        if (t + 1) % o["transfer_every"] == 0:
            k = min(o["columns"], 5)
            for j in ((transfer * k + i) % 5 for i in range(k)):
                for i in range(3):
                    v = float(P[i, j])
                    if known[j]:
                        H[i, j] += rate * float(c[j]) * (v - float(r[i, j])) / (o["granularity"] * STEP)
                    n = max(-o["max_pulses"], min(o["max_pulses"], math.trunc(float(H[i, j]))))
                    if n:
                        stays = o["buffer_momentum"]
                        H[i, j] = stays * H[i, j] if o["rest"] == "forget" else H[i, j] - (1 - stays) * n
                    W[i, j] += n * STEP
                    pulses += abs(n)
                reads[j] += 1
                if make is AGAD:
                    m[:, j] += min(o["tail"] / max(math.ceil(1 / o["chop_prob"]), 2), 1.0) * (
                        P[:, j] - m[:, j]
                    )
                if flips(o, j, transfer, reads[j], layer.tiles[0].key):
                    c[j], turned = -c[j], turned + 1
                    if make is AGAD:
                        r[:, j], known[j] = m[:, j], True
            transfer += 1
        state = only_state(optimizer)
        planes = [(layer.weight, W), (layer.bias, b), (state["fast"]["weight"], P)]
        planes += [(state["buffer"].t(), H)] if transfer else []
        planes += [(state["reference"].t(), r)] if "reference" in state else []
        for got, expected in planes:
            torch.testing.assert_close(got.detach().double(), expected, atol=1e-4, rtol=1e-4)
    assert pulses > 20  # the buffer was crossed, and choppers turned
    assert turned > 5 or make is TTv2


# --- columns and choppers --------------------------------------------------------------------------


def test_a_word_is_the_first_of_words() -> None:
    for row, step, purpose, key in [(0, 0, 40, Key(0, 0)), (7, 2**32 + 5, 21, Key(2**32 - 1, 3))]:
        assert word(row, step, purpose, key) == int(words(1, row, step & 0xFFFFFFFF, purpose, key))


UNMANAGED = {"max_bl": 31, "update_management": False, "bl_management": False}


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("pulsing", [
    Pulsing(), Pulsing("pulsed", **UNMANAGED), Pulsing("pulse-by-pulse"), Pulsing("mean"),
], ids=str)  # fmt: skip
def test_columns_get_whole_pulses_whatever_the_pulsing(pulsing: Pulsing, backend: str) -> None:
    device = Device(ConstantStep(-1, 1, up=1.25), 0.004)
    tile = Tile((70, 6), device, pulsing=pulsing, backend=backend)
    n = torch.zeros(70, 6)
    n[:, 4] = torch.randint(-3, 4, (70,), generator=torch.Generator().manual_seed(0)).float()
    n[5, 1] = -1.0
    write_pulses(tile, torch.tensor([4, 1]), n[:, [4, 1]].t().contiguous(), 3)
    q = torch.where(n > 0, 1.25, 1.0)
    torch.testing.assert_close(tile.weight, n * q * 0.004)
    if pulsing.fidelity != "mean":
        assert tile.count("pulses_up") == int(n.clamp(min=0).sum())
        assert tile.count("pulses_down") == int(-n.clamp(max=0).sum())
        assert tile.count("slots") == 3 + 1  # column by column: as many as the largest count on it


def numbers(cols: int, columns: Lines | None) -> list[int]:
    """Column numbers, of what indexes `cols` of them."""
    return [] if columns is None else torch.arange(cols)[columns].tolist()


@pytest.mark.parametrize(("columns", "cols"), [(1, 4), (3, 7), (9, 4)])
def test_regular_choppers_flip_with_a_period_and_random_ones_with_their_probability(
    columns: int, cols: int
) -> None:
    tile = Tile((1, cols), IDEAL, seed=1)
    group = {"chop_prob": 0.3, "chopping": "regular", "transfer_every": 2}
    state: dict[str, Any] = {}
    reads: list[list[int]] = [[] for _ in range(cols)]
    transfers = 4 * cols
    for update in range(2 * transfers):
        transfer = next_transfer(group, state)
        assert (transfer is None) == (update % 2 == 0)
        if transfer is None:
            continue
        read = next_columns(tile, columns, transfer)
        turned = numbers(cols, flipped(tile, group, read, transfer))
        for j in numbers(cols, read):
            reads[j].append(int(j in turned))
    every = 4  # ceil(1 / 0.3)
    assert all(f == [int((i + 1) % every == 0) for i in range(len(f))] for f in reads)
    assert min(map(len, reads)) >= every
    group["chopping"] = "random"
    drawn = [numbers(cols, flipped(tile, group, slice(0, cols), t)) for t in range(2000)]
    turned = torch.tensor([[j in now for j in range(cols)] for now in drawn])
    for j in range(cols):  # 2000 reads of each, one after the other and beside each other
        assert_share(int(turned[:, j].sum()), 2000, 0.3)
        assert_share(int((turned[1::2, j] & turned[::2, j]).sum()), 1000, 0.3**2)
        assert_share(int((turned[:, j] & turned[:, j - 1]).sum()), 2000, 0.3**2)
    each = torch.arange(cols)
    assert drawn[:100] == [numbers(cols, flipped(tile, group, each, t)) for t in range(100)]
    alone = [[j for j in range(cols) if flipped(tile, group, slice(j, j + 1), t)] for t in range(100)]
    assert drawn[:100] == alone


@pytest.mark.parametrize("pulsing", [Pulsing(), MEAN], ids=["pulsed", "mean"])
def test_the_read_undoes_the_choppers(pulsing: Pulsing) -> None:
    """Steps alike in both directions: with all choppers at -1, P is mirrored and W the same, bit for bit."""
    found = []
    never = partial(ChoppedTTv2, chop_prob=1e-9, buffer_momentum=0.1)
    for make, sign in ((TTv2, 1.0), (never, 1.0), (never, -1.0)):
        torch.manual_seed(2)
        layer = AnalogLinear(6, 5, IDEAL, pulsing=pulsing, array=0)
        optimizer = make(layer.parameters(), lr=0.1, fast_lr=0.2, columns=2)
        (tile,) = layer.tiles
        only = optimizer.tiles_in(optimizer.param_groups[0])[0][1]
        only["chopper"] = torch.full((6,), sign)
        before = tile.weight.clone()
        for t in range(30):
            x = torch.linspace(-1, 1, 6 * 4).view(4, 6).roll(t, 0)
            optimizer.zero_grad()
            (layer(x) - 0.5).square().sum().backward()
            optimizer.step()
        assert not torch.equal(tile.weight, before)
        found.append((tile.weight, only["fast"]["weight"], only["buffer"]))
    plain, chopped, mirrored = found
    for a, b in zip(plain, chopped, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(mirrored[0], plain[0])
    assert torch.equal(mirrored[1], -plain[1])
    assert torch.equal(mirrored[2], plain[2])


# --- a fast array whose symmetric point is off zero --------------------------------------------------

SHIFT, SIGMA = 0.3, 0.5


def stall() -> float:
    """Where TTv1 and TTv2 rest at the least, m = w - w*, on the mean over w* if P averages to zero.

    P: E[g] F(0) + E|g| G(0) = 0 with G(0)/F(0) = -SHIFT, so m = SHIFT E|m + sigma z|, z standard normal.
    """

    def absolute(m: float) -> float:
        bell = SIGMA * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * SIGMA**2))
        return bell + m * float(special.erf(m / (SIGMA * math.sqrt(2))))

    found: Any = optimize.brentq(lambda m: m - SHIFT * absolute(m), 0.0, 1.0)
    return float(found)


def rest_error(make: Any, **options: Any) -> Tensor:
    """w - w*, averaged over the last 2000 of 4000 updates, of 256 scalar problems with gradient noise."""
    device = Device(SoftBounds.symmetric(1.0), 0.002, Spread(up_down_mean=SHIFT), Noise(0.3))
    layer = AnalogLinear(4, 64, device, bias=False, seed=1, array=0)
    (tile,) = layer.tiles
    tile.reset()
    goal = torch.linspace(-0.5, 0.5, 256).view(64, 4)
    g = torch.Generator().manual_seed(0)
    optimizer = make(layer.parameters(), lr=0.01, fast_lr=0.3, transfer_every=10, columns=4, **options)
    lines, total = torch.eye(4), torch.zeros(64, 4)  # one sample a column: every element has its own gradient
    for t in range(4000):
        error = tile.weight - goal
        total += error if t >= 2000 else 0
        d = error.t() + SIGMA * torch.randn(4, 64, generator=g)
        layer.weight.grad = FactoredGradient(layer.weight, lines, d)
        optimizer.step()
    return total.flatten() / 2000


def interval(error: Tensor) -> tuple[float, float]:
    """Of the mean, Z standard errors either way."""
    mean, half = float(error.mean()), Z * float(error.std()) / math.sqrt(len(error))
    return mean - half, mean + half


@pytest.mark.parametrize("make", [TikiTaka, TTv2])
def test_an_offset_of_p_stalls(make: Any) -> None:
    low, high = interval(rest_error(make))
    assert stall() < low
    assert high < 1.5 * stall()


@pytest.mark.parametrize(("make", "options"), [(ChoppedTTv2, {"rest": "keep"}), (AGAD, {})])
def test_choppers_and_references_take_the_offset_away(make: Any, options: dict[str, Any]) -> None:
    error = rest_error(make, **options)
    low, high = interval(error)
    assert -stall() / 3 < low < high < stall() / 3
    assert float(error.square().mean().sqrt()) < stall() / 2


# --- options ---------------------------------------------------------------------------------------

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("ttv2", {"fast_lr": 0.0}, "fast_lr is 0.0"),
    ("ttv2", {"gamma": -1.0}, "gamma is -1.0"),
    ("ttv2", {"order": "randm"}, "did you mean 'random'"),
    ("ttv2", {"granularity": 0.0}, r"granularity is 0.0, but must be a number in \(0, inf"),
    ("c-ttv2", {"buffer_momentum": 1.0}, r"buffer_momentum is 1.0, but must be a number in \[0, 1\)"),
    ("c-ttv2", {"rest": "lose"}, "unknown rest 'lose': .*choose one of forget, keep"),
    ("c-ttv2", {"chop_prob": 0.0}, r"chop_prob is 0.0, but must be a number in \(0, 1\]"),
    ("c-ttv2", {"transfer_every": 0}, "transfer_every is 0, but must be an integer of"),
    ("agad", {"chopping": "often"}, "unknown chopping 'often'"),
    ("agad", {"max_pulses": True}, "max_pulses is True, but must be an integer"),
    ("agad", {"tail": 0.0}, "tail is 0.0"),
    ("agad", {"columns": 1.5}, "columns is 1.5"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG, ids=[m[:30] for *_, m in WRONG])
def test_options_are_checked(name: str, options: dict[str, Any], message: str) -> None:
    layer = AnalogLinear(3, 2, IDEAL)
    with pytest.raises(InputError, match=message):
        ALGORITHMS[name](layer.parameters(), lr=0.1, **options)
