"""Moves of algorithms with several arrays: reading columns of a fast array P, the digital buffer H between it
and the weights W, writing columns of W by pulses, and choppers. Functions, from a tile's primitives.

Columns are handled as rows, (k, rows), and planes that a checkpoint needs are float32 tensors in a tile's
state, kept transposed, (cols, rows), so that a column of the array is contiguous.
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
from ..errors import check_choice, check_integer, check_number
from ..kernels import Pulsing
from ..rng import Purpose, word, words
from .base import AnalogOptimizer

__all__ = [
    "add_to_buffer", "check_buffer", "check_choppers", "check_residual", "check_transfer", "check_whole",
    "chopped", "chopper", "drawn_flips", "fast_array", "next_columns", "next_transfer",
    "period", "plane", "program_columns", "read_columns", "read_noise", "residual_rate", "to_flip",
    "transfer_rate", "write_columns", "write_pulses",
]  # fmt: skip

#: what a buffer that overflows is kept at: infinity times 0 would be no number
LARGEST = np.finfo(np.float32).max


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


def check_buffer(group: dict[str, Any]) -> None:
    """Raise InputError when granularity, buffer_momentum, rest or max_pulses is out of range."""
    check_number("granularity", group["granularity"], low=0, open_low=True)
    check_number("buffer_momentum", group["buffer_momentum"], low=0, high=1, open_high=True)
    check_choice("rest", group["rest"], ("forget", "keep"))
    check_whole(group, "max_pulses")


def check_choppers(group: dict[str, Any]) -> None:
    """Raise InputError when chop_prob or chopping is out of range."""
    check_number("chop_prob", group["chop_prob"], low=0, high=1, open_low=True)
    check_choice("chopping", group["chopping"], ("random", "regular"))


# --- the fast array ------------------------------------------------------------------------------------


def fast_array(optimizer: AnalogOptimizer, tile: Tile, state: dict[str, Any], gamma: float = 0.0) -> Tile:
    """The array P beside a tile, of which products see `gamma` times its weights beside W."""
    fast = optimizer.array(tile, state, "fast", role=1)
    tile.companions = [(gamma, fast)] if gamma else []
    return fast


# --- transfers -----------------------------------------------------------------------------------------


def next_transfer(group: dict[str, Any], state: dict[str, Any]) -> int | None:
    """Count an update; the number of the transfer, from 0, if one follows it."""
    updates = state["updates"] = state.get("updates", 0) + 1
    return None if updates % group["transfer_every"] else updates // group["transfer_every"] - 1


def next_columns(tile: Tile, columns: int | None, transfer: int, order: str = "sequential") -> list[int]:
    """Columns of the transfer with this number: the next ones, or from a random start; None for all."""
    cols = tile.shape[1]
    k = cols if columns is None else min(columns, cols)
    start = transfer * (columns or 0)
    if order == "random":
        start = word(0, transfer, Purpose.COLUMN_ORDER, tile.key)
    return [(start + i) % cols for i in range(k)]


def transfer_rate(group: dict[str, Any]) -> float:
    """Learning rate of the transfer: `transfer_lr`, or `lr` and so its schedule."""
    return float(group["lr"] if group["transfer_lr"] is None else group["transfer_lr"])


def residual_rate(group: dict[str, Any]) -> float:
    """Learning rate of the array that gets the gradient: `alpha`, or `lr` and so its schedule."""
    return float(group["lr"] if group["alpha"] is None else group["alpha"])


def read_columns(array: Tile, columns: list[int], reads: int = 1) -> np.ndarray:
    """Columns of an array, read through the periphery and averaged over `reads` reads: float32 (k, rows)."""
    return array.read(columns, reads).t().numpy()


def read_noise(tile: Tile, reads: int) -> float:
    """Standard deviation of a value of `read_columns`: of outputs, of elements, of the ADC's rounding."""
    p = tile.periphery
    return math.sqrt((p.out_noise**2 + p.weight_noise**2 + p.out_step**2 / 12) / reads)


def write_columns(tile: Tile, columns: list[int], values: np.ndarray, lr: float) -> None:
    """Move columns by pulses: W[:, columns[i]] += lr values[i], in expectation and to first order.

    Args:
        columns: k different column numbers; one line is on in each sample.
        values: float32 (k, rows).
    """
    tile.pulse(_one_hot(tile, columns), torch.from_numpy(values), lr)


