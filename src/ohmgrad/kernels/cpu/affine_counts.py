"""Pulse counts on affine elements in Numba: rows full of them, and rows that are mostly silent."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import types

from .affine import after_count, apply_pulse_by_pulse, cell_at
from .affine_dense import advance_row, finish_row, load_row
from .affine_scratch import scratch_of
from .compiling import CONTRACT, kernel, no_refcount, part
from .late import late_kernel
from .math import UPDATE_NOISE, gauss_list, gauss_row
from .packing import NOISELESS, Address, Affine

__all__ = ["FEW_COUNTS", "apply_counts", "counts_rows", "list_busy"]

i32, f32 = np.int32, np.float32

#: rows in which fewer than one cell in so many has counts are visited cell by cell
FEW_COUNTS = 8


@part()
def list_busy(counts, columns):
    """List the cells of a row that have counts, int64 (n,); returns how many."""
    busy = 0
    for j in range(counts.shape[0]):
        if counts[j] != 0:
            columns[busy] = j
            busy += 1
    return busy


@late_kernel(types.void, fastmath=CONTRACT)
def _few_counts(r, w, affine, counts, busy, address, scratch):
    """Counts of the `busy` listed cells of row r, one cell after the other."""
    columns, z = scratch.columns, scratch.z
    if affine.noise_kind != NOISELESS:
        gauss_list(r, busy, UPDATE_NOISE, address, columns, z)
    for i in range(busy):
        j = np.int64(columns[i])
        k = i32(counts[r, j])
        new, needs_pulse_by_pulse = after_count(
            abs(k), k < 0, cell_at(affine, r, j), affine, w[r, j], z[i]
        )  # fmt: skip
        if needs_pulse_by_pulse:
            todo = counts[r, j : j + 1]
            new = apply_pulse_by_pulse(w[r, j], r, j, todo, affine, address, scratch.pulse_z)
        w[r, j] = new


@part()
def counts_rows(w, affine, by_pulse, counts, address, scratch):
    """Apply signed pulse counts (rows, cols), int64, to the weights; scratch: for one sample."""
    w, affine, counts, scratch = no_refcount((w, affine, counts, scratch))
    coefficients, moments, noise_kind = scratch.coefficients, scratch.moments, affine.noise_kind
    mean, count = moments.mean, moments.pulses
    n = w.shape[1]
    for r in range(w.shape[0]):
        busy = list_busy(counts[r], scratch.columns)
        if busy == 0:
            continue
        if not by_pulse and busy * FEW_COUNTS < n:
            _few_counts(r, w, affine, counts, busy, address, scratch)
            continue
        if not by_pulse:
            load_row(r, w[r], affine, coefficients, moments)
            for j in range(n):
                count[j] = f32(counts[r, j])
            advance_row(noise_kind, coefficients, moments)
            if noise_kind != NOISELESS:
                gauss_row(r, UPDATE_NOISE, address, scratch.z)
            finish_row(noise_kind, coefficients, moments, scratch.z)
        for j in range(n):
            if by_pulse or count[j] != f32(0):
                todo = counts[r, j : j + 1]
                w[r, j] = apply_pulse_by_pulse(w[r, j], r, j, todo, affine, address, scratch.pulse_z)
            else:
                w[r, j] = mean[j]


@kernel()
def apply_counts(w, elements, by_pulse, counts, address):
    """As `counts_rows`, called from Python: `elements` are the parts of `Affine`."""
    counts_rows(w, Affine(*elements), by_pulse, counts, Address(*address), scratch_of(w.shape[1], 1))
