"""Copies, pickles and checkpoints of analog layers go on exactly and alone."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ohmgrad import (
    AnalogLinear,
    Pulsing,
    convert,
)
from ohmgrad.crossbar import tiles_of
from ohmgrad.nn import AnalogLayer, analog_layers
from tests.nn.test_layers import (
    IDEAL,
    REAL,
    close,
    digital,
    through_pickle,
    train,
)


def through_torch_save(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def through_state(model: nn.Module, assign: bool = False) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = convert(digital(9), REAL, pulsing=Pulsing(max_bl=20))
    other.load_state_dict(torch.load(buffer, weights_only=True), assign=assign)
    return other


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, through_pickle, through_torch_save, through_state,
     lambda m: through_state(m, assign=True)],
    ids=["deepcopy", "pickle", "torch.save", "state_dict", "assign"],
)  # fmt: skip
def test_a_copy_goes_on_exactly_and_alone(copied: Any) -> None:
    model = convert(digital(), REAL, pulsing=Pulsing(max_bl=20))
    train(model, 3)
    other = copied(model)
    at_copy = torch.cat([p.detach().flatten() for p in other.parameters()])
    for (_, a), (_, b) in zip(analog_layers(model), analog_layers(other), strict=True):
        assert [id(t) for t in tiles_of(b.weight)] == [id(t) for t in b.tiles]
        assert not {id(t) for t in a.tiles} & {id(t) for t in b.tiles}
        assert all(t.weight.untyped_storage().data_ptr() == b.weight.untyped_storage().data_ptr()
                   for t in b.tiles)  # fmt: skip
    end = train(model, 3)
    assert torch.equal(torch.cat([p.detach().flatten() for p in other.parameters()]), at_copy)
    assert torch.equal(train(other, 3), end)


def test_state_has_the_events_and_the_keys_of_the_digital_model() -> None:
    model = convert(digital(), REAL)
    train(model, 2)
    keys = {k for k in model.state_dict() if ".analog." not in k and not k.endswith("out_scale")}
    assert keys == set(digital().state_dict())
    assert model.state_dict()["4.0.analog.events"][0][0] == 2


def test_a_replaced_weight_is_bound_again_and_its_old_tensor_is_forgotten() -> None:
    layer = AnalogLinear(3, 2, IDEAL)
    old, (tile,) = layer.weight, layer.tiles
    layer.weight = nn.Parameter(torch.full((2, 3), 0.5))
    y = layer(torch.ones(1, 3))
    close(y, F.linear(torch.ones(1, 3), layer.weight, layer.bias))
    assert tiles_of(layer.weight) == [tile]
    assert tiles_of(old) == []
    assert tiles_of(torch.zeros(2, 3)) == []


def test_an_analog_layer_can_be_made_directly() -> None:
    layer = AnalogLinear(4, 2, REAL, bias=False, seed=3)
    assert isinstance(layer, AnalogLayer)
    assert layer.bias is None
    assert float(layer.weight.detach().abs().max()) <= 0.5  # 1/sqrt(4), as torch.nn.Linear
    assert layer(torch.ones(3, 4)).shape == (3, 2)
