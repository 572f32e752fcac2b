"""AnalogConv1d, 2d and 3d: convolutions whose kernels lie on crossbars, at least one for each group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..crossbar.gradient import FactoredGradient
from ..errors import InputError
from . import compiled
from .functional import AnalogLayer, layer_product
from .passes import as_float32, first_order, full_precision
from .patches import Patching

__all__ = ["AnalogConv1d", "AnalogConv2d", "AnalogConv3d"]


class _Convolution(torch.autograd.Function):
    """conv(x, W) * scale + bias by torch's own convolution, for a perfect periphery; x is padded already.

    The gradient of the weight keeps input and output gradient, and makes patches of them when asked for.
    """

    @staticmethod
    @full_precision
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, layer: _Convolving
    ) -> Tensor:
        y = torch.convolution(x, layer.effective_weight(), None, *layer.geometry)
        layer.count_products(y, "forward")
        ctx.save_for_backward(x, y if ctx.needs_input_grad[2] else None, scale)
        ctx.layer, ctx.weight = layer, weight
        wide = scale.view(-1, *[1] * layer.dims)
        return y * wide if bias is None else torch.addcmul(bias.view_as(wide), y, wide)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, y, scale = ctx.saved_tensors
        layer: _Convolving = ctx.layer
        need_x, need_weight, need_scale, need_bias, _ = ctx.needs_input_grad
        d = g * scale.view(-1, *[1] * layer.dims)
        grad_x = None
        if need_x:
            grad_x, _, _ = torch.ops.aten.convolution_backward(
                d, x, layer.effective_weight(), None, *layer.geometry, [True, False, False]
            )
            layer.count_products(d, "backward")
        others = (0, *range(2, g.dim()))
        return (
            grad_x,
            FactoredGradient(ctx.weight, x, d, layer.patching.parts) if need_weight else None,
            (g * y).sum(others) if need_scale else None,
            g.sum(others) if need_bias else None,
            None,
        )


class _Patches(torch.autograd.Function):
    """The patches of a padded input as vectors, (patches, in_channels times kernel size)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: _Convolving) -> Tensor:
        ctx.patching, ctx.shape = layer.patching, x.shape
        return ctx.patching.vectors(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.patching.summed(grads[0], ctx.shape), None


class _Convolving(AnalogLayer):
    """A convolution in any number of dimensions; abstract.

    Its weight is (out_channels, in_channels / groups, *kernel_size), its vectors are the patches.
    """

    def __init__(self, conv: Any, omega: float | None, settings: dict[str, Any]) -> None:
        super().__init__()
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.dilation = conv.kernel_size, conv.stride, conv.dilation
        self.groups, self.dims = conv.groups, len(conv.kernel_size)
        self.padding_mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        self.padding = conv.padding
        # the amounts on all sides, as torch.nn.functional.pad takes them; covers 'same' too
        self.pads = tuple(conv._reversed_padding_repeated_twice)
        self._place(conv.weight, omega, settings, self.groups)
        #: whether a product was torch's own convolution, when last seen: what compiled code goes by
        self.exact = self._is_exact()
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())

    def _is_exact(self) -> bool:
        """Whether a product is torch's own convolution; tiles may get another periphery at any time."""
        tile = self.tiles[0]
        return tile.periphery.perfect and tile.board is None and self.bands == 1

    @property
    def geometry(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, transposed, output padding, groups: as torch's operators take them."""
        none = [0] * self.dims
        return self.stride, none, self.dilation, False, none, self.groups

    @property
    def patching(self) -> Patching:
        """How patches are cut, as it is now."""
        shape = self.kernel_size, self.stride, self.dilation
        return Patching(self.in_channels, self.groups, *shape, self.blocks)

    def function_for(self, x: Tensor) -> tuple[Any, Any]:
        """The autograd function of products with x, of a padded input or of patches."""
        if x.dim() == 2:
            return super().function_for(x)
        if not self._is_exact():
            raise InputError(
                "the periphery of a convolution was set after it was compiled: call the layer once "
                "uncompiled, then it is compiled anew"
            )
        return _Convolution, self

    def count_products(self, y: Tensor, direction: str) -> None:
        """Count the products of a whole convolution with outputs y (N, out_channels, *places)."""
        number = y.shape[0] * y.shape[2:].numel()
        for tile in self.tiles:
            tile.counters.add_vectors(direction, number)

    def forward(self, x: Tensor) -> Tensor:
        alone = x.dim() == 1 + self.dims
        if not (alone or x.dim() == 2 + self.dims) or x.shape[-1 - self.dims] != self.in_channels:
            sizes = ", ".join((str(self.in_channels), *(["L"] if self.dims == 1 else "DHW"[-self.dims :])))
            raise InputError(f"input is {tuple(x.shape)}, but this layer needs (N, {sizes}) or ({sizes})")
        x = as_float32(x)
        compiling = torch.compiler.is_compiling()
        if not compiling:
            self.exact = self._is_exact()
        batch = x.unsqueeze(0) if alone else x
        if any(self.pads):
            batch = F.pad(batch, self.pads, mode=self.padding_mode)
        y: Any
        if not self.exact:
            vectors: Any = compiled.patches(batch, self) if compiling else _Patches.apply(batch, self)
            places = self.patching.places(batch.shape)
            y = layer_product(vectors, self).view(len(batch), *places, self.out_channels).movedim(-1, 1)
        elif compiling:
            shape = (len(batch), self.out_channels, *self.patching.places(batch.shape))
            y = compiled.product(batch, self, shape, shape)
        else:
            self._bound_tiles()
            y = _Convolution.apply(batch, self.weight, self.out_scale, self.bias, self)
        return y.squeeze(0) if alone else y


class AnalogConv1d(_Convolving):
    """A 1-d convolution as products of patches with crossbars; bias and output scales are digital.

    As `AnalogConv2d`, with (N, in_channels, L) -> (N, out_channels, L'), or without N.
    """


class AnalogConv2d(_Convolving):
    """A 2-d convolution as products of image patches with crossbars; bias and output scales digital.

    Every patch of every image is one sample of the parallel update. Each group has a tile of its own,
    (out_channels/groups) x (in_channels/groups * kernel height * kernel width), or several where
    `max_tile` is smaller.

    Args:
        conv: the digital layer whose shape, stride, padding, dilation, groups and weights are taken.
        omega: mapping of the weights into the device's range, see `convert`.
        settings: `device` and, for the `Tile`, `pulsing`, `periphery`, `seed`, `array`, `backend`; and
            `max_tile`, see `convert`.

    Shape:
        (N, in_channels, H, W) -> (N, out_channels, H', W'), or without N, as torch.nn.Conv2d

    Raises:
        InputError: when an input does not have in_channels channels.
    """


class AnalogConv3d(_Convolving):
    """A 3-d convolution as products of patches with crossbars; bias and output scales are digital.

    As `AnalogConv2d`, with (N, in_channels, D, H, W) -> (N, out_channels, D', H', W'), or without N.
    """
