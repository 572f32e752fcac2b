"""From backward to step: who takes the factors, for how long, and what digital training meets."""

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

from cases import SPREADS
from ohmgrad import AnalogLinear, AnalogSGD, Device, InputError, Noise, SoftBounds, TikiTaka, Tile, convert
from ohmgrad.crossbar import tiles_of
from ohmgrad.handover import MANY_PASSES
from ohmgrad.nn import analog_layers

REAL = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"], Noise(0.3))
ALIKE = Device(SoftBounds.symmetric(0.6))
X = torch.linspace(-1, 1, 4 * 2 * 25).view(4, 2, 5, 5).sin()
LAYERS = ("0", "3", "5")


def network(device: Device = REAL, **settings: Any) -> Any:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, 3)
    )
    return convert(model, device, **settings)


def loss_of(model: nn.Module, x: Tensor = X) -> Tensor:
    return (model(x) - 0.3).square().mean()


def waiting(model: nn.Module) -> list[bool]:
    """Which layers have factors that wait; forgets them."""
    taken = [[tile.take_factors() for tile in layer.tiles] for _, layer in analog_layers(model)]
    return [any(factors is not None for factors in of_a_layer) for of_a_layer in taken]


def analog_weights(model: nn.Module) -> list[Tensor]:
    return [layer.weight.detach().clone() for _, layer in analog_layers(model)]


def gradients(model: nn.Module) -> list[Tensor | None]:
    return [layer.weight.grad for _, layer in analog_layers(model)]


# --- what a backward pass asks for ---------------------------------------------------------------


def test_only_a_wanted_weight_gradient_hands_factors_over() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    x = X.clone().requires_grad_()
    loss_of(model, x).backward()
    assert waiting(model) == [True] * 3
    torch.autograd.grad(loss_of(model, x), x)
    assert waiting(model) == [False] * 3
    torch.autograd.grad(loss_of(model, x), [model[5].bias, model[0].bias])
    assert waiting(model) == [False] * 3
    loss_of(model, x).backward(inputs=[x, model[3].weight])
    assert waiting(model) == [False, True, False]
    before = analog_weights(model)
    torch.autograd.grad(loss_of(model, x), x)
    optimizer.step()
    assert all(map(torch.equal, before, analog_weights(model)))


def test_autograd_grad_returns_a_weights_gradient_beside_a_living_optimizer() -> None:
    model, free = network(), network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    loss_of(free).backward()
    for name in LAYERS:
        (gradient,) = torch.autograd.grad(loss_of(model), model.get_submodule(name).weight)
        torch.testing.assert_close(gradient, free.get_submodule(name).weight.grad)
    assert waiting(model) == [False] * 3
    assert optimizer.events()["updates"] == 0


def test_second_derivatives_are_refused() -> None:
    model = network()
    penalised = [model, nn.Sequential(nn.Linear(2, 2), nn.Tanh(), AnalogLinear(2, 1, ALIKE))]
    for m, x in zip(penalised, (X, X[0, 0, :, :2]), strict=True):
        x = x.clone().requires_grad_()
        gradient = torch.autograd.grad(m(x).sum(), x, create_graph=True)[0]
        plain = torch.autograd.grad(m(x).sum(), x)[0]
        torch.testing.assert_close(gradient.detach(), plain)
        penalty = gradient.square().sum() + m(x).sum()
        last = m[-1].weight
        for ask in (
            lambda p=penalty: p.backward(retain_graph=True),
            lambda p=penalty, w=last: torch.autograd.grad(p, w, retain_graph=True, allow_unused=True),
            lambda p=penalty, x=x: torch.autograd.grad(p, x, allow_unused=True),
        ):
            with pytest.raises(InputError, match="analog layers have no second derivatives"):
                ask()


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_factors_carry_no_graph_and_the_model_can_be_copied_while_they_wait() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    for graph in (False, True):
        loss_of(model, X.clone().requires_grad_()).backward(create_graph=graph)
        for _, layer in analog_layers(model):
            for x, d in layer.tiles[0]._waiting._factors:
                assert not x.requires_grad
                assert not d.requires_grad
        copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        model.zero_grad()
        optimizer.zero_grad()
    for other in copies:
        assert waiting(other) == [False] * 3
        before = analog_weights(other)
        AnalogSGD(other.parameters(), lr=0.1).step()
        assert all(map(torch.equal, before, analog_weights(other)))


def test_the_optimizers_zero_grad_forgets_factors_and_the_models_does_not() -> None:
    """As the docstring of `AnalogOptimizer` says."""
    for forget, changed in ((lambda m, o: o.zero_grad(), False), (lambda m, o: m.zero_grad(), True)):
        model = network()
        optimizer = AnalogSGD(model.parameters(), lr=0.1)
        loss_of(model).backward()
        forget(model, optimizer)
        before = analog_weights(model)
        optimizer.step()
        assert all(map(torch.equal, before, analog_weights(model))) is not changed


# --- as long as an optimizer lives ---------------------------------------------------------------


