"""Moves of algorithms with a fast array P beside the weights W: reading columns of P, the digital buffer H
between them, writing whole pulses to columns of W, and choppers. Functions, from a tile's primitives.

Planes that a checkpoint needs are float32 tensors in a tile's state, kept transposed, (cols, rows), so that
a column of the array is contiguous.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import InputError, check_choice, check_number
from ..pulses import Pulsing
from ..rng import Purpose, word
from .base import AnalogOptimizer

__all__ = [
    "add_to_buffer", "check_buffer", "check_choppers", "check_transfer", "chopped", "fast_array",
    "make_fast_arrays", "next_columns", "next_transfer", "one_hot", "period", "plane", "read_columns",
    "to_flip", "transfer_rate", "write_pulses",
]  # fmt: skip


def check_transfer(group: dict[str, Any]) -> None:
    """Raise InputError when fast_lr, transfer_lr, transfer_every, columns or reads is out of range."""
    check_number("fast_lr", group["fast_lr"], low=0, open_low=True)
    if group["transfer_lr"] is not None:
        check_number("transfer_lr", group["transfer_lr"], low=0, open_low=True)
    for name in ("transfer_every", "columns", "reads"):
        _check_whole(name, group[name])


def check_buffer(group: dict[str, Any]) -> None:
    """Raise InputError when granularity, buffer_momentum, rest or max_pulses is out of range."""
    check_number("granularity", group["granularity"], low=0, open_low=True)
    check_number("buffer_momentum", group["buffer_momentum"], low=0, high=1, open_high=True)
    check_choice("rest", group["rest"], ("forget", "keep"))
    _check_whole("max_pulses", group["max_pulses"])


def check_choppers(group: dict[str, Any]) -> None:
    """Raise InputError when chop_prob or chopping is out of range."""
    check_number("chop_prob", group["chop_prob"], low=0, high=1, open_low=True)
    check_choice("chopping", group["chopping"], ("random", "regular"))


def _check_whole(name: str, value: Any) -> None:
    if type(value) is not int or value < 1:  # True is an int to isinstance
        raise InputError(f"{name} is {value!r}, but must be an integer of at least 1")


# --- the fast array ------------------------------------------------------------------------------------


def fast_array(optimizer: AnalogOptimizer, tile: Tile, state: dict[str, Any], gamma: float = 0.0) -> Tile:
    """The array P beside a tile, of which products see `gamma` times its weights beside W."""
    fast = optimizer.array(tile, state, "fast", role=1)
    tile.companions = [(gamma, fast)] if gamma else []
    return fast


def make_fast_arrays(optimizer: AnalogOptimizer) -> None:
    """Make the array P of every tile, so that the next product sees the P of a restored state."""
    for group in optimizer.param_groups:
        for tile, state in optimizer.tiles_in(group):
            fast_array(optimizer, tile, state, group["gamma"])


# --- transfers -----------------------------------------------------------------------------------------


def next_transfer(group: dict[str, Any], state: dict[str, Any]) -> int | None:
    """Count an update; the number of the transfer, from 0, if one follows it."""
    updates = state["updates"] = state.get("updates", 0) + 1
    return None if updates % group["transfer_every"] else updates // group["transfer_every"] - 1


def next_columns(tile: Tile, columns: int, transfer: int, order: str = "sequential") -> list[int]:
    """Columns of the transfer with this number: the next ones, or from a random start."""
    cols = tile.shape[1]
    k = min(columns, cols)
    start = transfer * k
    if order == "random":
        start = word(0, transfer, Purpose.COLUMN_ORDER, tile.key)
    return [(start + i) % cols for i in range(k)]


def transfer_rate(group: dict[str, Any]) -> float:
    """Learning rate of the transfer: `transfer_lr`, or `lr` and so its schedule."""
    return float(group["lr"] if group["transfer_lr"] is None else group["transfer_lr"])


def read_columns(fast: Tile, columns: list[int], reads: int) -> np.ndarray:
    """Columns of P, read through the periphery and averaged over `reads` reads: float32 (k, rows)."""
    return fast.read(columns, reads).t().numpy()


def one_hot(tile: Tile, columns: list[int]) -> Tensor:
    """x-lines, (k, cols), one sample a column: 1 on its line, 0 elsewhere."""
    lines = np.zeros((len(columns), tile.shape[1]), np.float32)
    lines[np.arange(len(columns)), columns] = 1.0
    return torch.from_numpy(lines)


# --- the buffer ----------------------------------------------------------------------------------------


def plane(tile: Tile, state: dict[str, Any], name: str) -> np.ndarray:
    """A digital plane of a tile's state, transposed, (cols, rows) float32: zeros when first asked for."""
    kept = state.get(name)
    if kept is None:
        kept = state[name] = torch.zeros(tile.shape[1], tile.shape[0])
    return kept.numpy()


