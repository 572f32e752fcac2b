"""deploy(): layers of every type, what is compensated, the order of questions, wrong input."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from ohmgrad import SoftBounds, convert
from ohmgrad.deployment import DAY, PCM, ReRAM, accuracy_over_time, deploy, hardware_aware
from ohmgrad.devices import Device
from ohmgrad.errors import InputError
from ohmgrad.nn import LeftDigitalWarning
from tests.nn.test_to_digital import LAYERS, made, outputs

#: exact: no noise, and every conductance falls alike
UNIFORM = PCM(programming=(0.0,), exponent=(0.0, 0.05, 0.05, 0.05), exponent_spread=(0.0, 0.0, 0.0, 0.0),
              read=(0.0, 0.0, 0.0))  # fmt: skip


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


@pytest.mark.parametrize("name", LAYERS)
def test_without_noise_and_drift_a_layer_computes_what_it_did(name: str) -> None:
    layer, x = made(name)
    chip = deploy(layer.eval(), UNIFORM)
    for a, b in zip(outputs(chip.at()(*x)), outputs(layer(*x)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["linear", "conv2d-groups", "lstm", "attention", "attention-sizes"])
def test_all_matrices_are_programmed_and_nothing_else(name: str) -> None:
    layer, _ = made(name)
    before = copy.deepcopy(layer.state_dict())
    now = deploy(layer, PCM()).at(DAY).state_dict()
    for key, value in layer.state_dict().items():
        assert torch.equal(value, before[key])  # the model is not changed
        if value.dim() > 1:
            assert bool((now[key] != value).all()), key
        else:
            assert torch.equal(now[key], value), key


def test_compensation_undoes_a_uniform_drift_exactly() -> None:
    model, x = network(), torch.randn(4, 6)
    chip = deploy(model, UNIFORM)
    torch.testing.assert_close(chip.at(DAY)(x), model(x))
    for factor in chip.factors(DAY).values():
        assert factor == pytest.approx((DAY / 20) ** 0.05, rel=1e-12)
    decayed = chip.at(DAY, compensation=False).state_dict()
    for name, value in model.state_dict().items():
        shrunk = value * ((DAY / 20) ** -0.05 if name.endswith("weight") else 1)
        torch.testing.assert_close(decayed[name], shrunk)


def test_compensation_is_that_of_outputs_to_single_inputs() -> None:
    """The factor, from products of the layers themselves."""
    chip: Any = deploy(nn.Linear(6, 5, bias=False), PCM(), seed=1)
    first, later = (chip.at(t, compensation=False)(torch.eye(6)).abs().sum() for t in (20.0, DAY))
    assert chip.factors(DAY)["the model"] == pytest.approx(float(first.detach() / later.detach()), rel=1e-5)


def test_the_order_of_questions_does_not_matter() -> None:
    model = network()
    chip, fresh = deploy(model, seed=5), deploy(model, seed=5)
    chip.at(DAY)
    once, again = chip.at(3600.0).state_dict(), fresh.at(3600.0).state_dict()
    other = deploy(model, seed=6).at(3600.0).state_dict()
    second = deploy(model, seed=5, programming=1).at(3600.0).state_dict()
    for name, value in once.items():
        assert torch.equal(value, again[name])
        if name.endswith("weight"):
            assert not bool((value == other[name]).any() | (value == second[name]).any())


def test_the_largest_weight_is_g_max_and_clipping_makes_it_smaller() -> None:
    model = network()
    plus, minus = deploy(model, UNIFORM).conductances()["0"]
    w = model[0].weight.detach().double()
    torch.testing.assert_close(plus - minus, 25 * w / w.abs().max())
    assert not bool((plus * minus).any())
    clipped: Any = deploy(model, UNIFORM, clip=1.0).at()
    weight = clipped[0].weight
    bound = float(w.std())
    torch.testing.assert_close(weight, w.clamp(-bound, bound).float())


def test_an_analog_model_is_deployed_with_what_its_products_see() -> None:
    model = network()
    analog = convert(model, Device(SoftBounds.symmetric(0.6)), omega=0.5)
    x = torch.randn(3, 6)
    torch.testing.assert_close(deploy(analog, UNIFORM).at()(x), model(x), atol=1e-5, rtol=1e-5)


def test_tied_weights_become_arrays_of_their_own_and_look_ups_stay() -> None:
    model: Any = nn.ModuleDict({"in": nn.Embedding(7, 4), "out": nn.Linear(4, 7)})
    model["out"].weight = model["in"].weight
    now: Any = deploy(model, PCM()).at(DAY)
    assert torch.equal(now["in"].weight, model["in"].weight)
    assert not torch.equal(now["out"].weight, model["out"].weight)


def test_patterns_choose_layers_and_parts() -> None:
    model: Any = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.MultiheadAttention(4, 2), "c": nn.LSTM(4, 4)})
    chip = deploy(model, exclude=["a", "b.k_proj", "c.hidden.*"])
    assert [*chip.factors(DAY)] == ["b.q_proj", "b.v_proj", "b.out_proj", "c.input.l0"]
    now: Any = chip.at(DAY)
    same = now["b"].in_proj_weight == model["b"].in_proj_weight
    assert same.all(1).tolist() == [False] * 4 + [True] * 4 + [False] * 4
    with pytest.warns(LeftDigitalWarning, match="LSTMCell"):
        deploy(nn.Sequential(nn.Linear(2, 2), nn.LSTMCell(2, 2)))


def test_accuracy_over_time() -> None:
    model, x = network(), torch.randn(200, 6)
    labels = model(x).argmax(1)
    seen: list[tuple[int, int]] = []

    def right(model: nn.Module) -> float:
        return float((model(x).argmax(1) == labels).float().mean())

    found = accuracy_over_time(
        model, right, "reram", programmings=4, seed=2, progress=lambda *done: seen.append(done)
    )
    assert found.times == (1.0, DAY, 2 * DAY)
    assert (found.digital, found.accuracies.shape, seen[-1]) == (1.0, (4, 3), (12, 12))
    third = deploy(model, "reram", seed=2, programming=3)
    assert float(found.accuracies[3, 1]) == right(third.at(DAY))
    low, high = found.interval
    half = 3.182446 * found.accuracies.std(0) / 2  # Student's t with 3 degrees of freedom, sqrt(4)
    torch.testing.assert_close(high - found.mean, half, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.mean - low, half, atol=1e-6, rtol=1e-6)
    one = accuracy_over_time(model, right, times=[DAY, 20.0, DAY], programmings=1)
    assert one.times == (20.0, DAY)
    assert bool(one.interval[0].isnan().all())


def test_wrong_input() -> None:
    model = network()
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken[2].weight[0, 0] = float("nan")
    pruned = nn.Sequential(prune.identity(nn.Linear(2, 2), "weight"))
    cases: list[tuple[Any, str]] = [
        (lambda: deploy(model, "flash"), "unknown technology 'flash'"),
        (lambda: deploy(model, seed=-1), "seed is -1"),
        (lambda: deploy(model, programming=1.5), "programming is 1.5"),  # pyright: ignore
        (lambda: deploy(model, clip=0), "clip is 0"),
        (lambda: deploy(model, include=["x"]), "pattern 'x' matches no layer"),
        (lambda: deploy(nn.Tanh()), "no layer can be converted"),
        (lambda: deploy(3), "model is a int"),  # pyright: ignore[reportArgumentType]
        (lambda: deploy(broken), "layer '2' has weights that are not finite"),
        (lambda: deploy(pruned), "torch does not copy the model .*prune.remove"),
        (lambda: hardware_aware(pruned), "weight of layer '0' is no parameter but computed"),
        (lambda: deploy(model, ReRAM()).at(1e6), "published from 1 s to 172800 s"),
        (lambda: accuracy_over_time(model, len, times=[]), "times is empty"),  # pyright: ignore
        (lambda: accuracy_over_time(model, len, times=[5.0]), "published from 20 s on"),  # pyright: ignore
        (lambda: accuracy_over_time(model, len, programmings=0), "programmings is 0"),  # pyright: ignore
    ]
    for make, says in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(InputError, match=says):
                make()
