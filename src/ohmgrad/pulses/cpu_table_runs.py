"""Tabulated elements in Numba that a sample takes too far for one run: run by run, parabola by parabola.

`reference._collapse_table`, of listed cells of a row, again as vectors: all try the runs that they have left,
and what does not hold is mended cell by cell.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, MULTIPLICATIVE, QUIET, Z
from .cpu_math import CONTRACT, kernel, lent, select
from .cpu_table import (
    A_DOWN,
    A_UP,
    BASE,
    BOTTOM,
    CENTRE,
    COUNT,
    DOWN,
    HIGH,
    LIMIT,
    LOW,
    LOWER,
    MEASURED,
    N_DOWN,
    N_UP,
    PEAK,
    REACH,
    SIGMAS,
    TOP,
    UP,
    UPPER,
    M,
    U,
    V,
    advance,
    interval,
)
from .cpu_table_cells import lend, replay
from .cpu_table_dense import AT, LANES, STRIDE, row, start_list, way

__all__ = ["take_runs"]

i32, u32, u64, f32 = np.int32, np.uint32, np.uint64, np.float32

#: rows of a block besides those of `cpu_table`: pulses that are left, the run that is tried, whether it failed,
#: whether the cell is to be replayed
LEFT, TRIED, FAILED, LOST = U, U + 1, U + 2, U + 3


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _try(kind, std, forced, s, j):
    """The run that a cell has to try, taken if it holds or is `forced`; whether it has more to do."""
    k, left, reach = s[j + AT[TRIED]], s[j + AT[LEFT]], s[j + AT[REACH]]
    a, b, c, sd, o, p = way(kind, s, j, s[j + AT[COUNT]] < f32(0))
    top, bottom, centre = s[j + AT[TOP]], s[j + AT[BOTTOM]], s[j + AT[CENTRE]]
    lower, upper, peak = s[j + AT[LOWER]], s[j + AT[UPPER]], s[j + AT[PEAK]]
    m, v, high, low = s[j + AT[M]], s[j + AT[V]], s[j + AT[HIGH]], s[j + AT[LOW]]
    lost = s[j + AT[LOST]]
    new, var, bend = advance(kind, std, k, m, v, a, b, c, sd, o, p, top, bottom, centre)
    if kind == QUIET:
        new = min(max(new, lower), upper)
    most = max(peak, var)
    deviation = np.sqrt(most)
    noise = SIGMAS * deviation * max(top, bottom)
    inside = abs(m * (top if m >= f32(0) else bottom) - centre) + noise <= reach
    take = abs(new * (top if new >= f32(0) else bottom) - centre) + noise <= reach
    take &= inside
    take &= bend <= LIMIT
    take |= forced
    if kind != QUIET:  # what is to be replayed goes no further
        fine = new + Z * deviation <= upper
        fine &= new - Z * deviation >= lower
        fine &= inside
        fine |= not take
        fine |= k == f32(0)
        lost = select(fine, lost, f32(1))
    after = select(take, left - k, left)
    after = select(lost == f32(0), after, f32(0))
    s[j + AT[FAILED]] = select(take, f32(0), f32(1))
    s[j + AT[LEFT]], s[j + AT[TRIED]] = after, select(take, min(after, k + k), k)
    s[j + AT[M]], s[j + AT[V]] = select(take, new, m), select(take, var, v)
    s[j + AT[HIGH]] = select(take, max(high, new), high)
    s[j + AT[LOW]] = select(take, min(low, new), low)
    s[j + AT[PEAK]], s[j + AT[LOST]] = select(take, most, peak), lost
    return after != f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _loop(kind, std, s, n):
    some = i32(0)
    for jj in range(n):
        some |= i32(_try(kind, std, False, s, u64(jj)))
    return some != i32(0)


@kernel(fastmath=CONTRACT)
def _additive(std, s, n):
    return _loop(ADDITIVE, std, s, n)


@kernel(fastmath=CONTRACT)
def _multiplicative(std, s, n):
    return _loop(MULTIPLICATIVE, std, s, n)


@kernel(fastmath=CONTRACT)
def _quiet(std, s, n):
    return _loop(QUIET, std, s, n)


@kernel(fastmath=CONTRACT)
def _measured(std, s, n):
    return _loop(MEASURED, std, s, n)


@njit(inline="always")
def _try_all(kind, std, s, n):
    if kind == ADDITIVE:
        return _additive(std, s, n)
    if kind == MULTIPLICATIVE:
        return _multiplicative(std, s, n)
    if kind == QUIET:
        return _quiet(std, s, n)
    return _measured(std, s, n)


@kernel(fastmath=CONTRACT)
def _begin(s, n):
    """A sample's counts, in row `COUNT`, are to be taken."""
    for jj in range(n):
        j = u64(jj)
        left = abs(s[j + AT[COUNT]]) if s[j + AT[LOST]] == f32(0) else f32(0)
        s[j + AT[LEFT]], s[j + AT[TRIED]] = left, left


