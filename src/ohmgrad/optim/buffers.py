"""What algorithms keep digitally: the buffer H of transfers, choppers, momentum; and how it becomes pulses.

All of it is in a tile's state, for checkpoints. H and other planes that are handled by column are float32
tensors (cols, rows), transposed, so that a column of the array is contiguous.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..crossbar import Tile
from ..crossbar.events import known_to_be_no_update
from ..errors import InputError, check_choice, check_number, shown
from ..rng import Purpose, word, words
from .states import check_plane
from .transfer import Lines, check_whole, number_of, transfer_rate, write_pulses

__all__ = [
    "add_to_buffer", "by_chance", "check_buffer", "check_choppers", "check_momentum", "chopped", "chopper",
    "drawn_flips", "flipped", "period", "plane", "whole_pulses_", "with_momentum",
]  # fmt: skip

#: what a buffer that overflows is kept at: infinity times 0 would be no number
LARGEST = torch.finfo(torch.float32).max


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


def check_momentum(group: dict[str, Any]) -> None:
    """Raise InputError when momentum, dampening or nesterov of a parameter group is not as torch has it."""
    check_number("momentum", group["momentum"], low=0, high=1, open_high=True)
    check_number("dampening", group["dampening"], low=0, high=1)
    if group["nesterov"] and (group["dampening"] or not group["momentum"]):
        raise InputError(
            f"nesterov is True with momentum {shown(group['momentum'])} and dampening "
            f"{shown(group['dampening'])}, but needs momentum > 0 and dampening = 0"
        )


# --- the buffer between a fast array and W -------------------------------------------------------------


def plane(tile: Tile, state: dict[str, Any], name: str) -> Tensor:
    """A digital plane of a tile's state, transposed, (cols, rows) float32: zeros when first asked for."""
    kept = state.get(name)
    if kept is None:
        kept = state[name] = torch.zeros(tile.shape[::-1], device=tile.events.device)
    return kept


def add_to_buffer(
    tile: Tile, group: dict[str, Any], state: dict[str, Any], columns: Lines, change: Tensor
) -> None:
    """Add to columns of H, and send the whole pulses that are due to W.

        H' = H + transfer_lr change / (granularity dw_min)
        n  = trunc(H'), at most max_pulses either way
        H  = buffer_momentum H'  or  H' - (1 - buffer_momentum) n,  where n is not 0 (rest: forget, keep)

    Args:
        columns: k different columns.
        change: (k, rows), in weight units; used up.
    """
    h, most = plane(tile, state, "buffer"), group["max_pulses"]
    rate = transfer_rate(group) / (group["granularity"] * tile.elements.dw_min)
    now = change.mul_(rate).add_(h[columns])
    n = now.trunc().clamp_(-most, most)
    due = n.any()
    if not known_to_be_no_update(due):
        now.clamp_(-LARGEST, LARGEST)
        if group["rest"] == "forget":
            now = torch.where(n != 0, now * group["buffer_momentum"], now)
        else:
            now -= (1 - torch.tensor(group["buffer_momentum"])) * n
        write_pulses(tile, columns, n, most, due)
    h[columns] = now


# --- choppers ------------------------------------------------------------------------------------------


def chopper(tile: Tile, state: dict[str, Any]) -> Tensor:
    """The choppers of a tile's columns, (cols,) of 1 and -1, kept in the state: 1 when first asked for."""
    kept = state.get("chopper")
    if kept is None:
        kept = state["chopper"] = torch.ones(tile.shape[1], device=tile.events.device)
    return kept


