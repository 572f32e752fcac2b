"""Writing columns in Numba: updates in which every sample drives a single x-line, as transfers send them.

The result is that of the rows (`affine_rows`), at the cost of the cells on those lines.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import types

from .affine import NOISES, after_count, apply_pulse_by_pulse, cell_at
from .affine_rows import is_sparse
from .compiling import CONTRACT, carve, part
from .late import late_kernel
from .math import UPDATE_NOISE, gauss_cell
from .packing import NOISELESS
from .trains import train_count

__all__ = ["MOST_COLUMNS", "single_columns", "write_columns"]

u32, i32, f32 = np.uint32, np.int32, np.float32

#: samples up to which it is worth while to look whether their columns differ
MOST_COLUMNS = 16


@part()
def single_columns(n, trains):
    """Whether the active samples are few, and each has one x-line that fires, not the same in any two.

    And rows of n cells are so long that all would take the sparse path, whose bits are those of this one.
    """
    active, lines = trains.active_samples, trains.lines
    samples = active.shape[0]
    if samples > MOST_COLUMNS or not is_sparse(n, samples, np.float64(samples), np.float64(samples)):
        return False
    for i in range(samples):
        if trains.n_lines[active[i]] != 1:
            return False
        for q in range(i):
            if lines[active[q], 0] == lines[active[i], 0]:
                return False
    return True


@late_kernel(types.void, fastmath=CONTRACT)
def write_columns(w, affine, trains, address):
    """Apply the trains of the active samples, of which each has a column of its own."""
    n_rows, n = w.shape
    xs, ds, group = trains.xs, trains.ds, (n + 3) // 4
    memory = np.empty(20 * n_rows + 4 * NOISES, np.uint8)
    rows, counts = carve(memory, 0, (n_rows,), np.int64), carve(memory, 8 * n_rows, (n_rows,), np.int64)
    z = carve(memory, 16 * n_rows, (n_rows,), f32)
    pulse_z = carve(memory, 20 * n_rows, (NOISES,), f32)
    for i in range(trains.active_samples.shape[0]):
        b = trains.active_samples[i]
        j = np.int64(trains.lines[b, 0])
        touched = np.int64(0)
        for r in range(n_rows):
            k = train_count(xs, ds, b, r, j) if ds[0, b, r] != u32(0) or ds.shape[0] > 1 else 0
            if k != 0:
                rows[touched], counts[touched] = r, k
                touched += 1
        if affine.noise_kind != NOISELESS:
            for q in range(touched):
                z[q] = gauss_cell(rows[q], j, group, UPDATE_NOISE, address)
        for q in range(touched):
            r, k = rows[q], counts[q]
            new, needs_pulse_by_pulse = after_count(
                i32(abs(k)), k < 0, cell_at(affine, r, j), affine, w[r, j], z[q]
            )
            if needs_pulse_by_pulse:
                new = apply_pulse_by_pulse(w[r, j], r, j, counts[q : q + 1], affine, address, pulse_z)
            w[r, j] = new
