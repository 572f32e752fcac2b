"""AnalogConv2d: a convolution whose kernels lie on crossbars, one for each group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from ..errors import InputError
from .functional import AnalogLayer, first_order, mapped, weight_is_asked_for

__all__ = ["AnalogConv2d"]


class _Convolution(torch.autograd.Function):
    """conv(x, W) * scale + bias through the tiles of a layer; x is padded already.

    With a perfect periphery the products are torch's own convolutions; otherwise every patch goes
    through the periphery as one vector. Backward hands the patches over, or returns the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, layer: AnalogConv2d
    ) -> Tensor:
        vectors: list[Tensor] = []
        if layer.perfect:
            y = F.conv2d(x, layer.effective_weight(), None, **layer.geometry)
            for tile in layer.tiles:
                tile.count_products(forward=y.shape[0] * y.shape[2] * y.shape[3])
        else:
            n, high, wide = layer.patches(x).shape[:3]
            vectors = [layer.vectors(x, i) for i in range(layer.groups)]
            parts = [t.forward(v) for t, v in zip(layer.tiles, vectors, strict=True)]
            y = torch.cat(parts, 1).view(n, high, wide, layer.out_channels).permute(0, 3, 1, 2)
        ctx.save_for_backward(x, y, scale, *vectors)
        ctx.layer, ctx.weight = layer, weight
        wide_scale = scale.view(-1, 1, 1)
        return y * wide_scale if bias is None else torch.addcmul(bias.view(-1, 1, 1), y, wide_scale)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, y, scale, *vectors = ctx.saved_tensors
        layer: AnalogConv2d = ctx.layer
        need_x, _, need_scale, need_bias, _ = ctx.needs_input_grad
        hand_over, need_gradient = weight_is_asked_for(ctx, layer.tiles[0])
        d = g * scale.view(-1, 1, 1)
        rows = layer.out_channels // layer.groups
        lines: list[Tensor] = []
        if hand_over or not layer.perfect:
            parts = d.permute(0, 2, 3, 1).reshape(-1, layer.out_channels)
            lines = [part.contiguous() for part in parts.split(rows, 1)]
        grad_x = grad_weight = None
        if hand_over:
            for i, tile in enumerate(layer.tiles):
                tile.hand_over(vectors[i] if vectors else layer.vectors(x, i), lines[i])
        elif need_gradient:
            for tile in layer.tiles:
                tile.count_gradient()
            grad_weight = conv2d_weight(x, layer.weight.shape, d, **layer.geometry)
        if need_x and layer.perfect:
            grad_x = conv2d_input(x.shape, layer.effective_weight(), d, **layer.geometry)
            for tile in layer.tiles:
                tile.count_products(backward=d.shape[0] * d.shape[2] * d.shape[3])
        elif need_x and not len(x):
            grad_x = torch.zeros_like(x)
        elif need_x:
            back = torch.cat([t.backward(v) for t, v in zip(layer.tiles, lines, strict=True)], 1)
            columns = back.view(len(x), -1, back.shape[1]).transpose(1, 2)
            kernel, geometry = layer.kernel_size, layer.geometry
            grad_x = F.fold(columns, x.shape[2:], kernel, geometry["dilation"], 0, geometry["stride"])
        return (
            grad_x,
            grad_weight,
            (g * y).sum((0, 2, 3)) if need_scale else None,
            g.sum((0, 2, 3)) if need_bias else None,
            None,
        )


class AnalogConv2d(AnalogLayer):
    """A 2-d convolution as products of image patches with crossbars; bias and output scales digital.

    Every patch of every image is one sample of the parallel update. Each group has a tile of its own,
    (out_channels/groups) x (in_channels/groups * kernel height * kernel width).

    Args:
        conv: the digital layer whose shape, stride, padding, dilation, groups and weights are taken.
        omega: mapping of the weights into the device's range, see `convert`.
        settings: `device` and, for the `Tile`, `pulsing`, `periphery`, `seed`, `array`, `backend`.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H', W'), or without N, as torch.nn.Conv2d

    Raises:
        InputError: when an input does not have in_channels channels.
    """

    def __init__(self, conv: nn.Conv2d, omega: float | None, settings: dict[str, Any]) -> None:
        super().__init__()
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.groups = conv.kernel_size, conv.groups
        self.geometry: dict[str, Any] = {
            "stride": conv.stride,
            "padding": 0,
            "dilation": conv.dilation,
            "groups": conv.groups,
        }
        self.padding_mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        # the amounts on the four sides, as torch.nn.functional.pad takes them; covers 'same' too
        self.pads = tuple(conv._reversed_padding_repeated_twice)
        weight = conv.weight.detach()
        analog, scale = mapped(weight.flatten(1), settings["device"], omega)
        self.weight = nn.Parameter(analog.reshape(weight.shape).contiguous())
        self.out_scale = nn.Parameter(scale)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self._place(self.groups, settings)

    @property
    def perfect(self) -> bool:
        """True when products are exact."""
        return self.tiles[0].periphery.perfect

    def effective_weight(self) -> Tensor:
        """What products see, in the shape of `weight`."""
        if not self.tiles[0].companions:
            return self.weight.detach()
        return torch.cat([tile.effective_weight() for tile in self.tiles]).view_as(self.weight)

    def patches(self, x: Tensor) -> Tensor:
        """All patches of a padded input, (N, H', W', in_channels, kernel height, width), as a view."""
        (kh, kw), (sh, sw) = self.kernel_size, self.geometry["stride"]
        dh, dw = self.geometry["dilation"]
        view = x.unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)
        return view[..., ::dh, ::dw].permute(0, 2, 3, 1, 4, 5)

    def vectors(self, x: Tensor, group: int) -> Tensor:
        """The patches that group number `group` sees, (N H' W', cols)."""
        channels = self.in_channels // self.groups
        mine = self.patches(x)[:, :, :, group * channels : (group + 1) * channels]
        return mine.reshape(-1, self.tiles[group].shape[1])

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in (3, 4) or x.shape[-3] != self.in_channels:
            raise InputError(
                f"input is {tuple(x.shape)}, but this layer needs (N, {self.in_channels}, H, W) or "
                f"({self.in_channels}, H, W)"
            )
        self._bound_tiles()
        batch = x if x.dim() == 4 else x.unsqueeze(0)
        if any(self.pads):
            batch = F.pad(batch, self.pads, mode=self.padding_mode)
        y: Any = _Convolution.apply(batch, self.weight, self.out_scale, self.bias, self)
        return y if x.dim() == 4 else y.squeeze(0)
