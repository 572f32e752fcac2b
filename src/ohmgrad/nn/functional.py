"""The autograd function of linear analog layers, and what all analog layers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..crossbar import Tile
from ..crossbar.contents import NUMBERS, free_array
from ..crossbar.gradient import FactoredGradient
from ..devices import Device, describe
from ..errors import InputError, check_integer, check_number
from . import compiled, states
from .blocks import Block, layout, parts_of
from .passes import first_order, full_precision
from .picture import layer_html

__all__ = ["AnalogLayer", "layer_product", "mapped"]


class _Product(torch.autograd.Function):
    """y = (x W^T) * scale + bias through a tile; the gradient of the weight keeps its factors."""

    @staticmethod
    @full_precision
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, tile: Tile
    ) -> Tensor:
        y = tile.forward(x)
        ctx.save_for_backward(x, y if ctx.needs_input_grad[2] else None, scale)  # y for the scale alone
        ctx.tile, ctx.weight = tile, weight
        return y * scale if bias is None else torch.addcmul(bias, y, scale)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, y, scale = ctx.saved_tensors
        tile: Tile = ctx.tile
        need_x, need_weight, need_scale, need_bias, _ = ctx.needs_input_grad
        d = g * scale
        return (
            tile.backward(d) if need_x else None,
            FactoredGradient(ctx.weight, x, d) if need_weight else None,
            (g * y).sum(0) if need_scale else None,
            g.sum(0) if need_bias else None,
            None,
        )


class _SplitProduct(torch.autograd.Function):
    """y = sum_j (x_j W_j^T) * scale_j + bias through many tiles, x_j the inputs of the blocks of band j."""

    @staticmethod
    @full_precision
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, layer: AnalogLayer
    ) -> Tensor:
        y = x.new_empty(layer.bands, len(x), len(weight))
        for tile, block in layer.tiles_with_blocks():
            y[block.band, :, block.rows] = tile.forward(x[:, block.lines])
        ctx.save_for_backward(x, y if ctx.needs_input_grad[2] else None, scale)
        ctx.layer, ctx.weight = layer, weight
        total = (y * scale.view(layer.bands, 1, -1)).sum(0)  # digital, after the ADC
        return total if bias is None else total.add_(bias)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, y, scale = ctx.saved_tensors
        layer: AnalogLayer = ctx.layer
        need_x, need_weight, need_scale, need_bias, _ = ctx.needs_input_grad
        d = g * scale.view(layer.bands, 1, -1)
        grad_x = torch.zeros_like(x) if need_x else None
        if grad_x is not None:
            for tile, block in layer.tiles_with_blocks():
                grad_x[:, block.lines] += tile.backward(d[block.band, :, block.rows])
        return (
            grad_x,
            FactoredGradient(ctx.weight, x, d, partial(parts_of, layer.blocks)) if need_weight else None,
            (g * y).sum(1).view_as(scale) if need_scale else None,
            g.sum(0) if need_bias else None,
            None,
        )


def layer_product(x: Tensor, layer: AnalogLayer) -> Tensor:
    """Products of vectors with a layer of one tile or many, with output scales and bias; differentiable.

    With many tiles, the outputs of blocks along the inputs are scaled and added up. The weight's gradient
    is d^T x, a `FactoredGradient`, with d the gradient with respect to x W^T.

    Args:
        x: (samples, inputs of all groups, one after the other).
        layer: whose tiles take its weight as it is now.

    Returns:
        (samples, outputs).
    """
    if torch.compiler.is_compiling():
        shape = (len(x), len(layer.weight))
        return compiled.product(x, layer, shape, shape if len(layer.tiles) == 1 else (layer.bands, *shape))
    layer._bound_tiles()
    function, holder = layer.function_for(x)
    return function.apply(x, layer.weight, layer.out_scale, layer.bias, holder)


class AnalogLayer(nn.Module):
    """What analog layers share: a weight on tiles, digital output scales, and their checkpoints.

    A layer calls `_place`, which makes `weight` (an ordinary parameter) and `out_scale`, and sets `bias`.
    Weights that are loaded, replaced or written, in whatever way, are taken over in the next forward pass:
    those beyond their element's own bound are set to it, and those outside the device's range are refused.
    A weight without output scales, in a state, is that of a digital layer, and is mapped as at conversion.

    A group of outputs, and a block of a weight larger than `max_tile`, has a tile of its own. `out_scale` is
    (outputs,), or (blocks along the inputs, outputs) where there is more than one.
    """

    weight: nn.Parameter
    out_scale: nn.Parameter
    bias: nn.Parameter | None
    tiles: list[Tile]
    #: where each tile lies, and how many of them add up to an output
    blocks: list[Block]
    bands: int
    #: largest (rows, cols) of a tile; None for no limit
    max_tile: tuple[int, int] | None = None
    #: by which compiled code finds the layer, see `compiled`
    number: Tensor
    #: whether the converted layer had its weight as (inputs, outputs)
    came_transposed: bool = False
    #: how digital weights are mapped into the device's range, see `mapped`
    omega: float | None

    def _place(self, weight: Tensor, omega: float | None, settings: dict[str, Any], groups: int = 1) -> None:
        """Map `weight`, (outputs, inputs of a group, ...), into the device's range and put it on tiles."""
        settings = dict(settings)
        flat = weight.detach().flatten(1)
        self.number = compiled.number_for(self)
        self.max_tile = settings.pop("max_tile", None)
        self.blocks = layout(flat.shape[0], flat.shape[1], groups, self.max_tile)
        self.bands, self.omega = 1 + self.blocks[-1].band, omega
        self.weight, self.out_scale = map(nn.Parameter, self._mapped(weight.detach(), settings["device"]))
        given = settings.pop("array", None)
        self.numbered_freely = given is None
        free = free_array(settings.get("seed", 0), len(self.blocks)) if given is None else given
        first = check_integer("array", free, 0, 2**32 - 1)
        whole = len(self.blocks) == 1
        self.tiles = [
            Tile(self.weight, part=i, block=None if whole else b[:2], array=first + NUMBERS * i, **settings)
            for i, b in enumerate(self.blocks)
        ]
        for tile in self.tiles:
            tile.numbered_freely = self.numbered_freely

    def __setstate__(self, state: dict[str, Any]) -> None:  # a copy
        super().__setstate__(state)
        self.number = compiled.number_for(self)

    def function_for(self, x: Tensor) -> tuple[Any, Tile | AnalogLayer]:
        """The autograd function of products with x, and what holds the weights for it."""
        return (_Product, self.tiles[0]) if len(self.tiles) == 1 else (_SplitProduct, self)

    def _mapped(self, weight: Tensor, device: Device) -> tuple[Tensor, Tensor]:
        """Analog weight and output scales of a digital weight of the same shape."""
        flat = weight.flatten(1)
        pairs = [mapped(flat[:, b.cols], device, self.omega) for b in self.blocks[: self.bands]]
        analog = torch.cat([part for part, _ in pairs], 1).view(weight.shape)
        return analog.contiguous(), pairs[0][1] if self.bands == 1 else torch.stack([s for _, s in pairs])

    @property
    def digital_shape(self) -> tuple[int, ...]:
        """Shape of the weight of the converted layer."""
        return tuple(self.weight.shape[::-1] if self.came_transposed else self.weight.shape)

    def map_digital(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Analog weight and output scales of a weight of the converted layer, mapped as at conversion."""
        weight = weight.t() if self.came_transposed else weight
        return self._mapped(weight.detach().float(), self.tiles[0].device)

    def tiles_with_blocks(self) -> Iterator[tuple[Tile, Block]]:
        """Every tile and where it lies."""
        return zip(self.tiles, self.blocks, strict=True)

    def effective_weight(self) -> Tensor:
        """What products see, in the shape of `weight`."""
        if not any(tile.companions for tile in self.tiles):
            return self.weight.detach()
        seen = torch.empty_like(self.weight)
        for tile in self.tiles:
            tile.part_of(seen).copy_(tile.effective_weight())
        return seen

    def digital_weight(self) -> Tensor:
        """The weight of the digital layer that computes the same: what products see, times the output scales.

        Of the shape of `weight`, but (inputs, outputs) where that of the converted layer was.
        """
        self.reread()
        seen = self.effective_weight().clone()
        scales = self.out_scale.detach().view(self.bands, -1)
        flat = seen.view(len(seen), -1)
        for rows, cols, _, band in self.blocks:
            flat[rows, cols] *= scales[band, rows].unsqueeze(1)
        return seen.t().contiguous() if self.came_transposed else seen

    def _bound_tiles(self) -> list[Tile]:
        """The tiles, which hold `weight` as it is now, also where it was replaced or written; elements
        whose weight lies beyond their own bound are at that bound.

        Raises:
            InputError: when the weights are outside the device's range, or not this layer's own parameter.
        """
        weight = self._parameters.get("weight")
        if weight is None:
            raise InputError(
                "the weight of an analog layer is not a parameter but computed from others: undo that "
                "(torch.nn.utils.parametrize.remove_parametrizations, torch.nn.utils.prune.remove)"
            )
        if weight.device.type == "meta":
            raise InputError(
                "an analog layer is on meta, without weights: call model.to_empty(device='cpu'), then load a "
                "state"
            )
        if not weight.is_contiguous():
            self._keep_contiguous()
        if self.tiles[0].owner is not weight:
            for tile in self.tiles:
                tile.contents.check_bindable(weight)
            self._bind()
        for tile in self.tiles:
            tile.sync()
        return self.tiles

    def reread(self) -> None:
        """Have `weight` be what boards hold now, see `on_boards`; raises as `_bound_tiles`."""
        for tile in self._bound_tiles():
            for array in (tile, *(other for _, other in tile.companions if isinstance(other, Tile))):
                array.contents.reread(array.counters)

    def renumber(self, arrays: Sequence[int]) -> None:
        """Give every tile the elements of the array with the number given, see `Tile.renumber`."""
        for tile, array in zip(self.tiles, arrays, strict=True):
            if tile.key.array != array:
                tile.renumber(array)

    def _bind(self) -> None:
        for tile in self.tiles:
            tile.contents.bind(self.weight)

    def _keep_contiguous(self) -> None:
        if not self.weight.is_contiguous():
            self.weight.data = self.weight.data.contiguous()

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self._keep_contiguous()  # .to(memory_format=torch.channels_last) would not
        return self

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if "weight" in self._parameters and self.weight.device.type != "meta":
            self.reread()
        super()._save_to_state_dict(destination, prefix, keep_vars)
        own = states.saved(self)
        destination.update({f"{prefix}{states.BELOW}{name}": value for name, value in own.items()})

    @property
    def analog(self) -> states.Below:
        """What checkpoints hold of this layer below `analog.`, see `ohmgrad.nn.states`."""
        return states.Below(states.saved(self))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        found = states.found(self, state_dict, prefix)
        ours = (f"{prefix}{states.BELOW}", f"{prefix}_extra_state")
        state = {key: value for key, value in state_dict.items() if not key.startswith(ours)}
        for name, value in (("weight", found.weight), ("out_scale", found.scale)):
            if value is not None:
                state[prefix + name] = value
        super()._load_from_state_dict(
            state, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        missing_keys += [f"{prefix}out_scale"] * found.mapped
        missing_keys += [f"{prefix}{states.BELOW}events"] * (found.events is None)
        states.restore(self, found)

    def extra_repr(self) -> str:
        tile = self.tiles[0]
        shapes = {t.shape for t in self.tiles}
        place = f"{tile.shape[0]} x {tile.shape[1]}"  # the first tile is the largest
        if len(self.tiles) > 1:
            place = f"{len(self.tiles)} x ({'up to ' if len(shapes) > 1 else ''}{place})"
        place += f", {self.weight.numel():,} cells"
        if self.max_tile is not None:
            rows, cols = self.max_tile
            place += f", {self.weight.numel() / (len(self.tiles) * rows * cols):.0%} of {rows} x {cols} used"
        kind = "perfect" if tile.periphery.perfect else "noisy"
        return f"{place}, {describe(tile.device)}, {kind} periphery, {tile.pulsing.fidelity}"

    _repr_html_ = layer_html  # in a notebook


def mapped(weight: Tensor, device: Device, omega: float | None) -> tuple[Tensor, Tensor]:
    """Weights mapped into a device's range, and the digital output scales that undo the mapping.

    Args:
        weight: (rows, cols), of a digital layer.
        device: whose nominal range it is.
        omega: with a number, the largest |weight| of every row becomes omega times the shorter half of
            the range; with None a row is changed only when it does not fit: its largest |weight| then
            becomes 0.9 times the shorter half.

    Returns:
        (analog weights, scales (rows,)), weight = scales * analog weights.

    Raises:
        InputError: when there are no weights, or omega is out of range.
    """
    if not weight.numel():
        raise InputError(f"weight is {tuple(weight.shape)}, but an array needs at least one row and column")
    if omega is not None:
        check_number("omega", omega, low=0, open_low=True, high=1)
    half = min(device.response.w_max, -device.response.w_min)
    top = weight.abs().amax(1)
    if omega is None:
        scale = torch.where(top <= half, torch.ones_like(top), top / (0.9 * half))
    else:
        scale = torch.where(top > 0, top / (omega * half), torch.ones_like(top))
    return weight / scale.unsqueeze(1), scale
