"""AnalogConv2d: a convolution whose kernels lie on crossbars, one for each group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..errors import InputError
from .functional import AnalogLayer, analog_product, mapped

__all__ = ["AnalogConv2d"]


class AnalogConv2d(AnalogLayer):
    """A 2-d convolution as products of image patches with crossbars; bias and output scales digital.

    Every patch of every image is one sample of the parallel update. Each group has a tile of its own,
    (out_channels/groups) x (in_channels/groups * kernel height * kernel width).

    Args:
        conv: the digital layer whose shape, stride, padding, dilation, groups and weights are taken.
        omega: mapping of the weights into the device's range, see `convert`.
        settings: `device` and, for the `Tile`, `pulsing`, `periphery`, `seed`, `array`, `backend`.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H', W'), as torch.nn.Conv2d

    Raises:
        InputError: when an input does not have in_channels channels.
    """

    def __init__(self, conv: nn.Conv2d, omega: float | None, settings: dict[str, Any]) -> None:
        super().__init__()
        if isinstance(conv.padding, str) and conv.padding not in ("same", "valid"):
            raise InputError(f"padding is {conv.padding!r}, but must be numbers, 'same' or 'valid'")
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.dilation = conv.kernel_size, conv.stride, conv.dilation
        self.groups, self.padding_mode = conv.groups, conv.padding_mode
        # the amounts on the four sides, as torch.nn.functional.pad takes them
        self.pads = tuple(conv._reversed_padding_repeated_twice)
        response = settings["device"].response
        weight = conv.weight.detach()
        analog, scale = mapped(weight.flatten(1), response.w_min, response.w_max, omega)
        self.weight = nn.Parameter(analog.view_as(weight).clone(memory_format=torch.contiguous_format))
        self.out_scale = nn.Parameter(scale)
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())
        self._place(self.groups, settings)

    def _patches(self, x: Tensor) -> Tensor:
        """All patches, (N, H', W', in_channels, kernel height, kernel width), as a view."""
        if any(self.pads):
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = pad(x, self.pads, mode=mode)
        (kh, kw), (sh, sw), (dh, dw) = self.kernel_size, self.stride, self.dilation
        high, wide = dh * (kh - 1) + 1, dw * (kw - 1) + 1
        patches = x.unfold(2, high, sh).unfold(3, wide, sw)[..., ::dh, ::dw]
        return patches.permute(0, 2, 3, 1, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise InputError(
                f"input is {tuple(x.shape)}, but this layer needs (N, {self.in_channels}, H, W)"
            )
        tiles = self._bound_tiles()
        patches = self._patches(x)
        n, high, wide = patches.shape[:3]
        flat_weight = self.weight.flatten(1)
        rows, channels = self.out_channels // self.groups, self.in_channels // self.groups
        outputs = []
        for i, tile in enumerate(tiles):
            mine = patches[:, :, :, i * channels : (i + 1) * channels].reshape(n * high * wide, -1)
            part = slice(i * rows, (i + 1) * rows)
            bias = None if self.bias is None else self.bias[part]
            outputs.append(
                analog_product(mine, flat_weight[part], self.out_scale[part], bias, tile)
            )
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)
        return y.view(n, high, wide, self.out_channels).permute(0, 3, 1, 2)
