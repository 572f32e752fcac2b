"""What acts on `weight.grad` between backward and step reaches the pulses: scaling, clipping, hooks."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogLinear,
    AnalogMomentum,
    AnalogSGD,
    ConstantStep,
    Device,
    GradientCounts,
    InputError,
    Noise,
    Pulsing,
    SoftBounds,
    TikiTaka,
    convert,
)
from ohmgrad.nn import analog_layers
from tests.cases import ALGORITHMS, SPREADS

REAL = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"], Noise(0.3))
#: at fidelity "mean" an analog step on it is a digital one
IDEAL = Device(ConstantStep(-5.0, 5.0), 1e-4)
MEAN = Pulsing(fidelity="mean")
X = torch.linspace(-1, 1, 4 * 2 * 25).view(4, 2, 5, 5).sin()


def plain() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, 3)
    )


def network(device: Device = REAL, **settings: Any) -> Any:
    model = convert(plain(), device, **settings)
    if device is IDEAL:  # the scales would be trained beside the weights
        for _, layer in analog_layers(model):
            layer.out_scale.requires_grad_(False)
    return model


def loss_of(model: nn.Module, x: Tensor = X) -> Tensor:
    return (model(x) - 0.3).square().mean()


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for n, p in model.named_parameters() if not n.endswith("out_scale")]


def close(a: list[Tensor], b: list[Tensor]) -> None:
    for mine, other in zip(a, b, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def warnings_in(work: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [str(w.message) for w in caught]


# --- scaling and clipping ------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2.0**-3, 2.0**16])
@pytest.mark.parametrize("make", [AnalogSGD, TikiTaka, GradientCounts])
def test_a_gradient_scaler_changes_no_pulse(make: Any, scale: float) -> None:
    """Powers of two are exact, so that trains are the same to the bit."""
    found = []
    for scaled in (False, True):
        model = network()
        optimizer = make(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scaled)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(loss_of(model)).backward()
            scaler.step(optimizer)
            scaler.update()
        assert optimizer.events()["pulses_up"] > 0
        found.append((weights(model), optimizer.events()))
    assert all(map(torch.equal, found[0][0], found[1][0]))
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["input", "loss"])
def test_a_scaler_skips_a_step_that_is_not_finite(where: str, bad: float) -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before, x = weights(model), X.clone()
    if where == "input":
        x[0, 0, 0, 0] = bad
    scaler.scale(loss_of(model, x) * (bad if where == "loss" else 1.0)).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(map(torch.equal, before, weights(model)))
    assert optimizer.events()["updates"] == 0
    assert scaler.get_scale() == 4.0


@pytest.mark.parametrize("clip", ["norm", "norm, infinity", "value", "none"])
def test_clipping_is_torchs(clip: str) -> None:
    """Beside torch's SGD, on a device where an analog step is a digital one."""
    digital, analog = plain(), network(IDEAL, pulsing=MEAN)
    norms = []
    sgd = torch.optim.SGD(digital.parameters(), lr=0.5)
    # a clip by value leaves no factors
    own: Any = (GradientCounts if clip == "value" else AnalogSGD)(analog.parameters(), lr=0.5)
    for model, optimizer in ((digital, sgd), (analog, own)):
        for i in range(3):
            optimizer.zero_grad()
            loss_of(model, X + 0.1 * i).backward()
            trained = [p for n, p in model.named_parameters() if not n.endswith("out_scale")]
            if clip == "value":
                nn.utils.clip_grad_value_(trained, 0.01)
            elif clip != "none":
                norms.append(nn.utils.clip_grad_norm_(trained, 0.05, float("inf" if "inf" in clip else 2)))
            optimizer.step()
    if clip == "value":  # whole pulses: half a pulse a step
        for a, b in zip(weights(digital), weights(analog), strict=True):
            assert float((a - b).abs().max()) <= 3 * 1e-4
    else:
        close(weights(digital), weights(analog))
    torch.testing.assert_close(norms[:3], norms[3:])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_hook_that_scales_is_a_smaller_loss(name: str) -> None:
    found = []
    for hooked in (False, True):
        model = network()
        optimizer = ALGORITHMS[name](model.parameters())
        if hooked:
            for p in model.parameters():
                p.register_hook(lambda g: g * 0.5)
        for _ in range(3):
            optimizer.zero_grad()
            (loss_of(model) * (1.0 if hooked else 0.5)).backward()
            optimizer.step()
        found.append(weights(model))
    close(*found)


# --- accumulation and clearing -------------------------------------------------------------------


