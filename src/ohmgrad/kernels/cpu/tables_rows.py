"""Rows of tabulated elements in Numba: the sparse and the dense path."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from . import tables_values as v
from .affine import NOISES
from .affine_rows import SPARSE_EVENT, SPARSE_LINE, counts_of, samples_of_row
from .compiling import CONTRACT, kernel, no_refcount
from .late import late_kernel
from .math import UPDATE_NOISE, gauss_list, gauss_row, popcount
from .packing import MEASURED, NOISELESS
from .tables_cells import apply_pulse_by_pulse, draw, few_pulses, finish, first_draws, load, update
from .tables_dense import (
    BLOCK,
    CHUNK,
    COUNT,
    STRIDE,
    advance_block,
    block,
    checkpoint,
    finish_block,
    load_block,
    put_back,
    row,
    validate,
)
from .tables_segments import apply_segments, expand
from .trains import SLOT_BITS, train_count

__all__ = ["Scratch", "scratch_of", "tables_chunk"]

i32, u32, f32 = np.int32, np.uint32, np.float32

#: measured costs in ns, as in `affine_rows`; how much more an event of the sparse path costs here than there;
#: and how much more the dense path costs for measured elements
DENSE_SAMPLE, DENSE_ROW, COST_FACTOR, COST_FACTOR_MEASURED = 1.0, 6.0, 1.3, 4.5
#: marks of a cell on the sparse path: it got a pulse; its pulses are drawn
TOUCHED, DRAWN = 1, 2


class Scratch(NamedTuple):
    """Scratch of a row of n cells, and of so many samples."""

    #: values of single cells, float32 (n, v.VALUES), and of a block
    cells: np.ndarray
    block: np.ndarray
    #: standard normal numbers of a row, padded to fours, and numbers for the pulses of a cell
    z: np.ndarray
    pulse_z: np.ndarray
    #: uint8 (n,), marks, 0 between rows; int32 (n,): the cells that got a pulse, and intervals or drawn cells
    seen: np.ndarray
    columns: np.ndarray
    intervals: np.ndarray
    #: int64 (samples,): those in which the row's d-line fires, and counts of a cell in them
    row_samples: np.ndarray
    counts: np.ndarray
    #: of measured elements: counts of a block, float32 (samples, BLOCK); cell and count of a row's events
    block_counts: np.ndarray
    event_cell: np.ndarray
    event_count: np.ndarray


@kernel()
def scratch_of(n, samples, noise_kind):
    """Scratch for rows of n cells."""
    measured = samples if noise_kind == MEASURED else 0
    return Scratch(
        np.empty((n, v.VALUES), np.float32), block(),
        np.empty(4 * ((n + 3) // 4), np.float32), np.empty(NOISES, np.float32),
        np.zeros(n, np.uint8), np.empty(n, np.int32), np.empty(n, np.int32),
        np.empty(samples, np.int64), np.empty(samples, np.int64),
        np.empty((measured, min(n, BLOCK)), np.float32),
        np.empty(n * measured, np.int32), np.empty(n * measured, np.int32),
    )  # fmt: skip


@kernel(fastmath=CONTRACT)
def _sparse_row(r, w, tables, trains, samples, address, scratch):
    """Visit the x-lines that fire, then finish the cells that got pulses."""
    w, tables, trains, samples, scratch = no_refcount((w, tables, trains, samples, scratch))
    xs, ds, cells, seen, columns = trains.xs, trains.ds, scratch.cells, scratch.seen, scratch.columns
    noise_kind, z, one_word = tables.noise_kind, scratch.z, xs.shape[0] == 1
    touched, events = 0, 0
    for i in range(samples.shape[0]):
        b = samples[i]
        word, train, lines = ds[0, b, r], xs[0, b], trains.lines[b]
        for q in range(trains.n_lines[b]):
            j = lines[q]
            n = i32(popcount(u32(u32(train[j] & word) & SLOT_BITS)))
            down = i32(train[j] ^ word) < i32(0)
            if not one_word:
                k = train_count(xs, ds, b, r, j)
                n, down = i32(abs(k)), k < 0
            if n != 0:
                if seen[j] == 0:
                    seen[j] = TOUCHED
                    columns[touched] = j
                    touched += 1
                    load(r, j, w, tables, cells[j])
                    if noise_kind != MEASURED:
                        expand(cells[j], 0, 1, tables)
                if noise_kind == MEASURED:  # how they are made depends on how many they are
                    scratch.event_cell[events], scratch.event_count[events] = j, -n if down else n
                    cells[j, v.UNIFORM] += f32(n)
                    events += 1
                else:
                    update(cells[j], f32(n), down, tables)
    if noise_kind == MEASURED:
        touched = _measured_events(r, w, tables, address, scratch, touched, events)
    if noise_kind != NOISELESS:
        gauss_list(r, touched, UPDATE_NOISE, address, columns, z)
    for i in range(touched):
        j = np.int64(columns[i])
        seen[j] = 0
        new, needs_pulse_by_pulse = finish(cells[j], z[i], noise_kind)
        if needs_pulse_by_pulse:
            counts = counts_of(r, j, trains, samples, scratch.counts)
            new = apply_pulse_by_pulse(w[r, j], r, j, counts, tables, address, scratch.pulse_z)
        w[r, j] = new


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _measured_events(r, w, tables, address, scratch, touched, events):
    """Pulses of measured cells: cells with few get their new weight here; the others stay listed.

    Returns how many stay.
    """
    cells, seen, columns, drawn = scratch.cells, scratch.seen, scratch.columns, scratch.intervals
    few = 0
    for i in range(touched):
        j = columns[i]
        cell = cells[j]
        if few_pulses(cell[v.UNIFORM], cell[v.MEAN], cell[v.TOP], cell[v.BOTTOM], cell[v.BASE], tables):
            drawn[few] = j
            few += 1
            seen[j] = DRAWN
        else:
            expand(cell, 0, 1, tables)
    for i in range(0, few, STRIDE):
        first_draws(r, address, drawn[i : min(i + STRIDE, few)], scratch.block[v.UNIFORM * STRIDE :], cells)
    for i in range(events):
        j, k = scratch.event_cell[i], scratch.event_count[i]
        if seen[j] == DRAWN:
            draw(cells[j], r, j, k, tables, address)
        else:
            update(cells[j], f32(abs(k)), k < 0, tables)
    for i in range(few):
        w[r, drawn[i]], seen[drawn[i]] = cells[drawn[i], v.MEAN], 0
    rest = 0
    for i in range(touched):
        j = columns[i]
        columns[rest] = j
        rest += 1 if seen[j] != 0 else 0
    return rest


@kernel()
def _totals(counts, totals):
    """Pulses of every cell of a block over its samples."""
    totals[:] = f32(0)
    for i in range(counts.shape[0]):
        one = counts[i, : totals.shape[0]]
        for j in range(totals.shape[0]):
            totals[j] += abs(one[j])


@kernel()
def _count_block(r, b, first, trains, count):
    """As `affine_dense.count_row`, of the cells from `first` on."""
    xs, ds = trains.xs, trains.ds
    n = count.shape[0]
    count[:] = f32(0)
    for q in range(xs.shape[0]):
        word, line = ds[q, b, r], xs[q, b, first : first + n]
        for j in range(n):
            k = f32(i32(popcount(u32(u32(line[j] & word) & SLOT_BITS))))
            count[j] += -k if i32(line[j] ^ word) < i32(0) else k


@njit(inline="always")
def _dense_row(r, w, tables, trains, samples, address, scratch):
    """Stream the row for every sample, so many cells at a time as the cache holds."""
    if tables.noise_kind != NOISELESS:
        gauss_row(r, UPDATE_NOISE, address, scratch.z)
    for first in range(0, w.shape[1], BLOCK):
        _dense_block(r, first, w, tables, trains, samples, address, scratch)


@kernel()
def _dense_block(r, first, w, tables, trains, samples, address, scratch):
    w, tables, trains, samples, scratch = no_refcount((w, tables, trains, samples, scratch))
    n, s, noise_kind, cells, columns = (
        min(BLOCK, w.shape[1] - first), scratch.block, tables.noise_kind, scratch.cells, scratch.columns,
    )  # fmt: skip
    weights, count, mean = w[r, first : first + n], row(s, COUNT, n), row(s, v.MEAN, n)
    few, many = 0, 0
    load_block(r, first, weights, tables, s, scratch.intervals)
    if noise_kind == MEASURED:
        counts = scratch.block_counts
        top, bottom, base = row(s, v.TOP, n), row(s, v.BOTTOM, n), row(s, v.BASE, n)
        for i in range(samples.shape[0]):
            _count_block(r, samples[i], first, trains, counts[i, :n])
        _totals(counts[: samples.shape[0]], count)
        for j in range(n):
            if count[j] != f32(0):
                columns[few] = first + j
                one = few_pulses(count[j], mean[j], top[j], bottom[j], base[j], tables)
                few += 1 if one else 0
                many += 0 if one else 1
        _draw_cells(r, first, w, tables, columns[:few], address, scratch, samples.shape[0])
    if noise_kind != MEASURED or many > 0:
        _advance_samples(r, first, tables, trains, samples, scratch, n)
    some = finish_block(noise_kind, s, n, scratch.z[first:])
    for i in range(few):
        j = columns[i] - first
        mean[j], count[j] = cells[columns[i], v.MEAN], f32(0)
    if some:
        for j in range(n):
            if count[j] != f32(0):
                todo, at = counts_of(r, first + j, trains, samples, scratch.counts), first + j
                mean[j] = apply_pulse_by_pulse(weights[j], r, at, todo, tables, address, scratch.pulse_z)
    for j in range(n):
        weights[j] = mean[j]


@njit(inline="always")
def _advance_samples(r, first, tables, trains, samples, scratch, n):
    """The samples on a block of n cells, a chunk at a time."""
    s, noise_kind = scratch.block, tables.noise_kind
    count, last = row(s, COUNT, n), samples.shape[0] - 1
    chunk = 1 if noise_kind == MEASURED else CHUNK  # parabolas of measured cells hold on short ways only
    for i in range(samples.shape[0]):
        if noise_kind == MEASURED:
            one = scratch.block_counts[i]
            for j in range(n):
                count[j] = one[j]
        else:
            _count_block(r, samples[i], first, trains, count)
        if i % chunk == 0:
            checkpoint(s, n)
        advance_block(noise_kind, tables.noise_std, s, n)
        if (i % chunk == chunk - 1 or i == last) and validate(s, n):
            _recompute(r, first, n, tables, trains, samples[i - i % chunk : i + 1], s)


@kernel()
def _recompute(r, first, n, tables, trains, samples, s):
    """Take the samples of a chunk anew, segment by segment, on the cells of a block that are invalid."""
    tables, trains, samples, s = no_refcount((tables, trains, samples, s))
    for j in range(n):
        if put_back(s, j):
            for q in range(samples.shape[0]):
                k = f32(train_count(trains.xs, trains.ds, samples[q], r, first + j))
                apply_segments(k, s, j, STRIDE, tables)


@kernel()
def _draw_cells(r, first, w, tables, columns, address, scratch, n_samples):
    """All pulses of the listed cells, each drawn; the samples in the outer loop, so that cells overlap."""
    w, tables, columns, scratch = no_refcount((w, tables, columns, scratch))
    cells, few = scratch.cells, columns.shape[0]
    for i in range(few):
        load(r, columns[i], w, tables, cells[columns[i]])
    first_draws(r, address, columns, scratch.block[v.UNIFORM * STRIDE :], cells)
    for b in range(n_samples):
        for i in range(few):
            j = columns[i]
            k = i32(scratch.block_counts[b, j - first])
            if k != i32(0):
                draw(cells[j], r, j, k, tables, address)


@late_kernel(types.void)
def tables_chunk(begin, end, w, tables, trains, by_pulse, address):
    """Apply the trains of the active samples to rows begin ... end-1 of the weights."""
    scratch = scratch_of(w.shape[1], max(trains.active_samples.shape[0], 1), tables.noise_kind)
    _rows(begin, end, w, tables, trains, by_pulse, address, scratch)


@kernel()
def _rows(begin, end, w, tables, trains, by_pulse, address, scratch):
    w, tables, trains, scratch = no_refcount((w, tables, trains, scratch))
    dense_sample = DENSE_SAMPLE * (COST_FACTOR_MEASURED if tables.noise_kind == MEASURED else 1.0)
    for r in range(begin, end):
        n, lines, meets = samples_of_row(r, trains, scratch.row_samples)
        cost = COST_FACTOR * (lines * SPARSE_LINE + meets * SPARSE_EVENT)
        samples = scratch.row_samples[:n]
        if n == 0:
            continue
        if by_pulse:
            for j in range(w.shape[1]):
                counts = counts_of(r, j, trains, samples, scratch.counts)
                w[r, j] = apply_pulse_by_pulse(w[r, j], r, j, counts, tables, address, scratch.pulse_z)
        elif cost < w.shape[1] * (n * dense_sample + DENSE_ROW):
            _sparse_row(r, w, tables, trains, samples, address, scratch)
        else:
            _dense_row(r, w, tables, trains, samples, address, scratch)
