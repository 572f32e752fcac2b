"""The algorithms: their digital twins where G = 0, torch's contract, exact resume."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogLinear,
    AnalogSGD,
    ConstantStep,
    Device,
    InputError,
    Noise,
    Periphery,
    Pulsing,
    SoftBounds,
    TikiTaka,
    convert,
)
from ohmgrad.nn import analog_layers
from tests.cases import ALGORITHMS, RESPONSES, SPREADS
from tests.stats import assert_share

#: F = 1 and G = 0: every algorithm is its digital twin
IDEAL = Device(ConstantStep(-50, 50), dw_min=1e-4)
MEAN = Pulsing("mean")
REAL = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"], Noise(0.3))
SOFT = Device(RESPONSES["soft_skewed"], 0.002, SPREADS["spread"], Noise(0.3))
X = torch.linspace(-1, 1, 6 * 2 * 36).view(6, 2, 6, 6).sin()


def network(shared: bool = False) -> nn.Module:
    torch.manual_seed(3)
    last = nn.Linear(4, 4)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(64, 4), nn.LayerNorm(4),
        last, nn.Tanh(), last if shared else nn.Linear(4, 4),
    )  # fmt: skip


def twins(shared: bool = False) -> tuple[nn.Module, nn.Module]:
    """An analog model that is its digital twin: output scales of 1, and not learned."""
    model = network(shared)
    analog = convert(model, IDEAL, pulsing=MEAN)
    for _, layer in analog_layers(analog):
        layer.out_scale.requires_grad_(False)
    return analog, model


def loss_of(model: nn.Module, x: Tensor = X) -> Tensor:
    return (model(x) - 0.3).square().mean()


def step(model: nn.Module, optimizer: Any, x: Tensor = X) -> float:
    optimizer.zero_grad()
    loss = loss_of(model, x)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if "out_scale" not in n}


def assert_same(analog: nn.Module, model: nn.Module) -> None:
    """Equal to float32 rounding, which accumulates over a few dozen steps."""
    expected = weights(model)
    for name, value in weights(analog).items():
        torch.testing.assert_close(value, expected[name], atol=2e-5, rtol=1e-4, msg=name)


def digital_sgd(model: nn.Module, **digital: Any) -> torch.optim.SGD:
    """torch's SGD, with the options of digital parameters only for those."""
    layers = (nn.Linear, nn.Conv2d)
    analog = {id(m.weight) for m in model.modules() if isinstance(m, layers)}
    params = list(model.parameters())
    groups = [
        {"params": [p for p in params if id(p) in analog]},
        {"params": [p for p in params if id(p) not in analog], **digital},
    ]
    return torch.optim.SGD(groups, lr=0.1)


# --- digital twins -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "digital",
    [
        {}, {"momentum": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.8, "dampening": 0.3},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("shared", [False, True])
def test_analog_sgd_without_asymmetry_is_sgd(shared: bool, digital: dict[str, Any]) -> None:
    analog, model = twins(shared)
    optimizer, expected = AnalogSGD(analog.parameters(), lr=0.1, **digital), digital_sgd(model, **digital)
    start = weights(model)
    for _ in range(20):
        step(analog, optimizer)
        step(model, expected)
    assert_same(analog, model)
    assert all(not torch.equal(start[n], w) for n, w in weights(model).items())


def test_an_asymmetry_of_1_percent_is_seen() -> None:
    """The planted bug."""
    model = network()
    skewed = Device(ConstantStep(-50, 50, up=1.01), dw_min=1e-4)
    analog = convert(model, skewed, pulsing=MEAN)
    optimizer, expected = AnalogSGD(analog.parameters(), lr=0.1), digital_sgd(model)
    for _ in range(20):
        step(analog, optimizer)
        step(model, expected)
    with pytest.raises(AssertionError):
        assert_same(analog, model)


def test_schedulers_groups_closures_and_accumulation_are_torchs() -> None:
    analog, model = twins()

    def groups(model: Any) -> list[dict[str, Any]]:
        return [{"params": model[0].parameters(), "lr": 0.3},
                {"params": [p for layer in model[1:] for p in layer.parameters()]}]  # fmt: skip

    pairs: list[tuple[Any, Any, Any]] = []
    for m, make in ((analog, AnalogSGD), (model, torch.optim.SGD)):
        optimizer = make(groups(m), lr=0.05)
        pairs.append((m, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.3)))
    for _ in range(8):
        losses = []
        for m, optimizer, scheduler in pairs:

            def closure(m: Any = m, optimizer: Any = optimizer) -> Tensor:
                optimizer.zero_grad()
                for part in X.split((2, 4)):
                    loss_of(m, part).backward()
                return loss_of(m)

            losses.append(float(optimizer.step(closure).detach()))
            scheduler.step()
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert_same(analog, model)
    assert pairs[0][1].param_groups[0]["lr"] == pytest.approx(0.3 * 0.3**2)