@pytest.mark.parametrize("make", [AnalogSGD, TikiTaka])
def test_a_dropped_optimizer_does_not_matter(make: Any) -> None:
    model = network()
    optimizer, other = make(model.parameters(), lr=0.1), AnalogSGD(model[5].parameters(), lr=0.1)
    loss_of(model).backward()
    assert gradients(model) == [None] * 3
    assert waiting(model) == [True] * 3
    alive = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert alive() is None
    loss_of(model).backward()
    assert [g is not None for g in gradients(model)] == [True, True, False]  # `other` has the last
    del other
    model.zero_grad()
    before = analog_weights(model)
    digital = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_of(model).backward()
    digital.step()
    assert not any(map(torch.equal, before, analog_weights(model)))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_have_an_optimizer_only_where_it_was_copied_too(copied: Any) -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    alone = copied(model)
    loss_of(alone).backward()
    assert all(g is not None for g in gradients(alone))
    for order in (0, 1):
        pair = copied((model, optimizer) if order == 0 else (optimizer, model))
        other, its_optimizer = pair if order == 0 else pair[::-1]
        its_optimizer.zero_grad()
        loss_of(other).backward()
        assert gradients(other) == [None] * 3
        before = analog_weights(other)
        its_optimizer.step()
        assert not any(map(torch.equal, before, analog_weights(other)))


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


# --- digital training ----------------------------------------------------------------------------


def warnings_in(work: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    return [str(w.message) for w in caught]


def test_digital_training_out_of_the_range_is_refused() -> None:
    layer = AnalogLinear(3, 2, ALIKE)
    digital = torch.optim.SGD(layer.parameters(), lr=1e-3)
    for lr in (1e-3, 100.0):
        digital.param_groups[0]["lr"] = lr
        digital.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        digital.step()
    with pytest.raises(InputError, match="is outside the device's range"):
        layer(torch.ones(1, 3))


def test_factors_that_pile_up_warn_once_however_often_a_pass_uses_a_layer() -> None:
    layer = AnalogLinear(3, 3, ALIKE)
    optimizer = AnalogSGD(layer.parameters(), lr=0.1)

    def passes(number: int, uses: int = 1) -> None:
        for _ in range(number):
            x = torch.ones(1, 3)
            for _ in range(uses):
                x = layer(x)
            x.sum().backward()

    assert warnings_in(lambda: passes(2, uses=MANY_PASSES)) == []
    optimizer.zero_grad()
    assert warnings_in(lambda: passes(MANY_PASSES - 1)) == []
    optimizer.step()
    assert warnings_in(lambda: passes(MANY_PASSES - 1)) == []
    (told,) = warnings_in(lambda: passes(2 * MANY_PASSES))
    assert told.startswith(f"factors of {MANY_PASSES} backward passes wait for a step: call step()")


# --- weights that are set ------------------------------------------------------------------------

OUTSIDE = r"weight 5 is outside the device's range \[-0.6, 0.6\]"


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_loaded_weights_must_fit(name: str, assign: bool) -> None:
    model = network()
    before = analog_weights(model)
    state = model.state_dict()
    state[f"{name}.weight"] = torch.full_like(state[f"{name}.weight"], 5.0)
    with pytest.raises(InputError, match=OUTSIDE):
        model.load_state_dict(state, assign=assign)
    state = {key: value for key, value in state.items() if ".analog." not in key}
    with pytest.raises(InputError, match=OUTSIDE):
        model.load_state_dict(state, strict=False)
    assert all(map(torch.equal, before, analog_weights(model)))


def test_weights_between_the_nominal_range_and_the_elements_bound_fit() -> None:
    """Spread sets some bounds beyond the nominal range, and weights trained up to them load again."""
    model = network()
    for _, layer in analog_layers(model):
        for tile in layer.tiles:
            tile.weight.copy_(tile.elements.upper)
    assert float(model[3].weight.detach().max()) > 0.7
    other = network()
    other.load_state_dict(model.state_dict())
    AnalogSGD(other.parameters(), lr=0.1)
    loss_of(other).backward()
    tile = model[3].tiles[0]
    again = Tile(tile.weight.clone(), REAL, seed=0, array=tile.key.array)
    assert torch.equal(again.weight, tile.weight)
    with pytest.raises(InputError, match="outside the device's range"):
        Tile(tile.weight.clone(), REAL, seed=1)


@pytest.mark.parametrize("name", LAYERS)
def test_weights_that_are_written_or_replaced_must_fit(name: str) -> None:
    for replace in (False, True):
        model = network()
        optimizer = AnalogSGD(model.parameters(), lr=0.1)
        loss_of(model).backward()
        optimizer.step()
        layer = model.get_submodule(name)
        if replace:
            layer.weight = nn.Parameter(torch.full_like(layer.weight, 5.0))
        else:
            nn.init.constant_(layer.weight, 5.0)
        with pytest.raises(InputError, match=OUTSIDE):
            loss_of(model).backward()
        nn.init.constant_(layer.weight, 0.1)
        loss_of(model).backward()
        assert [t.owner for t in tiles_of(layer.weight)] == [layer.weight] * len(layer.tiles)