@pytest.mark.parametrize("make", [AnalogSGD, TikiTaka])
def test_parts_of_a_minibatch_add_up_to_the_same_pulses(make: Any) -> None:
    found = []
    for parts in (1, 2, 4):
        model = network()
        optimizer = make(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            for x in X.chunk(parts):
                ((model(x) - 0.3).square().sum() / 12).backward()
            optimizer.step()
        found.append((optimizer.events()["pulses_up"], optimizer.events()["pulses_down"]))
    assert found[0] == found[1] == found[2]
    assert found[0][0] > 0


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("of", ["model", "optimizer"])
def test_zero_grad_forgets(of: str, set_to_none: bool) -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    loss_of(model).backward()
    (model if of == "model" else optimizer).zero_grad(set_to_none=set_to_none)
    before = weights(model)
    optimizer.step()
    assert all(map(torch.equal, before, weights(model)))
    assert optimizer.events()["pulses_up"] == 0


def test_a_step_lets_go_of_what_it_used() -> None:
    model = network()
    optimizer = TikiTaka(model.parameters(), lr=0.1)
    loss_of(model).backward()
    kept = [weakref.ref(layer.weight.grad._store.passes[0].d) for _, layer in analog_layers(model)]
    optimizer.step()
    gc.collect()
    assert all(ref() is None for ref in kept)
    before = weights(model)[0]
    optimizer.step()
    assert torch.equal(before, weights(model)[0])


# --- gradients that became matrices --------------------------------------------------------------


def test_an_algorithm_says_whether_it_takes_a_matrix() -> None:
    """A mask in a hook: refused before anything moves, or followed, so that the other weights alone move."""
    mask = (torch.arange(36 * 5).view(5, 36) % 2).float()
    takes = set()
    for name, make in ALGORITHMS.items():
        model = network(Device(ConstantStep(-1, 1), 1e-5))
        model[3].weight.register_hook(lambda g: g * mask)
        optimizer = make(model.parameters())
        before = weights(model)
        loss_of(model).backward()
        if optimizer.takes_matrix:
            for _ in range(8):  # one case sends some rows every few updates
                optimizer.step()
                loss_of(model).backward()
            moved = model[3].weight.detach() != before[2]
            assert not bool((moved & (mask == 0)).any())
            assert bool(moved.any())
            takes.add(name)
        else:
            with pytest.raises(InputError, match=r"was changed as a matrix.*scale it by numbers only"):
                optimizer.step()
            assert all(map(torch.equal, before, weights(model)))
            assert optimizer.events()["updates"] == 0
    digital = ("mixed-precision", "gradient-counts", "momentum", "sign-rule", "eapu")
    assert takes == {name for name in ALGORITHMS if name.startswith(digital)}


@pytest.mark.parametrize("max_tile", [None, (2, 5)])
def test_a_matrix_gives_what_its_factors_give(max_tile: Any) -> None:
    found = []
    for dense in (False, True):
        model = network(IDEAL, pulsing=MEAN, max_tile=max_tile)
        optimizer = GradientCounts(model.parameters(), lr=0.5)
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model).backward()
            for _, layer in analog_layers(model):
                if dense:
                    layer.weight.grad = layer.weight.grad.to_dense()
            optimizer.step()
        found.append(weights(model))
    for a, b in zip(*found, strict=True):
        assert float((a - b).abs().max()) <= 3 * 1.01e-4  # rounding may move one pulse a step
        assert not torch.equal(a, torch.zeros_like(a))


# --- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_of_model_and_optimizer_train_in_either_order(copied: Any) -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    loss_of(model).backward()
    for order in (0, 1):
        pair = copied((model, optimizer) if order == 0 else (optimizer, model))
        other, its_optimizer = pair if order == 0 else pair[::-1]
        before = weights(other)
        its_optimizer.step()  # a copy has no gradient
        assert all(map(torch.equal, before, weights(other)))
        loss_of(other).backward()
        its_optimizer.step()
        assert not any(map(torch.equal, before[::2], weights(other)[::2]))


def test_a_weight_that_became_analog_after_the_optimizer_was_made_is_not_trained_digitally() -> None:
    model: Any = network()
    layer = model[0]
    layer.weight = torch.nn.Parameter(layer.weight.detach().clone())  # on a tile from the next forward on
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    loss_of(model).backward()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(InputError, match="call the model once and make the optimizer anew"):
        optimizer.step()
    assert all(map(torch.equal, before, model.parameters()))
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    optimizer.zero_grad()
    loss_of(model).backward()
    optimizer.step()
    assert layer.weight.grad is None
    assert layer.tiles[0].count("updates") == 1


# --- autocast and process groups -----------------------------------------------------------------