def _one_hot(tile: Tile, columns: list[int]) -> Tensor:
    """x-lines, (k, cols), one sample a column: 1 on its line, 0 elsewhere."""
    lines = np.zeros((len(columns), tile.shape[1]), np.float32)
    for sample, column in enumerate(columns):
        lines[sample, column] = 1.0
    return torch.from_numpy(lines)


def program_columns(tile: Tile, columns: list[int], target: np.ndarray, rounds: int = 4) -> None:
    """Closed-loop write of columns: read them, pulse what is missing, and so on for `rounds` rounds.

    Ends early when nothing is missing by more than half a step. A round sends an element at most as many
    pulses as an update has slots (`Pulsing.max_bl`).

    Args:
        columns: k different column numbers.
        target: float32 (k, rows); beyond the nominal range an element ends near its bound.
    """
    target = target.clip(tile.device.response.w_min, tile.device.response.w_max)
    for _ in range(rounds):
        missing = target - read_columns(tile, columns)
        missing[np.abs(missing) < tile.device.dw_min / 2] = 0.0
        if not missing.any():
            return
        write_columns(tile, columns, missing, 1.0)


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
        n, now = n.clip(-group["max_pulses"], group["max_pulses"]), now.clip(-LARGEST, LARGEST)
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
    """Send signed whole numbers of pulses to columns of W.

    In each slot one column's line fires, and the d-lines of its elements that are still owed a pulse.
    At fidelity "mean" n pulses are the wanted change n dw_min.

    Args:
        columns: k column numbers; n: (k, rows) float32 of whole numbers.
    """
    lines, most = _one_hot(tile, columns), 1
    if tile.pulsing.fidelity != "mean":
        most = int(np.abs(n).max())
    if most > 1:
        lines = lines.repeat(most, 1)
        n = np.concatenate([np.sign(n) * (np.abs(n) > slot) for slot in range(most)])
    tile.pulse(lines, torch.from_numpy(n), tile.elements.dw_min, _certain(tile.pulsing))


# --- choppers ------------------------------------------------------------------------------------------


def chopper(tile: Tile, state: dict[str, Any]) -> Tensor:
    """The choppers of a tile's columns, (cols,) of 1 and -1, kept in the state: 1 when first asked for."""
    kept = state.get("chopper")
    if kept is None:
        kept = state["chopper"] = torch.ones(tile.shape[1])
    return kept


def chopped(x: Tensor, tile: Tile, state: dict[str, Any]) -> tuple[Tensor, np.ndarray]:
    """x-lines times their choppers, and the choppers, sharing memory with the state."""
    signs = chopper(tile, state)
    return x * signs, signs.numpy()


def period(group: dict[str, Any]) -> int:
    """Reads of a column between two flips of a regular chopper, or on the average of a random one."""
    return max(math.ceil((1 - 1e-12) / group["chop_prob"]), 2)  # 1/(1/49) is above 49


def to_flip(tile: Tile, group: dict[str, Any], columns: list[int], transfer: int) -> list[int]:
    """Which of the columns just read, those of `next_columns`, have their chopper flipped now.

    Each with probability `chop_prob` (chopping: random), or all once in `period` reads (regular).
    """
    if group["chopping"] == "random":
        return drawn_flips(tile, columns, transfer, group["chop_prob"])
    cols, every, first = tile.shape[1], period(group), transfer * len(columns)
    return [j for i, j in enumerate(columns) if ((first + i) // cols + 1) % every == 0]


def drawn_flips(tile: Tile, columns: list[int], transfer: int, chance: float) -> list[int]:
    """Which of the columns have their chopper flipped by chance at the transfer with this number."""
    below = chance * 2.0**32
    if len(columns) > 8:  # from there on a call of torch is faster
        drawn = words(1, torch.tensor(columns), transfer, Purpose.CHOPPER, tile.key)[:, 0]
        return [j for j, number in zip(columns, drawn.tolist(), strict=True) if number < below]
    return [j for j in columns if word(j, transfer, Purpose.CHOPPER, tile.key) < below]
