"""hardware_aware(): the law of the noise, whom gradients go to, clipping, input ranges, training as usual."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from ohmgrad.deployment import PCM, InputRange, NoisyWeight, deploy, hardware_aware
from ohmgrad.errors import InputError
from ohmgrad.studies import RunSpec
from ohmgrad.studies.train import train_once
from tests.nn.test_to_digital import made, outputs
from tests.stats import assert_normal


def test_noise_is_gaussian_in_units_of_the_largest_weight_and_new_in_each_pass() -> None:
    torch.manual_seed(1)
    weight = torch.randn(200, 100)
    noisy = NoisyWeight(0.05, None)
    first, second = noisy(weight) - weight, noisy(weight) - weight
    size = 0.05 * float(weight.abs().max())
    assert_normal(first / size)
    assert_normal((first - second) / size / math.sqrt(2))
    assert torch.equal(noisy.eval()(weight), weight)


def test_blocks_of_a_packed_weight_have_noise_of_their_own() -> None:
    torch.manual_seed(2)
    weight = torch.cat([torch.full((60, 100), v) for v in (1.0, 10.0, 0.0)])
    noise = (NoisyWeight(0.1, None, 3)(weight) - weight).chunk(3)
    for part, size in zip(noise, (0.1, 1.0), strict=False):
        assert_normal(part / size)
    assert not bool(noise[2].any())


def test_gradients_are_those_of_the_noisy_network_and_go_to_the_weights() -> None:
    model = hardware_aware(nn.Sequential(nn.Linear(4, 3, bias=False)), weight_noise=0.3, clip=None)
    layer: Any = model[0]  # pyright: ignore[reportIndexIssue]
    x = torch.randn(5, 4)
    with parametrize.cached():
        seen = layer.weight
        loss = model(x).square().sum()
        loss.backward()
    wanted = 2 * (x @ seen.detach().T).T @ x
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, wanted)
    assert not torch.equal(seen, layer.parametrizations.weight.original)


def test_weights_are_clipped_in_place_while_training() -> None:
    torch.manual_seed(3)
    weight = nn.Parameter(torch.randn(100, 100))
    before, noisy = weight.detach().clone(), NoisyWeight(0.0, 2.0)
    bound = 2 * float(before.std())
    torch.testing.assert_close(noisy.eval()(weight).detach(), before.clamp(-bound, bound))
    assert torch.equal(weight, before)
    noisy.train()(weight)
    torch.testing.assert_close(weight.detach(), before.clamp(-bound, bound))


def test_input_ranges_begin_with_the_data_round_and_learn() -> None:
    x = torch.linspace(-2, 2, 801)
    inputs = InputRange(4)
    assert torch.equal(inputs.eval()(x), x)  # no range yet
    y = inputs.train()(x)
    assert inputs.range.item() == 2.0
    assert y.unique().numel() == 15
    assert float((y - x).abs().max().detach()) <= 1 / 7 + 1e-6
    with torch.no_grad():
        inputs.range.fill_(1.0)
    wide = torch.full((4,), 3.0)
    inputs(wide).sum().backward()  # every input is beyond: dy/dr = 1, scaled by 1 / sqrt(4 * 7)
    assert inputs.range.grad is not None
    assert float(inputs.range.grad) == pytest.approx(4 / math.sqrt(28))
    again = torch.tensor([0.5, 3.0], requires_grad=True)
    inputs(again).sum().backward()
    assert again.grad is not None
    torch.testing.assert_close(again.grad, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("name", ["linear", "conv2d-groups", "lstm", "gru", "attention", "attention-sizes"])
def test_layers_of_every_type_train_and_are_deployed(name: str) -> None:
    layer, x = made(name)
    plain = nn.Sequential(layer) if len(x) == 1 else nn.ModuleDict({"0": layer})
    model = hardware_aware(copy.deepcopy(plain), clip=None)
    call: Any = model if len(x) == 1 else model["0"]  # pyright: ignore[reportIndexIssue]
    first, second = outputs(call(*x))[0], outputs(call(*x))[0]
    assert not torch.equal(first, second)
    first.square().sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if "weight" in n)
    model.eval()
    for a, b in zip(outputs(call(*x)), outputs(layer.eval()(*x)), strict=True):
        torch.testing.assert_close(a, b)
    chip: Any = deploy(model, PCM()).at()
    assert not any(parametrize.is_parametrized(m) for m in chip.modules())
    assert {*chip.state_dict()} == {*plain.state_dict()}
    assert [type(m) for m in chip.modules()] == [type(m) for m in plain.modules()]
    assert any(parametrize.is_parametrized(m) for m in model.modules())
    assert outputs(call(*x))  # the model is as it was


def test_wrong_input() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"weight_noise": -1}, "weight_noise is -1"),
        ({"clip": 0}, "clip is 0"),
        ({"input_bits": 1}, r"input_bits is 1, but must be an integer in \[2, 16\]"),
        ({"include": ["9"]}, "pattern '9' matches no layer"),
    ]
    for settings, says in cases:
        with pytest.raises(InputError, match=says):
            hardware_aware(model, **settings)
    with pytest.raises(InputError, match="must be a torch"):
        hardware_aware(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="parametrized"):
        hardware_aware(hardware_aware(model))


def test_run_files_have_its_options() -> None:
    spec = RunSpec(algorithms=("digital",), images=30, options={"weight_noise": 0.1, "input_bits": 6})
    plain, noisy = train_once(RunSpec(algorithms=("digital",), images=30)), train_once(spec)
    assert plain.row["train_loss"] != noisy.row["train_loss"]
    assert train_once(spec).row["train_loss"] == noisy.row["train_loss"]
    with pytest.raises(InputError, match="clip is -1"):
        RunSpec(algorithms=("digital",), options={"clip": -1})
    with pytest.raises(InputError, match="unknown option 'weight_nose' of digital: did you mean 'weight_noi"):
        RunSpec(algorithms=("digital",), options={"weight_nose": 0.1})
    with pytest.raises(InputError, match="unknown option 'weight_noise' of sgd"):
        RunSpec(algorithms=("sgd",), options={"weight_noise": 0.1})
