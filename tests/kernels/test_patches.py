"""Patches of images in Numba are those of plain PyTorch, and their sums too, to the bit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from ohmgrad.kernels.cpu import patches as fast
from ohmgrad.kernels.reference import patches as plain


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("sizes", "size", "stride", "dilation"),
    [
        ((9,), (3,), (1,), (2,)),
        ((8, 11), (5, 2), (1, 3), (1, 1)),
        ((9, 10), (2, 3), (2, 1), (3, 2)),
        ((4, 5, 6), (2, 1, 3), (1, 2, 1), (2, 1, 2)),
        ((40, 40), (5, 5), (1, 1), (1, 1)),  # which threads share
    ],
)
def test_patches_are_those_of_the_reference(
    sizes: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], number: int
) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, *sizes, generator=g)
    each = zip(sizes, size, stride, dilation, strict=True)
    places = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in each]
    torch.set_num_threads(number)
    cut = fast.cut_patches(x, size, stride, dilation, places)
    back = torch.randn(cut.shape, generator=g)
    total = fast.sum_patches(back, x.shape, size, stride, dilation, places)
    assert cut.shape == (3 * math.prod(places), 4 * math.prod(size))
    assert torch.equal(cut, plain.cut_patches(x, size, stride, dilation, places))
    assert torch.equal(total, plain.sum_patches(back, x.shape, size, stride, dilation, places))