PERIPHERIES = {
    "perfect": {},
    "noisy": {"periphery": NOISY_PERIPHERY},
    "tiles": {"max_tile": (3, 3)},
    "reference": {"periphery": NOISY_PERIPHERY, "backend": "reference"},
}
MODULES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (2, 6)),
    "conv1d": (lambda: nn.Conv1d(2, 4, 3), (2, 2, 8)),
    "conv2d": (lambda: nn.Conv2d(2, 4, 3, padding=1), (2, 2, 8, 8)),
    "lstm": (lambda: nn.LSTM(3, 4), (5, 2, 3)),
    "gru": (lambda: nn.GRU(3, 4, bidirectional=True), (5, 2, 3)),
    "attention": (lambda: nn.MultiheadAttention(6, 2), (5, 2, 6)),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("how", PERIPHERIES)
@pytest.mark.parametrize("name", MODULES)
def test_analog_layers_compute_in_float32_under_autocast(name: str, how: str, dtype: torch.dtype) -> None:
    make, shape = MODULES[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(shape).to(dtype)
    found = []
    for casts in (False, True):
        twin: Any = convert(layer, REAL, seed=1, **PERIPHERIES[how])
        optimizer = AnalogSGD(twin.parameters(), lr=0.1)
        given = x.clone().requires_grad_() if casts else x.float().requires_grad_()
        inputs = (given,) * 3 if name == "attention" else (given,)
        with torch.autocast("cpu", dtype=dtype, enabled=casts):
            y = twin(*inputs)
            y = y[0] if isinstance(y, tuple) else y
            y.float().square().mean().backward()  # inside, where backward sees autocast, too
        optimizer.step()
        assert given.grad is not None
        assert given.grad.dtype == given.dtype
        found.append((y, optimizer.events()["pulses_up"]))
    if name == "attention":  # scores and softmax are torch's own
        torch.testing.assert_close(found[0][0], found[1][0].float(), rtol=0.1, atol=0.1)
    else:
        assert torch.equal(found[0][0], found[1][0])
        assert found[0][1] == found[1][1] > 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_another_type_of_input_is_refused(dtype: torch.dtype) -> None:
    for layer, x in ((AnalogLinear(3, 2, REAL), torch.ones(1, 3)), (network()[0], X)):
        with pytest.raises(InputError, match=r"input is torch\.\w+, but crossbars compute in torch.float32"):
            layer(x.to(dtype))


def test_a_process_group_of_several_ranks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    before = weights(model)
    loss_of(model).backward()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for work in (optimizer.step, lambda: AnalogSGD(model.parameters(), lr=0.1)):
        with pytest.raises(InputError, match="a process group of 2 ranks"):
            work()
    assert all(map(torch.equal, before, weights(model)))
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    optimizer.step()
    assert optimizer.events()["updates"] > 0


def test_a_learned_input_in_an_earlier_group_moves_after_the_pulses_it_makes() -> None:
    layer: Any = convert(nn.Linear(6, 5), IDEAL, pulsing=MEAN)
    x = nn.Parameter(X.view(-1, 50)[:, :6].clone())
    optimizer = AnalogSGD([{"params": [x]}, {"params": [*layer.parameters()]}], lr=0.1)
    loss_of(layer, x).backward()
    wanted = layer.weight.detach() - 0.1 * layer.weight.grad.to_dense()
    optimizer.step()
    close([layer.weight.detach()], [wanted])


def test_a_step_that_is_refused_leaves_digital_parameters_of_earlier_groups() -> None:
    layer: Any = convert(nn.Linear(6, 5), IDEAL)
    optimizer = AnalogSGD([{"params": [layer.bias]}, {"params": [layer.weight]}], lr=0.1)
    before = layer.bias.detach().clone()
    (loss_of(layer, X.view(-1, 50)[:, :6]) * float("nan")).backward()
    with pytest.raises(InputError, match="must be finite"):
        optimizer.step()
    assert torch.equal(layer.bias, before)


@pytest.mark.parametrize("shape", [(2, 30), (30, 2), (4, 4)])
def test_a_matrix_gets_factors_of_as_few_samples_as_it_can_have(shape: tuple[int, int]) -> None:
    """A matrix of 50,000 rows, of a vocabulary, must not make a unit matrix of 10 GB."""
    rows, cols = shape
    layer: Any = convert(nn.Linear(cols, rows), IDEAL, pulsing=MEAN)
    optimizer, seen = AnalogMomentum(layer.parameters(), lr=0.1), list[tuple[Tensor, Tensor]]()
    optimizer.register_update_hook(lambda tile, x, d, *_: seen.append((x, d)))
    layer.weight.grad = torch.linspace(-1, 1, rows * cols).view(shape).sin()
    wanted = layer.weight.grad.clone()
    optimizer.step()
    ((x, d),) = seen
    assert len(x) == len(d) == min(shape)
    assert torch.equal(d.t() @ x, wanted)
