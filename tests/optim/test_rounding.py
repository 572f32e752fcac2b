"""Digital gradients to whole pulses: back ends alike, the law of rounding, the recursions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    AnalogLinear,
    AnalogMomentum,
    ConstantStep,
    Device,
    EaPU,
    GradientCounts,
    InputError,
    MixedPrecision,
    Pulsing,
    SignRule,
    Tile,
    convert,
)
from ohmgrad.kernels.reference.digital import MOST, digital_gradient
from ohmgrad.optim.buffers import by_chance, whole_pulses_
from ohmgrad.rng import Key, Purpose, words
from tests.cases import DEVICES, SETTINGS, SHAPES, factors, start
from tests.optim.units import UNITS, Update, unit
from tests.stats import assert_mean, assert_share, assert_variance

FINE = Device(ConstantStep(-50, 50), dw_min=1e-6)
MEAN = Pulsing("mean")

#: how fast each algorithm goes, negative to descend
RATES = {"gradient": -0.001, "momentum": -0.001, "nesterov": 0.001, "whole-rows": 0.02}


def made(name: str, device: Device, weight: Tensor, h: Tensor, backend: str) -> tuple[Tile, Update]:
    return unit(name, device, weight, h, RATES.get(name, -0.02), backend)


@pytest.mark.parametrize("name", UNITS)
def test_back_ends_send_the_same_pulses(name: str) -> None:
    """Same accumulators to the bit, same pulses; weights to rounding. Every family, odd shapes."""
    shapes, settings = itertools.cycle(SHAPES), itertools.cycle(SETTINGS)
    sent = 0
    for case, shape, setting in zip(DEVICES[::3], shapes, settings, strict=False):
        x, d = factors(shape, setting)
        tiles, stores = [], []
        for backend in ("reference", "numba"):
            h = 0.01 * start(shape, seed=5)
            tile, update = made(name, case.device, start(shape), h, backend)
            for _ in range(2):
                update(x, d)
            tiles.append(tile)
            stores.append(h)
        assert torch.equal(*stores), case.name
        assert torch.equal(tiles[0].events, tiles[1].events), case.name
        torch.testing.assert_close(tiles[0].weight, tiles[1].weight, atol=2e-5, rtol=1e-5, msg=case.name)
        sent += tiles[0].count("pulses_up")
    assert (sent == 0) == (name == "kept")


def test_threads_change_nothing() -> None:
    x, d = factors((63, 400), SETTINGS[1])
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        zeros = torch.zeros(63, 400)
        tile, update = made("gradient", DEVICES[1].device, zeros, zeros, "numba")
        update(x, d)
        found.append((tile.weight.clone(), tile.events.tolist()))
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def rounded(v: Tensor, number: int = 0, backend: str = "numba", **how: Any) -> Tensor:
    """`by_chance` in the update with this number."""
    tile = Tile((v.shape[0], v.shape[1]), FINE, seed=3, backend=backend)
    tile.counters.updates.fill_(number)
    return by_chance(tile, v, **how)


def test_rounding_by_chance_is_unbiased() -> None:
    """40,000 cells for each number of pulses: mean v, variance f (1 - f) with f the fraction of v."""
    for i, v in enumerate((0.01, -0.3, 1.5, -7.9, 3.0, 1e-4)):
        n = rounded(torch.full((100, 400), v), i)
        share = abs(v) % 1
        assert_share(int((n.abs() > int(abs(v))).sum()), n.numel(), share)
        assert_mean(n, v)
        if share * n.numel() > 100:
            assert_variance(n.double(), share * (1 - share))


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_rounding_by_chance_is_its_definition(backend: str) -> None:
    """To the bit, over 50 numbers of pulses a row, of every size, with limits and for both purposes; cell by
    cell, with numbers for all cells or for some."""
    g = torch.Generator().manual_seed(4)
    v = torch.randn(37, 50, generator=g) * 10.0 ** torch.randint(-3, 5, (37, 50), generator=g)
    v[0, :6] = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e30])
    some = torch.rand(37, 50, generator=g) < 0.3
    for number, (most, purpose) in enumerate(
        itertools.product((1, 100, MOST), (Purpose.ROUNDING, Purpose.WRITE))
    ):
        for marked in (None, some):
            if marked is None:
                u, values = words(50, torch.arange(37), number, purpose, Key(3, 0)), v
            else:
                u, values = torch.zeros(37, 50, dtype=torch.int64), v.where(some, 0.0)
                u[some] = words(int(some.sum()), 0, number, purpose, Key(3, 0))
            expected = []
            for value, word in zip(values.flatten().tolist(), u.flatten().tolist(), strict=True):
                size = 0.0 if math.isnan(value) else min(abs(value), most)
                n = int(size) + (word // 2 < int((size - int(size)) * 2**31))
                expected.append(int(math.copysign(n, value)))
            found = rounded(values, number, backend, most=most, purpose=purpose, marked=marked)
            assert found.flatten().tolist() == expected
            assert int(found.abs().max()) == most


def test_a_biased_rounding_is_seen() -> None:
    """The planted bug: numbers of another law."""
    n = rounded(torch.full((100, 400), 0.3))
    with pytest.raises(AssertionError):
        assert_share(int(n.sum()), n.numel(), 0.32)


def test_whole_pulses_leave_less_than_one() -> None:
    h = torch.tensor([[0.0, 0.0009, -0.0010001, 0.0125, -0.5004]])
    n = whole_pulses_(h, 0.001, MOST)
    assert n.tolist() == [[0, 0, -1, 12, -500]]
    torch.testing.assert_close(h, torch.tensor([[0.0, 0.0009, -1e-7, 0.0005, -0.0004]]), atol=1e-7, rtol=0)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("name", UNITS)
def test_values_that_are_not_finite_change_nothing(name: str, backend: str) -> None:
    for factor, where in (("x", 0), ("d", 1)):
        pair = [torch.ones(2, 5), torch.ones(2, 3)]
        pair[where][1, 2] = float("nan") if where else float("inf")
        h = torch.zeros(3, 5)
        tile, update = made(name, FINE, h.clone(), h, backend)
        with pytest.raises(InputError, match=rf"{factor} has the value (inf|nan) at sample 1, line 2"):
            update(*pair)
        assert not h.any()
        assert not tile.weight.any()
        assert not tile.events.any()


# --- recursions ----------------------------------------------------------------------------------


def least_squares(device: Device, make: Callable[..., Any], steps: int) -> Any:
    """Train one layer; yields the layer, the optimizer's state of its tile, x and d of every step."""
    torch.manual_seed(5)
    layer = AnalogLinear(5, 3, device, bias=False, pulsing=MEAN)
    layer.out_scale.requires_grad_(False)
    optimizer = make(layer.parameters())
    yield layer, None, None, None
    for _ in range(steps):
        x, y = torch.randn(7, 5), torch.randn(7, 3)
        optimizer.zero_grad()
        out = layer(x)
        out.retain_grad()
        (out - y).square().mean().backward()
        assert out.grad is not None
        optimizer.step()
        yield layer, optimizer.state[layer.weight][0], x, out.grad


