"""Pulses of an update counted by cell and direction, and normal numbers by cell, in Numba."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...devices import Elements
from ...rng import Key
from ..counts import dense
from ..pulsing import Pulsing
from .math import gauss_list, gauss_row, kernel, lent, popcount
from .trains import trains_chunk

__all__ = ["mark", "normals", "renew_normals", "update_counts"]

u32, i32, f32 = np.uint32, np.int32, np.float32

LOW31 = u32(0x7FFFFFFF)
#: rows of which at least this share is touched draw the numbers of all their cells, four at a time
WHOLE_FROM = 0.3
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


#: cells and numbers of the pulses of one direction, as `counts.Pulses`
Listed = tuple[Tensor | None, Tensor]


def update_counts(
    elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int
) -> tuple[Listed, Listed, list[int]]:
    """As `counts.update_counts`, for factors that were checked: pulses up, pulses down, events."""
    samples, cols = x.shape
    rows, n_words = d.shape[1], pulsing.words
    xs = np.empty((n_words, samples, cols), np.uint32)
    ds = np.zeros((n_words, samples, rows), np.uint32)
    lines, n_lines = np.empty((samples, cols), np.int32), np.empty(samples, np.int64)
    seen = np.zeros(5, np.int64)
    trains_chunk(
        0, samples, x.numpy(), d.numpy(), float(lr), elements.dw_min, pulsing.max_bl,
        pulsing.update_management, pulsing.bl_management, _key(key), u32(step & 0xFFFFFFFF), xs, ds, lines,
        n_lines, np.empty(samples), seen,
    )  # fmt: skip
    events = seen[:4].tolist()
    if dense(events, (rows, cols)):
        up, down = (torch.empty(rows, cols, dtype=torch.int64) for _ in range(2))
        _count_planes(xs, ds, lines, n_lines, up.numpy(), down.numpy())
        return (None, up), (None, down), events
    # a list needs no more places than there are pulses, and one to write in vain
    lists = [torch.empty(events[i] + 1, dtype=torch.int64) for i in (0, 0, 1, 1)]
    n_up, n_down = _count_cells(xs, ds, lines, n_lines, *(t.numpy() for t in lists))
    return (lists[0][:n_up], lists[1][:n_up]), (lists[2][:n_down], lists[3][:n_down]), events


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


@kernel()
def _normals(out, step, purpose, k0, k1):
    rows, cols = out.shape
    z = np.empty(4 * ((cols + 3) // 4), np.float32)
    for r in range(rows):
        gauss_row(r, step, purpose, k0, k1, z)
        for j in range(cols):
            out[r, j] = z[j]


@kernel()
def _renew_normals(out, touched, std, step, purpose, k0, k1):
    rows, cols = out.shape
    group = (cols + 3) // 4
    z, columns = np.empty(4 * group, np.float32), np.empty(cols + 1, np.int32)
    for r in range(rows):
        row, hit, n = out[r], touched[r], 0
        for j in range(cols):
            columns[n] = j
            n += np.int64(hit[j])
        if n > WHOLE_FROM * cols:
            gauss_row(r, step, purpose, k0, k1, z)
            for j in range(cols):
                row[j] = std * z[j] if hit[j] else row[j]
        elif n > 0:
            gauss_list(r, n, group, step, purpose, k0, k1, columns, z)
            for i in range(n):
                row[columns[i]] = std * z[i]


def normals(shape: tuple[int, int], step: int, purpose: int, key: Key) -> Tensor:
    """As `counts.normals`."""
    out = np.empty(shape, np.float32)
    _normals(out, u32(step & 0xFFFFFFFF), u32(purpose), *_key(key))
    return torch.from_numpy(out)


def renew_normals(out: Tensor, touched: Tensor, std: float, step: int, purpose: int, key: Key) -> None:
    """As `counts.renew_normals_`."""
    _renew_normals(
        out.numpy(), touched.numpy(), f32(std), u32(step & 0xFFFFFFFF), u32(purpose), *_key(key)
    )  # fmt: skip


def _key(key: Key) -> tuple[np.uint32, np.uint32]:
    return u32(key.seed & 0xFFFFFFFF), u32(key.array & 0xFFFFFFFF)