def add_to_buffer(
    tile: Tile, group: dict[str, Any], state: dict[str, Any], columns: list[int], change: np.ndarray
) -> None:
    """Add to columns of H, and send the whole pulses that are due to W.

        H' = H + transfer_lr change / (granularity dw_min)
        n  = trunc(H'), at most max_pulses either way
        H  = buffer_momentum H'  or  H' - (1 - buffer_momentum) n,  where n is not 0 (rest: forget, keep)

    Args:
        columns: k column numbers, all different.
        change: (k, rows), in weight units.
    """
    h = plane(tile, state, "buffer")
    dw_min = tile.elements.dw_min
    now = h[columns] + change * np.float32(transfer_rate(group) / (group["granularity"] * dw_min))
    n = np.trunc(now)
    due = n != 0
    if due.any():
        n = n.clip(-group["max_pulses"], group["max_pulses"])
        momentum = np.float32(group["buffer_momentum"])
        if group["rest"] == "forget":
            now[due] *= momentum
        else:
            now -= (1 - momentum) * n
        write_pulses(tile, columns, n)
    h[columns] = now


@lru_cache
def _certain(pulsing: Pulsing) -> Pulsing:
    """The same fidelity, with single slots in which lines at 1 fire for certain."""
    return replace(pulsing, max_bl=1, update_management=False, bl_management=False)


def write_pulses(tile: Tile, columns: list[int], n: np.ndarray) -> None:
    """Send signed whole numbers of pulses to columns of W, one column after the other.

    In each slot the column's line fires, and the d-lines of those elements that are still owed a pulse.
    At fidelity "mean" n pulses are the wanted change n dw_min.

    Args:
        columns: k column numbers; n: (k, rows) float32 of whole numbers.
    """
    most = np.abs(n).max(1)
    if tile.pulsing.fidelity == "mean":
        lines, d = one_hot(tile, columns), n
    else:
        slots = np.repeat(np.arange(len(columns)), most.astype(np.int64))
        nth = np.concatenate([np.arange(m) for m in most])
        lines = one_hot(tile, [columns[i] for i in slots])
        d = np.sign(n[slots]) * (np.abs(n[slots]) > nth[:, None])
    d = torch.from_numpy(np.ascontiguousarray(d, np.float32))
    tile.pulse(lines, d, tile.elements.dw_min, _certain(tile.pulsing))


# --- choppers ------------------------------------------------------------------------------------------


def chopped(x: Tensor, tile: Tile, state: dict[str, Any]) -> tuple[Tensor, np.ndarray]:
    """x-lines times their choppers, and the choppers: float32 (cols,) of 1 and -1, kept in the state."""
    kept = state.get("chopper")
    if kept is None:
        kept = state["chopper"] = torch.ones(tile.shape[1])
    return x * kept, kept.numpy()


def period(group: dict[str, Any]) -> int:
    """Reads of a column between two flips of a regular chopper, or on the average of a random one."""
    return max(math.ceil(1 / group["chop_prob"]), 2)


def to_flip(tile: Tile, group: dict[str, Any], columns: list[int], transfer: int) -> list[int]:
    """Which of the columns just read, those of `next_columns`, have their chopper flipped now.

    Each with probability `chop_prob` (chopping: random), or all once in `period` reads (regular).
    """
    if group["chopping"] == "random":
        below = group["chop_prob"] * 2.0**32
        return [j for j in columns if word(j, transfer, Purpose.CHOPPER, tile.key) < below]
    cols, every, first = tile.shape[1], period(group), transfer * len(columns)
    return [j for i, j in enumerate(columns) if ((first + i) // cols + 1) % every == 0]
