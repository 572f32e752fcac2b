"""Transfers between arrays: which columns are next, how they are read, and how pulses write them.

Columns are named by what indexes a tensor: a slice, or where they wrap their numbers, int64 (k,) on the CPU.
They follow from counters that the host keeps, so that nothing here waits for a value of a tile. Values of
columns are handled as rows, (k, rows).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import check_integer, check_number
from ..kernels import Pulsing
from ..rng import Purpose, word
from .base import AnalogOptimizer

__all__ = [
    "Lines", "check_residual", "check_transfer", "check_whole", "fast_array", "next_columns", "next_lines",
    "next_transfer", "number_of", "program_columns", "read_columns", "read_marked", "read_noise",
    "residual_rate", "transfer_rate", "write_columns", "write_pulses",
]  # fmt: skip

#: columns, or rows, of a tile: what indexes a tensor
Lines = slice | Tensor

#: samples up to which `write_pulses` sends slots that may be empty, rather than ask for the largest number
EMPTY_SLOTS = 64


# --- options -------------------------------------------------------------------------------------------


def check_whole(group: dict[str, Any], *names: str, low: int = 1) -> None:
    """Raise InputError unless the options `names` of a parameter group are integers of at least `low`."""
    for name in names:
        group[name] = check_integer(name, group[name], low)


def check_transfer(group: dict[str, Any]) -> None:
    """Raise InputError when fast_lr, transfer_lr, transfer_every, columns or reads is out of range."""
    check_number("fast_lr", group["fast_lr"], low=0, open_low=True)
    if group["transfer_lr"] is not None:
        check_number("transfer_lr", group["transfer_lr"], low=0, open_low=True)
    check_whole(group, "transfer_every", "columns", "reads")


def check_residual(group: dict[str, Any]) -> None:
    """Raise InputError when alpha, beta, gamma, transfer_every or columns is out of range."""
    if group["alpha"] is not None:
        check_number("alpha", group["alpha"], low=0, open_low=True)
    for name in ("beta", "gamma"):
        check_number(name, group[name], low=0, open_low=True)
    check_whole(group, "transfer_every")
    if group["columns"] is not None:
        check_whole(group, "columns")


def transfer_rate(group: dict[str, Any]) -> float:
    """Learning rate of the transfer: `transfer_lr`, or `lr` and so its schedule."""
    return float(group["lr"] if group["transfer_lr"] is None else group["transfer_lr"])


def residual_rate(group: dict[str, Any]) -> float:
    """Learning rate of the array that gets the gradient: `alpha`, or `lr` and so its schedule."""
    return float(group["lr"] if group["alpha"] is None else group["alpha"])


# --- which columns are next ----------------------------------------------------------------------------


def next_transfer(group: dict[str, Any], state: dict[str, Any]) -> int | None:
    """Count an update; the number of the transfer, from 0, if one follows it."""
    updates = state["updates"] = state.get("updates", 0) + 1
    return None if updates % group["transfer_every"] else updates // group["transfer_every"] - 1


def next_lines(start: int, k: int, total: int) -> Lines:
    """k of `total` lines in turn, from line `start` modulo `total`; k <= total."""
    start %= total
    if start + k <= total:
        return slice(start, start + k)
    return torch.arange(start, start + k) % total


def next_columns(tile: Tile, columns: int | None, transfer: int, order: str = "sequential") -> Lines:
    """Columns of the transfer with this number: the next ones, or from a random start; None for all."""
    cols = tile.shape[1]
    if order == "random":
        start = word(0, transfer, Purpose.COLUMN_ORDER, tile.key)
    else:
        start = transfer * (columns or 0)
    return next_lines(start, cols if columns is None else min(columns, cols), cols)


def number_of(lines: Lines) -> int:
    """How many lines there are."""
    return lines.stop - lines.start if isinstance(lines, slice) else len(lines)


# --- the auxiliary array, and who sees it ---------------------------------------------------------------


def fast_array(optimizer: AnalogOptimizer, tile: Tile, state: dict[str, Any], gamma: float = 0.0) -> Tile:
    """The auxiliary array P of a tile; products see `gamma` times its weights added to W."""
    fast = optimizer.array(tile, state, "fast", role=1)
    tile.companions = [(gamma, fast)] if gamma else []
    return fast


# --- reading -------------------------------------------------------------------------------------------


def read_columns(array: Tile, columns: Lines, reads: int = 1, n_read: Tensor | None = None) -> Tensor:
    """Columns of an array, read through the periphery and averaged over `reads` reads: float32 (k, rows)."""
    return array.read(columns, reads, n_read).t()


def read_marked(tile: Tile, marked: Tensor) -> Tensor:
    """The columns that `marked`, bool (cols,), says, each read once; the values of others mean nothing.

    Returns:
        (rows, cols).
    """
    if tile.periphery.perfect and tile.board is None:
        return tile.read(slice(0, tile.shape[1]), n_read=marked.sum())
    first = torch.argsort(marked.logical_not(), stable=True)  # the marked ones, in order, and the others
    return tile.read(first, n_read=marked.sum())[:, torch.argsort(first)]


def read_noise(tile: Tile, reads: int) -> float:
    """Standard deviation of a value of `read_columns`: of outputs, of elements, of the ADC's rounding."""
    p = tile.periphery
    return math.sqrt((p.out_noise**2 + p.weight_noise**2 + p.out_step**2 / 12) / reads)


