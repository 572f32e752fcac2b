"""A weight matrix on differential pairs of a technology: w = (G+ - G-) w_max / G_max."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rng import Key, gaussians
from .technologies import Normal, Planes, Technology

__all__ = ["Pairs", "programmed"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """A programmed weight matrix.

    Args:
        technology: of all elements.
        scale: w_max, the weight that G_max stands for.
        shape: of the matrix.
        key: of its random numbers; programming: the number of the programming.
        sides: what the elements of G+ and of G- hold.
    """

    technology: Technology
    scale: float
    shape: torch.Size
    key: Key
    programming: int
    sides: tuple[Planes, Planes]

    def conductances(self, seconds: float) -> tuple[Tensor, Tensor]:
        """G+ and G- (uS, float64) as a read at a time finds them: the same for the same time."""
        # numbers are addressed by the time itself, so that the order of questions does not matter
        step = zlib.crc32(struct.pack("<d", seconds))
        plus, minus = (
            self.technology.conductance(planes, seconds, _normal(self, self.shape, side, step))
            for side, planes in enumerate(self.sides)
        )
        return plus, minus

    def weight(self, seconds: float) -> Tensor:
        """The weights (float64) of a read at a time."""
        plus, minus = self.conductances(seconds)
        return (plus - minus) * (self.scale / self.technology.g_max)


def programmed(
    weight: Tensor, technology: Technology, key: Key, programming: int, clip: float | None
) -> Pairs:
    """Program a weight matrix: G+ of weights above 0, G- of those below, the other element to 0.

    Args:
        weight: finite values.
        technology: of the elements.
        key: seed, and number of the matrix.
        programming: number of the programming: another one is another chip.
        clip: in standard deviations of the matrix, at which weights are clipped; None for none.
    """
    w = weight.detach().double().cpu()
    if clip is not None and w.numel() > 1:
        bound = clip * float(w.std())
        w = w.clamp(-bound, bound)
    scale = float(w.abs().max()) if w.numel() else 0.0
    target = w * (technology.g_max / scale) if scale else w
    empty = Pairs(technology, scale, w.shape, key, programming, ((), ()))
    plus, minus = (
        technology.program(t.clamp(min=0), _normal(empty, w.shape, side, 0))
        for side, t in enumerate((target, -target))
    )
    return Pairs(technology, scale, w.shape, key, programming, (plus, minus))


def _normal(pairs: Pairs, shape: torch.Size, side: int, step: int) -> Normal:
    """Standard normal numbers of one side, by (seed, matrix, programming, time, purpose, side)."""

    def normal(purpose: int) -> Tensor:
        return gaussians(shape.numel(), pairs.programming, step, purpose, pairs.key, side).view(shape)

    return normal
