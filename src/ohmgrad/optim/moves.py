"""Moves that algorithms with several arrays share: which columns are next, and writing them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import InputError

__all__ = ["check_whole", "next_columns", "program_columns", "write_columns"]


def check_whole(group: dict[str, object], names: tuple[str, ...], low: int = 1) -> None:
    """Raise InputError unless the options `names` of a parameter group are integers of at least `low`."""
    for name in names:
        value = group[name]
        if type(value) is not int or value < low:  # True is an int to isinstance
            raise InputError(f"{name} is {value!r}, but must be an integer of at least {low}")


def next_columns(cols: int, columns: int | None, transfer: int) -> list[int]:
    """The columns of the transfer with this number (0, 1, ...), in turn; None for all `cols` of them."""
    some = cols if columns is None else min(columns, cols)
    start = transfer * (columns or 0)
    return [(start + i) % cols for i in range(some)]


def write_columns(tile: Tile, columns: list[int], values: Tensor, lr: float) -> None:
    """Move whole columns by pulses: W[:, j] += lr values[:, j], in expectation and to first order.

    Args:
        tile: (rows, cols).
        columns: k different column numbers; one line is on in each sample.
        values: (rows, k).
    """
    lines = np.zeros((len(columns), tile.shape[1]), np.float32)
    lines[np.arange(len(columns)), columns] = 1.0
    tile.pulse(torch.from_numpy(lines), values.t(), lr)


def program_columns(tile: Tile, columns: list[int], target: Tensor, rounds: int = 4) -> None:
    """Closed-loop write of columns: read them, pulse what is missing, and so on for `rounds` rounds.

    Ends early when nothing is missing by more than half a step. A round sends an element at most as many
    pulses as an update has slots (`Pulsing.max_bl`).

    Args:
        tile: (rows, cols).
        columns: k different column numbers.
        target: (rows, k); beyond the nominal range an element ends near its bound.
    """
    low, high = tile.device.response.w_min, tile.device.response.w_max
    target = target.clamp(low, high)
    for _ in range(rounds):
        missing = target - tile.read(columns)
        missing[missing.abs() < tile.device.dw_min / 2] = 0.0
        if not bool(missing.any()):
            return
        write_columns(tile, columns, missing, 1.0)
