"""A board that our own kernels simulate: what a real one is tried against."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..checked import checked
from ..errors import InputError, check_choice
from ..kernels import Pulsing
from .board import Board
from .effective_weight import Numbers
from .tile import Tile

__all__ = ["SimulatedBoard"]


class SimulatedBoard:
    """A tile behind the interface of `Board`: training on it is to the bit as on the tile itself.

    Args:
        tile: that simulates the array. Its time passes by `tile.wait`, which nobody calls here.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> board = SimulatedBoard(Tile((2, 3), Device(SoftBounds.symmetric(0.6), dw_min=0.01)))
        >>> board.read([0, 2], 1).shape
        torch.Size([2, 2])
    """

    @checked
    def __init__(self, tile: Tile) -> None:
        self.tile = tile

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing | None = None) -> Sequence[int]:
        """As `Tile.pulse`."""
        before = self.tile.counters.pulses.clone()
        self.tile.pulse(x, d, lr, pulsing)
        return (self.tile.counters.pulses - before).tolist()

    def pulse_counts(self, n: Tensor) -> None:
        """As `Tile.pulse_counts`."""
        self.tile.pulse_counts(n)

    def program(self, target: Tensor, rounds: int) -> Tensor:
        """As `Tile.program`, whose reads are exact."""
        self.tile.program(target, rounds=rounds)
        return self.tile.weight.clone()

    def read(self, columns: Sequence[int], repeats: int) -> Tensor:
        """As `Tile.read`."""
        return self.tile.read(columns, repeats)

    def forward(self, x: Tensor) -> Tensor:
        """As `Tile.forward`."""
        return self.tile.forward(x)

    def backward(self, d: Tensor) -> Tensor:
        """As `Tile.backward`."""
        return self.tile.backward(d)

    @checked
    def product(
        self, direction: str, vectors: Tensor, beside: Sequence[tuple[float | Tensor, Board | Tensor]]
    ) -> Tensor:
        """A product with other simulated arrays, or matrices, on the same lines.

        Raises:
            InputError: for another direction, or a board of another kind.
        """
        check_choice("direction", direction, ("forward", "backward"))
        others = [other for _, other in beside if not isinstance(other, (SimulatedBoard, Tensor))]
        if others:
            raise InputError(
                f"a {type(others[0]).__name__} is beside, but must be a SimulatedBoard or a tensor: a "
                "simulated board sees no other kind"
            )
        self.tile.companions = [
            (f, other.tile if isinstance(other, SimulatedBoard) else Numbers(other))
            for f, other in beside
            if isinstance(other, (SimulatedBoard, Tensor))
        ]
        try:
            return self.tile.forward(vectors) if direction == "forward" else self.tile.backward(vectors)
        finally:
            self.tile.companions = []