@pytest.mark.parametrize("options", [
    {}, {"granularity": 0.02}, {"transfer_every": 3}, {"rows": 2},
    {"rows": 2, "transfer_every": 2}, {"rows": 9},
], ids=str)  # fmt: skip
def test_mixed_precision_is_its_recursion(options: dict[str, Any]) -> None:
    device = Device(ConstantStep(-50, 50), dw_min=0.01)
    o = {"granularity": 0.01, "transfer_every": 1, "rows": 3, **options}
    run = least_squares(device, lambda p: MixedPrecision(p, lr=0.1, **options), 15)
    layer, *_ = next(run)
    W, chi, row = layer.weight.detach().clone(), torch.zeros(3, 5), 0
    for t, (layer, state, x, d) in enumerate(run, 1):
        chi = chi - 0.1 * digital_gradient(x, d)
        if t % o["transfer_every"] == 0:
            for r in {(row + i) % 3 for i in range(o["rows"])}:
                n = torch.trunc(chi[r] / o["granularity"])
                chi[r] -= n * o["granularity"]
                W[r] += n * 0.01
            row += o["rows"]
        torch.testing.assert_close(state["chi"], chi, atol=1e-6, rtol=0)
        torch.testing.assert_close(layer.weight.detach(), W, atol=1e-5, rtol=0)


