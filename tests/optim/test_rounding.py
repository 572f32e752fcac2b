"""Digital gradients to whole pulses: one kernel equals its parts, the rounding's law, the recursions."""

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
from ohmgrad.kernels.cpu import digital as cpu_rounding
from ohmgrad.kernels.reference.digital import MOST, digital_gradient, stochastic_counts, whole_counts_
from ohmgrad.optim.rounding import round_to_pulses, send_whole_pulses
from ohmgrad.rng import Key, Purpose
from tests.cases import DEVICES, SETTINGS, SHAPES, factors, start
from tests.stats import assert_mean, assert_share, assert_variance

FINE = Device(ConstantStep(-50, 50), dw_min=1e-6)
MEAN = Pulsing("mean")

Send = Callable[[Tile, Tensor, Tensor, Tensor], None]

#: what is sent, from an accumulator of the array's size
SENDS: dict[str, Send] = {
    "whole": lambda tile, h, x, d: send_whole_pulses(tile, h, x, d, -0.02, tile.device.dw_min, None),
    "whole-rows": lambda tile, h, x, d: send_whole_pulses(tile, h, x, d, 0.02, 0.003, [0]),
    "kept": lambda tile, h, x, d: send_whole_pulses(tile, h, x, d, -0.02, 0.001, []),
    "gradient": lambda tile, h, x, d: round_to_pulses(tile, x, d, -0.001),
    "momentum": lambda tile, h, x, d: round_to_pulses(tile, x, d, -0.001, h, keep=0.9, gain=0.7),
    "sign": lambda tile, h, x, d: round_to_pulses(tile, x, d, -math.inf, most=1),
    "nesterov": lambda tile, h, x, d: round_to_pulses(tile, x, d, 0.001, h, keep=0.9, look_ahead=True),
}


@pytest.mark.parametrize("send", SENDS)
def test_the_kernel_equals_its_parts(send: str) -> None:
    """Same accumulators to the bit, same pulses; weights to rounding. Every family, odd shapes."""
    shapes, settings = itertools.cycle(SHAPES), itertools.cycle(SETTINGS)
    sent = 0
    for case, shape, setting in zip(DEVICES[::3], shapes, settings, strict=False):
        x, d = factors(shape, setting)
        tiles, stores = [], []
        for backend in ("reference", "numba"):
            tile = Tile(start(shape), case.device, seed=7, backend=backend)
            h = 0.01 * start(shape, seed=5)
            for _ in range(2):
                SENDS[send](tile, h, x, d)
            tiles.append(tile)
            stores.append(h)
        assert torch.equal(*stores), case.name
        assert torch.equal(tiles[0].events, tiles[1].events), case.name
        torch.testing.assert_close(tiles[0].weight, tiles[1].weight, atol=2e-5, rtol=1e-5, msg=case.name)
        sent += tiles[0].count("pulses_up")
    assert (sent == 0) == (send == "kept")


def test_threads_change_nothing() -> None:
    x, d = factors((63, 400), SETTINGS[1])
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        tile = Tile((63, 400), DEVICES[1].device, seed=7)
        round_to_pulses(tile, x, d, 0.01)
        found.append((tile.weight.clone(), tile.events.tolist()))
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_stochastic_rounding_is_unbiased() -> None:
    """40,000 cells for each number of pulses: mean v, variance f (1 - f) with f the fraction of v."""
    for i, v in enumerate((0.01, -0.3, 1.5, -7.9, 3.0, 1e-4)):
        n = stochastic_counts(torch.full((100, 400), v), Key(3, 0), i)
        share = abs(v) % 1
        assert_share(int((n.abs() > int(abs(v))).sum()), n.numel(), share)
        assert_mean(n, v)
        if share * n.numel() > 100:
            assert_variance(n.double(), share * (1 - share))
    assert stochastic_counts(torch.full((1, 1), 1e12), Key(3, 0), 0).item() == MOST


def test_rounding_by_chance_is_the_same_in_the_kernel() -> None:
    """To the bit, over 50 numbers of pulses a row, of every size, with limits and for both purposes."""
    g = torch.Generator().manual_seed(4)
    v = torch.randn(37, 50, generator=g) * 10.0 ** torch.randint(-3, 5, (37, 50), generator=g)
    v[0, :6] = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e30])
    cases = itertools.product((1, 100, MOST), (Purpose.ROUNDING, Purpose.WRITE))
    for number, (most, purpose) in enumerate(cases):
        expected = stochastic_counts(v, Key(3, 5), number, most, purpose)
        assert torch.equal(cpu_rounding.stochastic_counts(v, Key(3, 5), number, most, purpose), expected)
        assert int(expected.abs().max()) == most


def test_a_biased_rounding_is_seen() -> None:
    """The planted bug: numbers of another law."""
    n = stochastic_counts(torch.full((100, 400), 0.3), Key(3, 0), 0)
    with pytest.raises(AssertionError):
        assert_share(int(n.sum()), n.numel(), 0.32)


def test_whole_pulses_leave_less_than_one() -> None:
    h = torch.tensor([[0.0, 0.0009, -0.0010001, 0.0125, -0.5004]])
    n = whole_counts_(h, 0.001)
    assert n.tolist() == [[0, 0, -1, 12, -500]]
    torch.testing.assert_close(h, torch.tensor([[0.0, 0.0009, -1e-7, 0.0005, -0.0004]]), atol=1e-7, rtol=0)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("send", SENDS)
def test_values_that_are_not_finite_change_nothing(send: str, backend: str) -> None:
    for name, where in (("x", 0), ("d", 1)):
        pair = [torch.ones(2, 5), torch.ones(2, 3)]
        pair[where][1, 2] = float("nan") if where else float("inf")
        tile, h = Tile((3, 5), FINE, backend=backend), torch.zeros(3, 5)
        with pytest.raises(InputError, match=rf"{name} has the value (inf|nan) at sample 1, line 2"):
            SENDS[send](tile, h, *pair)
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
