"""Pulse counts on tabulated elements in Numba: rows full of them, and rows that are mostly silent."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np

from . import tables_values as v
from .affine_counts import FEW_COUNTS, list_busy
from .compiling import kernel, no_refcount
from .math import UPDATE_NOISE, gauss_list, gauss_row
from .packing import MEASURED, NOISELESS, Address, Tables
from .tables_cells import apply_pulse_by_pulse, few_pulses, finish, load, update
from .tables_dense import (
    BLOCK,
    COUNT,
    STRIDE,
    advance_block,
    checkpoint,
    finish_block,
    load_block,
    put_back,
    row,
    validate,
)
from .tables_rows import scratch_of
from .tables_segments import apply_segments, expand

__all__ = ["apply_counts"]

f32 = np.float32


@kernel()
def apply_counts(w, elements, by_pulse, counts, address):
    """Apply signed pulse counts (rows, cols), int64, to the weights; `elements` are the parts of `Tables`."""
    tables = Tables(*elements)
    scratch = scratch_of(w.shape[1], 1, tables.noise_kind)
    _rows(w, tables, by_pulse, counts, Address(*address), scratch)


@kernel()
def _rows(w, tables, by_pulse, counts, address, scratch):
    w, tables, counts, scratch = no_refcount((w, tables, counts, scratch))
    n = w.shape[1]
    for r in range(w.shape[0]):
        busy = list_busy(counts[r], scratch.columns)
        if busy == 0:
            continue
        if by_pulse:
            for j in range(n):
                todo = counts[r, j : j + 1]
                w[r, j] = apply_pulse_by_pulse(w[r, j], r, j, todo, tables, address, scratch.pulse_z)
        elif busy * FEW_COUNTS < n:
            _few_counts(r, w, tables, counts, busy, address, scratch)
        else:
            if tables.noise_kind != NOISELESS:
                gauss_row(r, UPDATE_NOISE, address, scratch.z)
            for first in range(0, n, BLOCK):
                _block(r, first, w, tables, counts, address, scratch)


@kernel()
def _few_counts(r, w, tables, counts, busy, address, scratch):
    """Counts of the `busy` listed cells of row r, one cell after the other."""
    w, tables, counts, scratch = no_refcount((w, tables, counts, scratch))
    columns, z, noise_kind = scratch.columns, scratch.z, tables.noise_kind
    if noise_kind != NOISELESS:
        gauss_list(r, busy, UPDATE_NOISE, address, columns, z)
    for i in range(busy):
        j = np.int64(columns[i])
        cell, k, new = scratch.cells[j], counts[r, j], f32(0)
        load(r, j, w, tables, cell)
        needs_pulse_by_pulse = noise_kind == MEASURED and few_pulses(
            abs(k), cell[v.MEAN], cell[v.TOP], cell[v.BOTTOM], cell[v.BASE], tables
        )
        if not needs_pulse_by_pulse:
            expand(cell, 0, 1, tables)
            update(cell, f32(abs(k)), k < 0, tables)
            new, needs_pulse_by_pulse = finish(cell, z[i], noise_kind)
        if needs_pulse_by_pulse:
            todo = counts[r, j : j + 1]
            new = apply_pulse_by_pulse(w[r, j], r, j, todo, tables, address, scratch.pulse_z)
        w[r, j] = new


@kernel()
def _block(r, first, w, tables, counts, address, scratch):
    """Counts of a block of cells of row r, as vectors."""
    w, tables, counts, scratch = no_refcount((w, tables, counts, scratch))
    n, s, noise_kind = min(BLOCK, w.shape[1] - first), scratch.block, tables.noise_kind
    weights, count, mean = w[r, first : first + n], row(s, COUNT, n), row(s, v.MEAN, n)
    top, bottom, base = row(s, v.TOP, n), row(s, v.BOTTOM, n), row(s, v.BASE, n)
    load_block(r, first, weights, tables, s, scratch.intervals)
    for j in range(n):
        count[j] = f32(counts[r, first + j])
    checkpoint(s, n)
    advance_block(noise_kind, tables.noise_std, s, n)
    if validate(s, n):
        for j in range(n):
            if put_back(s, j):
                apply_segments(f32(counts[r, first + j]), s, j, STRIDE, tables)
    some = finish_block(noise_kind, s, n, scratch.z[first:])
    for j in range(n):
        at = first + j
        drawn = noise_kind == MEASURED and few_pulses(
            abs(counts[r, at]), weights[j], top[j], bottom[j], base[j], tables
        )  # fmt: skip
        if drawn or (some and count[j] != f32(0)):
            todo = counts[r, at : at + 1]
            mean[j] = apply_pulse_by_pulse(weights[j], r, at, todo, tables, address, scratch.pulse_z)
    for j in range(n):
        weights[j] = mean[j]
