"""The interface of a board: the primitives of one physical array, which a user implements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from ..checked import checked
from ..errors import InputError
from ..kernels import Pulsing
from ..ranges import COUNT, SEED, WHOLE, Range

__all__ = ["Board", "Boards", "Place", "Placed", "SharedLines"]


@checked(tile=WHOLE, role=Range(0, 255), shape=COUNT, array=SEED)
@dataclass(frozen=True)
class Place:
    """Which array of a network a board is asked for.

    Args:
        layer: name in the model.
        tile: number among the tiles of the layer.
        role: 0 for the array of the weights; 1 to 255 for the auxiliary ones of an algorithm, each its own.
        shape: (rows, cols): rows are outputs (d-lines), columns inputs (x-lines).
        array: a number that no other array of the model has.
    """

    layer: str
    tile: int
    role: int
    shape: tuple[int, int]
    array: int


@runtime_checkable
class Board(Protocol):
    """One array of elements on a board, (rows, cols) as its `Place` says; a class needs not derive from it.

    All values are in weight units, in tensors on the CPU, float32 unless said otherwise. How weights become
    siemens, volts and pulse widths is the board's own. What the host asks for comes in order, and each call
    returns once it is done. `ohmgrad.conformance.check_board` runs one through what algorithms rely on.
    """

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> Sequence[int] | None:
        """Parallel pulsed update: W += lr sum_b d_b x_b^T in expectation and to first order, by pulse trains.

        Args:
            x: (samples, cols); d: (samples, rows), finite.
            lr: learning rate, negative to descend.
            pulsing: the longest train, and how changes become trains; a board may do as it can.

        Returns:
            Pulses up, pulses down, toggles of lines and slots, as it counted them; None if it does not count.
        """
        ...

    def pulse_counts(self, n: Tensor) -> None:
        """Send signed numbers of pulses, int64 (rows, cols), to the elements; negative ones go down."""
        ...

    def program(self, target: Tensor, rounds: int) -> Tensor:
        """Write-verify towards `target`, (rows, cols), in at most `rounds` rounds.

        Returns:
            What the elements hold then, as read: (rows, cols).
        """
        ...

    def read(self, columns: Sequence[int], repeats: int) -> Tensor:
        """The columns with these k numbers as read, (rows, k), each the mean of `repeats` reads."""
        ...

    def forward(self, x: Tensor) -> Tensor:
        """Product x W^T: (samples, cols) -> (samples, rows)."""
        ...

    def backward(self, d: Tensor) -> Tensor:
        """Product d W: (samples, rows) -> (samples, cols)."""
        ...


@runtime_checkable
class SharedLines(Protocol):
    """What a board may have besides: products in which other arrays share its lines and converters.

    Without it the products of arrays that are seen together (gamma > 0) are added digitally.
    """

    def product(
        self, direction: str, vectors: Tensor, beside: Sequence[tuple[float | Tensor, Board | Tensor]]
    ) -> Tensor:
        """`forward` or `backward`, as `direction` says, with W + sum_i f_i A_i in place of W.

        Args:
            beside: f_i, a number or one for each column (cols,), and A_i, a board or a digital matrix.
        """
        ...


#: gives the board of an array; asked once for each
Boards = Callable[[Place], Board]


@dataclass(frozen=True)
class Placed:
    """A board, and who gives those of auxiliary arrays.

    Args:
        boards: who gives them.
        place: of this one.
        program: whether arrays begin with the weights of the model, or with what the boards hold.
    """

    boards: Boards
    place: Place
    program: bool

    def beside(self, role: int, array: int) -> Placed:
        """For an auxiliary array of the same tile."""
        return replace(self, place=replace(self.place, role=role, array=array))

    def board(self) -> Board:
        """The board.

        Raises:
            InputError: when it lacks a primitive.
        """
        board = self.boards(self.place)
        lacking = [name for name in vars(Board) if not name.startswith("_") and not hasattr(board, name)]
        if lacking:
            raise InputError(
                f"the {type(board).__name__} for {self.place} has no {', '.join(lacking)}: a board needs all "
                "methods of ohmgrad.Board"
            )
        return board
