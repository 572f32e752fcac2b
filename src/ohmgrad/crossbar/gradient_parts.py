"""What a gradient keeps: the factors of its backward passes, and what its aliases share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["Part", "Pass", "Store", "as_factors", "version_of", "whole"]


class Part(NamedTuple):
    """What one tile takes of a gradient: its block is d^T x."""

    #: (samples, cols)
    x: Tensor
    #: (samples, rows)
    d: Tensor
    #: rows and columns of the weight, flattened to two dimensions; None for all
    block: tuple[slice, slice] | None = None


def whole(x: Tensor, d: Tensor) -> list[Part]:
    """The one part of a weight on a single tile, x (samples, cols) and d (samples, rows)."""
    return [Part(x, d)]


def as_factors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """x and d with d^T x = matrix, exactly; one of them is a unit matrix, the smaller that can be."""
    rows, cols = matrix.shape
    one = torch.eye(min(rows, cols), device=matrix.device)
    return (matrix, one) if rows <= cols else (one, matrix.t().contiguous())


def version_of(x: Tensor) -> int:
    """How often a tensor, or one that it shares memory with, was written to, as torch counts it."""
    return 0 if x.is_inference() else x._version


class Pass(NamedTuple):
    """What one backward pass left; x is the caller's own tensor."""

    x: Tensor
    d: Tensor
    parts: Callable[[Tensor, Tensor], list[Part]]
    #: of x, then
    version: int
    #: whether other ranks have it too, see `ranks`
    of_all_ranks: bool = False

    def check(self) -> None:
        """Raise InputError when x was written to since, so that d^T x is no gradient any more."""
        if version_of(self.x) != self.version:
            raise InputError(
                f"an input of an analog layer, {tuple(self.x.shape)}, was written to between backward() and "
                "step(), and pulses are made from it: step first, or give the layer a clone()"
            )

    def of_tiles(self) -> list[Part]:
        """What the tiles take."""
        self.check()
        return self.parts(self.x, self.d)


class Store:
    """What aliases of one gradient share.

    Once somebody has looked at the matrix through a view, or has written to it, there is a dense matrix
    too. It is compared with a copy before the factors are used again, as a write through a view leaves no
    other trace.
    """

    def __init__(self, passes: list[Pass]) -> None:
        self.passes = passes
        #: times that a pass was added in place, as torch's accumulation does
        self.added = 0
        self.dense: Tensor | None = None
        self.untouched: Tensor | None = None

    @property
    def factored(self) -> bool:
        """Whether the factors still give the gradient."""
        if self.dense is None:
            return True
        if self.untouched is None:
            return False
        # bits, as NaN differs from itself
        return torch.equal(self.dense.view(torch.int32), self.untouched.view(torch.int32))
