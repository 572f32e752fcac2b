"""The one autograd function of all analog layers, and the settings that they share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..crossbar import Tile, describe

__all__ = ["AnalogLayer", "analog_product"]


class _Product(torch.autograd.Function):
    """y = (x W^T) * scale + bias through a tile; backward hands the factors over or returns a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, tile: Tile
    ) -> Tensor:
        y = tile.forward(x)
        ctx.save_for_backward(x, y, scale)
        ctx.tile, ctx.has_bias = tile, bias is not None
        return y * scale if bias is None else torch.addcmul(bias, y, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, y, scale = ctx.saved_tensors
        tile: Tile = ctx.tile
        need_x, need_weight, need_scale, need_bias, _ = ctx.needs_input_grad
        d = g * scale
        grad_weight = None
        if need_weight and tile.wants_factors:
            tile.hand_over(x, d)
        elif need_weight:
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

    A layer sets `weight` (an ordinary parameter), `out_scale` and `bias`, then calls `_place`.
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
        """The tiles, bound again to `weight` where loading or moving has replaced it."""
        if self.tiles[0].owner is not self.weight:
            for tile in self.tiles:
                tile.bind(self.weight)
        return self.tiles

    def get_extra_state(self) -> dict[str, Any]:
        """Event counts of every tile; they address the random numbers, so that a resumed run continues."""
        return {"events": [list(tile.events) for tile in self.tiles]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        for tile, events in zip(self._bound_tiles(), state["events"], strict=True):
            tile.events[:] = events

    def extra_repr(self) -> str:
        tile = self.tiles[0]
        rows, cols = tile.shape
        place = f"{rows} x {cols}" if len(self.tiles) == 1 else f"{len(self.tiles)} x ({rows} x {cols})"
        kind = "perfect" if tile.periphery.perfect else "noisy"
        return f"{place}, {describe(tile.device)}, {kind} periphery, {tile.pulsing.fidelity}"


def mapped(weight: Tensor, low: float, high: float, omega: float | None) -> tuple[Tensor, Tensor]:
    """Weights mapped into a device's range, and the digital output scales that undo the mapping.

    Args:
        weight: (rows, cols), of a digital layer.
        low, high: the device's nominal range, low < 0 < high.
        omega: with a number, the largest |weight| of every row becomes omega times the shorter half of
            the range; with None a row is changed only when it does not fit: its largest |weight| then
            becomes 0.9 times the shorter half.

    Returns:
        (analog weights, scales (rows,)), weight = scales * analog weights.
    """
    half = min(high, -low)
    top = weight.abs().amax(1)
    if omega is None:
        scale = torch.where(top <= half, torch.ones_like(top), top / (0.9 * half))
    else:
        scale = torch.where(top > 0, top / (omega * half), torch.ones_like(top))
    return weight / scale.unsqueeze(1), scale
