"""Which elements an update pulses and how often, each direction by itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Counts", "Pulses", "dense", "listed"]


class Pulses(NamedTuple):
    """Pulses of one direction: a list of the cells that have any, or numbers for all cells."""

    #: flat indices row * cols + col, int64 (k,), ascending; None if `n` is of all cells
    cells: Tensor | None
    #: pulses of each, int64 (k,), >= 1; or (rows, cols), >= 0
    n: Tensor

    def touched(self, shape: tuple[int, int]) -> Tensor:
        """Which cells are pulsed, bool (rows, cols)."""
        if self.cells is None:
            return self.n > 0
        found = torch.zeros(shape, dtype=torch.bool, device=self.n.device)
        found.view(-1)[self.cells] = True
        return found


class Counts(NamedTuple):
    """Pulses of one update, each direction by itself."""

    up: Pulses
    down: Pulses


def dense(pulses: int, shape: tuple[int, int]) -> bool:
    """Whether so many pulses are given for all cells: from one a cell on, lists cost more than planes."""
    return pulses >= shape[0] * shape[1]


def listed(counts: Tensor) -> Pulses:
    """Pulses of the cells whose counts, int64 (rows, cols), are above 0."""
    flat = counts.flatten()
    cells = (flat > 0).nonzero().flatten()
    return Pulses(cells, flat[cells])
