"""Rows of tabulated elements in Numba: replay, the sparse and the dense road, pulse counts."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, LOW31, MULTIPLICATIVE, QUIET, Z, count_row, gauss_row, scratch_rows
from .cpu_given import FEW_COUNTS
from .cpu_math import CONTRACT, kernel, lent, philox, popcount
from .cpu_rows import AHEAD, gauss_list, gauss_pulses, sparse_cost, train_count
from .cpu_table import (
    LIMIT,
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

MEASURED_STEP = 31  # ohmgrad.rng.Purpose
#: measured costs in ns, as in `cpu_rows`; and how much dearer an event of the sparse road is here than there
DENSE_SAMPLE, DENSE_ROW, DEARER = 1.0, 6.0, 2.0


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


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
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


# one cell of the sparse road: a line of the cache
M, V, HIGH, LOW, PEAK, FAR, BENT, PULSES, UP, DOWN, TOP, BOTTOM, LOWER, UPPER, BASE = range(15)


@kernel(fastmath=CONTRACT)
def _enter(r, j, w, e, cell):
    """Parameters and state of cell j of row r before its first pulse."""
    row, c = (0, 0) if e.up.size == 1 else (r, j)
    lower, upper, now = e.lower[row, c], e.upper[row, c], w[r, j]
    cell[UP], cell[DOWN], cell[LOWER], cell[UPPER] = e.up[row, c], e.down[row, c], lower, upper
    cell[TOP], cell[BOTTOM], cell[BASE] = e.top / upper, e.bottom / lower, f32(e.which[row, c])
    cell[M], cell[HIGH], cell[LOW] = now, now, now
    cell[V], cell[PEAK], cell[FAR], cell[BENT], cell[PULSES] = f32(0), f32(0), f32(0), f32(0), f32(0)


@kernel(fastmath=CONTRACT)
def _visit(cell, k, down, kind, std, value, rise, sds, sd_rise, origin, n):
    """k pulses in one direction on one cell."""
    i, t, scale = interval(cell[M], cell[TOP], cell[BOTTOM], origin, n)
    at = u32(i32(cell[BASE]) + i + (n + i32(1) if down else i32(0)))
    q, slope, sd = value[at] + t * rise[at], rise[at] * scale, f32(0)
    sd_slope = f32(0)
    if kind == MEASURED:
        sd, sd_slope = sds[at] + t * sd_rise[at], sd_rise[at] * scale
    up, fall = cell[UP], cell[DOWN]
    a, b = std * up, std * fall
    new, var, far, bend = advance(
        kind, std, k, down, cell[M], cell[V], up, fall, a * a, b * b, q, slope, sd, sd_slope
    )
    if kind == QUIET:
        new = min(max(new, cell[LOWER]), cell[UPPER])
    cell[M], cell[V] = new, var
    cell[HIGH], cell[LOW] = max(cell[HIGH], new), min(cell[LOW], new)
    cell[PEAK], cell[FAR] = max(cell[PEAK], var), max(cell[FAR], far)
    cell[BENT] = max(cell[BENT], bend)
    cell[PULSES] += k


@kernel(fastmath=CONTRACT)
def _leave(cell, z, kind, reach, need, zero, origin, n):
    """New weight of a cell, and whether it must be replayed instead."""
    sd = np.sqrt(cell[PEAK])
    fine = cell[HIGH] + Z * sd <= cell[UPPER] and cell[LOW] - Z * sd >= cell[LOWER] and cell[BENT] <= LIMIT
    again = not fine or beyond(
        kind, cell[HIGH], cell[LOW], sd, cell[FAR], cell[PULSES], cell[TOP], cell[BOTTOM], cell[BASE], reach,
        need, zero, origin, n,
    )  # fmt: skip
    noise = np.sqrt(cell[V]) * z if kind != QUIET else f32(0)
    return min(max(cell[M] + noise, cell[LOWER]), cell[UPPER]), again


@kernel(fastmath=CONTRACT)
def _sparse_row(r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, cells, own):
    """The sparse road: visit the x-lines that fire, then finish the cells that were touched."""
    z, ahead, seen, columns, _, _, _, _, todo = own
    value, rise, sd, sd_rise = e.value, e.rise, e.sd, e.sd_rise
    reach, need, zero = e.reach, e.need, e.zero
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
                if seen[j] == 0:
                    seen[j] = 1
                    columns[touched] = j
                    touched += 1
                    _enter(r, j, w, e, cells[j])
                _visit(cells[j], f32(n), down, kind, std, value, rise, sd, sd_rise, e.origin, e.n)
    if kind != QUIET:
        gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
    for i in range(touched):
        j = columns[i]
        seen[j] = 0
        new, again = _leave(cells[j], z[i], kind, reach, need, zero, e.origin, e.n)
        if again:
            for q in range(n_mine):
                todo[q] = train_count(xs, ds, mine[q], r, j)
            new = _replay(w[r, j], r, np.int64(j), todo, n_mine, e, kind, std, step, k0, k1, ahead)
        w[r, j] = new


@kernel()
def _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, rows, own):
    """The dense road: stream the whole row for every sample."""
    z, ahead, _, _, places, pairs, pair, _, todo = own
    prepare_row(r, e, kind, std, rows)
    start_row(w[r], rows)
    for i in range(n_mine):
        count_row(xs, mine[i], ds[0, mine[i], r], ds, r, rows.counts)
        collapse(kind, std, rows, places, pairs, pair, e)
    if kind != QUIET:
        gauss_row(r, step, k0, k1, z)
    if finish_row(kind, rows, z, e):
        for j in range(w.shape[1]):
            if rows.counts[j] != f32(0):
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
        a[10, :n], a[11, :n], a[12, :n], a[13, :n], a[14, :n], a[15, :n], a[16, :n], a[17, :n], a[18, :n],
        a[19, :n], a[20, :n], a[21, :n],
    )  # fmt: skip


@njit(inline="always")
def _lent(e):
    return Packed(
        lent(e.up), lent(e.down), lent(e.lower), lent(e.upper), lent(e.which), lent(e.value), lent(e.rise),
        lent(e.sd), lent(e.sd_rise), lent(e.line), lent(e.reach), lent(e.need), lent(e.zero),
        lent(e.steps), lent(e.cdf), e.top, e.bottom, e.origin, e.n, e.least_reach, e.least_zero,
    )  # fmt: skip


@kernel()
def _scratch(n, samples):
    z, ahead = np.empty(4 * ((n + 3) // 4), np.float32), np.empty(AHEAD, np.float32)
    seen, columns, places = np.zeros(n, np.uint8), np.empty(n, np.int32), np.empty(n, np.int32)
    mine, todo, pairs = np.empty(samples, np.int64), np.empty(samples, np.int64), np.empty(n, np.uint64)
    own = (z, ahead, seen, columns, places, pairs, pairs.view(np.float32), mine, todo)
    return scratch_rows(n, 22), np.empty((n, 16), np.float32), own


@kernel()
def rows_chunk(begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key):
    """Apply the trains of the live samples to rows begin ... end-1 of the weights."""
    flat, cells, own = _scratch(w.shape[1], max(n_live, 1))
    _rows(
        begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key[0],
        key[1], flat, cells, own,
    )  # fmt: skip


@kernel()
def _rows(
    begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, k0, k1, flat,
    cells, own,
):  # fmt: skip
    w, xs, ds, lines, n_lines = lent(w), lent(xs), lent(ds), lent(lines), lent(n_lines)
    on, live, e = lent(on), lent(live), _lent(e)
    own = (
        lent(own[0]), lent(own[1]), lent(own[2]), lent(own[3]), lent(own[4]), lent(own[5]), lent(own[6]),
        lent(own[7]), lent(own[8]),
    )  # fmt: skip
    ahead, mine, todo = own[1], own[7], own[8]
    n = w.shape[1]
    rows, cells = _rows_of(flat, n), lent(cells)
    for r in range(begin, end):
        n_mine, sparse = np.int64(0), 0.0
        for i in range(n_live):
            b, fires = live[i], np.int64(0)
            for q in range(ds.shape[0]):
                fires += np.int64(popcount(u32(ds[q, b, r] & LOW31)))
            if fires > 0:
                mine[n_mine] = b
                n_mine += 1
                sparse += DEARER * sparse_cost(b, fires, n_lines, on)
        if n_mine == 0:
            continue
        if by_pulse:
            for j in range(n):
                for q in range(n_mine):
                    todo[q] = train_count(xs, ds, mine[q], r, j)
                w[r, j] = _replay(w[r, j], r, j, todo, n_mine, e, kind, std, step, k0, k1, ahead)
        elif sparse < n * (n_mine * DENSE_SAMPLE + DENSE_ROW):
            _sparse_row(r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, cells, own)
        else:
            _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, rows, own)


@kernel()
def counts_rows(w, e, kind, std, by_pulse, counts, step, key):
    """Apply signed pulse counts (rows, cols), int64, to the weights."""
    flat, cells, own = _scratch(w.shape[1], 1)
    _counts(w, e, kind, std, by_pulse, counts, step, key[0], key[1], flat, cells, own)


@kernel()
def _counts(w, e, kind, std, by_pulse, counts, step, k0, k1, flat, cells, own):
    w, counts, e, one = lent(w), lent(counts), _lent(e), np.int64(1)
    z, ahead, columns, places = lent(own[0]), lent(own[1]), lent(own[3]), lent(own[4])
    pairs, pair = lent(own[5]), lent(own[6])
    value, rise, sd, sd_rise = e.value, e.rise, e.sd, e.sd_rise
    reach, need, zero = e.reach, e.need, e.zero
    n = w.shape[1]
    rows, cells = _rows_of(flat, n), lent(cells)
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
                    columns[touched] = j
                    touched += 1
                    _enter(r, j, w, e, cells[j])
                    _visit(cells[j], f32(abs(k)), k < 0, kind, std, value, rise, sd, sd_rise, e.origin, e.n)
            if kind != QUIET:
                gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
            for i in range(touched):
                j = np.int64(columns[i])
                new, again = _leave(cells[j], z[i], kind, reach, need, zero, e.origin, e.n)
                if again:
                    todo = counts[r, j : j + 1]
                    new = _replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                w[r, j] = new
        else:
            prepare_row(r, e, kind, std, rows)
            start_row(w[r], rows)
            for j in range(n):
                rows.counts[j] = f32(counts[r, j])
            collapse(kind, std, rows, places, pairs, pair, e)
            if kind != QUIET:
                gauss_row(r, step, k0, k1, z)
            finish_row(kind, rows, z, e)
            for j in range(n):
                if rows.counts[j] != f32(0):
                    todo = counts[r, j : j + 1]
                    w[r, j] = _replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                else:
                    w[r, j] = rows.m[j]
