"""Pulses of an update counted by cell and direction, in Numba."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
import torch
from numba import types
from torch import Tensor

from ..cells import Cells
from ..counts import Counts, Pulses, dense
from ..pulsing import SLOTS, Pulsing
from .compiling import kernel, no_refcount, part
from .late import late_kernel
from .math import popcount
from .packing import Address, How, address_of, how_of
from .trains import SLOT_BITS, Trains, empty_trains, list_active_samples, train_scratch, trains_chunk

__all__ = ["count_pulses", "mark"]

u32, i32, f32 = np.uint32, np.int32, np.float32

#: share of the lines of an average sample from which on whole rows are counted, as vectors
DENSE_FROM = 0.2


@part()
def _add_dense(first, word, up, down):
    """Coincidences of one d-line with all x-lines, added to a row's counts."""
    for j in range(up.shape[0]):
        k = f32(i32(popcount(u32(u32(first[j] & word) & SLOT_BITS))))
        falls = i32(first[j] ^ word) < i32(0)
        up[j] += f32(0) if falls else k
        down[j] += k if falls else f32(0)


@part()
def _list_row(first, count, cells, numbers, n):
    """Append the cells of a row that are not 0 to a list, from its place n; set the row to 0."""
    for j in range(count.shape[0]):  # a branch would be guessed wrong too often: write, and stay if it is 0
        k = count[j]
        cells[n], numbers[n] = first + j, np.int64(k)
        n += np.int64(k != f32(0))
        count[j] = f32(0)
    return n


@part()
def _count_row(r, trains, up, down):
    """Add the pulses of row r to its counts; whether any d-line of it fires."""
    xs, ds, some = trains.xs, trains.ds, False
    for i in range(trains.active_samples.shape[0]):
        b = trains.active_samples[i]
        n, lines = trains.n_lines[b], trains.lines[b]
        for q in range(ds.shape[0]):
            word, train = ds[q, b, r], xs[q, b]
            if u32(word & SLOT_BITS) == u32(0):
                continue
            some = True
            if n > DENSE_FROM * up.shape[0]:
                _add_dense(train, word, up, down)
                continue
            for k in range(n):
                j = lines[k]
                both = f32(i32(popcount(u32(u32(train[j] & word) & SLOT_BITS))))
                falls = i32(train[j] ^ word) < i32(0)
                up[j] += f32(0) if falls else both
                down[j] += both if falls else f32(0)
    return some


@kernel()
def _draw(x, d, how, address, events):
    """The trains of an update, as a plain tuple, and pulses up and down; its events are added."""
    settings, counted = How(*how), np.zeros(5, np.int64)
    trains = empty_trains((settings.max_bl + SLOTS - 1) // SLOTS, x.shape[0], d.shape[1], x.shape[1])
    scratch = train_scratch(max(x.shape[1], d.shape[1]), settings.max_bl, x.shape[0])
    trains_chunk(0, x.shape[0], x, d, settings, Address(*address), trains, counted, scratch)
    for i in range(4):
        events[i] += counted[i]
    xs, ds, lines, n_lines, mean_active_lines, slots, pairs, active = list_active_samples(trains)
    return (xs, ds, lines, n_lines, mean_active_lines, slots, pairs, active), counted[0], counted[1]


@kernel()
def _count_cells(trains, up_cells, up_numbers, down_cells, down_numbers):
    """Lists of the cells that are pulsed, up and down; returns their lengths."""
    trains = no_refcount(Trains(*trains))
    rows, cols = trains.ds.shape[2], trains.xs.shape[2]
    up, down = np.zeros(cols, np.float32), np.zeros(cols, np.float32)  # exact: whole, below 2^24
    a, b = np.int64(0), np.int64(0)
    for r in range(rows):
        if _count_row(r, trains, up, down):
            a = _list_row(r * cols, up, up_cells, up_numbers, a)
            b = _list_row(r * cols, down, down_cells, down_numbers, b)
    return a, b


@kernel()
def _count_planes(trains, up_plane, down_plane):
    """Pulses of all cells, up and down, into int64 (rows, cols)."""
    trains = no_refcount(Trains(*trains))
    rows, cols = up_plane.shape
    up, down = np.zeros(cols, np.float32), np.zeros(cols, np.float32)
    for r in range(rows):
        _count_row(r, trains, up, down)
        for j in range(cols):
            up_plane[r, j], down_plane[r, j] = np.int64(up[j]), np.int64(down[j])
            up[j], down[j] = f32(0), f32(0)


def count_pulses(
    cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Counts:
    """As `ops.count_pulses`."""
    shape = (d.shape[1], x.shape[1])
    how, address = how_of(pulsing, lr, cells), address_of(cells, step)
    trains, *pulses = _draw(x.numpy(), d.numpy(), how, address, events.numpy())
    if dense(sum(pulses), shape):
        up, down = (torch.empty(shape, dtype=torch.int64) for _ in range(2))
        _count_planes(trains, up.numpy(), down.numpy())
        return Counts(Pulses(None, up), Pulses(None, down))
    # a list needs no more places than there are pulses, and one to write in vain
    lists = [torch.empty(pulses[i] + 1, dtype=torch.int64) for i in (0, 0, 1, 1)]
    n_up, n_down = _count_cells(trains, *(t.numpy() for t in lists))
    return Counts(Pulses(lists[0][:n_up], lists[1][:n_up]), Pulses(lists[2][:n_down], lists[3][:n_down]))


@late_kernel(types.void)
def mark(trains, touched):
    """Put True into touched (rows, cols) where trains coincide in any active sample."""
    trains = no_refcount(trains)
    rows, cols = touched.shape
    seen = np.zeros(cols, np.uint32)  # slots of any sample in which a cell was pulsed
    for r in range(rows):
        if _mark_row(r, trains, seen):
            row = touched[r]
            for j in range(cols):
                row[j] |= seen[j] != u32(0)
                seen[j] = u32(0)


@part()
def _mark_row(r, trains, seen):
    some = False
    for i in range(trains.active_samples.shape[0]):
        b = trains.active_samples[i]
        n, lines = trains.n_lines[b], trains.lines[b]
        for q in range(trains.ds.shape[0]):
            word, train = u32(trains.ds[q, b, r] & SLOT_BITS), trains.xs[q, b]
            if word == u32(0):
                continue
            some = True
            if n > DENSE_FROM * seen.shape[0]:
                for j in range(seen.shape[0]):
                    seen[j] |= train[j] & word
            else:
                for k in range(n):
                    j = lines[k]
                    seen[j] |= train[j] & word
    return some