# --- writing -------------------------------------------------------------------------------------------


def write_columns(tile: Tile, columns: Lines, values: Tensor, lr: float) -> None:
    """Move columns by pulses: W[:, columns[i]] += lr values[i], in expectation and to first order.

    Args:
        columns: k different columns; one line is on in each sample.
        values: float32 (k, rows).
    """
    tile.pulse(_one_hot(tile, columns), values, lr)


@lru_cache
def _impulse(cols: int, device: torch.device) -> Tensor:
    """(1, 2 cols - 1): 1 in the middle, 0 elsewhere, so that each one-hot line is a part of it."""
    line = torch.zeros(1, 2 * cols - 1, device=device)
    line[0, cols - 1] = 1.0
    return line


def _one_hot(tile: Tile, columns: Lines) -> Tensor:
    """x-lines, (k, cols), one sample a column: 1 on its line, 0 elsewhere. Not to be written to."""
    k, cols, device = number_of(columns), tile.shape[1], tile.events.device
    if isinstance(columns, slice) and k == 1:
        return _impulse(cols, device).narrow(1, cols - 1 - columns.start, cols)
    lines = torch.zeros(k, cols, device=device)
    if isinstance(columns, slice):
        lines.diagonal(columns.start).fill_(1.0)
    else:
        lines[torch.arange(k), columns] = 1.0
    return lines


def program_columns(tile: Tile, columns: Lines, target: Tensor, rounds: int = 4) -> None:
    """Closed-loop write of columns: read them, pulse what is missing, and so on for `rounds` rounds.

    Once nothing is missing by more than half a step, later rounds read and pulse nothing. A round sends an
    element at most as many pulses as an update has slots (`Pulsing.max_bl`).

    Args:
        columns: k different columns.
        target: float32 (k, rows); beyond the nominal range an element ends near its bound.
    """
    target = target.clamp(tile.device.response.w_min, tile.device.response.w_max)
    lines, k, goes_on = _one_hot(tile, columns), number_of(columns), None
    for _ in range(rounds):
        reads = None if goes_on is None else goes_on * k
        missing = target - read_columns(tile, columns, n_read=reads)
        missing = missing.masked_fill(missing.abs() < tile.device.dw_min / 2, 0.0)
        some = missing.any()
        goes_on = some if goes_on is None else goes_on & some
        tile.pulse(lines, missing * goes_on, 1.0, is_update=goes_on)


@lru_cache
def _certain(pulsing: Pulsing) -> Pulsing:
    """The same fidelity, with single slots in which lines at 1 fire for certain."""
    return replace(pulsing, max_bl=1, update_management=False, bl_management=False)


def write_pulses(tile: Tile, columns: Lines, n: Tensor, most: int, due: Tensor | None = None) -> None:
    """Send signed whole numbers of pulses to columns of W; no update is counted where all are 0.

    In each slot one column's line fires, and the d-lines of its elements that are still owed a pulse.
    At fidelity "mean" n pulses are the wanted change n dw_min.

    Args:
        columns: k different columns; n: (k, rows) float32 of whole numbers.
        most: what no |n| exceeds.
        due: whether any n is not 0, if that is known.
    """
    lines, due = _one_hot(tile, columns), n.any() if due is None else due
    if most > 1 and tile.pulsing.fidelity != "mean":
        if most * len(n) > EMPTY_SLOTS:
            most = max(int(n.abs().max()), 1)
        slots = torch.arange(most, device=n.device).view(-1, 1, 1)
        n = (n.sign() * (n.abs() > slots)).flatten(0, 1)
        lines = lines.repeat(most, 1)
    tile.pulse(lines, n, tile.elements.dw_min, _certain(tile.pulsing), is_update=due)
