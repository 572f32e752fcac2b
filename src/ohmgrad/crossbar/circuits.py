"""The circuits around an array: products and reads through the periphery, each with what it counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError, check_integer, is_integer, shown
from ..kernels import Cells, Periphery, ops
from ..rng import Purpose
from .events import Counters

__all__ = ["check_vectors", "numbers_of", "product", "read_columns"]

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
    check_vectors(vectors, direction, cells)
    purpose = DIRECTIONS[direction][1]
    if periphery.perfect:
        out = vectors @ matrix
    else:
        first = counters.counter(f"{direction}_vectors")
        if counters.first_vector:
            first = first + counters.first_vector
        out, again = ops.analog_product(
            vectors, matrix, periphery, purpose, cells.keys[0], first, cells.backend
        )
        counters.add_driven(direction, again)
    counters.add_vectors(direction, vectors.shape[0])
    return out


def check_vectors(vectors: Tensor, direction: str, cells: Cells) -> None:
    """Raise InputError unless these are vectors for a product in a direction with an array of `cells`."""
    lines = cells.shape[1 if direction == "forward" else 0]
    if vectors.dim() != 2 or vectors.shape[1] != lines:
        name, got, size = DIRECTIONS[direction][0], tuple(vectors.shape), " x ".join(map(str, cells.shape))
        raise InputError(f"{name} is {got}, but a tile of {size} needs {name} of (samples, {lines})")


def read_columns(
    weight: Tensor,
    columns: slice | Tensor | Sequence[int],
    repeats: int,
    n_read: Tensor | None,
    periphery: Periphery,
    cells: Cells,
    counters: Counters,
) -> Tensor:
    """Columns of `weight`, (rows, k), see `Tile.read`."""
    check_integer("repeats", repeats, 1)
    at, k = _columns(columns, weight.shape[1])
    picked = weight[:, at]
    if periphery.perfect:
        counters.add_reads(k * repeats if n_read is None else n_read)
        return picked.clone() if isinstance(at, slice) else picked
    # reads of write-verify are exact: they take no random numbers
    first = counters.counter("read_columns") - counters.counter("verify_columns")
    counters.add_reads(k * repeats if n_read is None else n_read)
    one = (
        _one_hot(picked.device)
        if k == repeats == 1
        else torch.eye(k, device=picked.device).repeat(repeats, 1)
    )
    unmanaged, key = periphery.unmanaged, cells.keys[0]
    out, _ = ops.analog_product(one, picked.t(), unmanaged, Purpose.READ_COLUMNS, key, first, cells.backend)
    return out.t() if repeats == 1 else out.view(repeats, k, -1).mean(0).t()


@lru_cache
def _one_hot(device: torch.device) -> Tensor:
    """The vector that reads a single column, (1, 1). Not to be written to."""
    return torch.ones(1, 1, device=device)


def numbers_of(columns: slice | Tensor | Sequence[int], cols: int, repeats: int) -> list[int]:
    """The numbers of columns that are to be read, checked as in `Tile.read`."""
    check_integer("repeats", repeats, 1)
    at, _ = _columns(columns, cols)
    return list(range(cols))[at] if isinstance(at, slice) else at.tolist()


def _columns(columns: slice | Tensor | Sequence[int], cols: int) -> tuple[slice | Tensor, int]:
    """What indexes a tensor by columns, and how many there are."""
    if isinstance(columns, slice):
        start, stop, step = columns.indices(cols)
        return columns, len(range(start, stop, step))
    if isinstance(columns, Tensor):
        return columns, len(columns)
    for column in columns:
        if not is_integer(column) or not 0 <= column < cols:
            raise InputError(f"column {shown(column)} does not exist: this tile has columns 0 to {cols - 1}")
    if len(columns) == 1:
        return slice(columns[0], columns[0] + 1), 1
    return torch.tensor(columns, dtype=torch.int64), len(columns)
