"""The plain torch layer that computes what an analog layer does, one function a layer type."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .attention import AnalogMultiheadAttention
from .conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from .functional import AnalogLayer
from .linear import AnalogLinear
from .recurrent import AnalogGRU, AnalogLSTM, AnalogRNN

__all__ = ["PLAIN", "outermost_analog", "plain_layer"]

#: the parameters of a plain layer: name, values, whether they are trained
Filling = list[tuple[str, Tensor, bool]]


def _linear(layer: AnalogLinear) -> tuple[nn.Module, Filling]:
    if layer.came_transposed:
        # by name, as transformers is no requirement; the model that the layer came from has loaded it
        conv1d = importlib.import_module("transformers.pytorch_utils").Conv1D
        plain = conv1d(layer.out_features, layer.in_features)
    else:
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    return plain, _parameters(layer)


def _convolution(layer: Any) -> tuple[nn.Module, Filling]:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[layer.dims]
    mode = "zeros" if layer.padding_mode == "constant" else layer.padding_mode
    plain = kind(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
        layer.dilation, layer.groups, layer.bias is not None, mode,
    )  # fmt: skip
    return plain, _parameters(layer)


def _recurrent(layer: Any) -> tuple[nn.Module, Filling]:
    options = {name: getattr(layer, name) for name in ("num_layers", "bias", "batch_first", "bidirectional")}
    if layer.digital is nn.RNN:
        options["nonlinearity"] = layer.nonlinearity
    plain = layer.digital(layer.input_size, layer.hidden_size, **options)
    plain.dropout = layer.dropout  # of one layer: torch warns of it in the constructor
    filling: Filling = []
    for key in layer.input:
        for kind, part in (("ih", layer.input[key]), ("hh", layer.hidden[key])):
            filling += [(f"{n}_{kind}_{key}", value, trained) for n, value, trained in _parameters(part)]
    return plain, filling


def _attention(layer: AnalogMultiheadAttention) -> tuple[nn.Module, Filling]:
    parts = [_parameters(part) for part in (layer.q_proj, layer.k_proj, layer.v_proj, layer.out_proj)]
    plain: Any = nn.MultiheadAttention(
        layer.embed_dim, layer.num_heads, layer.dropout, bias=len(parts[0]) > 1,
        kdim=layer.kdim, vdim=layer.vdim, batch_first=layer.batch_first,
    )  # fmt: skip
    filling = [(f"out_proj.{name}", value, trained) for name, value, trained in parts[3]]
    packed = ["weight", "bias"] if plain.in_proj_weight is not None else ["bias"]
    for i in range(len(parts[0])):
        name, values, trained = zip(*(part[i] for part in parts[:3]), strict=True)
        if name[0] in packed:  # trained if one of the three is
            filling.append((f"in_proj_{name[0]}", torch.cat(values), any(trained)))
        else:
            filling += [(f"{n}_proj_weight", v, t) for n, v, t in zip("qkv", values, trained, strict=True)]
    return plain, filling


#: how the plain layer of each exact type is made; a new layer type is one more row
PLAIN: dict[type[nn.Module], Callable[[Any], tuple[nn.Module, Filling]]] = {
    AnalogLinear: _linear,
    AnalogConv1d: _convolution,
    AnalogConv2d: _convolution,
    AnalogConv3d: _convolution,
    AnalogRNN: _recurrent,
    AnalogLSTM: _recurrent,
    AnalogGRU: _recurrent,
    AnalogMultiheadAttention: _attention,
}


def plain_layer(layer: nn.Module) -> nn.Module:
    """The plain layer that computes what an analog layer of a type in `PLAIN` does; it shares no memory."""
    with torch.device("meta"):  # no memory, and no random numbers
        plain, filling = PLAIN[type(layer)](layer)
    for name, value, trained in filling:
        owner, _, own_name = name.rpartition(".")
        setattr(plain.get_submodule(owner), own_name, nn.Parameter(value, trained))
    return plain.train(layer.training)


def outermost_analog(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every name of every analog layer, whole where it consists of several crossbars.

    Raises:
        InputError: for a layer of a type that is not in `PLAIN`.
    """
    if type(model) in PLAIN:
        yield name, model
        return
    if isinstance(model, AnalogLayer):
        raise InputError(
            f"layer {name!r} is a {type(model).__name__}, whose plain layer is not known: "
            f"known are {', '.join(kind.__name__ for kind in PLAIN)}"
        )
    for child_name, child in model._modules.items():
        if child is not None:
            yield from outermost_analog(child, f"{name}.{child_name}" if name else child_name)


def _parameters(part: Any) -> Filling:
    """Weight and bias of an analog layer, or of a part that stayed digital."""
    weight = part.digital_weight() if isinstance(part, AnalogLayer) else part.weight.detach().clone()
    found = [("weight", weight, part.weight.requires_grad)]
    if part.bias is not None:
        found.append(("bias", part.bias.detach().clone(), part.bias.requires_grad))
    return found
