"""Rows of tabulated elements in Numba: replay, the sparse and the dense road, pulse counts."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, LOW31, MULTIPLICATIVE, QUIET, count_row, gauss_row, scratch_rows
from .cpu_math import CONTRACT, kernel, lent, philox, popcount
from .cpu_rows import AHEAD, gauss_list, gauss_pulses, sparse_cost, train_count
from .cpu_table import (
    MEASURED,
    Packed,
    Rows,
    advance,
    beyond,
    collapse,
    finish_row,
    interval,
    prepare_row,
    start_row,
)

__all__ = ["counts_rows", "rows_chunk"]

u32, i32, f32 = np.uint32, np.int32, np.float32

MEASURED_STEP = 24  # ohmgrad.rng.Purpose
#: measured costs in ns, as in `cpu_rows`
DENSE_SAMPLE, DENSE_ROW = 1.0, 12.0
#: rows in which fewer than one cell in so many has counts are visited cell by cell
FEW_COUNTS = 4


@kernel()
def _uniform_pulses(r, j, first, blocks, step, k0, k1, z):
    """Uniform numbers of the pulses 4 first ... 4 (first + blocks) - 1 of one cell."""
    for i in range(blocks):
        address = u32(u32(MEASURED_STEP) | u32(u32(first + i) << u32(8)))
        a, b, c, d = philox(u32(j), u32(r), step, address, k0, k1)
        z[4 * i], z[4 * i + 1] = _unit(a), _unit(b)
        z[4 * i + 2], z[4 * i + 3] = _unit(c), _unit(d)


@njit(inline="always")
def _unit(a):
    return (f32(a) + f32(0.5)) * f32(2.0**-32)


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def _drawn(steps, cdf, i, t, u):
    """Step at interval i, part t, and probability u: bilinear. steps: (levels, nodes)."""
    low, high = 0, cdf.shape[0] - 1
    while high - low > 1:
        mid = (low + high) // 2
        if cdf[mid] <= u:
            low = mid
        else:
            high = mid
    s = min(max((u - cdf[low]) / (cdf[high] - cdf[low]), f32(0)), f32(1))
    one = steps[low, i] + t * (steps[low, i + 1] - steps[low, i])
    two = steps[high, i] + t * (steps[high, i + 1] - steps[high, i])
    return one + s * (two - one)


@kernel(fastmath=CONTRACT)
def _replay(w, r, j, todo, n, e, kind, std, step, k0, k1, z):
    """All pulses of one cell, each with its own noise and clipping; returns the new weight.

    todo: signed counts of its n samples, in order; z: scratch for AHEAD random numbers.
    """
    uniform = e.up.size == 1
    pr, pj = (0, 0) if uniform else (r, j)
    up, down, lower, upper, base = (
        e.up[pr, pj], e.down[pr, pj], e.lower[pr, pj], e.upper[pr, pj], e.which[pr, pj],
    )  # fmt: skip
    top, bottom = e.top / upper, e.bottom / lower
    nodes = e.n + i32(1)
    device = base // (2 * nodes)
    left = 0
    for i in range(n):
        left += abs(todo[i])
    index = 0
    for i in range(n):
        way = 1 if todo[i] < 0 else 0
        size = -down if way else up
        first = base + way * nodes
        for _ in range(abs(todo[i])):
            at = index % AHEAD
            if at == 0 and kind != QUIET:
                blocks = min(AHEAD, left - index + 3) // 4
                if kind == MEASURED:
                    _uniform_pulses(r, j, index // 4, blocks, step, k0, k1, z)
                else:
                    gauss_pulses(r, j, index // 4, blocks, step, k0, k1, z)
            place, t, _ = interval(w, top, bottom, e.origin, e.n)
            if kind == MEASURED:
                dw = size * _drawn(e.steps[device, way], e.cdf, place, t, z[at])
            else:
                dw = size * (e.value[first + place] + t * e.rise[first + place])
                if kind == ADDITIVE:
                    dw += std * abs(size) * z[at]
                elif kind == MULTIPLICATIVE:
                    dw += std * dw * z[at]
            w = min(max(w + dw, lower), upper)
            index += 1
    return w


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def _visit(r, j, k, down, w, e, kind, std, rows, seen, columns, touched):
    """k pulses on cell j of row r; on its first visit its parameters and state are set."""
    if seen[j] == 0:
        seen[j] = 1
        columns[touched] = j
        touched += 1
        row, c = (0, 0) if e.up.size == 1 else (r, j)
        lower, upper = e.lower[row, c], e.upper[row, c]
        rows.up[j], rows.down[j] = e.up[row, c], e.down[row, c]
        rows.top[j], rows.bottom[j] = e.top / upper, e.bottom / lower
        rows.lower[j], rows.upper[j], rows.base[j] = lower, upper, f32(e.which[row, c])
        a, b = std * rows.up[j], std * rows.down[j]
        rows.var_up[j], rows.var_down[j] = a * a, b * b
        rows.m[j], rows.high[j], rows.low[j] = w[r, j], w[r, j], w[r, j]
        rows.v[j], rows.peak[j], rows.far[j], rows.bend[j] = f32(0), f32(0), f32(0), f32(0)
        rows.pulses[j] = f32(0)
    new, var, far, bend = advance(
        kind, std, k, down, rows.m[j], rows.v[j], rows.up[j], rows.down[j], rows.top[j], rows.bottom[j],
        rows.var_up[j], rows.var_down[j], i32(rows.base[j]), e.value, e.rise, e.sd, e.sd_rise, e.origin, e.n,
    )  # fmt: skip
    if kind == QUIET:
        new = min(max(new, rows.lower[j]), rows.upper[j])
    rows.m[j], rows.v[j] = new, var
    rows.high[j], rows.low[j] = max(rows.high[j], new), min(rows.low[j], new)
    rows.peak[j], rows.far[j] = max(rows.peak[j], var), max(rows.far[j], far)
    rows.bend[j] = max(rows.bend[j], bend)
    rows.pulses[j] += k
    return touched


@kernel(fastmath=CONTRACT)
def _sparse_row(r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, rows, own):
    """The sparse road: visit the x-lines that fire, then finish the cells that were touched."""
    z, ahead, seen, columns, _, todo = own
    one_word = xs.shape[0] == 1
    touched = 0
    for i in range(n_mine):
        b = mine[i]
        word, train, active = ds[0, b, r], xs[0, b], lines[b]
        for q in range(n_lines[b]):
            j = active[q]
            n = i32(popcount(u32(u32(train[j] & word) & LOW31)))
            down = i32(train[j] ^ word) < i32(0)
            if not one_word:
                k = train_count(xs, ds, b, r, j)
                n, down = i32(abs(k)), k < 0
            if n != 0:
                touched = _visit(r, j, f32(n), down, w, e, kind, std, rows, seen, columns, touched)
    if kind != QUIET:
        gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
    for i in range(touched):
        j = columns[i]
        seen[j] = 0
        if beyond(rows, j, kind, e):
            for q in range(n_mine):
                todo[q] = train_count(xs, ds, mine[q], r, j)
            w[r, j] = _replay(w[r, j], r, np.int64(j), todo, n_mine, e, kind, std, step, k0, k1, ahead)
        else:
            noise = np.sqrt(rows.v[j]) * z[i] if kind != QUIET else f32(0)
            w[r, j] = min(max(rows.m[j] + noise, rows.lower[j]), rows.upper[j])


@kernel()
def _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, rows, own):
    """The dense road: stream the whole row for every sample."""
    z, ahead, _, _, _, todo = own
    prepare_row(r, e, kind, std, rows)
    start_row(w[r], rows)
    for i in range(n_mine):
        count_row(xs, mine[i], ds[0, mine[i], r], ds, r, rows.count)
        collapse(kind, std, rows, e)
    if kind != QUIET:
        gauss_row(r, step, k0, k1, z)
    if finish_row(kind, rows, z, e):
        for j in range(w.shape[1]):
            if rows.count[j] != f32(0):
                for q in range(n_mine):
                    todo[q] = train_count(xs, ds, mine[q], r, j)
                rows.m[j] = _replay(w[r, j], r, j, todo, n_mine, e, kind, std, step, k0, k1, ahead)
    for j in range(w.shape[1]):
        w[r, j] = rows.m[j]


@njit(inline="always")
def _rows_of(flat, n):
    """The scratch rows of n cells, lent."""
    a = lent(flat)
    return Rows(
        a[0, :n], a[1, :n], a[2, :n], a[3, :n], a[4, :n], a[5, :n], a[6, :n], a[7, :n], a[8, :n], a[9, :n],
        a[10, :n], a[11, :n], a[12, :n], a[13, :n], a[14, :n], a[15, :n], a[16, :n], a[17, :n],
    )  # fmt: skip


@njit(inline="always")
def _lent(e):
    return Packed(
        lent(e.up), lent(e.down), lent(e.lower), lent(e.upper), lent(e.which), lent(e.value), lent(e.rise),
        lent(e.sd), lent(e.sd_rise), lent(e.reach), lent(e.need), lent(e.zero), lent(e.steps), lent(e.cdf),
        e.top, e.bottom, e.origin, e.n,
    )  # fmt: skip


@kernel()
def _scratch(n, samples):
    z, ahead = np.empty(4 * ((n + 3) // 4), np.float32), np.empty(AHEAD, np.float32)
    seen, columns = np.zeros(n, np.uint8), np.empty(n, np.int32)
    return scratch_rows(n, 18), (z, ahead, seen, columns, np.empty(samples, np.int64), np.empty(samples, np.int64))


@kernel()
def rows_chunk(
    begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key
):
    """Apply the trains of the live samples to rows begin ... end-1 of the weights."""
    flat, own = _scratch(w.shape[1], max(n_live, 1))
    _rows(
        begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key[0],
        key[1], flat, own,
    )  # fmt: skip


@kernel()
def _rows(
    begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, k0, k1, flat, own,
):  # fmt: skip
    w, xs, ds, lines, n_lines = lent(w), lent(xs), lent(ds), lent(lines), lent(n_lines)
    on, live, e = lent(on), lent(live), _lent(e)
    own = (lent(own[0]), lent(own[1]), lent(own[2]), lent(own[3]), lent(own[4]), lent(own[5]))
    ahead, mine, todo = own[1], own[4], own[5]
    n = w.shape[1]
    rows = _rows_of(flat, n)
    for r in range(begin, end):
        n_mine, sparse = np.int64(0), 0.0
        for i in range(n_live):
            b, fires = live[i], np.int64(0)
            for q in range(ds.shape[0]):
                fires += np.int64(popcount(u32(ds[q, b, r] & LOW31)))
            if fires > 0:
                mine[n_mine] = b
                n_mine += 1
                sparse += sparse_cost(b, fires, n_lines, on)
        if n_mine == 0:
            continue
        if by_pulse:
            for j in range(n):
                for q in range(n_mine):
                    todo[q] = train_count(xs, ds, mine[q], r, j)
                w[r, j] = _replay(w[r, j], r, j, todo, n_mine, e, kind, std, step, k0, k1, ahead)
        elif sparse < n * (n_mine * DENSE_SAMPLE + DENSE_ROW):
            _sparse_row(r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, rows, own)
        else:
            _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, rows, own)


@kernel()
def counts_rows(w, e, kind, std, by_pulse, counts, step, key):
    """Apply signed pulse counts (rows, cols), int64, to the weights."""
    flat, own = _scratch(w.shape[1], 1)
    _counts(w, e, kind, std, by_pulse, counts, step, key[0], key[1], flat, own)


@kernel()
def _counts(w, e, kind, std, by_pulse, counts, step, k0, k1, flat, own):
    w, counts, e, one = lent(w), lent(counts), _lent(e), np.int64(1)
    z, ahead, seen, columns = lent(own[0]), lent(own[1]), lent(own[2]), lent(own[3])
    n = w.shape[1]
    rows = _rows_of(flat, n)
    for r in range(w.shape[0]):
        busy = 0
        for j in range(n):
            busy += 1 if counts[r, j] != 0 else 0
        if busy == 0:
            continue
        if by_pulse:
            for j in range(n):
                w[r, j] = _replay(w[r, j], r, j, counts[r, j : j + 1], one, e, kind, std, step, k0, k1, ahead)
        elif busy * FEW_COUNTS < n:
            touched = 0
            for j in range(n):
                k = counts[r, j]
                if k != 0:
                    touched = _visit(r, j, f32(abs(k)), k < 0, w, e, kind, std, rows, seen, columns, touched)
            if kind != QUIET:
                gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
            for i in range(touched):
                j = np.int64(columns[i])
                seen[j] = 0
                if beyond(rows, j, kind, e):
                    todo = counts[r, j : j + 1]
                    w[r, j] = _replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                else:
                    noise = np.sqrt(rows.v[j]) * z[i] if kind != QUIET else f32(0)
                    w[r, j] = min(max(rows.m[j] + noise, rows.lower[j]), rows.upper[j])
        else:
            prepare_row(r, e, kind, std, rows)
            start_row(w[r], rows)
            for j in range(n):
                rows.count[j] = f32(counts[r, j])
            collapse(kind, std, rows, e)
            if kind != QUIET:
                gauss_row(r, step, k0, k1, z)
            finish_row(kind, rows, z, e)
            for j in range(n):
                if rows.count[j] != f32(0):
                    todo = counts[r, j : j + 1]
                    w[r, j] = _replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                else:
                    w[r, j] = rows.m[j]
