"""The arrays that a model takes, before any training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..devices import Device, SoftBounds
from ..errors import InputError, is_integer, shown
from ..nn.convert import analog_layers, convert

__all__ = ["TileUse", "tile_use"]


@dataclass(frozen=True)
class TileUse:
    """What one layer takes.

    Args:
        layer: name in the model.
        rows, cols: of each of its matrices.
        matrices: how many; several for grouped convolutions.
        arrays: physical arrays.
        cells: crosspoints that hold weights.
        utilisation: share of the arrays' crosspoints that they are.
    """

    layer: str
    rows: int
    cols: int
    matrices: int
    arrays: int
    cells: int
    utilisation: float


def tile_use(model: nn.Module, array: tuple[int, int] = (512, 512), **patterns: Any) -> list[TileUse]:
    """The arrays that the weights of every layer take, plain or converted; nothing is trained or changed.

    A matrix takes ceil(rows / array rows) ceil(cols / array columns) arrays, as `convert(max_tile=array)`
    cuts it. Auxiliary arrays of an algorithm take as many again, each.

    Args:
        model: plain, or converted.
        array: rows and columns of a physical array.
        patterns: include and exclude, as in `ohmgrad.convert`, of a plain model.

    Raises:
        InputError: when `array` is no pair of integers of at least 1, or no layer can be converted.

    Example:
        >>> [use] = tile_use(nn.Sequential(nn.Linear(784, 256)), (512, 512))
        >>> use.arrays, use.cells, round(use.utilisation, 2)
        (2, 200704, 0.38)
    """
    if not (isinstance(array, (tuple, list)) and len(array) == 2 and all(map(is_integer, array))):
        raise InputError(f"array is {shown(array)}, but must be two integers, rows and columns: (512, 512)")
    if min(array) < 1:
        raise InputError(f"array is {shown(array)}, but needs at least one row and column")
    if not analog_layers(model):  # elements without a spread take no memory
        model = convert(model, Device(SoftBounds.symmetric(1.0)), **patterns)
    found: list[TileUse] = []
    for name, layer in analog_layers(model):
        shapes = [tile.shape for tile in layer.tiles]
        arrays = sum(math.ceil(r / array[0]) * math.ceil(c / array[1]) for r, c in shapes)
        cells = sum(r * c for r, c in shapes)
        share = cells / (arrays * array[0] * array[1])
        found.append(TileUse(name, *shapes[0], len(shapes), arrays, cells, share))
    return found
