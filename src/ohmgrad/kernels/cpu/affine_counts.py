"""Given pulse counts on affine elements in Numba: rows full of them, and rows that are mostly silent."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np

from .affine import (
    QUIET,
    Z,
    collapse,
    finish_row,
    flag_coarse,
    is_coarse,
    prepare_row,
    scratch_rows,
    start_row,
)
from .affine_rows import AHEAD, event, moments, replay
from .math import CONTRACT, UPDATE_NOISE, gauss_list, gauss_row, kernel

__all__ = ["FEW_COUNTS", "add_up", "counts_rows"]

i32, f32 = np.int32, np.float32

#: rows in which fewer than one cell in so many has counts are visited cell by cell
FEW_COUNTS = 8


@kernel(fastmath=CONTRACT)
def _few_counts(r, w, planes, slopes, kind, std, counts, busy, columns, step, k0, k1, z, ahead):
    """Counts on the `busy` listed cells of row r, one after the other: a row that is mostly silent."""
    uniform, one = planes[0].size == 1, np.int64(1)
    up, down = f32(slopes[0]), f32(slopes[1])
    if kind != QUIET:
        gauss_list(r, busy, z.shape[0] // 4, step, UPDATE_NOISE, k0, k1, columns, z)
    for i in range(busy):
        j = np.int64(columns[i])
        row, c = (0, 0) if uniform else (r, j)
        lower, upper, now, k = planes[2][row, c], planes[3][row, c], w[r, j], i32(counts[j])
        if k < 0:
            size, bound, slope, toward = planes[1][row, c], -lower, down, f32(-1)
        else:
            size, bound, slope, toward = planes[0][row, c], upper, up, f32(1)
        mean, var = event(abs(k), size, bound, slope, toward, kind, std, now, f32(0))
        again = is_coarse(planes[0][row, c], upper, up) or is_coarse(planes[1][row, c], -lower, down)
        if kind == QUIET and not again:
            w[r, j] = min(max(mean, lower), upper)
            continue
        room = Z * np.sqrt(var)
        if again or max(mean, now) + room > upper or min(mean, now) - room < lower:
            todo = counts[j : j + 1]
            w[r, j] = replay(now, r, j, todo, one, planes, slopes, kind, std, step, k0, k1, ahead)
        else:
            w[r, j] = min(max(mean + np.sqrt(var) * z[i], lower), upper)


@kernel()
def counts_rows(w, planes, slopes, kind, std, by_pulse, counts, step, key):
    """Apply signed pulse counts (rows, cols), int64, to the weights."""
    k0, k1 = key[0], key[1]
    n = w.shape[1]
    scratch = scratch_rows(n, 14)
    coef, rows = scratch[:8], scratch[8:]
    z, ahead = np.empty(4 * ((n + 3) // 4), np.float32), np.empty(AHEAD, np.float32)
    m, v, high, low, peak, count = moments(rows, n)
    columns = np.empty(n, np.int32)
    for r in range(w.shape[0]):
        busy = 0
        for j in range(n):
            columns[busy] = j
            busy += 1 if counts[r, j] != 0 else 0
        if busy == 0:
            continue
        if not by_pulse and busy * FEW_COUNTS < n:
            _few_counts(r, w, planes, slopes, kind, std, counts[r], busy, columns, step, k0, k1, z, ahead)
            continue
        if not by_pulse:
            prepare_row(r, planes, slopes, kind, std, coef)
            start_row(w[r], m, v, high, low, peak)
            for j in range(n):
                count[j] = f32(counts[r, j])
            collapse(count, coef, kind, m, v, high, low, peak)
            if kind != QUIET:
                gauss_row(r, step, UPDATE_NOISE, k0, k1, z)
                finish_row(coef, m, v, high, low, peak, z, count)
            else:
                flag_coarse(coef, count)
        for j in range(n):
            if by_pulse or count[j] != f32(0):
                todo = counts[r, j : j + 1]
                one = np.int64(1)
                w[r, j] = replay(w[r, j], r, j, todo, one, planes, slopes, kind, std, step, k0, k1, ahead)
            else:
                w[r, j] = m[j]


@kernel()
def add_up(counts):
    """Pulses up and down, and the lowest and the highest count, of int64 (rows, cols)."""
    up, down, low, high = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for r in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            n = counts[r, j]
            up += max(n, np.int64(0))
            down -= min(n, np.int64(0))
            low, high = min(low, n), max(high, n)
    return up, down, low, high