@pytest.mark.parametrize("options", [
    {}, {"columns": 2}, {"columns": 9}, {"transfer_every": 3}, {"transfer_lr": 0.3}, {"gamma": 0.5},
    {"gamma": 0.2, "columns": 3, "transfer_every": 2, "transfer_lr": 0.3},
], ids=str)  # fmt: skip
def test_tiki_taka_without_asymmetry_is_its_digital_recursion(options: dict[str, Any]) -> None:
    """Least squares y = W x + b written out: P collects, columns of P move into W in turn."""
    torch.manual_seed(5)
    layer: Any = convert(nn.Linear(5, 3), IDEAL, pulsing=MEAN)
    layer.out_scale.requires_grad_(False)
    x, y = torch.randn(20, 7, 5), torch.randn(20, 7, 3)
    W, b = layer.weight.detach().double(), layer.bias.detach().double()
    P = torch.zeros(3, 5, dtype=torch.float64)
    optimizer = TikiTaka(layer.parameters(), lr=0.05, fast_lr=0.02, **options)
    o = {"columns": 1, "transfer_every": 1, "transfer_lr": 0.05, "gamma": 0.0, **options}
    next_column = 0
    for t in range(20):
        optimizer.zero_grad()
        (layer(x[t]) - y[t]).square().sum().backward()
        optimizer.step()
        xt, yt = x[t].double(), y[t].double()
        d = 2 * (xt @ (W + o["gamma"] * P).t() + b - yt)
        P = P - 0.02 * d.t() @ xt
        b = b - 0.05 * d.sum(0)
        if (t + 1) % o["transfer_every"] == 0:
            for i in range(min(o["columns"], 5)):
                j = (next_column + i) % 5
                W[:, j] += o["transfer_lr"] * P[:, j]
            next_column += o["columns"]
        for got, expected in ((layer.weight, W), (layer.bias, b), (fast_array(optimizer), P)):
            torch.testing.assert_close(got.detach().double(), expected, atol=2e-5, rtol=1e-4)


def fast_array(optimizer: TikiTaka) -> Tensor:
    (state,) = (s for s in optimizer.state.values() if 0 in s)
    return state[0]["fast"]["weight"]


# --- Tiki-Taka -----------------------------------------------------------------------------------


def moved_columns(optimizer: TikiTaka, layer: AnalogLinear, steps: int) -> list[list[int]]:
    """Which columns of W change in every step."""
    found = []
    for _ in range(steps):
        before = layer.weight.detach().clone()
        optimizer.zero_grad()
        layer(torch.ones(1, layer.in_features)).sum().backward()
        optimizer.step()
        found.append(torch.nonzero((layer.weight.detach() != before).any(0))[:, 0].tolist())
    return found


