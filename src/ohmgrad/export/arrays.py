"""The physical arrays of a model: those of the weights, and those that an algorithm has beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..crossbar import Tile
from ..errors import InputError
from ..nn import AnalogLayer, analog_layers
from ..optim import AnalogOptimizer

__all__ = ["WEIGHTS", "PhysicalArray", "analog_layers_in", "arrays_in"]

#: name of the array that holds the weights of a tile
WEIGHTS = "weights"


@dataclass(frozen=True)
class PhysicalArray:
    """One array of elements, and where it belongs.

    Args:
        number: among the arrays of the model, from 0.
        layer: name in the model; "" where the model is the layer.
        tile: number among the tiles of the layer; the auxiliary arrays of a tile have its number.
        name: `WEIGHTS`, or the name of an auxiliary array.
        block: first row and first column of the tile in the layer's weight, (outputs, inputs of a group).
        seen: by what products see the array times: 1 for weights, gamma for a fast array; (cols,) where
            columns differ.
        array: the tile that simulates it.
    """

    number: int
    layer: str
    tile: int
    name: str
    block: tuple[int, int]
    seen: float | Tensor
    array: Tile

    def __str__(self) -> str:
        return f"array {self.number} ({self.name} of layer {self.layer!r}, tile {self.tile})"

    def place(self) -> dict[str, Any]:
        """What a file says of it: number, names, shape and block."""
        rows, cols = self.array.shape
        return {
            "array": self.number, "layer": self.layer, "tile": self.tile, "name": self.name,
            "rows": rows, "cols": cols, "first_row": self.block[0], "first_col": self.block[1],
        }  # fmt: skip


def analog_layers_in(model: Any) -> list[tuple[str, AnalogLayer]]:
    """Names and analog layers of a model.

    Raises:
        InputError: when it is no module, or has none.
    """
    layers = analog_layers(model) if isinstance(model, nn.Module) else []
    if not layers:
        raise InputError(
            f"the {type(model).__name__} has no analog layer, so no array: give what ohmgrad.convert returns"
        )
    return layers


def arrays_in(model: nn.Module, optimizer: AnalogOptimizer | None = None) -> list[PhysicalArray]:
    """All arrays of a model, each of the weights before the auxiliary ones of its tile.

    Args:
        model: with at least one analog layer.
        optimizer: whose auxiliary arrays are meant; None for the weights alone.

    Raises:
        InputError: when there is no analog layer, weights lie outside their device's range, or `optimizer`
            is none of ours or of another model.
    """
    layers = analog_layers_in(model)
    if optimizer is not None and not isinstance(optimizer, AnalogOptimizer):
        raise InputError(f"optimizer is a {type(optimizer).__name__}, but must be one of ohmgrad's")
    if optimizer is not None:
        trained = {id(tile) for group in optimizer.param_groups for tile, _ in optimizer.tiles_in(group)}
        if not any(id(tile) in trained for _, layer in layers for tile in layer._bound_tiles()):
            raise InputError("the optimizer trains no layer of this model: give the optimizer of the model")
    found: list[PhysicalArray] = []
    for layer, module in layers:
        for number, (tile, block) in enumerate(zip(module._bound_tiles(), module.blocks, strict=True)):
            seen = {id(other): factor for factor, other in tile.companions}
            first = block.rows.start, block.cols.start
            beside = {} if optimizer is None else optimizer.arrays_of(tile)
            for name, array in {WEIGHTS: tile, **beside}.items():
                array.sync()
                array.contents.reread(array.counters)
                factor = 1.0 if array is tile else seen.get(id(array), 0.0)
                found.append(PhysicalArray(len(found), layer, number, name, first, factor, array))
    return found
