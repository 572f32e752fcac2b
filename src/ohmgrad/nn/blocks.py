"""How a layer's weight is cut into tiles: groups, and near-equal blocks of a largest size."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ..crossbar.gradient_parts import Part
from ..errors import InputError, is_integer, shown

__all__ = ["Block", "layout", "parts_of"]


class Block(NamedTuple):
    """Where one tile lies in its layer."""

    #: outputs of the layer, which are rows of its weight
    rows: slice
    #: columns of its weight, flattened to (outputs, inputs of a group)
    cols: slice
    #: entries of the layer's input vector, which holds the inputs of all groups
    lines: slice
    #: number of the block among those whose outputs are added up; chooses the row of output scales
    band: int


def layout(rows: int, cols: int, groups: int, max_tile: tuple[int, int] | None) -> list[Block]:
    """The blocks of a weight: for every group, blocks of outputs; for each of them, blocks of inputs.

    Along both sides of a group there are as few blocks as `max_tile` allows, and their sizes differ by at
    most one.

    Args:
        rows: outputs of the layer, a multiple of `groups`.
        cols: inputs of every group.
        groups: outputs of different groups see different inputs.
        max_tile: largest (rows, cols) of a tile; None for no limit, so that a group is one block.

    Raises:
        InputError: when `max_tile` is not a pair of integers of at least 1.
    """
    if max_tile is not None and not _is_pair(max_tile):
        raise InputError(
            f"max_tile is {shown(max_tile)}, but must be two integers of at least 1, the largest rows and "
            "columns of a tile: (256, 256), or None for no limit"
        )
    most_rows, most_cols = map(int, max_tile or (rows, cols))
    tall, wide = _cuts(rows // groups, most_rows), _cuts(cols, most_cols)
    found: list[Block] = []
    for group in range(groups):
        top, left = group * (rows // groups), group * cols
        found += [
            Block(slice(top + a, top + b), slice(c, d), slice(left + c, left + d), band)
            for a, b in tall
            for band, (c, d) in enumerate(wide)
        ]
    return found


def _is_pair(value: Any) -> bool:
    """Whether this is a pair of integers of at least 1."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(is_integer(n) and n >= 1 for n in value)


def _cuts(size: int, most: int) -> list[tuple[int, int]]:
    """Begin and end of as few pieces of at most `most` as there can be, the longer ones first."""
    pieces = max(1, -(-size // max(1, most)))
    short, longer = divmod(size, pieces)
    ends = [(i + 1) * short + min(i + 1, longer) for i in range(pieces)]
    return list(zip([0, *ends], ends, strict=False))


def parts_of(blocks: list[Block], x: Tensor, d: Tensor) -> list[Part]:
    """What the tiles of a split weight take of a gradient.

    Args:
        blocks: where they lie.
        x: (samples, inputs of all groups); d: (bands, samples, outputs).
    """
    return [Part(x[:, b.lines], d[b.band, :, b.rows], (b.rows, b.cols)) for b in blocks]
