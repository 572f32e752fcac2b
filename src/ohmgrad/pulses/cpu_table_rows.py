"""Rows of tabulated elements in Numba: replay, the sparse and the dense road, pulse counts."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, LOW31, MULTIPLICATIVE, QUIET, Z, gauss_row, scratch_rows
from .cpu_math import CONTRACT, kernel, lent, philox, popcount
from .cpu_rows import AHEAD, FEW_COUNTS, gauss_list, gauss_pulses, sparse_cost, train_count
from .cpu_table import MEASURED, SIGMAS, Packed, Rows, advance, beyond, interval, run, single
from .cpu_table_dense import collapse, finish_row, prepare_row, start_row

__all__ = ["counts_rows", "rows_chunk"]

u32, i32, f32 = np.uint32, np.int32, np.float32

MEASURED_STEP = 31  # ohmgrad.rng.Purpose
#: measured costs in ns, as in `cpu_rows`; and how much dearer an event of the sparse road is here than there
DENSE_SAMPLE, DENSE_ROW, DEARER = 1.0, 6.0, 1.3


# A function that is not inlined lends anew what it passes on: else every call counts the references
# of all arrays in it, which takes as long as the work.


@njit(inline="always")
def _rows_of(flat, n):
    """The scratch rows of n cells, lent."""
    a = lent(flat)
    return Rows(
        a[0, :n], a[1, :n], a[2, :n], a[3, :n], a[4, :n], a[5, :n], a[6, :n], a[7, :n], a[8, :n], a[9, :n],
        a[10, :n], a[11, :n], a[12, :n], a[13, :n], a[14, :n], a[15, :n], a[16, :n], a[17, :n], a[18, :n],
    )  # fmt: skip


@njit(inline="always")
def _lent(e):
    return Packed(
        lent(e.up), lent(e.down), lent(e.lower), lent(e.upper), lent(e.which), lent(e.value), lent(e.rise),
        lent(e.sd), lent(e.sd_rise), lent(e.line), lent(e.room), lent(e.reach), lent(e.need),
        lent(e.steps), lent(e.cdf), e.top, e.bottom, e.origin, e.n, e.even, e.least_reach, e.most_value,
        e.most_rise,
    )  # fmt: skip


@njit(inline="always")
def _lent_own(own):
    return (
        lent(own[0]), lent(own[1]), lent(own[2]), lent(own[3]), lent(own[4]), lent(own[5]), lent(own[6]),
        lent(own[7]), lent(own[8]), lent(own[9]), lent(own[10]), lent(own[11]),
    )  # fmt: skip


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
def _drawn(steps, cdf, even, i, t, u):
    """Step at interval i, part t, and probability u: bilinear. steps: (levels, nodes)."""
    last = cdf.shape[0] - 1
    if even:
        place = u * f32(last)
        low = min(np.int64(place), last - 1)
        high, s = low + 1, place - f32(low)
    else:
        low, high = 0, last
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
    e, z = _lent(e), lent(z)
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
                dw = size * _drawn(e.steps[device, way], e.cdf, e.even, place, t, z[at])
            else:
                dw = size * (e.value[first + place] + t * e.rise[first + place])
                if kind == ADDITIVE:
                    dw += std * abs(size) * z[at]
                elif kind == MULTIPLICATIVE:
                    dw += std * dw * z[at]
            w = min(max(w + dw, lower), upper)
            index += 1
    return w


# one cell of the sparse road: a line of the cache. U: its next four uniform numbers, if it is measured and
# drawn pulse by pulse (until then its pulses); V is then the number of pulses it has had
M, V, HIGH, LOW, PEAK, UP, DOWN, TOP, BOTTOM, LOWER, UPPER, BASE, U = range(13)
TOUCHED, DRAWN = 1, 2
#: cells of a row that the dense road takes at a time
BLOCK = 256


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _enter(r, j, w, e, cell):
    """Parameters and state of cell j of row r before its first pulse."""
    row, c = (0, 0) if e.up.size == 1 else (r, j)
    lower, upper, now = e.lower[row, c], e.upper[row, c], w[r, j]
    cell[UP], cell[DOWN], cell[LOWER], cell[UPPER] = e.up[row, c], e.down[row, c], lower, upper
    cell[TOP], cell[BOTTOM], cell[BASE] = e.top / upper, e.bottom / lower, f32(e.which[row, c])
    cell[M], cell[HIGH], cell[LOW] = now, now, now
    cell[V], cell[PEAK], cell[U] = f32(0), f32(0), f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _visit(cell, k, down, kind, std, e):
    """k pulses in one direction on one cell."""
    top, bottom, m, v = cell[TOP], cell[BOTTOM], cell[M], cell[V]
    size = -cell[DOWN] if down else cell[UP]
    first = i32(i32(cell[BASE]) + (e.n + i32(1) if down else i32(0)))
    noise = (std * size) * (std * size)
    while True:
        i, t, here = interval(m, top, bottom, e.origin, e.n)
        at = u32(first + i)
        rise = e.rise[at]
        q, slope, jump = e.value[at] + t * rise, rise * here, rise * (top + bottom - here - here)
        sd, sd_slope = f32(0), f32(0)
        if kind == MEASURED:
            sd, sd_slope = e.sd[at] + t * e.sd_rise[at], e.sd_rise[at] * here
        if k == f32(1):
            m, v = single(kind, std, size, m, v, noise, q, slope, jump, sd, sd_slope)
            n = k
        else:
            n = min(k, run(kind, std, size * q, size * slope * f32(-1), e.room[at], max(top, bottom)))
            m, v = advance(kind, std, n, size, m, v, noise, q, slope, jump, sd, sd_slope)
        if kind == QUIET:
            m = min(max(m, cell[LOWER]), cell[UPPER])
        cell[HIGH], cell[LOW], cell[PEAK] = max(cell[HIGH], m), min(cell[LOW], m), max(cell[PEAK], v)
        k -= n
        if k == f32(0):
            break
    cell[M], cell[V] = m, v


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _leave(cell, z, kind, e):
    """New weight of a cell, and whether it must be replayed instead."""
    if kind == QUIET:
        return cell[M], False
    sd, top, bottom = np.sqrt(cell[PEAK]), cell[TOP], cell[BOTTOM]
    again = not (cell[HIGH] + Z * sd <= cell[UPPER] and cell[LOW] - Z * sd >= cell[LOWER])
    if not (again or SIGMAS * sd * max(top, bottom) <= e.least_reach):
        again = beyond(cell[HIGH], cell[LOW], sd, top, bottom, cell[BASE], e.reach, e.origin, e.n)
    return min(max(cell[M] + np.sqrt(cell[V]) * z, cell[LOWER]), cell[UPPER]), again


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _few(pulses, w, top, bottom, base, e):
    """Whether so many pulses of a measured cell at w have no Gaussian sum."""
    i, _, _ = interval(w, top, bottom, e.origin, e.n)
    return not pulses >= e.need[i32(base) // i32(2 * (e.n + i32(1))), i]


@kernel()
def _uniform_list(r, n, step, k0, k1, columns, a, b, c, d):
    """Uniform numbers of the first four pulses of the listed cells."""
    for i in range(n):
        p, q, s, t = philox(u32(columns[i]), u32(r), step, u32(MEASURED_STEP), k0, k1)
        a[i], b[i], c[i], d[i] = _unit(p), _unit(q), _unit(s), _unit(t)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _draw(cell, r, j, k, e, step, k0, k1):
    """k signed pulses of a measured cell, each drawn."""
    way = 1 if k < 0 else 0
    size = -cell[DOWN] if way else cell[UP]
    base, w, index = i32(cell[BASE]), cell[M], i32(cell[V])
    steps = e.steps[base // i32(2 * (e.n + i32(1))), way]
    for _ in range(abs(k)):
        at = index & i32(3)
        if at == 0 and index != 0:
            _uniform_pulses(r, j, index // 4, 1, step, k0, k1, cell[U : U + 4])
        i, t, _ = interval(w, cell[TOP], cell[BOTTOM], e.origin, e.n)
        w += size * _drawn(steps, e.cdf, e.even, i, t, cell[U + at])
        w = min(max(w, cell[LOWER]), cell[UPPER])
        index += i32(1)
    cell[M], cell[V] = w, f32(index)


@kernel()
def _first_draws(r, n, step, k0, k1, columns, rows, cells):
    """Make the n listed cells ready to be drawn pulse by pulse."""
    cells = lent(cells)
    a, b, c, d = rows.part, rows.rate, rows.sd, rows.sd_slope
    _uniform_list(r, n, step, k0, k1, columns, a, b, c, d)
    for i in range(n):
        cell = cells[columns[i]]
        cell[V], cell[U], cell[U + 1], cell[U + 2], cell[U + 3] = f32(0), a[i], b[i], c[i], d[i]


@kernel(fastmath=CONTRACT)
def _sparse_row(
    r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, rows, cells, own
):  # fmt: skip
    """The sparse road: visit the x-lines that fire, then finish the cells that were touched."""
    w, xs, ds, lines, e, cells = lent(w), lent(xs), lent(ds), lent(lines), _lent(e), lent(cells)
    z, ahead, seen, columns, drawn, _, _, _, todo, _, event_cell, event_count = _lent_own(own)
    one_word = xs.shape[0] == 1
    touched, events = 0, 0
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
                    seen[j] = TOUCHED
                    columns[touched] = j
                    touched += 1
                    _enter(r, j, w, e, cells[j])
                if kind == MEASURED:  # how they are made depends on how many they are
                    event_cell[events], event_count[events] = j, -n if down else n
                    cells[j, U] += f32(n)
                    events += 1
                else:
                    _visit(cells[j], f32(n), down, kind, std, e)
    if kind == MEASURED:
        few = 0
        for i in range(touched):
            j = columns[i]
            cell = cells[j]
            if _few(cell[U], cell[M], cell[TOP], cell[BOTTOM], cell[BASE], e):
                drawn[few] = j
                few += 1
                seen[j] = DRAWN
        _first_draws(r, few, step, k0, k1, drawn, rows, cells)
        for i in range(events):
            j, k = event_cell[i], event_count[i]
            if seen[j] == DRAWN:
                _draw(cells[j], r, j, k, e, step, k0, k1)
            else:
                _visit(cells[j], f32(abs(k)), k < 0, kind, std, e)
        for i in range(few):
            w[r, drawn[i]], seen[drawn[i]] = cells[drawn[i], M], 0
        rest = 0
        for i in range(touched):
            j = columns[i]
            columns[rest] = j
            rest += 1 if seen[j] != 0 else 0
        touched = rest
    if kind != QUIET:
        gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
    for i in range(touched):
        j = columns[i]
        seen[j] = 0
        new, again = _leave(cells[j], z[i], kind, e)
        if again:
            for q in range(n_mine):
                todo[q] = train_count(xs, ds, mine[q], r, j)
            new = _replay(w[r, j], r, np.int64(j), todo, n_mine, e, kind, std, step, k0, k1, ahead)
        w[r, j] = new


@kernel()
def _totals(counts, n_mine, totals):
    """Pulses of every cell of a row over its samples."""
    totals[:] = f32(0)
    for i in range(n_mine):
        one = counts[i, : totals.shape[0]]
        for j in range(totals.shape[0]):
            totals[j] += abs(one[j])


@kernel()
def _count_block(xs, ds, b, r, first, count):
    """As `cpu_dense.count_row`, of the cells from `first` on."""
    n = count.shape[0]
    count[:] = f32(0)
    for q in range(xs.shape[0]):
        word, line = ds[q, b, r], xs[q, b, first : first + n]
        for j in range(n):
            k = f32(i32(popcount(u32(u32(line[j] & word) & LOW31))))
            count[j] += -k if i32(line[j] ^ word) < i32(0) else k


@njit(inline="always")
def _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, flat, cells, own):
    """The dense road: stream the row for every sample, so many cells at a time as the cache holds."""
    z = own[0]
    if kind != QUIET:
        gauss_row(r, step, k0, k1, z)
    for first in range(0, w.shape[1], BLOCK):
        n = min(BLOCK, w.shape[1] - first)
        _dense_block(r, first, n, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, flat, cells, own)


@kernel()
def _dense_block(r, first, n, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, flat, cells, own):
    w, xs, ds, mine, e, cells = lent(w), lent(xs), lent(ds), lent(mine), _lent(e), lent(cells)
    z, ahead, _, columns, places, pairs, pair, _, todo, counts, _, _ = _lent_own(own)
    z, places, pairs, pair = z[first:], places[:n], pairs[:n], pair[: 2 * n]
    rows, few, many, row = _rows_of(flat, n), 0, 0, w[r, first : first + n]
    prepare_row(r, first, e, kind, std, rows)
    start_row(row, rows)
    if kind == MEASURED:
        for i in range(n_mine):
            _count_block(xs, ds, mine[i], r, first, counts[i, :n])
        _totals(counts, n_mine, rows.room)
        for j in range(n):
            if rows.room[j] != f32(0):
                columns[few] = first + j
                one = _few(rows.room[j], rows.m[j], rows.top[j], rows.bottom[j], rows.base[j], e)
                few += 1 if one else 0
                many += 0 if one else 1
        _drawn_cells(r, first, w, e, counts, n_mine, step, k0, k1, few, columns, rows, cells)
    if kind != MEASURED or many > 0:
        for i in range(n_mine):
            if kind == MEASURED:
                rows.counts[:] = counts[i, :n]
            else:
                _count_block(xs, ds, mine[i], r, first, rows.counts)
            collapse(kind, std, rows, places, pairs, pair, e)
    again = finish_row(kind, rows, z, e)
    for i in range(few):
        j = columns[i] - first
        rows.m[j], rows.counts[j] = cells[columns[i], M], f32(0)
    if again:
        for j in range(n):
            if rows.counts[j] != f32(0):
                at = first + j
                for q in range(n_mine):
                    todo[q] = train_count(xs, ds, mine[q], r, at)
                rows.m[j] = _replay(row[j], r, at, todo, n_mine, e, kind, std, step, k0, k1, ahead)
    for j in range(n):
        row[j] = rows.m[j]


@kernel()
def _drawn_cells(r, first, w, e, counts, n_mine, step, k0, k1, few, columns, rows, cells):
    """All pulses of the listed cells, each drawn; the samples in the outer loop, so that cells overlap."""
    w, e, counts, columns, cells = lent(w), _lent(e), lent(counts), lent(columns), lent(cells)
    for i in range(few):
        _enter(r, columns[i], w, e, cells[columns[i]])
    _first_draws(r, few, step, k0, k1, columns, rows, cells)
    for b in range(n_mine):
        for i in range(few):
            j = columns[i]
            k = i32(counts[b, j - first])
            if k != i32(0):
                _draw(cells[j], r, j, k, e, step, k0, k1)


@kernel()
def _scratch(n, samples, kind):
    z, ahead = np.empty(4 * ((n + 3) // 4), np.float32), np.empty(AHEAD, np.float32)
    seen, columns, places = np.zeros(n, np.uint8), np.empty(n, np.int32), np.empty(n, np.int32)
    mine, todo, pairs = np.empty(samples, np.int64), np.empty(samples, np.int64), np.empty(n, np.uint64)
    most = n * samples if kind == MEASURED else 0
    counts = np.empty((most // n, min(n, BLOCK)), np.float32)
    event_cell, event_count = np.empty(most, np.int32), np.empty(most, np.int32)
    own = (
        z, ahead, seen, columns, places, pairs, pairs.view(np.float32), mine, todo, counts, event_cell,
        event_count,
    )  # fmt: skip
    return scratch_rows(n, 19), np.empty((n, 16), np.float32), own


@kernel()
def rows_chunk(begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key):
    """Apply the trains of the live samples to rows begin ... end-1 of the weights."""
    flat, cells, own = _scratch(w.shape[1], max(n_live, 1), kind)
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
    own = _lent_own(own)
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
            _sparse_row(
                r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, rows, cells, own
            )
        else:
            _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, flat, cells, own)


@kernel()
def counts_rows(w, e, kind, std, by_pulse, counts, step, key):
    """Apply signed pulse counts (rows, cols), int64, to the weights."""
    flat, cells, own = _scratch(w.shape[1], 1, kind)
    _counts(w, e, kind, std, by_pulse, counts, step, key[0], key[1], flat, cells, own)


@kernel()
def _counts(w, e, kind, std, by_pulse, counts, step, k0, k1, flat, cells, own):
    w, counts, e, one = lent(w), lent(counts), _lent(e), np.int64(1)
    z, ahead, columns, places = lent(own[0]), lent(own[1]), lent(own[3]), lent(own[4])
    pairs, pair = lent(own[5]), lent(own[6])
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
                    _visit(cells[j], f32(abs(k)), k < 0, kind, std, e)
            if kind != QUIET:
                gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
            for i in range(touched):
                j = np.int64(columns[i])
                cell = cells[j]
                new, again = _leave(cell, z[i], kind, e)
                if kind == MEASURED and not again:
                    again = _few(abs(counts[r, j]), w[r, j], cell[TOP], cell[BOTTOM], cell[BASE], e)
                if again:
                    todo = counts[r, j : j + 1]
                    new = _replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                w[r, j] = new
        else:
            prepare_row(r, 0, e, kind, std, rows)
            start_row(w[r], rows)
            for j in range(n):
                rows.counts[j] = f32(counts[r, j])
            collapse(kind, std, rows, places, pairs, pair, e)
            if kind != QUIET:
                gauss_row(r, step, k0, k1, z)
            finish_row(kind, rows, z, e)
            for j in range(n):
                few = kind == MEASURED and _few(
                    abs(counts[r, j]), w[r, j], rows.top[j], rows.bottom[j], rows.base[j], e
                )
                if few or rows.counts[j] != f32(0):
                    todo = counts[r, j : j + 1]
                    w[r, j] = _replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                else:
                    w[r, j] = rows.m[j]
