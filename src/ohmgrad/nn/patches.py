"""Patches of images, which are the vectors of a convolution: out of a padded input, and back into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..crossbar.gradient_parts import Part
from ..kernels import ops
from .blocks import Block

__all__ = ["Patching"]


class Patching(NamedTuple):
    """How a convolution cuts patches: plain data, which gradients keep instead of the layer."""

    in_channels: int
    groups: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    #: of the weight on its tiles, group after group
    blocks: list[Block]

    @property
    def lines(self) -> int:
        """Length of a patch."""
        return self.in_channels * math.prod(self.kernel_size)

    def places(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Sizes of the output of a padded input of a shape, (N, in_channels, *sizes)."""
        each = zip(shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        return tuple((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in each)

    def vectors(self, x: Tensor) -> Tensor:
        """The patches of a padded input as vectors, (patches, channels times kernel size)."""
        return ops.cut_patches(x, *self._geometry(x.shape))

    def summed(self, g: Tensor, shape: Sequence[int]) -> Tensor:
        """Vectors of patches added up where they lie in a padded input of a shape: the way back."""
        return ops.sum_patches(g, shape, *self._geometry(shape))

    def _geometry(self, shape: Sequence[int]) -> tuple[Sequence[int], ...]:
        return self.kernel_size, self.stride, self.dilation, self.places(shape)

    def parts(self, x: Tensor, d: Tensor) -> list[Part]:
        """What the tiles take of a gradient: of a padded input, and d (N, out_channels, *places)."""
        lines, each = d.movedim(1, -1).reshape(-1, d.shape[1]), len(self.blocks) // self.groups
        seen = [self.vectors(own) for own in x.chunk(self.groups, 1)]  # by each group, (patches, cols)
        return [Part(seen[i // each], lines[:, b.rows], (b.rows, b.cols)) for i, b in enumerate(self.blocks)]
