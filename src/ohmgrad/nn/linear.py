"""AnalogLinear: a linear layer whose weight lies on a crossbar."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..checked import checked
from ..devices import Device
from ..errors import InputError, check_integer
from ..sizes import check_cells
from .functional import AnalogLayer, layer_product
from .passes import as_float32

__all__ = ["AnalogLinear"]


class AnalogLinear(AnalogLayer):
    """y = out_scale * (x W^T) + bias with W on a crossbar; bias and output scales are digital.

    Args:
        in_features, out_features: sizes.
        device: specification of the elements.
        bias: whether there is a (digital) bias.
        omega: mapping of the initial weights into the device's range, see `convert`.
        settings: `pulsing`, `periphery`, `seed`, `backend` of the `Tile`; `max_tile`, see `convert`; and
            `array`, a multiple of 256, the number of the first tile (the others follow, 256 apart). By
            default the lowest that no tile with this seed has, so that each layer has its own elements, and a
            program that makes the same layers in the same order has the same ones again. Beside a model that
            is still there, a second one gets other elements, until it loads the first one's state, which
            brings its numbers: give `array` where it must have the same from the start.

    Shape:
        (..., in_features) -> (..., out_features)

    Raises:
        InputError: when an argument is wrong, or an input has another last dimension.

    Inside torch's `nn.TransformerEncoderLayer`, use `convert`: in evaluation that module reads the weights
    of its linear layers and does not call them, which `convert` prevents.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> layer = AnalogLinear(4, 2, Device(SoftBounds.symmetric(0.6)))
        >>> layer(torch.ones(3, 4)).shape
        torch.Size([3, 2])
    """

    @checked
    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: Device,
        *,
        bias: bool = True,
        omega: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.in_features = in_features = check_integer("in_features", in_features, 1)
        self.out_features = out_features = check_integer("out_features", out_features, 1)
        check_cells("a layer", out_features, in_features)
        bound = 1 / math.sqrt(in_features)  # as torch.nn.Linear
        weight = torch.empty(out_features, in_features).uniform_(-bound, bound)
        offset = torch.empty(out_features).uniform_(-bound, bound) if bias else None
        self._place(weight, omega, {"device": device, **settings})
        self.bias = None if offset is None else nn.Parameter(offset)

    @classmethod
    def from_digital(cls, linear: nn.Linear, omega: float | None, settings: dict[str, Any]) -> AnalogLinear:
        """The analog twin of a digital layer: the same function, up to what the device can hold."""
        return cls.from_weights(linear.weight, linear.bias, omega, settings)

    @classmethod
    def from_weights(
        cls, weight: Tensor, bias: Tensor | None, omega: float | None, settings: dict[str, Any]
    ) -> AnalogLinear:
        """A layer with the weights (out_features, in_features) and the bias (out_features,) given, copied."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.out_features, layer.in_features = weight.shape
        layer._place(weight, omega, settings)
        layer.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        return layer

    def forward(self, x: Tensor) -> Tensor:
        dims = x.dim()
        if not dims or x.shape[-1] != self.in_features:
            raise InputError(f"input is {tuple(x.shape)}, but this layer needs (..., {self.in_features})")
        x = as_float32(x)
        y = layer_product(x if dims == 2 else x.reshape(-1, self.in_features), self)
        return y if dims == 2 else y.view(*x.shape[:-1], self.out_features)
