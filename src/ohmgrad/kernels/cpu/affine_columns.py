"""Writing columns in Numba: updates in which every sample drives a single x-line, as transfers send them.

The result is that of the rows (`cpu_rows`), at the cost of the cells on those lines.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np

from .affine import QUIET, Z, is_coarse
from .affine_rows import (
    AHEAD,
    DENSE_ROW,
    DENSE_SAMPLE,
    SPARSE_EVENT,
    SPARSE_LINE,
    event,
    replay,
    train_count,
)
from .math import CONTRACT, UPDATE_NOISE, gauss2, kernel, philox

__all__ = ["MOST_COLUMNS", "columns_chunk", "single_columns"]

u32, i32, f32 = np.uint32, np.int32, np.float32

#: samples up to which it is worth while to look whether their columns differ
MOST_COLUMNS = 16


@kernel()
def single_columns(n, lines, n_lines, live, n_live):
    """Whether the live samples are few, and each has one x-line that fires, not the same in any two.

    And rows of n cells are so long that all would take the sparse road, whose bits are those of this one.
    """
    if n_live > MOST_COLUMNS or n_live * (SPARSE_LINE + SPARSE_EVENT) >= n * (
        n_live * DENSE_SAMPLE + DENSE_ROW
    ):
        return False
    for i in range(n_live):
        if n_lines[live[i]] != 1:
            return False
        for q in range(i):
            if lines[live[q], 0] == lines[live[i], 0]:
                return False
    return True


@kernel(fastmath=CONTRACT)
def columns_chunk(w, planes, slopes, kind, std, xs, ds, lines, live, n_live, step, key):
    """Apply the trains of the live samples, of which each has a column of its own."""
    k0, k1 = key[0], key[1]
    n_rows, n = w.shape
    uniform, group = planes[0].size == 1, (n + 3) // 4
    rows, counts = np.empty(n_rows, np.int32), np.empty(n_rows, np.int64)
    z, ahead = np.empty(n_rows, np.float32), np.empty(AHEAD, np.float32)
    slope_up, slope_down = f32(slopes[0]), f32(slopes[1])
    for i in range(n_live):
        b = live[i]
        j = np.int64(lines[b, 0])
        touched = np.int64(0)
        for r in range(n_rows):
            k = train_count(xs, ds, b, r, j) if ds[0, b, r] != u32(0) or ds.shape[0] > 1 else 0
            if k != 0:
                rows[touched], counts[touched] = r, k
                touched += 1
        lane = j // group
        block = u32(j - lane * group)
        if kind != QUIET:
            for q in range(touched):
                a, c, d, e = philox(block, u32(rows[q]), step, UPDATE_NOISE, k0, k1)
                one, two = gauss2(d if lane >= 2 else a, e if lane >= 2 else c)
                z[q] = two if lane & 1 else one
        c = np.int64(0) if uniform else j
        for q in range(touched):
            r = np.int64(rows[q])
            row = np.int64(0) if uniform else r
            lower, upper, now, k = planes[2][row, c], planes[3][row, c], w[r, j], counts[q]
            if k < 0:
                mean, var = event(
                    i32(-k), planes[1][row, c], -lower, slope_down, f32(-1), kind, std, now, f32(0)
                )
            else:
                mean, var = event(i32(k), planes[0][row, c], upper, slope_up, f32(1), kind, std, now, f32(0))
            again = is_coarse(planes[0][row, c], upper, slope_up)
            again = again or is_coarse(planes[1][row, c], -lower, slope_down)
            if kind == QUIET and not again:
                w[r, j] = min(max(mean, lower), upper)
                continue
            room = Z * np.sqrt(var)
            if again or max(mean, now) + room > upper or min(mean, now) - room < lower:
                todo, one_sample = counts[q : q + 1], np.int64(1)
                w[r, j] = replay(now, r, j, todo, one_sample, planes, slopes, kind, std, step, k0, k1, ahead)
            else:
                w[r, j] = min(max(mean + np.sqrt(var) * z[q], lower), upper)
