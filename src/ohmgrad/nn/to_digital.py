"""to_digital(): the plain torch model that computes the same."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from ..errors import InputError
from .fast_path import read_weights_again
from .plain_layers import outermost_analog, plain_layer
from .pretrained import save_as_before

__all__ = ["to_digital"]


def to_digital(model: nn.Module) -> nn.Module:
    """A copy of `model` with plain torch layers in place of analog ones, to export, compare or publish.

    A weight is what products see, W = out_scale * (W_analog + arrays that the algorithm adds), exact to
    rounding; biases, modes and frozen parameters are kept. The periphery is left out: the copy computes what
    a perfect one gives. `torch.export`, ONNX and `convert` take the copy as any torch model.

    A layer under several names stays one layer. Hooks of analog layers are not taken over. Attention whose
    projections become one packed parameter trains it if one of them is trained.

    Args:
        model: any module, also one analog layer; it is not changed.

    Raises:
        InputError: when `model` is no module, or has an analog layer of an unknown type.

    Example:
        >>> import torch
        >>> from ohmgrad import Device, SoftBounds, convert
        >>> analog = convert(nn.Linear(4, 2), Device(SoftBounds.symmetric(0.6)), omega=0.5)
        >>> to_digital(analog)
        Linear(in_features=4, out_features=2, bias=True)
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}, but must be a torch.nn.Module")
    # a copy takes these for the layers, wherever they are referred to
    layers = {id(layer): layer for _, layer in outermost_analog(model)}
    plain: dict[int, Any] = {key: plain_layer(layer) for key, layer in layers.items()}
    digital = copy.deepcopy(model, plain)
    read_weights_again(digital)
    save_as_before(digital)
    return digital
