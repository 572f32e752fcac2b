"""Rows of tabulated elements in Numba: the sparse and the dense road, pulse counts."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import LOW31, QUIET, gauss_row, scratch_rows
from .cpu_given import FEW_COUNTS
from .cpu_math import CONTRACT, kernel, lent, popcount
from .cpu_rows import AHEAD, gauss_list, sparse_cost, train_count
from .cpu_table import MEASURED, Rows
from .cpu_table_cells import (
    BASE,
    BOTTOM,
    DRAWN,
    TOP,
    TOUCHED,
    M,
    U,
    draw,
    enter,
    few_pulses,
    first_draws,
    leave,
    lend,
    replay,
    visit,
)
from .cpu_table_dense import collapse, finish_row, prepare_row, start_row

__all__ = ["counts_rows", "rows_chunk"]

i32, u32, f32 = np.int32, np.uint32, np.float32

#: measured costs in ns, as in `cpu_rows`; how much dearer an event of the sparse road is here than there;
#: and how much dearer the dense road is for measured elements
DENSE_SAMPLE, DENSE_ROW, DEARER, DEARER_MEASURED = 1.0, 6.0, 1.3, 4.5
#: cells of a row that the dense road takes at a time
BLOCK = 256


@njit(inline="always")
def _rows_of(flat, n):
    """The scratch rows of n cells, lent."""
    a = lent(flat)
    return Rows(
        a[0, :n], a[1, :n], a[2, :n], a[3, :n], a[4, :n], a[5, :n], a[6, :n], a[7, :n], a[8, :n], a[9, :n],
        a[10, :n], a[11, :n], a[12, :n], a[13, :n], a[14, :n], a[15, :n], a[16, :n], a[17, :n], a[18, :n],
    )  # fmt: skip


@njit(inline="always")
def _lent_own(own):
    return (
        lent(own[0]), lent(own[1]), lent(own[2]), lent(own[3]), lent(own[4]), lent(own[5]), lent(own[6]),
        lent(own[7]), lent(own[8]), lent(own[9]), lent(own[10]), lent(own[11]),
    )  # fmt: skip


@kernel(fastmath=CONTRACT)
def _sparse_row(
    r, w, e, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1, rows, cells, own
):  # fmt: skip
    """The sparse road: visit the x-lines that fire, then finish the cells that were touched."""
    w, xs, ds, lines, e, cells = lent(w), lent(xs), lent(ds), lent(lines), lend(e), lent(cells)
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
                    enter(r, j, w, e, cells[j])
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
        first_draws(r, few, step, k0, k1, drawn, rows, cells)
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
        gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
    for i in range(touched):
        j = columns[i]
        seen[j] = 0
        new, again = leave(cells[j], z[i], kind, e)
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
    w, xs, ds, mine, e, cells = lent(w), lent(xs), lent(ds), lent(mine), lend(e), lent(cells)
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
                one = few_pulses(rows.room[j], rows.m[j], rows.top[j], rows.bottom[j], rows.base[j], e)
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
                rows.m[j] = replay(row[j], r, at, todo, n_mine, e, kind, std, step, k0, k1, ahead)
    for j in range(n):
        row[j] = rows.m[j]


@kernel()
def _drawn_cells(r, first, w, e, counts, n_mine, step, k0, k1, few, columns, rows, cells):
    """All pulses of the listed cells, each drawn; the samples in the outer loop, so that cells overlap."""
    w, e, counts, columns, cells = lent(w), lend(e), lent(counts), lent(columns), lent(cells)
    for i in range(few):
        enter(r, columns[i], w, e, cells[columns[i]])
    first_draws(r, few, step, k0, k1, columns, rows, cells)
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
    on, live, e = lent(on), lent(live), lend(e)
    own = _lent_own(own)
    ahead, mine, todo = own[1], own[7], own[8]
    n = w.shape[1]
    rows, cells = _rows_of(flat, n), lent(cells)
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
    w, counts, e, one = lent(w), lent(counts), lend(e), np.int64(1)
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
                w[r, j] = replay(w[r, j], r, j, counts[r, j : j + 1], one, e, kind, std, step, k0, k1, ahead)
        elif busy * FEW_COUNTS < n:
            touched = 0
            for j in range(n):
                k = counts[r, j]
                if k != 0:
                    columns[touched] = j
                    touched += 1
                    enter(r, j, w, e, cells[j])
                    visit(cells[j], f32(abs(k)), k < 0, kind, std, e)
            if kind != QUIET:
                gauss_list(r, touched, z.shape[0] // 4, step, k0, k1, columns, z)
            for i in range(touched):
                j = np.int64(columns[i])
                cell = cells[j]
                new, again = leave(cell, z[i], kind, e)
                if kind == MEASURED and not again:
                    again = few_pulses(abs(counts[r, j]), w[r, j], cell[TOP], cell[BOTTOM], cell[BASE], e)
                if again:
                    todo = counts[r, j : j + 1]
                    new = replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
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
                few = kind == MEASURED and few_pulses(
                    abs(counts[r, j]), w[r, j], rows.top[j], rows.bottom[j], rows.base[j], e
                )
                if few or rows.counts[j] != f32(0):
                    todo = counts[r, j : j + 1]
                    w[r, j] = replay(w[r, j], r, j, todo, one, e, kind, std, step, k0, k1, ahead)
                else:
                    w[r, j] = rows.m[j]
