"""Pulses of an update counted by cell and direction, and normal numbers by cell, in Numba."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..devices import Elements
from ..rng import Key
from .cpu_math import CONTRACT, gauss2, kernel, philox, popcount
from .cpu_trains import trains_chunk
from .trains import Pulsing

__all__ = ["cell_normals", "normals", "update_counts"]

u32, i32, f32 = np.uint32, np.int32, np.float32

LOW31 = u32(0x7FFFFFFF)
#: share of the lines of an average sample from which on whole rows are counted, as vectors
DENSE_FROM = 0.2


@kernel()
def _add_dense(first, word, up, down):
    """Coincidences of one d-line with all x-lines, added to a row's counts."""
    for j in range(up.shape[0]):
        k = i32(popcount(u32(u32(first[j] & word) & LOW31)))
        falls = i32(first[j] ^ word) < i32(0)
        up[j] += i32(0) if falls else k
        down[j] += k if falls else i32(0)


@kernel()
def _list_row(first, count, cells, numbers, n):
    """Append the cells of a row that are not 0 to a list, from its place n; set the row to 0."""
    for j in range(count.shape[0]):
        k = count[j]
        if k != i32(0):
            cells[n], numbers[n] = first + j, k
            n += 1
        count[j] = i32(0)
    return n


@kernel()
def _count_cells(xs, ds, lines, n_lines, up_cells, up_numbers, down_cells, down_numbers):
    """Lists of the cells that are pulsed, up and down; returns their lengths."""
    samples, rows, cols = xs.shape[1], ds.shape[2], xs.shape[2]
    up, down = np.zeros(cols, np.int32), np.zeros(cols, np.int32)
    a, b = np.int64(0), np.int64(0)
    for r in range(rows):
        any_fires = False
        for s in range(samples):
            n = n_lines[s]
            if n == 0:
                continue
            for q in range(ds.shape[0]):
                word, line_words = ds[q, s, r], xs[q, s]
                if u32(word & LOW31) == u32(0):
                    continue
                any_fires = True
                if n > DENSE_FROM * cols:
                    _add_dense(line_words, word, up, down)
                    continue
                for i in range(n):
                    j = lines[s, i]
                    k = i32(popcount(u32(u32(line_words[j] & word) & LOW31)))
                    falls = i32(line_words[j] ^ word) < i32(0)
                    up[j] += i32(0) if falls else k
                    down[j] += k if falls else i32(0)
        if any_fires:
            a = _list_row(r * cols, up, up_cells, up_numbers, a)
            b = _list_row(r * cols, down, down_cells, down_numbers, b)
    return a, b


def update_counts(
    elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, list[int]]:
    """As `counts.update_counts`, for factors that were checked."""
    samples, cols = x.shape
    rows, n_words = d.shape[1], pulsing.words
    xs = np.empty((n_words, samples, cols), np.uint32)
    ds = np.zeros((n_words, samples, rows), np.uint32)
    lines, n_lines = np.empty((samples, cols), np.int32), np.empty(samples, np.int64)
    events = np.zeros(5, np.int64)
    trains_chunk(
        0, samples, x.numpy(), d.numpy(), float(lr), elements.dw_min, pulsing.max_bl,
        pulsing.update_management, pulsing.bl_management, _key(key), u32(step & 0xFFFFFFFF), xs, ds, lines,
        n_lines, np.empty(samples), events,
    )  # fmt: skip
    # a list needs no more places than there are pulses, or cells
    room = [min(int(n), rows * cols) for n in events[:2]]
    cells = [np.empty(n, np.int64) for n in room]
    numbers = [np.empty(n, np.int64) for n in room]
    n_up, n_down = _count_cells(xs, ds, lines, n_lines, cells[0], numbers[0], cells[1], numbers[1])
    up, down = (torch.from_numpy(t) for t in cells)
    ups, downs = (torch.from_numpy(t) for t in numbers)
    return up[:n_up], ups[:n_up], down[:n_down], downs[:n_down], events[:4].tolist()


@kernel(fastmath=CONTRACT)
def _normals(out, step, purpose, k0, k1):
    rows, cols = out.shape
    group = (cols + 3) // 4
    z = np.empty(4 * group, np.float32)
    za, zb, zc, zd = z[:group], z[group : 2 * group], z[2 * group : 3 * group], z[3 * group :]
    for r in range(rows):
        for g in range(group):
            a, b, c, d = philox(u32(g), u32(r), step, purpose, k0, k1)
            za[g], zb[g] = gauss2(a, b)
            zc[g], zd[g] = gauss2(c, d)
        for j in range(cols):
            out[r, j] = z[j]


@kernel(fastmath=CONTRACT)
def _cell_normals(cells, cols, step, purpose, k0, k1, out):
    for i in range(cells.shape[0]):
        row = cells[i] // cols
        a, b, _, _ = philox(u32(cells[i] - row * cols), u32(row), step, purpose, k0, k1)
        out[i], _ = gauss2(a, b)


def normals(shape: tuple[int, int], step: int, purpose: int, key: Key) -> Tensor:
    """As `counts.normals`."""
    out = np.empty(shape, np.float32)
    _normals(out, u32(step & 0xFFFFFFFF), u32(purpose), *_key(key))
    return torch.from_numpy(out)


def cell_normals(cells: Tensor, cols: int, step: int, purpose: int, key: Key) -> Tensor:
    """As `counts.cell_normals`."""
    out = np.empty(len(cells), np.float32)
    _cell_normals(cells.numpy(), cols, u32(step & 0xFFFFFFFF), u32(purpose), *_key(key), out)
    return torch.from_numpy(out)


def _key(key: Key) -> tuple[np.uint32, np.uint32]:
    return u32(key.seed & 0xFFFFFFFF), u32(key.array & 0xFFFFFFFF)