def test_columns_go_in_turn_or_at_random() -> None:
    def run(seed: int = 0, steps: int = 6, **options: Any) -> list[list[int]]:
        layer = AnalogLinear(8, 3, IDEAL, pulsing=MEAN, seed=seed, array=0)
        optimizer = TikiTaka(layer.parameters(), lr=0.01, fast_lr=0.01, **options)
        return moved_columns(optimizer, layer, steps)

    assert run() == [[0], [1], [2], [3], [4], [5]]
    assert run(columns=3) == [[0, 1, 2], [3, 4, 5], [0, 6, 7], [1, 2, 3], [4, 5, 6], [0, 1, 7]]
    assert run(transfer_every=3) == [[], [], [0], [], [], [1]]
    random = [c for (c,) in run(order="random", steps=800)]
    for column in range(8):
        assert_share(random.count(column), 800, 1 / 8)
    assert_share(sum(a == b for a, b in pairwise(random)), 799, 1 / 8)
    assert [[c] for c in random[:20]] == run(order="random", steps=20)
    assert [[c] for c in random[:20]] != run(seed=1, order="random", steps=20)


def test_reads_are_counted_and_the_fast_array_is_its_own() -> None:
    layer = AnalogLinear(8, 3, REAL, periphery=NOISY_PERIPHERY)
    optimizer = TikiTaka(layer.parameters(), lr=0.05, fast_lr=0.1, reads=4, columns=2, transfer_every=3)
    moved_columns(optimizer, layer, 9)
    events = optimizer.events()
    assert events["read_columns"] == 3 * 2 * 4
    assert events["updates"] == 9 + 3
    (fast,) = optimizer.arrays()
    assert not torch.equal(fast.elements.up, layer.tiles[0].elements.up)


def test_gamma_shows_p_to_the_network() -> None:
    layer = AnalogLinear(5, 3, REAL, bias=False)
    optimizer = TikiTaka(layer.parameters(), lr=0.05, fast_lr=0.5, gamma=0.5)
    moved_columns(optimizer, layer, 3)
    P, W = fast_array(optimizer), layer.weight.detach()
    assert float(P.abs().max()) > 0
    x = torch.randn(4, 5)
    y = layer(x.requires_grad_())
    torch.testing.assert_close(y.detach(), x.detach() @ (W + 0.5 * P).t() * layer.out_scale.detach())
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], ((W + 0.5 * P) * layer.out_scale.detach().view(-1, 1)).sum(0))
    optimizer.param_groups[0]["gamma"] = 0.0
    optimizer.step()
    torch.testing.assert_close(
        layer(x).detach(), x.detach() @ layer.weight.detach().t() * layer.out_scale.detach()
    )


