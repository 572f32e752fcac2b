"""Elements on a board: primitives go there, and the weights here are a copy of what it read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import Device
from ..errors import InputError
from ..kernels import Cells, Periphery, Pulsing
from ..kernels.checks import check_counts, check_factors, raise_not_finite, raise_too_many
from ..kernels.reference.digital import most_counts
from .board import Board, SharedLines
from .cell_state import CellState
from .circuits import check_vectors, numbers_of
from .effective_weight import Companions
from .events import Counters

__all__ = ["BoardState"]

#: rounds of write-verify by which written weights are programmed
ROUNDS = 20


class BoardState(CellState):
    """Elements on a board. The weights here are as they were last read or programmed, and go stale by pulses.

    Args:
        board: that has them.
        device: whose nominal range limits what is programmed.
        cells: drawn for the device: the random numbers of digital units beside the array.
    """

    def __init__(self, board: Board, device: Device, cells: Cells) -> None:
        self.board, self.device, self.cells = board, device, cells

    def held(self, w: Tensor) -> Tensor:
        return w

    def nearest(self, w: Tensor, calibrated: bool = True) -> Tensor:
        return w.clamp(self.device.response.w_min, self.device.response.w_max)

    def fits(self, w: Tensor, calibrated: bool = True) -> Tensor:
        return w == self.nearest(w)

    def load_weights(self, w: Tensor) -> None:
        """Program `w`, which is then what was read."""
        self._program(w, w, ROUNDS)

    def pulse(self, w: Tensor, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, counters: Counters) -> None:
        x, d = check_factors(self.cells, x, d, lr)
        if not (torch.isfinite(x).all() and torch.isfinite(d).all()):
            raise_not_finite(x, d)
        counted = self.board.pulse(x.cpu(), d.cpu(), float(lr), pulsing)
        if counted is not None:
            counters.pulses.add_(torch.tensor([int(n) for n in counted], device=w.device))

    def apply_counts(self, w: Tensor, n: Tensor, fidelity: str, counters: Counters) -> None:
        check_counts(self.cells, n)
        low, high = (int(end) for end in n.aminmax())
        if max(-low, high) > most_counts(self.cells.elements[0]):
            raise_too_many(low, high, most_counts(self.cells.elements[0]))
        self.board.pulse_counts(n.cpu())
        counters.add(pulses_up=n.clamp(min=0).sum(), pulses_down=-n.clamp(max=0).sum())

    def program(self, w: Tensor, target: Tensor, rounds: int, fidelity: str, counters: Counters) -> None:
        self._program(w, target, rounds)

    def _program(self, w: Tensor, target: Tensor, rounds: int) -> None:
        held = self.board.program(target.detach().cpu().clone(), rounds)
        w.copy_(self._answer("program", held, self.cells.shape))

    def product(
        self, w: Tensor, vectors: Tensor, direction: str, beside: Companions, periphery: Periphery,
        counters: Counters,
    ) -> Tensor:  # fmt: skip
        check_vectors(vectors, direction, self.cells)
        place, vectors = vectors.device, vectors.detach().cpu()
        others = [
            (f.cpu() if isinstance(f, Tensor) else f, getattr(array, "board", None) or array.weight.cpu())
            for f, array in beside
        ]
        if others and isinstance(self.board, SharedLines):
            out = self.board.product(direction, vectors, others)
        else:
            out = _product(self.board, direction, vectors)
            for factor, other in others:
                out = out + _scaled(other, direction, vectors, factor)
        counters.add_vectors(direction, len(vectors))
        lines = self.cells.shape[0 if direction == "forward" else 1]
        return self._answer(direction, out, (len(vectors), lines)).to(place)

    def read(
        self, w: Tensor, columns: slice | Tensor | Sequence[int], repeats: int, n_read: Tensor | None,
        periphery: Periphery, counters: Counters,
    ) -> Tensor:  # fmt: skip
        rows, cols = self.cells.shape
        wanted = numbers_of(columns, cols, repeats)
        n = len(wanted) if n_read is None else int(n_read)
        counters.add_reads(n * repeats)
        out = torch.zeros(rows, len(wanted), device=w.device)  # of those that are not read
        if n:
            out[:, :n] = self._answer("read", self.board.read(wanted[:n], repeats), (rows, n)).to(w.device)
        return out

    def _answer(self, primitive: str, value: Any, shape: tuple[int, ...]) -> Tensor:
        """What the board gave, checked."""
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if got != tuple(shape):
            raise InputError(f"{primitive} of the board gave {got}, but a tensor of {tuple(shape)} is needed")
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{primitive} of the board gave a value that is not finite: look at its readings"
            )
        return value.detach().float()


def _product(array: Board | Tensor, direction: str, vectors: Tensor) -> Tensor:
    if isinstance(array, Tensor):
        return vectors @ (array.t() if direction == "forward" else array)
    return array.forward(vectors) if direction == "forward" else array.backward(vectors)


def _scaled(array: Board | Tensor, direction: str, vectors: Tensor, factor: float | Tensor) -> Tensor:
    """A product with `factor` times an array; one of columns scales what goes in, or comes out, there."""
    if isinstance(factor, Tensor) and direction == "forward":
        return _product(array, direction, vectors * factor)
    return _product(array, direction, vectors) * factor
