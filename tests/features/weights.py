"""What a script does to weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from ohmgrad import AnalogLinear, AnalogSGD, TikiTaka, hold

from . import Group, beside_torch, ideal, loss_of, mlp, real, same, step, trained

group = Group("Weights")

COMPUTED = (
    "the weight of an analog layer is not a parameter but computed from others: undo that "
    "(torch.nn.utils.parametrize.remove_parametrizations, torch.nn.utils.prune.remove)"
)


def written(write: Callable[[Any], Any]) -> None:
    """A write before training and one within."""

    def train(model: Any, sgd: Any) -> list[float]:
        torch.manual_seed(1)
        write(model)
        optimizer = sgd(model.parameters())
        losses = [step(model, optimizer) for _ in range(2)]
        write(model)
        return losses + [step(model, optimizer) for _ in range(2)]

    beside_torch(train)


@group.works("`nn.init`, in-place writes under `no_grad`")
def in_place() -> None:
    def init(model: Any) -> None:
        nn.init.xavier_uniform_(model[0].weight)
        nn.init.zeros_(model[0].bias)
        with torch.no_grad():
            model[2].weight.mul_(0.5)
            model[2].weight[0, 0] = 0.25

    written(init)


@group.works("writes through `.data`, `p.data = ...`, `vector_to_parameters`, weight clamps as of WGAN")
def data() -> None:
    def through_data(model: Any) -> None:
        model[0].weight.data.clamp_(-0.1, 0.1)
        model[2].weight.data = model[2].weight.data * 0.5

    def vector(model: Any) -> None:
        params = [model[0].weight, model[2].weight]
        nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(params) * 0.5, params)

    for write in (through_data, vector):
        written(write)


@group.works("writes beyond an element's own bound", "the element is at that bound from the next product on")
def beyond() -> None:
    for write in (lambda w: w.data.fill_(0.6), lambda w: nn.init.constant_(w, 0.6)):
        model = real()
        write(model[0].weight)
        model(torch.zeros(1, 6))
        elements = model[0].tiles[0].elements
        assert torch.equal(model[0].weight.detach(), elements.clip(torch.full((5, 6), 0.6)))
        assert float(model[0].weight.min()) < 0.6


@group.refused(
    "writes beyond the device's range",
    "weight 7 is outside the device's range [-5, 5]: scale the weights into it (convert() does so with "
    "output scales), or use a device with a wider range",
)
def outside() -> None:
    model = ideal(mlp())
    model[0].weight.data[0, 0] = 7.0
    loss_of(model)


@group.works("`layer.weight = nn.Parameter(...)`, with a call of the model before the optimizer is made")
def replaced() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        model[0].weight = nn.Parameter(model[0].weight.detach() * 0.5)
        loss_of(model)
        optimizer = sgd(model.parameters())
        return [step(model, optimizer) for _ in range(3)]

    beside_torch(train)


@group.refused(
    "`layer.weight = nn.Parameter(...)`, without one",
    "an analog layer got a new weight and was not called before this optimizer was made, which takes it for "
    "digital: call the model once and make the optimizer anew",
)
def replaced_uncalled() -> None:
    model = ideal(mlp())
    model[0].weight = nn.Parameter(model[0].weight.detach())
    step(model, AnalogSGD(model.parameters(), lr=0.1))


@group.works("freezing by `requires_grad_(False)`, before, during and after training")
def frozen() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer, losses = sgd(model.parameters()), []
        for on in (False, True, False):
            model[0].weight.requires_grad_(on)
            losses += [step(model, optimizer) for _ in range(2)]
        return losses

    beside_torch(train)


@group.refused(
    "weights tied before `convert`",
    "layers '0', '2' share one parameter, and a crossbar holds its own: keep them digital with "
    "exclude=['0', '2'], or untie them",
)
def tied_before() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    ideal(model)


@group.works("one layer in two places, before `convert`")
def one_layer() -> None:
    def make() -> Any:
        torch.manual_seed(0)
        layer = nn.Linear(6, 6)
        return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(6, 3))

    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd(model.parameters())
        return [step(model, optimizer) for _ in range(3)]

    beside_torch(train, make)


@group.refused(
    "weights tied after `convert`",
    "two analog layers share one weight, but a crossbar holds its own: untie them, or use one layer in both "
    "places",
)
def tied_after() -> None:
    model = ideal(nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)))
    model[2].weight = model[0].weight
    loss_of(model)


@group.refused(
    "pruned layers before `convert`",
    "a weight of layer '0' is not a parameter but computed from others: undo that first "
    "(torch.nn.utils.remove_weight_norm, torch.nn.utils.prune.remove), or exclude the layer",
)
def pruned_before() -> None:
    model = mlp()
    prune.l1_unstructured(model[0], "weight", amount=0.3)
    ideal(model)


@group.refused("`torch.nn.utils.prune` after `convert`", COMPUTED)
def pruned_after() -> None:
    model = ideal(mlp())
    prune.l1_unstructured(model[0], "weight", amount=0.3)
    loss_of(model)


@group.works(
    "`weight_norm`, `spectral_norm`, `orthogonal` and other parametrizations before `convert`",
    "these layers stay digital, and a warning names them",
)
def parametrized_before() -> None:
    def make() -> Any:
        torch.manual_seed(0)
        layer = parametrizations.weight_norm(nn.Linear(6, 5))
        return nn.Sequential(layer, nn.Tanh(), nn.Linear(5, 3))

    digital = make()
    with pytest.warns(UserWarning, match=r"ParametrizedLinear \('0'\): parametrized"):
        analog = ideal(make())
    a, b = torch.optim.SGD(digital.parameters(), 0.5), AnalogSGD(analog.parameters(), 0.5)
    same([step(analog, b) for _ in range(3)], [step(digital, a) for _ in range(3)])
    assert len(trained(analog)) == 5


@group.refused("parametrizations after `convert`", COMPUTED)
def parametrized_after() -> None:
    class Half(nn.Module):
        def forward(self, w: Any) -> Any:
            return w * 0.5

    model = ideal(mlp())
    parametrize.register_parametrization(model[0], "weight", Half())
    loss_of(model)


@group.works(
    "pruned weights that stay at zero in training",
    "`og.hold(layer, mask)` holds single weights, where a mask in a hook is refused",
)
def held() -> None:
    model = real()
    mask = (torch.arange(30) % 2 == 0).view(5, 6)
    with torch.no_grad():
        model[0].weight[mask] = 0.0
    hold(model[0], mask)
    optimizer = TikiTaka(model.parameters(), lr=0.5, fast_lr=0.5)
    before = model[0].weight.detach().clone()
    for _ in range(20):
        step(model, optimizer)
    moved = model[0].weight.detach() != before
    assert not bool(moved[mask].any())
    assert bool(moved[~mask].any())


@group.works(
    "a step, or a write of the weights, between forward and backward",
    "the backward pass goes through the weights as they are by then, as on hardware, where torch raises",
)
def moved_between() -> None:
    layer = real().get_submodule("0")
    assert isinstance(layer, AnalogLinear)
    layer.requires_grad_(False)
    x = torch.ones(2, layer.in_features, requires_grad=True)
    y = layer(x)
    with torch.no_grad():
        layer.weight.mul_(0.5)
    y.sum().backward()
    assert x.grad is not None
    wanted = (layer.out_scale.unsqueeze(1) * layer.weight).sum(0).expand_as(x)
    torch.testing.assert_close(x.grad, wanted)


@group.refused(
    "an analog weight in the loss itself, as `loss + layer.weight.square().sum()`, with an algorithm that "
    "pulses from factors",
    "the gradient of an analog weight, (5, 6), was changed as a matrix, and AnalogSGD pulses from its "
    "factors: scale it by numbers only, hold weights with ohmgrad.hold(layer, mask), or train with "
    "MixedPrecision, GradientCounts or AnalogMomentum, which take a matrix",
)
def in_the_loss() -> None:
    model = real()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    (loss_of(model) + model[0].weight.square().sum()).backward()
    optimizer.step()