# --- torch's contract ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALGORITHMS)
def test_zero_grad_forgets_and_a_step_without_gradient_does_nothing(name: str) -> None:
    model = convert(network(), REAL)
    optimizer = ALGORITHMS[name](model.parameters())
    before = weights(model)
    loss_of(model).backward()
    optimizer.zero_grad()
    assert all(layer.weight.grad is None for _, layer in analog_layers(model))
    optimizer.step()
    assert all(torch.equal(w, before[n]) for n, w in weights(model).items())
    assert optimizer.events()["updates"] == 0
    loss_of(model).backward()
    optimizer.step()
    once = weights(model)
    optimizer.zero_grad()
    optimizer.step()  # the factors were used up
    assert all(torch.equal(w, once[n]) for n, w in weights(model).items())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_frozen_parameters_stay(name: str) -> None:
    model: Any = network()
    model[3].requires_grad_(False)
    model = convert(model, REAL)
    optimizer = ALGORITHMS[name](model.parameters(), momentum=0.9)
    before = weights(model)
    for _ in range(4):
        step(model, optimizer)
    changed = {n.split(".")[0] for n, w in weights(model).items() if not torch.equal(w, before[n])}
    assert changed == {"0", "4", "5", "7"}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_training_lowers_the_loss(name: str) -> None:
    model = convert(network(), REAL)
    optimizer = ALGORITHMS[name](model.parameters())
    losses = [step(model, optimizer) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


def through_torch_save(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("carry", [copy.deepcopy, through_torch_save])
@pytest.mark.parametrize("periphery", [Periphery(), NOISY_PERIPHERY], ids=["perfect", "noisy"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_resumed_run_continues_exactly(name: str, periphery: Periphery, carry: Any) -> None:
    def fresh() -> tuple[nn.Module, Any, Any]:
        model = convert(network(), REAL, periphery=periphery)
        optimizer = ALGORITHMS[name](model.parameters(), momentum=0.9)
        return model, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)

    def run(model: nn.Module, optimizer: Any, scheduler: Any, steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            losses.append(step(model, optimizer))
            scheduler.step()
        return losses

    parts = fresh()
    run(*parts, 7)
    saved = carry([part.state_dict() for part in parts])
    resumed = fresh()
    for part, state in zip(resumed, saved, strict=True):
        part.load_state_dict(state)
    assert run(*resumed, 5) == run(*parts, 5)  # the first loss sees the restored P
    end, expected = weights(resumed[0]), weights(parts[0])
    assert all(torch.equal(end[n], expected[n]) for n in expected)
    assert resumed[1].events() == parts[1].events()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_model_and_optimizer_can_be_copied_together(name: str) -> None:
    model = convert(network(), REAL)
    optimizer = ALGORITHMS[name](model.parameters())
    step(model, optimizer)
    other, its_optimizer = copy.deepcopy((model, optimizer))
    assert step(other, its_optimizer) == step(model, optimizer)
    assert step(other, its_optimizer) == step(model, optimizer)


WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (AnalogSGD, {"lr": -0.1}, r"lr is -0.1, but must be a number in \[0, 1e\+06\]"),
    (AnalogSGD, {"lr": float("nan")}, "lr is nan"),
    (AnalogSGD, {"lr": 0.1, "momentum": -1.0}, "momentum is -1.0"),
    (AnalogSGD, {"lr": 0.1, "weight_decay": -1.0}, "weight_decay is -1.0"),
    (TikiTaka, {"lr": 0.1, "fast_lr": 0.0}, r"fast_lr is 0.0, but must be a number in \(0, inf\)"),
    (TikiTaka, {"lr": 0.1, "transfer_lr": -1.0}, "transfer_lr is -1.0"),
    (TikiTaka, {"lr": 0.1, "gamma": -0.1}, "gamma is -0.1"),
    (TikiTaka, {"lr": 0.1, "order": "randm"}, "unknown order 'randm': did you mean 'random'"),
    (TikiTaka, {"lr": 0.1, "transfer_every": 0}, "transfer_every is 0, but must be an integer of"),
    (TikiTaka, {"lr": 0.1, "columns": 1.5}, "columns is 1.5"),
    (TikiTaka, {"lr": 0.1, "reads": 0}, "reads is 0"),
]


@pytest.mark.parametrize(("make", "options", "message"), WRONG, ids=[m[:30] for *_, m in WRONG])
def test_options_are_checked_and_a_refusal_leaves_no_trace(
    make: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    layer, late = AnalogLinear(3, 2, REAL), AnalogLinear(3, 2, REAL, array=256)
    with pytest.raises(InputError, match=message):
        make(layer.parameters(), **options)
    optimizer = make(layer.parameters(), lr=0.1)
    with pytest.raises(InputError, match=message):
        optimizer.add_param_group({"params": late.parameters(), **options})
    assert len(optimizer.param_groups) == 1
    late(torch.ones(1, 3)).sum().backward()
    assert late.weight.grad is not None  # still in gradient mode
    optimizer.add_param_group({"params": late.parameters()})
    late(torch.ones(1, 3)).sum().backward()
    before = late.weight.detach().clone()
    optimizer.step()
    assert isinstance(optimizer, TikiTaka) or not torch.equal(late.weight, before)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_digital_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no parameter is analog: convert the model first"):
        ALGORITHMS[name](network().parameters())
