"""Arrays beside the weights: when they are made, and whose the network sees."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    AnalogLinear,
    AnalogOptimizer,
    AnalogSGD,
    Device,
    InputError,
    Noise,
    SoftBounds,
    Spread,
    TikiTaka,
    Tile,
)
from ohmgrad.optim import calibrate_symmetric_points
from tests.cases import ALGORITHMS

DEVICE = Device(SoftBounds.symmetric(0.6), 0.01, Spread(up_down=0.2), Noise(0.3))
ALONE = AnalogLinear(4, 3, DEVICE)
BESIDE = [name for name, make in ALGORITHMS.items() if make(ALONE.parameters()).arrays()]


def train(layer: nn.Module, optimizer: Any, steps: int = 4) -> None:
    for i in range(steps):
        optimizer.zero_grad()
        layer(torch.linspace(-1, 1, 8 * 4).view(8, 4) + 0.1 * i).square().sum().backward()
        optimizer.step()


def output(layer: nn.Module) -> Tensor:
    return layer(torch.eye(4)).detach()


@pytest.mark.parametrize("name", BESIDE)
def test_a_group_added_later_has_its_arrays_at_once(name: str) -> None:
    first, second = AnalogLinear(4, 3, DEVICE, seed=1), AnalogLinear(4, 2, DEVICE, seed=2)
    optimizer = ALGORITHMS[name](first.parameters())
    before = len(optimizer.arrays())
    optimizer.add_param_group({"params": list(second.parameters())})
    assert len(optimizer.arrays()) == 2 * before
    assert {a.shape for a in optimizer.arrays()} == {(3, 4), (2, 4)}
    calibrate_symmetric_points(optimizer, pairs=5)
    assert optimizer.events()["pulses_up"] == before * 5 * (3 + 2) * 4


def test_the_network_sees_the_arrays_of_the_latest_optimizer_only() -> None:
    layer = AnalogLinear(4, 3, DEVICE, bias=False)
    train(layer, TikiTaka(layer.parameters(), lr=0.1, fast_lr=0.3, gamma=0.5))
    seen, own = output(layer), (layer.weight * layer.out_scale.view(-1, 1)).detach().t()
    assert not torch.allclose(seen, own)  # W + gamma P; the optimizer itself is gone already
    for make in (AnalogSGD, TikiTaka):  # without arrays, and with new ones, which hold nothing yet
        train(layer, TikiTaka(layer.parameters(), lr=0.1, fast_lr=0.3, gamma=0.5))
        kept = make(layer.parameters(), lr=0.1)
        own = (layer.weight * layer.out_scale.view(-1, 1)).detach().t()
        torch.testing.assert_close(output(layer), own)
        del kept


@pytest.mark.parametrize("name", BESIDE)
def test_a_restored_state_is_seen_by_the_next_product(name: str) -> None:
    layer, twin = (AnalogLinear(4, 3, DEVICE, seed=1) for _ in range(2))
    optimizer, other = ALGORITHMS[name](layer.parameters()), ALGORITHMS[name](twin.parameters())
    train(layer, optimizer)
    twin.load_state_dict(layer.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(output(layer), output(twin))
    kept = copy.deepcopy(optimizer.state_dict())
    train(twin, other)  # it has a copy: the first stays as it is
    assert other.events() != optimizer.events()
    for array, was in zip(optimizer.arrays(), kept["state"][0][0].values(), strict=False):
        assert torch.equal(array.weight, was["weight"])


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("first", ["model", "optimizer"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_copy_is_whole_at_once_whatever_was_copied_first(name: str, first: str, how: Any) -> None:
    """Its arrays and events are there, and its very first backward pass hands factors over."""
    layer = AnalogLinear(4, 3, DEVICE, seed=1)
    optimizer = ALGORITHMS[name](layer.parameters())
    train(layer, optimizer)
    optimizer.zero_grad()  # copies have no gradients
    if first == "model":
        twin, other = how((layer, optimizer))
    else:
        other, twin = how((optimizer, layer))
    assert len(other.arrays()) == len(optimizer.arrays())
    for each, its in ((layer, optimizer), (twin, other)):
        each(torch.ones(2, 4)).square().sum().backward()
        its.step()
        assert each.weight.grad is None
    assert other.events() == optimizer.events()
    assert torch.equal(output(layer), output(twin))


def test_an_optimizer_that_is_refused_leaves_the_one_before_as_it_was() -> None:
    layers = [AnalogLinear(4, 3, DEVICE, seed=seed) for seed in (1, 2)]
    model = nn.ModuleList(layers)
    optimizer = TikiTaka(model.parameters(), lr=0.1, fast_lr=0.3, gamma=0.5)
    for layer in layers:
        train(layer, optimizer)
    seen = [output(layer) for layer in layers]
    bad = [{"params": layers[0].parameters()}, {"params": layers[1].parameters(), "fast_lr": -1.0}]
    with pytest.raises(InputError, match="fast_lr is -1") as refused:
        TikiTaka(bad, lr=0.1)
    assert all(torch.equal(output(layer), was) for layer, was in zip(layers, seen, strict=True))
    del optimizer
    layers[0](torch.ones(1, 4)).sum().backward()  # no optimizer takes factors, the refused one neither
    assert refused
    assert layers[0].weight.grad is not None


def test_a_restored_optimizer_without_arrays_ends_the_sight_of_others() -> None:
    layer = AnalogLinear(4, 3, DEVICE, bias=False)
    plain = AnalogSGD(layer.parameters(), lr=0.1)
    own = output(layer)
    other = TikiTaka(layer.parameters(), lr=0.1, fast_lr=0.3, gamma=0.5)
    other.arrays()[0].pulse_counts(torch.full((3, 4), 20))
    assert not torch.allclose(output(layer), own)
    plain.load_state_dict(plain.state_dict())
    assert torch.equal(output(layer), own)


class Lazy(AnalogOptimizer):
    """An algorithm that makes its array in a step, as the shortest ones do."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        self.array(tile, state, "fast", role=1).pulse(x, d, -group["lr"])


@pytest.mark.parametrize("steps", [0, 2])
def test_events_of_a_state_count_before_its_arrays_are_made(steps: int) -> None:
    """Also where arrays were made before, which the state replaces."""
    layer, twin = (AnalogLinear(4, 3, DEVICE, seed=1) for _ in range(2))
    optimizer, other = Lazy(layer.parameters()), Lazy(twin.parameters())
    train(layer, optimizer)
    train(twin, other, steps)
    twin.load_state_dict(layer.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert optimizer.events()["pulses_up"] > 0
    assert other.events() == optimizer.events()
    train(layer, optimizer)
    train(twin, other)
    assert other.events() == optimizer.events()
