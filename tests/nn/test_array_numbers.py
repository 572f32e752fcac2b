"""Numbers of the arrays of layers that are made by hand: each has its own, in the order of construction."""

from __future__ import annotations

import copy
import gc
import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

import ohmgrad as og
from ohmgrad.nn import analog_layers

DEVICE = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.01, spread=og.Spread(dw_min=0.3))
#: a seed for each test, which no layer of another test has
SEEDS = itertools.count(40_000)


def arrays(*models: nn.Module) -> list[int]:
    return [tile.key.array for m in models for _, layer in analog_layers(m) for tile in layer.tiles]


LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "linear": lambda seed: og.AnalogLinear(6, 5, DEVICE, seed=seed),
    "tiles": lambda seed: og.AnalogLinear(6, 5, DEVICE, seed=seed, max_tile=(3, 3)),
    "conv": lambda seed: og.AnalogConv2d(
        nn.Conv2d(2, 4, 3, groups=2), None, {"device": DEVICE, "seed": seed}
    ),
    "lstm": lambda seed: og.AnalogLSTM(4, 3, DEVICE, num_layers=2, seed=seed),
    "attention": lambda seed: og.AnalogMultiheadAttention(4, 2, DEVICE, seed=seed),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_made_by_hand_have_elements_and_numbers_of_their_own(name: str) -> None:
    seed = next(SEEDS)
    models = [LAYERS[name](seed) for _ in range(3)]
    found = [array for m in models for array in sorted(arrays(m))]
    assert found == list(range(0, 256 * len(found), 256))  # in the order of construction
    tiles = [tile for m in models for _, layer in analog_layers(m) for tile in layer.tiles]
    same = [t for t in tiles if t.shape == tiles[0].shape]
    assert len(same) >= 3
    for a, b in itertools.combinations(same, 2):
        assert not torch.equal(a.elements.up, b.elements.up)


def test_a_model_of_mixed_layers_is_the_same_again_when_the_first_is_gone() -> None:
    seed = next(SEEDS)

    def trained() -> tuple[list[int], torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(LAYERS["tiles"](seed), nn.Tanh(), og.AnalogLinear(5, 2, DEVICE, seed=seed))
        optimizer = og.TikiTaka(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(4, 6)).square().sum().backward()
            optimizer.step()
        return arrays(model), model(torch.ones(1, 6)).detach()

    (one, first), _ = trained(), gc.collect()
    two, second = trained()
    assert one == two == [0, 256, 512, 768, 1024]
    assert torch.equal(first, second)


def test_numbers_beside_layers_that_are_there_and_those_of_other_seeds() -> None:
    seed, other = next(SEEDS), next(SEEDS)
    converted = og.convert(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), DEVICE, seed=seed)
    assert arrays(converted) == [0, 256]  # as ever
    named = og.AnalogLinear(4, 4, DEVICE, seed=seed, array=1024)
    after = [og.AnalogLinear(4, 4, DEVICE, seed=seed) for _ in range(3)]
    assert arrays(*after) == [512, 768, 1280]
    wide = og.AnalogLinear(4, 4, DEVICE, seed=seed, max_tile=(2, 2))
    assert arrays(wide) == [1536, 1792, 2048, 2304]
    assert arrays(og.AnalogLinear(4, 4, DEVICE, seed=other)) == [0]
    model = nn.Sequential(after[0], nn.Linear(4, 4))
    assert arrays(og.convert(model, DEVICE, seed=seed)) == [512, 768]  # goes on after the layers it has
    del named


def test_an_array_beside_of_an_optimizer_keeps_its_block() -> None:
    seed = next(SEEDS)
    layer = og.AnalogLinear(4, 4, DEVICE, seed=seed)
    optimizer = og.TikiTaka(layer.parameters(), lr=0.1)
    del layer
    gc.collect()
    beside = {tile.key.array // 256 for tile in optimizer.arrays()}
    assert beside == {0}
    assert arrays(og.AnalogLinear(4, 4, DEVICE, seed=seed)) == [256]


def test_copies_keep_their_numbers() -> None:
    seed = next(SEEDS)
    layer = og.AnalogLinear(4, 4, DEVICE, seed=seed)
    twin = copy.deepcopy(layer)
    assert arrays(layer, twin) == [0, 0]
    del layer
    gc.collect()
    assert arrays(og.AnalogLinear(4, 4, DEVICE, seed=seed)) == [256]  # the copy is there
    for wrong in (-256, 2**32, 0.0, True):
        with pytest.raises(og.InputError, match=r"array is .*, but must be an integer"):
            og.AnalogLinear(4, 4, DEVICE, array=wrong)


@pytest.mark.parametrize("optimizer_first", [False, True])
def test_a_state_brings_its_numbers_to_a_model_made_beside_the_first(optimizer_first: bool) -> None:
    """As models are copied in torch: make another, load the state. It goes on as the first, bit for bit."""
    seed = next(SEEDS)

    def make() -> tuple[nn.Module, og.TikiTaka]:
        model = nn.Sequential(og.AnalogLinear(6, 5, DEVICE, seed=seed, max_tile=(3, 6)), nn.Tanh())
        return model, og.TikiTaka(model.parameters(), lr=0.1)

    def train(model: nn.Module, optimizer: og.TikiTaka) -> torch.Tensor:
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.linspace(-1, 1, 18).view(3, 6)).square().sum().backward()
            optimizer.step()
        return torch.cat([*(t.weight.flatten() for t in optimizer.arrays()), model[0].weight.flatten()])

    (model, optimizer), (other, theirs) = make(), make()
    assert arrays(other) == [512, 768]
    train(model, optimizer)
    states = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    loads = [lambda: other.load_state_dict(states[0]), lambda: theirs.load_state_dict(states[1])]
    for load in reversed(loads) if optimizer_first else loads:
        load()
    assert arrays(other) == [0, 256]
    assert torch.equal(train(other, theirs), train(model, optimizer))
    fixed = og.AnalogLinear(6, 5, DEVICE, seed=seed, max_tile=(3, 6), array=4096)
    assert not fixed.numbered_freely  # a number that was asked for stays


def test_a_refused_state_changes_no_numbers() -> None:
    seed = next(SEEDS)
    layer, other = (og.AnalogLinear(4, 4, DEVICE, seed=seed) for _ in range(2))
    state = layer.state_dict()
    state["weight"] = torch.full((4, 4), 7.0)
    steps = other.tiles[0].elements.up.clone()
    with pytest.raises(og.InputError, match="outside the device's range"):
        other.load_state_dict(state)
    assert arrays(other) == [256]
    assert torch.equal(other.tiles[0].elements.up, steps)
