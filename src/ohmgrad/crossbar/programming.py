"""Closed loops of reads and pulses on a tile: programming, and the refresh of one-sided pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..devices import Device, Measured
from .memory import Hidden
from .pairs import ResetPairs

if TYPE_CHECKING:
    from .tile import Tile

__all__ = ["count_selected", "describe", "program", "refresh"]

#: rounds of write-verify in a refresh
ROUNDS = 20


def program(tile: Tile, target: Tensor, rounds: int) -> None:
    """Write-verify of a whole tile towards `target` (rows, cols), see `Tile.program`."""
    hidden, e = tile.hidden, tile.elements
    if hidden is not None and hidden.pair:
        cells = torch.arange(target.numel())
        _rewrite(tile, hidden, cells, hidden.reach(tile, target).flatten(), rounds)
        return
    goal = e.clip(target) if hidden is None else hidden.reach(tile, target)
    for _ in range(rounds):
        left = goal - tile.weight
        tile.count_reads(tile.shape[1], verify=True)
        if hidden is None:
            q = torch.where(left >= 0, e.q_plus(tile.weight), e.q_minus(tile.weight))
        else:
            q = hidden.steps(tile, left)
        # towards a soft bound the step vanishes: ask for no more pulses than a 1 % step needs
        n = (left / (e.dw_min * q.clamp(min=0.01))).round().clamp(-1000, 1000).long()
        if not bool(n.any()):
            break
        tile.pulse_counts(n)


def refresh(tile: Tile, hidden: Hidden) -> None:
    """Reset the pairs that are full and program their differences back, see `OneSided`.

    Counts: every column of both arrays is read once, and in each round the difference of every column that
    has a cell to write; a reset is a pulse on each element and a slot for each column that has any; pulses
    up and down are those on G+ and G-.
    """
    tile.count_reads(2 * tile.shape[1])
    cells = hidden.full(tile)
    if len(cells):
        _rewrite(tile, hidden, cells, hidden.held(tile).view(-1)[cells], ROUNDS)


def _rewrite(tile: Tile, hidden: Hidden, cells: Tensor, goal: Tensor, rounds: int) -> None:
    """Reset pairs, then rounds of write-verify, column by column, until no element needs a pulse."""
    pairs, columns = ResetPairs(tile, hidden, cells), cells % tile.shape[1]
    one = torch.ones_like(cells)
    count_selected(tile, columns, one, one)
    some = len(columns.unique())
    for _ in range(rounds):
        n = pairs.write(goal)
        tile.count_reads(some, verify=True)
        if not bool(n.any()):
            break
        count_selected(tile, columns, n.clamp(min=0), (-n).clamp(min=0))
    pairs.put_back()


def count_selected(tile: Tile, columns: Tensor, up: Tensor, down: Tensor) -> None:
    """Count pulses up and down of some cells (k,), in `columns`, that are written column by column."""
    most = torch.zeros(tile.shape[1], dtype=torch.int64)
    most.scatter_reduce_(0, columns, torch.maximum(up, down), "amax")
    slots, ups, downs = int(most.sum()), int(up.sum()), int(down.sum())
    tile.count_events(pulses_up=ups, pulses_down=downs, slots=slots, line_toggles=slots + ups + downs)


def describe(device: Device) -> str:
    """A device in a few words, for tables and `repr`."""
    response, spread, noise = device.response, device.spread, device.noise
    name = getattr(response, "family", type(response).__name__)
    words = [f"{name} [{response.w_min:g}, {response.w_max:g}]", f"{device.states:.0f} states"]
    several = isinstance(response, Measured) and response.devices > 1
    if isinstance(response, Measured) and several:
        words.append(f"{response.devices} measured devices")
    if not (several and spread.uniform):
        words.append("alike" if spread.uniform else "d2d spread")
    if noise.std:
        words.append(f"c2c {100 * noise.std:g} % {noise.kind}")
    if device.stuck is not None:
        words.append(f"{100 * device.stuck.fraction:g} % stuck")
    if device.write_noise:
        words.append(f"write noise {device.write_noise:g} steps")
    for name in ("retention", "pair", "reference"):
        if getattr(device, name) is not None:
            words.append({"pair": "one-sided pairs"}.get(name, name))
    return ", ".join(words)