def test_gradient_counts_send_the_gradient() -> None:
    """Rounded to steps of 1e-6: W stays within the sum of the roundings of its recursion."""
    run = least_squares(FINE, lambda p: GradientCounts(p, lr=0.1), 15)
    layer, *_ = next(run)
    W = layer.weight.detach().clone()
    for layer, _, x, d in run:
        W = W - 0.1 * d.t() @ x
        torch.testing.assert_close(layer.weight.detach(), W, atol=15e-6, rtol=1e-6)


@pytest.mark.parametrize("options", [
    {}, {"momentum": 0.5}, {"momentum": 0.0}, {"dampening": 0.3}, {"nesterov": True},
    {"momentum": 0.8, "dampening": 0.1, "weight_decay": 0.1},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("make", [AnalogMomentum, EaPU])
def test_momentum_is_torchs(make: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(2)
    model: Any = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    analog: Any = convert(model, FINE, pulsing=MEAN)
    for layer in (analog[0], analog[2]):
        layer.out_scale.requires_grad_(False)
    o = {"momentum": 0.9, **options}
    biases = [p for p in model.parameters() if p.dim() == 1]
    weights = [p for p in model.parameters() if p.dim() == 2]
    groups = [{"params": weights, "weight_decay": 0.0}, {"params": biases}]
    pairs: list[Any] = [(model, torch.optim.SGD(groups, lr=0.05, **o)),
                        (analog, make(analog.parameters(), lr=0.05, **options))]  # fmt: skip
    for _ in range(20):
        x = torch.randn(8, 6)
        for net, optimizer in pairs:
            optimizer.zero_grad()
            (net(x) - 0.5).square().sum(1).mean().backward()
            optimizer.step()
    for got, expected in zip((analog[0], analog[2]), (model[0], model[2]), strict=True):
        torch.testing.assert_close(got.weight, expected.weight, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(got.bias, expected.bias, atol=1e-4, rtol=1e-4)


WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (MixedPrecision, {"granularity": 0.0}, r"granularity is 0.0, but must be a number in \(0, inf\)"),
    (MixedPrecision, {"transfer_every": 0}, "transfer_every is 0, but must be an integer of at least 1"),
    (MixedPrecision, {"transfer_every": None}, "transfer_every is None"),
    (MixedPrecision, {"rows": True}, "rows is True"),
    (GradientCounts, {"lr": -1.0}, "lr is -1.0"),
    (AnalogMomentum, {"momentum": 1.0}, r"momentum is 1.0, but must be a number in \[0, 1\)"),
    (AnalogMomentum, {"dampening": 1.5}, "dampening is 1.5"),
    (SignRule, {"both": 1}, "both is 1, but must be True or False"),
    (EaPU, {"threshold": 0.0}, r"threshold is 0.0, but must be a number in \(0, inf\)"),
    (EaPU, {"verify": -1}, "verify is -1, but must be an integer of at least 0"),
    (EaPU, {"momentum": 1.0}, r"momentum is 1.0, but must be a number in \[0, 1\)"),
    (
        AnalogMomentum,
        {"dampening": 0.5, "nesterov": True},
        "nesterov is True with momentum 0.9 and dampening",
    ),
]


@pytest.mark.parametrize(("make", "options", "message"), WRONG, ids=[m[:30] for *_, m in WRONG])
def test_wrong_options(make: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    layer = AnalogLinear(3, 2, FINE)
    with pytest.raises(InputError, match=message):
        make(layer.parameters(), **{"lr": 0.1, **options})