def chopped(x: Tensor, tile: Tile, state: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """x-lines times their choppers, and the choppers themselves, as the state has them."""
    signs = chopper(tile, state)
    return x * signs, signs


def period(group: dict[str, Any]) -> int:
    """Reads of a column between two flips of a regular chopper, or on the average of a random one."""
    return max(math.ceil((1 - 1e-12) / group["chop_prob"]), 2)  # 1/(1/49) is above 49


def flipped(tile: Tile, group: dict[str, Any], columns: Lines, transfer: int) -> Lines | None:
    """Which of the columns just read, those of `next_columns`, have their chopper flipped now.

    Each with probability `chop_prob` (chopping: random), or all once in `period` reads (regular).
    """
    if group["chopping"] == "random":
        return drawn_flips(tile, columns, transfer, group["chop_prob"])
    k, cols = number_of(columns), tile.shape[1]
    turn, start = divmod(transfer * k, cols)  # turns through all columns before, and the first of this one
    if (turn + 1) % period(group) == 0:
        return columns if k == cols else slice(start, min(start + k, cols))
    if start + k > cols and (turn + 2) % period(group) == 0:  # those that begin another turn
        return slice(0, start + k - cols)
    return None


def drawn_flips(tile: Tile, columns: Lines, transfer: int, chance: float) -> Lines | None:
    """Which of the columns have their chopper flipped by chance at the transfer with this number.

    The host draws, and it alone: the numbers are addressed, so that no device has to be asked.
    """
    below = math.ceil(chance * 2.0**32)
    if isinstance(columns, slice) and number_of(columns) == 1:
        return columns if word(columns.start, transfer, Purpose.CHOPPER, tile.key) < below else None
    numbers = torch.arange(columns.start, columns.stop) if isinstance(columns, slice) else columns
    some = numbers[words(1, numbers, transfer, Purpose.CHOPPER, tile.key)[:, 0] < below]
    return some if len(some) else None


# --- digital gradients ---------------------------------------------------------------------------------


def with_momentum(tile: Tile, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> Tensor:
    """The gradient with its momentum, as in torch.optim.SGD; the buffer M is in the state.

        M' = momentum M + (1 - dampening) g;  at first M' = g
        M', or g + momentum M' with `nesterov`

    Args:
        g: (rows, cols), a tensor that the state may keep.
    """
    momentum, m = group["momentum"], state.get("momentum_buffer")
    if m is None:
        m = state["momentum_buffer"] = g
    else:
        check_plane(tile, "the momentum", m)
        m.mul_(momentum).add_((1 - group["dampening"]) * g)
    return g + momentum * m if group["nesterov"] else m


def whole_pulses_(h: Tensor, size: float, most: int) -> Tensor:
    """Take the whole pulses out of an accumulator; what is left is smaller than a pulse.

    Args:
        h: float32, in weight units, changed in place.
        size: of a pulse (> 0).
        most: largest number of pulses; what is beyond stays.

    Returns:
        Signed numbers, int64, of the shape of `h`; 0 where `h` has overflown to what is no number.
    """
    n = torch.trunc(h / size).nan_to_num_(nan=0.0).clamp_(-most, most)
    h -= n * size
    return n.long()


def by_chance(
    tile: Tile,
    v: Tensor,
    most: int | None = None,
    purpose: int = Purpose.ROUNDING,
    marked: Tensor | None = None,
) -> Tensor:
    """Numbers of pulses, rounded by chance to whole ones, so that the expectation is exact.

        n = sign(v) floor(|v| + u)               u uniform on [0, 1); n = 0 where v is no number

    Args:
        v: (rows, cols), float32.
        most: largest number either way; by default what takes an element from end to end.
        purpose: of the numbers drawn, those of the tile's next update.
        marked: bool (rows, cols), False only where v is 0: numbers are drawn for the others alone.

    Returns:
        int64 (rows, cols).
    """
    size = v.abs().nan_to_num_(nan=0.0).clamp_(max=most or tile.most_pulses)
    low = size.floor()
    n = size.sub_(low).mul_(2.0**31).long()
    up = tile.random_words(purpose, marked).bitwise_right_shift_(1) < n  # 31 bits of u against the fraction
    low.add_(up.view(torch.uint8)).copysign_(v)  # bool would be added at a third of the speed
    return n.copy_(low)  # fresh memory costs more than the rounding
