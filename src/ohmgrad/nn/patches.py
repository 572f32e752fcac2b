"""Patches of images, which are the vectors of a convolution: out of a padded input, and back into it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..crossbar.gradient_parts import Part
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

    def patches(self, x: Tensor) -> Tensor:
        """All patches of a padded input, (N, *places, in_channels, *kernel_size), as a view."""
        view, n = x, len(self.kernel_size)
        for i, (k, s, d) in enumerate(zip(self.kernel_size, self.stride, self.dilation, strict=True)):
            view = view.unfold(2 + i, d * (k - 1) + 1, s)
        view = view[(..., *(slice(None, None, d) for d in self.dilation))]
        return view.permute(0, *range(2, 2 + n), 1, *range(2 + n, 2 + 2 * n))

    def places(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Sizes of the output of a padded input of a shape, (N, in_channels, *sizes)."""
        each = zip(shape[2:], self.kernel_size, self.stride, self.dilation, strict=True)
        return tuple((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in each)

    def vectors(self, x: Tensor) -> Tensor:
        """The patches of a padded input as vectors, (patches, in_channels times kernel size)."""
        return self.patches(x).reshape(len(x) * math.prod(self.places(x.shape)), self.lines)

    def summed(self, g: Tensor, shape: Sequence[int]) -> Tensor:
        """Vectors of patches added up where they lie in a padded input of a shape: the way back."""
        n, channels, *sizes = shape
        places = self.places(shape)
        g = g.view(n, *places, channels, *self.kernel_size)
        out = g.new_zeros(n, *sizes, channels)  # channels last: as patches lie, so that the sums stream
        for offset in itertools.product(*map(range, self.kernel_size)):
            steps = zip(offset, self.dilation, self.stride, places, strict=True)
            seen = [slice(o * d, o * d + s * (count - 1) + 1, s) for o, d, s, count in steps]
            out[(slice(None), *seen)] += g[(..., *offset)]
        return out.movedim(-1, 1)

    def parts(self, x: Tensor, d: Tensor) -> list[Part]:
        """What the tiles take of a gradient: of a padded input, and d (N, out_channels, *places)."""
        lines = d.movedim(1, -1).reshape(-1, d.shape[1])
        patches, each = self.patches(x), len(self.blocks) // self.groups
        channels, after_places = self.in_channels // self.groups, d.dim() - 1
        seen = [  # by each group, (patches, cols)
            patches.narrow(after_places, group * channels, channels).reshape(-1, self.lines // self.groups)
            for group in range(self.groups)
        ]
        return [Part(seen[i // each], lines[:, b.rows], (b.rows, b.cols)) for i, b in enumerate(self.blocks)]
