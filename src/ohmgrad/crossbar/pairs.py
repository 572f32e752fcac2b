"""Some one-sided pairs of a tile as a small array of their own: reset, and written by write-verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..kernels import Cells, ops
from .sides import few, refresh_key

if TYPE_CHECKING:
    from .memory import Hidden
    from .tile import Tile

__all__ = ["ResetPairs"]


class ResetPairs:
    """The listed pairs of a tile, both elements at 0 (stuck ones where they stand), until `put_back`.

    A refresh concerns few cells and takes many rounds: on whole planes a round would cost as much as an
    update. G+ of all cells come first in the small array, then G-: a round is one call of the kernels.

    Args:
        cells: flat indices, int64 (k,), each once, k >= 1.
    """

    def __init__(self, tile: Tile, hidden: Hidden, cells: Tensor) -> None:
        self._tile, self._hidden, self._cells = tile, hidden, cells
        self._elements = few([side.elements for side in hidden.sides], cells)
        #: weights of all elements of the small array
        self._g = torch.zeros(self._elements.shape)
        self._ends = self._g.view(-1)[: 2 * len(cells)].view(2, -1)
        stuck = [side.pinned(cells) for side in hidden.sides]
        self._stuck, self._stands = (torch.stack(both) for both in zip(*stuck, strict=True))
        self._pin()

    def _pin(self) -> None:
        self._ends.copy_(torch.where(self._stuck, self._stands, self._ends))

    def write(self, goal: Tensor) -> Tensor:
        """One round: read, and send the pulses that the differences to `goal` (k,) ask for.

        Returns:
            Pulses sent, int64 (k,): positive on G+, negative on G-.
        """
        tile = self._tile
        up, down = self._ends
        left = goal - (up - down)
        steps = self._elements.q_plus(self._g).view(-1)[: 2 * len(goal)].view(2, -1)
        # towards a soft bound the step vanishes: ask for no more pulses than a 1 % step needs
        size = torch.where(left >= 0, steps[0], steps[1]).clamp(min=0.01) * tile.device.dw_min
        n = (left / size).round().clamp(-1000, 1000).long()
        if bool(n.any()):
            counts = torch.zeros(self._g.shape, dtype=torch.int64)
            counts.view(-1)[: 2 * len(n)] = torch.cat([n.clamp(min=0), (-n).clamp(min=0)])
            cells = Cells.of(self._elements, refresh_key(tile.key), tile.cells.backend)
            ops.apply_counts_(self._g, cells, counts, tile.pulsing.fidelity, tile.memory["refreshes"])
            self._g.clamp_(min=0.0)
            self._pin()
            tile.memory["refreshes"] += 1
        return n

    def put_back(self) -> None:
        """Put the elements back into the tile, and make its weights anew."""
        tile, hidden = self._tile, self._hidden
        for side, g in zip(hidden.sides, self._ends, strict=True):
            tile.memory[side.name].view(-1)[self._cells] = g
        tile.memory["refreshes"] += 1
        touched = torch.zeros(tile.shape, dtype=torch.bool)
        touched.view(-1)[self._cells] = True
        hidden.rewritten(tile, touched)
