"""The autograd function of linear analog layers, and what all analog layers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..crossbar import Tile, describe
from ..devices import Device
from ..errors import InputError

__all__ = ["AnalogLayer", "analog_product", "first_order", "mapped", "weight_is_asked_for"]

#: whether the running backward pass goes on to a node of the graph; torch.autograd.graph uses it too
_will_run = torch._C._will_engine_execute_node

Backward = Callable[..., tuple[Tensor | None, ...]]


class _NoSecondDerivative(torch.autograd.Function):
    """A tensor as it is, made to depend on `sources`; asking for that dependence is an error."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *sources: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise InputError(
            "analog layers have no second derivatives: pass create_graph=False, or keep the layers that the "
            "gradient penalty goes through digital"
        )


def first_order(backward: Backward) -> Backward:
    """Make every second derivative through `backward` an error, at no cost where none is taken.

    torch's own `once_differentiable` costs microseconds in every pass, and gives None or a part in silence
    where torch.autograd.grad finds another way to the input, or none. `ctx.weight` must be the weight.
    """

    def wrapped(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():  # it is with create_graph=True only
            return backward(ctx, *grads)
        with torch.no_grad():
            outputs = backward(ctx, *grads)
        sources = [t for t in (*grads, ctx.weight, *ctx.saved_tensors) if t.requires_grad]
        return tuple(None if v is None else _NoSecondDerivative.apply(v, *sources) for v in outputs)

    return wrapped


def weight_is_asked_for(ctx: Any, tile: Tile) -> tuple[bool, bool]:
    """What a backward pass asks of input 1, the weight: (factors for an optimizer, a gradient)."""
    if not ctx.needs_input_grad[1]:
        return False, False
    try:  # false in autograd.grad(loss, x): nobody wants the weight's gradient
        asked = _will_run(ctx.next_functions[1][0])
    except RuntimeError:  # autograd.grad(loss, weight) returns it
        return False, True
    factors = asked and tile.wants_factors
    return factors, asked and not factors


class _Product(torch.autograd.Function):
    """y = (x W^T) * scale + bias through a tile; backward hands the factors over or returns a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, tile: Tile
    ) -> Tensor:
        y = tile.forward(x)
        ctx.save_for_backward(x, y, scale)
        ctx.tile, ctx.weight = tile, weight
        return y * scale if bias is None else torch.addcmul(bias, y, scale)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, y, scale = ctx.saved_tensors
        tile: Tile = ctx.tile
        need_x, _, need_scale, need_bias, _ = ctx.needs_input_grad
        need_factors, need_gradient = weight_is_asked_for(ctx, tile)
        d = g * scale
        grad_weight = None
        if need_factors:
            tile.hand_over(x, d)
        elif need_gradient:
            tile.count_gradient()
            grad_weight = d.t() @ x
        return (
            tile.backward(d) if need_x else None,
            grad_weight,
            (g * y).sum(0) if need_scale else None,
            g.sum(0) if need_bias else None,
            None,
        )


def analog_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, tile: Tile) -> Tensor:
    """Products of vectors with a tile, with digital output scale and bias; differentiable.

    Args:
        x: (samples, cols).
        weight: the tile's weights as seen by autograd, (rows, cols).
        scale: digital scale of every output, (rows,); bias: (rows,) or None.
        tile: the crossbar that holds the weights.

    Returns:
        (samples, rows). In backward the tile gets the factors x and d, with d the gradient with
        respect to x W^T, if an analog optimizer asked for them; `weight` gets d^T x otherwise.
    """
    return _Product.apply(x, weight, scale, bias, tile)  # pyright: ignore[reportReturnType]


class AnalogLayer(nn.Module):
    """What analog layers share: a weight on tiles, digital output scales, and their checkpoints.

    A layer sets `weight` (an ordinary parameter), `out_scale` and `bias`, then calls `_place`. Weights that
    are loaded, assigned or written in place must lie in the device's range: an InputError says so when
    they are loaded, or else in the next forward or backward pass.
    """

    weight: nn.Parameter
    out_scale: nn.Parameter
    bias: nn.Parameter | None
    tiles: list[Tile]

    def _place(self, parts: int, settings: dict[str, Any]) -> None:
        # arrays 1 to 255 beside each tile's own are for the algorithms
        first = settings.get("array", 0)
        self.tiles = [
            Tile(self.weight, part=i, parts=parts, **{**settings, "array": first + 256 * i})
            for i in range(parts)
        ]

    def _bound_tiles(self) -> list[Tile]:
        """The tiles, bound again to `weight` where loading or moving has replaced it.

        Raises:
            InputError: when the new weights are outside the device's range.
        """
        if self.tiles[0].owner is not self.weight:
            self._keep_contiguous()
            self._check_held(self.weight)
            self._bind()
        self.tiles[0].sync()
        return self.tiles

    def _bind(self) -> None:
        for tile in self.tiles:
            tile.bind(self.weight)

    def _keep_contiguous(self) -> None:
        if not self.weight.is_contiguous():
            self.weight.data = self.weight.data.contiguous()

    def _check_held(self, weight: Tensor) -> None:
        parts = weight.detach().flatten(1).chunk(len(self.tiles))
        for tile, part in zip(self.tiles, parts, strict=True):
            tile.check_held(part)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self._keep_contiguous()  # .to(memory_format=torch.channels_last) would not
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **rest: Any) -> None:
        weight = state_dict.get(prefix + "weight")
        remembered = state_dict.get(prefix + "_extra_state", {}).get("memory")  # checked as it is restored
        # weights of another shape are torch's to complain of
        if isinstance(weight, Tensor) and weight.shape == self.weight.shape and not remembered:
            self._check_held(weight)
        super()._load_from_state_dict(state_dict, prefix, *args, **rest)

    def get_extra_state(self) -> dict[str, Any]:
        """Event counts of every tile, which address the random numbers, and what its elements hold beside
        the weights, so that a resumed run continues."""
        state: dict[str, Any] = {"events": [list(tile.events) for tile in self.tiles]}
        if any(tile.memory for tile in self._bound_tiles()):
            state["memory"] = [dict(tile.memory) for tile in self.tiles]
        return state

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        memory = state.get("memory")
        if memory and self.tiles[0].owner is not self.weight:
            self._keep_contiguous()
            self._bind()  # the weights follow from the memory
        for tile, planes in zip(self.tiles, memory or [], strict=bool(memory)):
            tile.restore(planes)
        for tile, events in zip(self._bound_tiles(), state["events"], strict=True):
            tile.events[:] = events

    def extra_repr(self) -> str:
        tile = self.tiles[0]
        rows, cols = tile.shape
        place = f"{rows} x {cols}" if len(self.tiles) == 1 else f"{len(self.tiles)} x ({rows} x {cols})"
        kind = "perfect" if tile.periphery.perfect else "noisy"
        return f"{place}, {describe(tile.device)}, {kind} periphery, {tile.pulsing.fidelity}"


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
        InputError: when there are no weights, or `device` is no Device.
    """
    if not isinstance(device, Device):
        raise InputError(
            f"device is {device!r}, but must be a Device: Device(SoftBounds.symmetric(0.6)), or a named one, "
            "ohmgrad.devices.presets.preset('paper')"
        )
    if not weight.numel():
        raise InputError(f"weight is {tuple(weight.shape)}, but an array needs at least one row and column")
    half = min(device.response.w_max, -device.response.w_min)
    top = weight.abs().amax(1)
    if omega is None:
        scale = torch.where(top <= half, torch.ones_like(top), top / (0.9 * half))
    else:
        scale = torch.where(top > 0, top / (omega * half), torch.ones_like(top))
    return weight / scale.unsqueeze(1), scale