@kernel(fastmath=CONTRACT)
def _mend(kind, std, s, n, curve, base, origin, last):
    """Of the cells whose run failed, those on their own interval's parabola halve it, or take it if it is a
    single pulse; the others get that parabola."""
    for jj in range(n):
        j = u64(jj)
        if s[j + AT[FAILED]] == f32(0):
            continue
        i, _, _ = interval(s[j + AT[M]], s[j + AT[TOP]], s[j + AT[BOTTOM]], origin, last)
        centre, k = f32(i) + f32(0.5) - origin, s[j + AT[TRIED]]
        if s[j + AT[CENTRE]] != centre:
            at, up, down = u32(i32(i32(base[jj]) >> i32(1)) + i), s[j + AT[UP]], s[j + AT[DOWN]]
            s[j + AT[CENTRE]], s[j + AT[REACH]] = centre, curve[at, 6]
            for q in range(3):
                s[jj + (A_UP + q) * STRIDE] = up * curve[at, q]
                s[jj + (A_DOWN + q) * STRIDE] = down * curve[at, 3 + q]
                if kind == MEASURED:
                    s[jj + (N_UP + q) * STRIDE] = up * curve[at, 8 + q]
                    s[jj + (N_DOWN + q) * STRIDE] = down * curve[at, 11 + q]
        elif k > f32(1):
            s[j + AT[TRIED]] = np.floor(f32(0.5) * k)
        else:
            _try(kind, std, True, s, j)


@kernel()
def take_runs(r, columns, counts, z, w, e, kind, std, step, k0, k1, places, todo, ahead, s):
    """New weights of at most `BLOCK` listed cells of row r, which still are as they were.

    counts: signed, (samples, cells) float32; z: standard normal numbers of the cells. The rest is scratch.
    """
    columns, counts, z, w, e = lent(columns), lent(counts), lent(z), lent(w), lend(e)
    places, todo, ahead, s = lent(places), lent(todo), lent(ahead), lent(s)
    n, samples = columns.shape[0], counts.shape[0]
    full, count = n + (-n) % LANES, row(s, COUNT, n)
    start_list(r, columns, w, e, kind, std, s, places)
    row(s, LOST, full)[:] = f32(0)
    row(s, COUNT, full)[:] = f32(0)
    for b in range(samples):
        for i in range(n):
            count[i] = counts[b, i]
        _begin(s, full)
        while _try_all(kind, std, s, full):
            _mend(kind, std, s, n, e.curve, row(s, BASE, n), e.origin, e.n)
    for i in range(n):
        j = np.int64(columns[i])
        m, sd, high, low = s[M * STRIDE + i], np.sqrt(s[PEAK * STRIDE + i]), s[HIGH * STRIDE + i], s[LOW * STRIDE + i]
        lower, upper = s[LOWER * STRIDE + i], s[UPPER * STRIDE + i]
        if kind == QUIET:
            w[r, j] = m
        elif s[LOST * STRIDE + i] == f32(0) and high + Z * sd <= upper and low - Z * sd >= lower:
            w[r, j] = min(max(m + np.sqrt(s[V * STRIDE + i]) * z[i], lower), upper)
        else:
            for b in range(samples):
                todo[b] = np.int64(counts[b, i])
            w[r, j] = replay(w[r, j], r, j, todo, samples, e, kind, std, step, k0, k1, ahead)
