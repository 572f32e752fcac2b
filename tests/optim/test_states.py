"""States of other algorithms and of layers of other shapes are refused, before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ohmgrad import AnalogLinear, Device, InputError, SoftBounds, TikiTaka, Tile, convert
from ohmgrad.optim import MultiTile
from ohmgrad.optim.states import check_kept
from tests.cases import ALGORITHMS

DEVICE = Device(SoftBounds.symmetric(0.6), 0.01)
STATELESS = ("analog-sgd", "gradient-counts", "sign-rule")


def step(layer: AnalogLinear, optimizer: Any) -> None:
    optimizer.zero_grad()
    layer(torch.linspace(-1, 1, 2 * layer.in_features).view(2, -1)).square().sum().backward()
    optimizer.step()


def resume(layer: AnalogLinear, optimizer: Any, state: dict[str, Any]) -> None:
    optimizer.load_state_dict(state)
    step(layer, optimizer)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in STATELESS])
@pytest.mark.parametrize("max_tile", [None, (2, 3)])
def test_a_state_of_layers_of_another_shape(name: str, max_tile: tuple[int, int] | None) -> None:
    """When it is loaded, or at the first step where it has no arrays; kernels do not look at shapes."""
    small = AnalogLinear(6, 5, DEVICE, max_tile=max_tile)
    large = AnalogLinear(24, 20, DEVICE)
    optimizer, other = (ALGORITHMS[name](layer.parameters()) for layer in (small, large))
    step(small, optimizer)
    before = large.weight.detach().clone()
    says = r"state (is \(., .\), but its tile is \(20, 24\)|has 6 tiles, but here 1): load the"
    with pytest.raises(InputError, match=says):
        resume(large, other, optimizer.state_dict())
    assert torch.equal(large.weight, before)


def test_a_state_of_another_algorithm() -> None:
    layer = AnalogLinear(4, 3, DEVICE)
    first, other = TikiTaka(layer.parameters(), lr=0.1), MultiTile(layer.parameters(), lr=0.1)
    for optimizer, missing, name in ((other, "alpha", "MultiTile"), (first, "fast_lr", "TikiTaka")):
        wrong = (first if optimizer is other else other).state_dict()
        with pytest.raises(InputError, match=f"no option '{missing}', which {name} has: load it into the al"):
            optimizer.load_state_dict(wrong)
        optimizer.load_state_dict(optimizer.state_dict())  # its own, more than once
        optimizer.load_state_dict(optimizer.state_dict())


def test_a_state_of_a_digital_optimizer() -> None:
    layer = AnalogLinear(3, 2, DEVICE)
    optimizer, other = TikiTaka(layer.parameters(), lr=0.1), torch.optim.SGD([layer.weight], momentum=0.9)
    layer.weight.grad = torch.ones(2, 3)
    with pytest.warns(UserWarning, match="digitally"):
        other.step()
    groups = optimizer.state_dict()["param_groups"]
    with pytest.raises(InputError, match="an analog weight was digital"):
        optimizer.load_state_dict({"state": other.state_dict()["state"], "param_groups": groups})


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda s: s.pop("0.analog.events"), "has no events of layer '0'"),
        (lambda s: s.update({"0.analog.events": [[0]]}), "'events' of layer '0' in the state is a list"),
        (lambda s: s.update({"0.analog.memory.x.age": torch.ones(4, 3)}), "'memory.x.age' of layer '0'"),
        (lambda s: s.update({"0.analog.memory.5.fixed": torch.ones(4, 3)}), "has tiles 0 to 0"),
        (lambda s: s.update({"0.analog.beside.1": torch.ones(4, 3)}), "has tiles 0 to 0"),
        (lambda s: s.update({"0.analog.card": torch.zeros(3, dtype=torch.uint8)}), "cannot be read"),
    ],
)
def test_a_damaged_state_is_refused_before_anything_is_changed(edit: Any, said: str) -> None:
    def model(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return convert(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), Device(SoftBounds.symmetric(0.6)))

    state, other = model(0).state_dict(), model(1)
    before = [p.detach().clone() for p in other.parameters()]
    edit(state)
    with pytest.raises(InputError, match=said):
        other.load_state_dict(state, strict=False)
    assert all(map(torch.equal, before, other.parameters()))


def test_a_damaged_array_of_an_optimizer_is_refused() -> None:
    tile = Tile((4, 3), Device(SoftBounds.symmetric(0.6)))
    for kept, name in (({"weight": torch.zeros(4, 3)}, "memory"), ({"memory": {}}, "weight")):
        with pytest.raises(InputError, match=f"array 'fast' in the state has no '{name}'"):
            check_kept(tile, {"fast": kept})
