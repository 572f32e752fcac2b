"""The circuits around an array: products and reads through the periphery, each with what it counts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError, check_integer, is_integer, shown
from ..kernels import Cells, Periphery, ops
from ..rng import Purpose
from .events import Counters

__all__ = ["product", "read_columns"]

#: direction of a product -> name of its vectors, and purpose of its random numbers
DIRECTIONS = {"forward": ("x", Purpose.READ_FORWARD), "backward": ("d", Purpose.READ_BACKWARD)}


def product(
    vectors: Tensor, matrix: Tensor, direction: str, periphery: Periphery, cells: Cells, counters: Counters
) -> Tensor:
    """`vectors` @ `matrix` through the periphery; numbers of vectors address the noise.

    Args:
        vectors: (samples, lines).
        matrix: (lines, outputs), what the product sees of the array.
        direction: "forward" or "backward".
        cells: of the array.

    Raises:
        InputError: when the shapes do not match.
    """
    name, purpose = DIRECTIONS[direction]
    if vectors.dim() != 2 or vectors.shape[1] != matrix.shape[0]:
        got, size = tuple(vectors.shape), " x ".join(map(str, cells.shape))
        raise InputError(f"{name} is {got}, but a tile of {size} needs {name} of (samples, {len(matrix)})")
    if periphery.perfect:
        out = vectors @ matrix
    else:
        first = counters.counter(f"{direction}_vectors")
        out, again = ops.analog_product(
            vectors, matrix, periphery, purpose, cells.keys[0], first, cells.backend
        )
        if periphery.bound_management != "none":
            inputs, outputs = matrix.shape
            counters.add(driven_again=again, dac=again * inputs, adc=again * outputs)
    counters.add_vectors(direction, len(vectors))
    return out


def read_columns(
    weight: Tensor,
    columns: Sequence[int],
    repeats: int,
    periphery: Periphery,
    cells: Cells,
    counters: Counters,
) -> Tensor:
    """Columns of `weight`, (rows, k), see `Tile.read`."""
    rows, cols = cells.shape
    check_integer("repeats", repeats, 1)
    for column in columns:
        if not is_integer(column) or not 0 <= column < cols:
            raise InputError(f"column {shown(column)} does not exist: this tile has columns 0 to {cols - 1}")
    # reads of write-verify are exact: they take no random numbers
    k, first = len(columns) * repeats, None
    if not periphery.perfect:
        first = counters.counter("read_columns") - counters.counter("verify_columns")
    counters.add_reads(k)
    # a single column is the common case, and a slice takes a tenth of a gather's time
    picked = weight[:, columns[0]].clone().unsqueeze(1) if k == 1 else weight[:, list(columns)]
    if first is None:
        return picked
    one = torch.eye(len(columns)) if repeats == 1 else torch.eye(len(columns)).repeat(repeats, 1)
    unmanaged, key = periphery.unmanaged, cells.keys[0]
    out, _ = ops.analog_product(one, picked.t(), unmanaged, Purpose.READ_COLUMNS, key, first, cells.backend)
    return out.t() if repeats == 1 else out.view(repeats, len(columns), rows).mean(0).t()
