"""Pulses of an update counted by cell and direction, in Numba."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..cells import Cells
from ..counts import Counts, Pulses, dense
from ..pulsing import Pulsing
from .math import kernel, lent, popcount
from .packing import key_words, number
from .trains import trains_chunk

__all__ = ["count_pulses", "mark"]

u32, i32, f32 = np.uint32, np.int32, np.float32

LOW31 = u32(0x7FFFFFFF)
#: share of the lines of an average sample from which on whole rows are counted, as vectors
DENSE_FROM = 0.2


@kernel()
def _add_dense(first, word, up, down):
    """Coincidences of one d-line with all x-lines, added to a row's counts."""
    for j in range(up.shape[0]):
        k = f32(i32(popcount(u32(u32(first[j] & word) & LOW31))))
        falls = i32(first[j] ^ word) < i32(0)
        up[j] += f32(0) if falls else k
        down[j] += k if falls else f32(0)


@kernel()
def _list_row(first, count, cells, numbers, n):
    """Append the cells of a row that are not 0 to a list, from its place n; set the row to 0."""
    for j in range(count.shape[0]):  # a branch would be guessed wrong too often: write, and stay if it is 0
        k = count[j]
        cells[n], numbers[n] = first + j, np.int64(k)
        n += np.int64(k != f32(0))
        count[j] = f32(0)
    return n


@kernel()
def _count_row(r, xs, ds, lines, n_lines, up, down):
    """Add the pulses of row r to its counts; whether any d-line of it fires."""
    fires = False
    for s in range(xs.shape[1]):
        n = n_lines[s]
        if n == 0:
            continue
        for q in range(ds.shape[0]):
            word, line_words = ds[q, s, r], xs[q, s]
            if u32(word & LOW31) == u32(0):
                continue
            fires = True
            if n > DENSE_FROM * up.shape[0]:
                _add_dense(line_words, word, up, down)
                continue
            for i in range(n):
                j = lines[s, i]
                k = f32(i32(popcount(u32(u32(line_words[j] & word) & LOW31))))
                falls = i32(line_words[j] ^ word) < i32(0)
                up[j] += f32(0) if falls else k
                down[j] += k if falls else f32(0)
    return fires


@kernel()
def _count_cells(xs, ds, lines, n_lines, up_cells, up_numbers, down_cells, down_numbers):
    """Lists of the cells that are pulsed, up and down; returns their lengths."""
    xs, ds, lines, n_lines = lent(xs), lent(ds), lent(lines), lent(n_lines)
    rows, cols = ds.shape[2], xs.shape[2]
    up, down = np.zeros(cols, np.float32), np.zeros(cols, np.float32)  # exact: whole, below 2^24
    a, b = np.int64(0), np.int64(0)
    for r in range(rows):
        if _count_row(r, xs, ds, lines, n_lines, up, down):
            a = _list_row(r * cols, up, up_cells, up_numbers, a)
            b = _list_row(r * cols, down, down_cells, down_numbers, b)
    return a, b


@kernel()
def _count_planes(xs, ds, lines, n_lines, up_plane, down_plane):
    """Pulses of all cells, up and down, into int64 (rows, cols)."""
    xs, ds, lines, n_lines = lent(xs), lent(ds), lent(lines), lent(n_lines)
    rows, cols = up_plane.shape
    up, down = np.zeros(cols, np.float32), np.zeros(cols, np.float32)
    for r in range(rows):
        _count_row(r, xs, ds, lines, n_lines, up, down)
        for j in range(cols):
            up_plane[r, j], down_plane[r, j] = np.int64(up[j]), np.int64(down[j])
            up[j], down[j] = f32(0), f32(0)


def count_pulses(
    cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Counts:
    """As `ops.count_pulses`."""
    samples, cols = x.shape
    rows, n_words = d.shape[1], pulsing.words
    xs = np.empty((n_words, samples, cols), np.uint32)
    ds = np.zeros((n_words, samples, rows), np.uint32)
    lines, n_lines = np.empty((samples, cols), np.int32), np.empty(samples, np.int64)
    seen = np.zeros(5, np.int64)
    trains_chunk(
        0, samples, x.numpy(), d.numpy(), float(lr), cells.elements[0].dw_min, pulsing.max_bl,
        pulsing.update_management, pulsing.bl_management, key_words(cells.keys[0]), number(step), xs, ds,
        lines, n_lines, np.empty(samples), seen,
    )  # fmt: skip
    events.numpy()[:] += seen[:4]
    pulses = seen[:2].tolist()
    if dense(sum(pulses), (rows, cols)):
        up, down = (torch.empty(rows, cols, dtype=torch.int64) for _ in range(2))
        _count_planes(xs, ds, lines, n_lines, up.numpy(), down.numpy())
        return Counts(Pulses(None, up), Pulses(None, down))
    # a list needs no more places than there are pulses, and one to write in vain
    lists = [torch.empty(pulses[i] + 1, dtype=torch.int64) for i in (0, 0, 1, 1)]
    n_up, n_down = _count_cells(xs, ds, lines, n_lines, *(t.numpy() for t in lists))
    return Counts(Pulses(lists[0][:n_up], lists[1][:n_up]), Pulses(lists[2][:n_down], lists[3][:n_down]))


@kernel()
def mark(xs, ds, lines, n_lines, touched):
    """Put True into touched (rows, cols) where trains coincide in any sample."""
    xs, ds, lines, n_lines = lent(xs), lent(ds), lent(lines), lent(n_lines)
    rows, cols = touched.shape
    seen = np.zeros(cols, np.uint32)  # slots of any sample in which a cell was pulsed
    for r in range(rows):
        if _mark_row(r, xs, ds, lines, n_lines, seen):
            row = touched[r]
            for j in range(cols):
                row[j] |= seen[j] != u32(0)
                seen[j] = u32(0)


@kernel()
def _mark_row(r, xs, ds, lines, n_lines, seen):
    fires = False
    for s in range(xs.shape[1]):
        n = n_lines[s]
        if n == 0:
            continue
        for q in range(ds.shape[0]):
            word, trains = u32(ds[q, s, r] & LOW31), xs[q, s]
            if word == u32(0):
                continue
            fires = True
            if n > DENSE_FROM * seen.shape[0]:
                for j in range(seen.shape[0]):
                    seen[j] |= trains[j] & word
            else:
                for i in range(n):
                    j = lines[s, i]
                    seen[j] |= trains[j] & word
    return fires
