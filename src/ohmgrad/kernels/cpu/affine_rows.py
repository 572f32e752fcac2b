"""Rows of affine elements in Numba: the dense and the sparse path, with one result to rounding.

The dense path streams the whole row for every sample; the sparse path visits the x-lines that fire, so that
its cost follows the coincidences. A row takes the cheaper one.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit, types

from .affine import advance, apply_pulse_by_pulse, cell_at, finish_cell
from .affine_dense import advance_row, count_row, finish_row, load_row
from .affine_scratch import scratch_of
from .compiling import CONTRACT, no_refcount
from .late import late_kernel
from .math import UPDATE_NOISE, gauss_list, gauss_row, popcount
from .packing import NOISELESS
from .trains import SLOT_BITS, fires, train_count

__all__ = [
    "SPARSE_EVENT", "SPARSE_LINE", "apply_row", "counts_of", "is_sparse", "rows_in_order", "samples_of_row",
]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

#: measured costs in ns: of a cell and sample on the dense path, and of a cell once per row on it; of
#: an x-line that fires on the sparse path, and of one that meets the d-line there
DENSE_SAMPLE, DENSE_ROW, SPARSE_LINE, SPARSE_EVENT = 0.6, 4.5, 1.0, 11.0


@njit(inline="always")
def samples_of_row(r, trains, listed):
    """Lists the samples in which d-line r fires; returns how many, the x-lines that fire in them, and how
    many of those meet the d-line in a slot."""
    n, lines, meets = np.int64(0), 0.0, 0.0  # not a literal 0: it would compile another version
    for i in range(trains.active_samples.shape[0]):
        b = trains.active_samples[i]
        slots = fires(trains.ds, b, r)
        if slots > 0:
            listed[n] = b
            n += 1
            fired = np.float64(trains.n_lines[b])
            lines += fired
            meets += min(fired, slots * trains.mean_active_lines[b])
    return n, lines, meets


@njit(inline="always")
def is_sparse(cols, samples, lines, meets):
    """Whether the sparse path is the cheaper one for a row in order, by what `samples_of_row` found."""
    cost = lines * SPARSE_LINE + meets * SPARSE_EVENT
    return cost < cols * (samples * DENSE_SAMPLE + DENSE_ROW)


@njit(inline="always")
def counts_of(r, j, trains, samples, counts):
    """Signed pulses of one cell in the listed samples."""
    xs, ds = trains.xs, trains.ds
    if xs.shape[0] > 1:
        for q in range(samples.shape[0]):
            counts[q] = train_count(xs, ds, samples[q], r, j)
    else:
        for q in range(samples.shape[0]):
            a, c = xs[0, samples[q], j], ds[0, samples[q], r]
            n = i32(popcount(u32(u32(a & c) & SLOT_BITS)))
            counts[q] = -n if i32(a ^ c) < i32(0) else n
    return counts[: samples.shape[0]]


@late_kernel(types.float32)
def _by_pulse(r, j, w, affine, trains, samples, address, scratch):
    """New weight of a cell after all pulses of the listed samples, one by one."""
    counts = counts_of(r, j, trains, samples, scratch.counts)
    return apply_pulse_by_pulse(w[r, j], r, j, counts, affine, address, scratch.pulse_z)


@late_kernel(types.void, fastmath=CONTRACT)
def _sparse_row(r, w, affine, trains, samples, address, scratch):
    """Visit the x-lines that fire, sample by sample, then finish the cells that got pulses."""
    xs, ds, seen, columns, z = trains.xs, trains.ds, scratch.seen, scratch.columns, scratch.z
    mean, var, mean_max, mean_min, var_max, _ = scratch.moments
    one_word = xs.shape[0] == 1
    touched = 0
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
            if n == 0:
                continue
            if seen[j] == 0:
                seen[j] = 1
                columns[touched] = j
                touched += 1
                mean[j], mean_max[j], mean_min[j] = w[r, j], w[r, j], w[r, j]
                var[j], var_max[j] = f32(0), f32(0)
            m, v = advance(n, down, cell_at(affine, r, j), affine, mean[j], var[j])
            mean[j], var[j] = m, v
            mean_max[j] = max(mean_max[j], m)
            mean_min[j] = min(mean_min[j], m)
            var_max[j] = max(var_max[j], v)
    if affine.noise_kind != NOISELESS:
        gauss_list(r, touched, UPDATE_NOISE, address, columns, z)
    for i in range(touched):
        j = np.int64(columns[i])
        seen[j] = 0
        new, needs_pulse_by_pulse = finish_cell(
            cell_at(affine, r, j), affine, mean[j], var[j], mean_max[j], mean_min[j], var_max[j], z[i]
        )
        if needs_pulse_by_pulse:
            new = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
        w[r, j] = new


@late_kernel(types.void)
def _dense_row(r, w, affine, trains, samples, address, scratch):
    coefficients, moments, noise_kind = scratch.coefficients, scratch.moments, affine.noise_kind
    mean, count = moments.mean, moments.pulses
    load_row(r, w[r], affine, coefficients, moments)
    for i in range(samples.shape[0]):
        count_row(r, samples[i], trains.xs, trains.ds, count)
        advance_row(noise_kind, coefficients, moments)
    if noise_kind != NOISELESS:
        gauss_row(r, UPDATE_NOISE, address, scratch.z)
    if finish_row(noise_kind, coefficients, moments, scratch.z):
        for j in range(w.shape[1]):
            if count[j] != f32(0):
                mean[j] = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
    for j in range(w.shape[1]):
        w[r, j] = mean[j]


@njit(inline="always")
def apply_row(r, w, affine, trains, by_pulse, address, scratch):
    """Apply the trains of the active samples to one row."""
    n, lines, meets = samples_of_row(r, trains, scratch.row_samples)
    samples = scratch.row_samples[:n]
    if n == 0:
        return
    if by_pulse:
        for j in range(w.shape[1]):
            w[r, j] = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
        return
    if is_sparse(w.shape[1], n, lines, meets):
        _sparse_row(r, w, affine, trains, samples, address, scratch)
    else:
        _dense_row(r, w, affine, trains, samples, address, scratch)


@late_kernel(types.void)
def rows_in_order(begin, end, w, affine, trains, by_pulse, address):
    """Apply the trains of the active samples to rows begin ... end-1 of the weights."""
    scratch = scratch_of(w.shape[1], max(trains.active_samples.shape[0], 1))
    _rows(begin, end, w, affine, trains, by_pulse, address, scratch)


@late_kernel(types.void)
def _rows(begin, end, w, affine, trains, by_pulse, address, scratch):
    w, affine, trains, scratch = no_refcount((w, affine, trains, scratch))
    for r in range(begin, end):
        apply_row(r, w, affine, trains, by_pulse, address, scratch)
