"""Patches of images in plain PyTorch: out of a padded input, and summed back into it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor

__all__ = ["cut_patches", "sum_patches"]


def cut_patches(
    x: Tensor, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], places: Sequence[int]
) -> Tensor:
    """As `ops.cut_patches`."""
    view, n = x, len(size)
    for i, (k, s, d) in enumerate(zip(size, stride, dilation, strict=True)):
        view = view.unfold(2 + i, d * (k - 1) + 1, s)
    view = view[(..., *(slice(None, None, d) for d in dilation))]
    view = view.permute(0, *range(2, 2 + n), 1, *range(2 + n, 2 + 2 * n))
    return view.reshape(len(x) * math.prod(places), x.shape[1] * math.prod(size))


def sum_patches(
    g: Tensor,
    shape: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    places: Sequence[int],
) -> Tensor:
    """As `ops.sum_patches`."""
    n, channels, *sizes = shape
    g = g.view(n, *places, channels, *size)
    out = g.new_zeros(n, *sizes, channels)  # channels last: as patches lie, so that the sums stream
    for offset in itertools.product(*map(range, size)):
        steps = zip(offset, dilation, stride, places, strict=True)
        seen = [slice(o * d, o * d + s * (count - 1) + 1, s) for o, d, s, count in steps]
        out[(slice(None), *seen)] += g[(..., *offset)]
    return out.movedim(-1, 1)
