"""Patches of images in Numba, to the bit as the reference: a patch is a list of offsets from its place."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .compiling import chunks_for, part, serial_and_parallel

__all__ = ["cut_patches", "sum_patches"]


@part()
def _cut_chunk(begin, end, x, places, offsets, out):
    """The patches of images begin ... end-1 of x (images, values)."""
    for n in range(begin, end):
        image = x[n]
        for p in range(places.shape[0]):
            row, place = out[n * places.shape[0] + p], places[p]
            for k in range(offsets.shape[0]):
                row[k] = image[place + offsets[k]]


@part()
def _sum_chunk(begin, end, g, places, offsets, out):
    """The way back. The last place first: a value then gets its patches in the order of their offsets."""
    for n in range(begin, end):
        image = out[n]
        image[:] = np.float32(0)
        for p in range(places.shape[0] - 1, -1, -1):
            row, place = g[n * places.shape[0] + p], places[p]
            for k in range(offsets.shape[0]):
                image[place + offsets[k]] += row[k]


@serial_and_parallel
def _cut(x, places, offsets, out, chunks):
    for u in prange(chunks):
        c, n = np.int64(u), x.shape[0]
        _cut_chunk(c * n // chunks, (c + 1) * n // chunks, x, places, offsets, out)


@serial_and_parallel
def _sum(g, places, offsets, out, chunks):
    for u in prange(chunks):
        c, n = np.int64(u), out.shape[0]
        _sum_chunk(c * n // chunks, (c + 1) * n // chunks, g, places, offsets, out)


@lru_cache(maxsize=64)
def _layout(
    channels: int, sizes: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...], places: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Where in an image, as one row, patches begin, and where their values are from there: int64."""
    image = np.arange(channels * math.prod(sizes)).reshape(channels, *sizes)
    begins = [slice(0, s * (count - 1) + 1, s) for s, count in zip(stride, places, strict=True)]
    values = [slice(0, d * (k - 1) + 1, d) for d, k in zip(dilation, size, strict=True)]
    return image[(0, *begins)].ravel(), image[(slice(None), *values)].ravel()


def cut_patches(
    x: Tensor, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], places: Sequence[int]
) -> Tensor:
    """As `ops.cut_patches`, for float32."""
    n, channels, *sizes = x.shape
    own, offsets = _layout(channels, tuple(sizes), tuple(size), tuple(stride), tuple(dilation), tuple(places))
    out = torch.empty(n * len(own), len(offsets))
    chunks = chunks_for(out.numel())
    run = _cut.serial if chunks == 1 else _cut.parallel
    run(x.detach().flatten(1).contiguous().numpy(), own, offsets, out.numpy(), chunks)
    return out


def sum_patches(
    g: Tensor,
    shape: Sequence[int],
    size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    places: Sequence[int],
) -> Tensor:
    """As `ops.sum_patches`, for float32."""
    n, channels, *sizes = shape
    own, offsets = _layout(channels, tuple(sizes), tuple(size), tuple(stride), tuple(dilation), tuple(places))
    out = torch.empty(n, channels * math.prod(sizes))
    chunks = chunks_for(g.numel())
    run = _sum.serial if chunks == 1 else _sum.parallel
    run(g.detach().contiguous().numpy(), own, offsets, out.numpy(), chunks)
    return out.view(tuple(shape))
