"""Random numbers by cell, in Numba."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..cells import Cells
from .compiling import kernel
from .math import gauss_list, gauss_row, philox
from .packing import Address, address_of

__all__ = ["normals_", "random_words"]

u32, f32 = np.uint32, np.float32

#: rows of which at least this share is touched draw the numbers of all their cells, four at a time
WHOLE_FROM = 0.3


@kernel()
def _normals(out, std, purpose, address):
    address = Address(*address)
    rows, cols = out.shape
    z = np.empty(4 * ((cols + 3) // 4), np.float32)
    for r in range(rows):
        gauss_row(r, purpose, address, z)
        for j in range(cols):
            out[r, j] = std * z[j]


@kernel()
def _renew_normals(out, where, std, purpose, address):
    address = Address(*address)
    rows, cols = out.shape
    z, columns = np.empty(4 * ((cols + 3) // 4), np.float32), np.empty(cols + 1, np.int32)
    for r in range(rows):
        row, hit, n = out[r], where[r], 0
        for j in range(cols):
            columns[n] = j
            n += np.int64(hit[j])
        if n > WHOLE_FROM * cols:
            gauss_row(r, purpose, address, z)
            for j in range(cols):
                row[j] = std * z[j] if hit[j] else row[j]
        elif n > 0:
            gauss_list(r, n, purpose, address, columns, z)
            for i in range(n):
                row[columns[i]] = std * z[i]


@kernel()
def _words(out, purpose, address):
    step, k0, k1 = address
    rows, cols = out.shape
    group = (cols + 3) // 4
    padded = np.empty((4, group), np.uint32)
    for r in range(rows):
        for g in range(group):
            padded[0, g], padded[1, g], padded[2, g], padded[3, g] = philox(
                u32(g), u32(r), step, purpose, k0, k1
            )
        flat = padded.reshape(4 * group)
        for j in range(cols):
            out[r, j] = np.int64(flat[j])


@kernel()
def _marked_words(out, marked, purpose, address):
    step, k0, k1 = address
    rows, cols = out.shape
    k = np.int64(0)
    for r in range(rows):
        for j in range(cols):
            k += np.int64(marked[r, j])
    group, lane, at = (k + 3) // 4, 0, 0
    for r in range(rows):
        for j in range(cols):
            out[r, j] = 0
            if marked[r, j]:
                a, b, c, d = philox(u32(at), u32(0), step, purpose, k0, k1)
                low, high = (a, b) if lane < 2 else (c, d)
                out[r, j] = np.int64(high if lane & 1 else low)
                at += 1
                if at == group:
                    lane, at = lane + 1, 0


def normals_(out: Tensor, cells: Cells, step: Tensor, purpose: int, std: float, where: Tensor | None) -> None:
    """As `ops.normals_`."""
    if where is None:
        _normals(out.numpy(), f32(std), u32(purpose), address_of(cells, step))
    else:
        _renew_normals(out.numpy(), where.numpy(), f32(std), u32(purpose), address_of(cells, step))


def random_words(cells: Cells, step: Tensor, purpose: int, marked: Tensor | None) -> Tensor:
    """As `ops.random_words`."""
    out = np.empty(cells.shape, np.int64)
    if marked is None:
        _words(out, u32(purpose), address_of(cells, step))
    else:
        _marked_words(out, marked.numpy(), u32(purpose), address_of(cells, step))
    return torch.from_numpy(out)
