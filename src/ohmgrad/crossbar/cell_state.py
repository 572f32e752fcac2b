"""What elements hold: the interface, and elements that hold their weight and nothing else."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor

from ..kernels import Cells, Periphery, Pulsing, ops
from ..kernels.reference.digital import most_counts
from .circuits import product, read_columns
from .effective_weight import Companions, weighted_sum
from .events import Counters

__all__ = ["CellState", "PlainState", "pulses_towards"]


class CellState(abc.ABC):
    """What the elements of an array hold, and what pulses and time do to it.

    Products and reads see the weights `w`, (rows, cols) float32, which are an argument of all methods and are
    changed in place. Final classes: `PlainState`, `MemoryState`, `PairState`, `BoardState`.
    """

    #: the elements; of pairs those that go up with the weight
    cells: Cells

    @abc.abstractmethod
    def held(self, w: Tensor) -> Tensor:
        """What pulses act on, (rows, cols): the weights without noise and reference."""

    @abc.abstractmethod
    def nearest(self, w: Tensor, calibrated: bool = True) -> Tensor:
        """`w` kept inside what the weights can be, noise aside.

        Args:
            calibrated: false for the weights without the reference of a calibration.
        """

    @abc.abstractmethod
    def fits(self, w: Tensor, calibrated: bool = True) -> Tensor:
        """Whether each of `w` can be a weight, bool (rows, cols); `calibrated` as in `nearest`."""

    @abc.abstractmethod
    def load_weights(self, w: Tensor) -> None:
        """Have the elements hold `w`, or their nearest bound, which `w` is then."""

    @abc.abstractmethod
    def pulse(self, w: Tensor, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, counters: Counters) -> None:
        """As `ops.pulsed_update_`."""

    @abc.abstractmethod
    def apply_counts(self, w: Tensor, n: Tensor, fidelity: str, counters: Counters) -> None:
        """As `ops.apply_counts_`."""

    @abc.abstractmethod
    def program(self, w: Tensor, target: Tensor, rounds: int, fidelity: str, counters: Counters) -> None:
        """Write-verify towards `target` (rows, cols), see `Tile.program`."""

    def product(
        self, w: Tensor, vectors: Tensor, direction: str, beside: Companions, periphery: Periphery,
        counters: Counters,
    ) -> Tensor:  # fmt: skip
        """As `circuits.product`, with `w` and the arrays `beside` it."""
        seen = weighted_sum(w, beside)
        matrix = seen.t() if direction == "forward" else seen
        return product(vectors, matrix, direction, periphery, self.cells, counters)

    def read(
        self, w: Tensor, columns: slice | Tensor | Sequence[int], repeats: int, n_read: Tensor | None,
        periphery: Periphery, counters: Counters,
    ) -> Tensor:  # fmt: skip
        """As `circuits.read_columns`."""
        return read_columns(w, columns, repeats, n_read, periphery, self.cells, counters)

    def check_status(self) -> None:
        """As `ops.check_status`, of all elements."""
        ops.check_status(self.cells)

    def _program_by_counts(
        self, w: Tensor, target: Tensor, rounds: int, fidelity: str, counters: Counters
    ) -> None:
        """`program` by `apply_counts`, of elements that go up and down; a loop that waits for values."""
        goal, (elements,) = self.nearest(target), self.cells.elements
        for _ in range(rounds):
            left, held = goal - w, self.held(w)
            counters.add_reads(w.shape[1], verify=True)
            q = torch.where(left >= 0, elements.q_plus(held), elements.q_minus(held))
            n = pulses_towards(left, q, elements.dw_min)
            if not bool(n.any()):
                break
            self.apply_counts(w, n, fidelity, counters)
            counters.record_counts(n)
            counters.add_lines(n)
            counters.updates.add_(1)


class PlainState(CellState):
    """Elements that only answer pulses."""

    def __init__(self, cells: Cells) -> None:
        self.cells, (self.elements,) = cells, cells.elements

    def held(self, w: Tensor) -> Tensor:
        return w

    def nearest(self, w: Tensor, calibrated: bool = True) -> Tensor:
        return self.elements.clip(w)

    def fits(self, w: Tensor, calibrated: bool = True) -> Tensor:
        return w == self.elements.clip(w)

    def load_weights(self, w: Tensor) -> None:
        inside = self.elements.clip(w)
        if not torch.equal(inside, w):
            w.copy_(inside)

    def pulse(self, w: Tensor, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, counters: Counters) -> None:
        ops.pulsed_update_(w, self.cells, x, d, lr, pulsing, counters.updates, counters.pulses)

    def apply_counts(self, w: Tensor, n: Tensor, fidelity: str, counters: Counters) -> None:
        most = most_counts(self.elements)
        ops.apply_counts_(w, self.cells, n, fidelity, counters.updates, counters.pulses, most)

    def program(self, w: Tensor, target: Tensor, rounds: int, fidelity: str, counters: Counters) -> None:
        self._program_by_counts(w, target, rounds, fidelity, counters)


def pulses_towards(left: Tensor, q: Tensor, dw_min: float) -> Tensor:
    """Pulses that move elements by `left`, int64 of its shape, at most 1000 either way.

    Args:
        q: step of one pulse, in units of dw_min.
    """
    # towards a soft bound the step vanishes: ask for no more pulses than a 1 % step needs
    return (left / (dw_min * q.clamp(min=0.01))).round().clamp(-1000, 1000).long()
