"""Rows of tabulated elements in Numba: the sparse and the dense road, pulse counts."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .affine import LOW31, QUIET
from .affine_counts import FEW_COUNTS
from .affine_rows import AHEAD, sparse_cost, train_count
from .math import CONTRACT, UPDATE_NOISE, gauss_list, gauss_row, kernel, lent, popcount
from .tables import BASE, BOTTOM, MEASURED, TOP, VALUES, M, U
from .tables_cells import (
    DRAWN,
    TOUCHED,
    draw,
    enter,
    few_pulses,
    first_draws,
    leave,
    lend,
    replay,
    visit,
)
from .tables_dense import (
    BLOCK,
    CHUNK,
    COUNT,
    STRIDE,
    bad_cell,
    begin,
    block,
    collapse,
    end,
    finish,
    row,
    start,
)
from .tables_segments import expand, take_runs

__all__ = ["counts_rows", "rows_chunk"]

i32, u32, f32 = np.int32, np.uint32, np.float32

#: measured costs in ns, as in `cpu_rows`; how much dearer an event of the sparse road is here than there;
#: and how much dearer the dense road is for measured elements
DENSE_SAMPLE, DENSE_ROW, DEARER, DEARER_MEASURED = 1.0, 6.0, 1.3, 4.5


@njit(inline="always")
def _lent_own(own):
    return (
        lent(own[0]), lent(own[1]), lent(own[2]), lent(own[3]), lent(own[4]), lent(own[5]), lent(own[6]),
        lent(own[7]), lent(own[8]), lent(own[9]), lent(own[10]),
    )  # fmt: skip


@kernel(fastmath=CONTRACT)
def _sparse_row(
    r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, cells, own
):  # fmt: skip
    """The sparse road: visit the x-lines that fire, then finish the cells that were touched."""
    w, xs, ds, lines, e, cells = lent(w), lent(xs), lent(ds), lent(lines), lend(e), lent(cells)
    z, ahead, seen, columns, drawn, _, todo, _, event_cell, event_count, s = _lent_own(own)
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
                    enter(r, j, w, e, cells[j])
                    if kind != MEASURED:
                        expand(cells[j], 0, 1, kind, std, e.curve, e.origin, e.n)
                if kind == MEASURED:  # how they are made depends on how many they are
                    event_cell[events], event_count[events] = j, -n if down else n
                    cells[j, U] += f32(n)
                    events += 1
                else:
                    visit(cells[j], f32(n), down, kind, std, e)
    if kind == MEASURED:
        few = 0
        for i in range(touched):
            j = columns[i]
            cell = cells[j]
            if few_pulses(cell[U], cell[M], cell[TOP], cell[BOTTOM], cell[BASE], e):
                drawn[few] = j
                few += 1
                seen[j] = DRAWN
            else:
                expand(cell, 0, 1, kind, std, e.curve, e.origin, e.n)
        for i in range(0, few, STRIDE):
            first_draws(r, step, k0, k1, drawn[i : min(i + STRIDE, few)], s[U * STRIDE :], cells)
        for i in range(events):
            j, k = event_cell[i], event_count[i]
            if seen[j] == DRAWN:
                draw(cells[j], r, j, k, e, step, k0, k1)
            else:
                visit(cells[j], f32(abs(k)), k < 0, kind, std, e)
        for i in range(few):
            w[r, drawn[i]], seen[drawn[i]] = cells[drawn[i], M], 0
        rest = 0
        for i in range(touched):
            j = columns[i]
            columns[rest] = j
            rest += 1 if seen[j] != 0 else 0
        touched = rest
    if kind != QUIET:
        gauss_list(r, touched, z.shape[0] // 4, step, UPDATE_NOISE, k0, k1, columns, z)
    for i in range(touched):
        j = columns[i]
        seen[j] = 0
        new, again = leave(cells[j], z[i], kind)
        if again:
            for q in range(n_mine):
                todo[q] = train_count(xs, ds, mine[q], r, j)
            new = replay(w[r, j], r, np.int64(j), todo, n_mine, e, kind, std, step, k0, k1, ahead)
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
def _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, cells, own):
    """The dense road: stream the row for every sample, so many cells at a time as the cache holds."""
    z = own[0]
    if kind != QUIET:
        gauss_row(r, step, UPDATE_NOISE, k0, k1, z)
    for first in range(0, w.shape[1], BLOCK):
        n = min(BLOCK, w.shape[1] - first)
        _dense_block(r, first, n, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, cells, own)


@kernel()
def _dense_block(r, first, n, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, cells, own):
    w, xs, ds, mine, e, cells = lent(w), lent(xs), lent(ds), lent(mine), lend(e), lent(cells)
    z, ahead, _, columns, places, _, todo, counts, _, _, s = _lent_own(own)
    few, many = 0, 0
    weights, count, mean = w[r, first : first + n], row(s, COUNT, n), row(s, M, n)
    start(r, first, weights, e, kind, std, s, places)
    if kind == MEASURED:
        totals, top, bottom, base = count, row(s, TOP, n), row(s, BOTTOM, n), row(s, BASE, n)
        for i in range(n_mine):
            _count_block(xs, ds, mine[i], r, first, counts[i, :n])
        _totals(counts, n_mine, totals)
        for j in range(n):
            if totals[j] != f32(0):
                columns[few] = first + j
                one = few_pulses(totals[j], mean[j], top[j], bottom[j], base[j], e)
                few += 1 if one else 0
                many += 0 if one else 1
        _drawn_cells(r, first, w, e, counts, n_mine, step, k0, k1, columns[:few], s[U * STRIDE :], cells)
    if kind != MEASURED or many > 0:
        chunk = 1 if kind == MEASURED else CHUNK  # whose reach is short
        for i in range(n_mine):
            if kind == MEASURED:
                one = counts[i]
                for j in range(n):
                    count[j] = one[j]
            else:
                _count_block(xs, ds, mine[i], r, first, count)
            if i % chunk == 0:
                begin(s, n)
            collapse(kind, std, s, n)
            if (i % chunk == chunk - 1 or i == n_mine - 1) and end(s, n):
                done = i - i % chunk
                _mend(r, first, n, e, kind, std, xs, ds, mine[done : i + 1], s)
    some = finish(kind, s, n, z[first:])
    for i in range(few):
        j = columns[i] - first
        mean[j], count[j] = cells[columns[i], M], f32(0)
    if some:
        for j in range(n):
            if count[j] != f32(0):
                for q in range(n_mine):
                    todo[q] = train_count(xs, ds, mine[q], r, first + j)
                mean[j] = replay(
                    weights[j], r, first + j, todo, n_mine, e, kind, std, step, k0, k1, ahead
                )  # fmt: skip
    for j in range(n):
        weights[j] = mean[j]


@kernel()
def _mend(r, first, n, e, kind, std, xs, ds, mine, s):
    """Take anew, run by run, the chunk `mine` of samples on the cells of a block that need it."""
    xs, ds, mine, e, s = lent(xs), lent(ds), lent(mine), lend(e), lent(s)
    for j in range(n):
        if bad_cell(s, j):
            for q in range(mine.shape[0]):
                k = f32(train_count(xs, ds, mine[q], r, first + j))
                take_runs(kind, std, k, s, j, STRIDE, e.curve, e.origin, e.n)


@kernel()
def _drawn_cells(r, first, w, e, counts, n_mine, step, k0, k1, columns, s, cells):
    """All pulses of the listed cells, each drawn; the samples in the outer loop, so that cells overlap."""
    w, e, counts, columns, cells = lent(w), lend(e), lent(counts), lent(columns), lent(cells)
    few = columns.shape[0]
    for i in range(few):
        enter(r, columns[i], w, e, cells[columns[i]])
    first_draws(r, step, k0, k1, columns, s, cells)
    for b in range(n_mine):
        for i in range(few):
            j = columns[i]
            k = i32(counts[b, j - first])
            if k != i32(0):
                draw(cells[j], r, j, k, e, step, k0, k1)


@kernel()
def _scratch(n, samples, kind):
    z, ahead = np.empty(4 * ((n + 3) // 4), np.float32), np.empty(AHEAD, np.float32)
    seen, columns, places = np.zeros(n, np.uint8), np.empty(n, np.int32), np.empty(n, np.int32)
    mine, todo = np.empty(samples, np.int64), np.empty(samples, np.int64)
    most = n * samples if kind == MEASURED else 0
    counts = np.empty((most // n, min(n, BLOCK)), np.float32)
    event_cell, event_count = np.empty(most, np.int32), np.empty(most, np.int32)
    own = (z, ahead, seen, columns, places, mine, todo, counts, event_cell, event_count, block())
    return np.empty((n, VALUES), np.float32), own


@kernel()
def rows_chunk(begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key):
    """Apply the trains of the live samples to rows begin ... end-1 of the weights."""
    cells, own = _scratch(w.shape[1], max(n_live, 1), kind)
    _rows(
        begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, key[0],
        key[1], cells, own,
    )  # fmt: skip


@kernel()
def _rows(
    begin, end, w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step, k0, k1, cells, own
):  # fmt: skip
    w, xs, ds, lines, n_lines = lent(w), lent(xs), lent(ds), lent(lines), lent(n_lines)
    on, live, e, cells = lent(on), lent(live), lend(e), lent(cells)
    own = _lent_own(own)
    ahead, mine, todo = own[1], own[5], own[6]
    n = w.shape[1]
    dearer = DEARER_MEASURED if kind == MEASURED else 1.0
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
                w[r, j] = replay(w[r, j], r, j, todo, n_mine, e, kind, std, step, k0, k1, ahead)
        elif sparse < n * (n_mine * (dearer * DENSE_SAMPLE) + DENSE_ROW):
            _sparse_row(r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, cells, own)
        else:
            _dense_row(r, w, e, kind, std, xs, ds, mine, n_mine, step, k0, k1, cells, own)


@kernel()
def counts_rows(w, e, kind, std, by_pulse, counts, step, key):
    """Apply signed pulse counts (rows, cols), int64, to the weights."""
    cells, own = _scratch(w.shape[1], 1, kind)
    _counts(w, e, kind, std, by_pulse, counts, step, key[0], key[1], cells, own)


@kernel()
def _counts(w, e, kind, std, by_pulse, counts, step, k0, k1, cells, own):
    w, counts, e, cells, one = lent(w), lent(counts), lend(e), lent(cells), np.int64(1)
    z, ahead, _, columns, _, _, _, _, _, _, _ = _lent_own(own)
    n = w.shape[1]
    for r in range(w.shape[0]):
        busy = 0
        for j in range(n):
            if counts[r, j] != 0:
                columns[busy] = j
                busy += 1
        if busy == 0:
            continue
        if by_pulse:
            for j in range(n):
                w[r, j] = replay(w[r, j], r, j, counts[r, j : j + 1], one, e, kind, std, step, k0, k1, ahead)
        elif busy * FEW_COUNTS < n:
            if kind != QUIET:
                gauss_list(r, busy, z.shape[0] // 4, step, UPDATE_NOISE, k0, k1, columns, z)
            for i in range(busy):
                j = np.int64(columns[i])
                cell, k = cells[j], counts[r, j]
                enter(r, j, w, e, cell)
                drawn = kind == MEASURED and few_pulses(
                    abs(k), cell[M], cell[TOP], cell[BOTTOM], cell[BASE], e
                )  # fmt: skip
                if not drawn:
                    expand(cell, 0, 1, kind, std, e.curve, e.origin, e.n)
                    visit(cell, f32(abs(k)), k < 0, kind, std, e)
                    new, drawn = leave(cell, z[i], kind)
                if drawn:
                    new = replay(
                        w[r, j], r, j, counts[r, j : j + 1], one, e, kind, std, step, k0, k1, ahead
                    )  # fmt: skip
                w[r, j] = new
        else:
            if kind != QUIET:
                gauss_row(r, step, UPDATE_NOISE, k0, k1, z)
            for first in range(0, n, BLOCK):
                n_block = min(BLOCK, n - first)
                _counts_block(r, first, n_block, w, e, kind, std, counts, step, k0, k1, own)


@kernel()
def _counts_block(r, first, n, w, e, kind, std, counts, step, k0, k1, own):
    w, counts, e, one = lent(w), lent(counts), lend(e), np.int64(1)
    z, ahead, _, _, places, _, _, _, _, _, s = _lent_own(own)
    weights, count, mean, base = w[r, first : first + n], row(s, COUNT, n), row(s, M, n), row(s, BASE, n)
    top, bottom = row(s, TOP, n), row(s, BOTTOM, n)
    start(r, first, weights, e, kind, std, s, places)
    for j in range(n):
        count[j] = f32(counts[r, first + j])
    begin(s, n)
    collapse(kind, std, s, n)
    if end(s, n):
        for j in range(n):
            if bad_cell(s, j):
                k = f32(counts[r, first + j])
                take_runs(kind, std, k, s, j, STRIDE, e.curve, e.origin, e.n)
    some = finish(kind, s, n, z[first:])
    for j in range(n):
        at = first + j
        drawn = kind == MEASURED and few_pulses(
            abs(counts[r, at]), weights[j], top[j], bottom[j], base[j], e
        )  # fmt: skip
        if drawn or (some and count[j] != f32(0)):
            mean[j] = replay(
                weights[j], r, at, counts[r, at : at + 1], one, e, kind, std, step, k0, k1, ahead
            )  # fmt: skip
    for j in range(n):
        weights[j] = mean[j]
