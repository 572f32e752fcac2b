"""One row of the array in Numba: the dense and the sparse road, and the replay near bounds."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .affine import (
    ADDITIVE,
    LOW31,
    MULTIPLICATIVE,
    QUIET,
    Z,
    collapse,
    count_row,
    far_bound,
    finish_row,
    flag_coarse,
    growth,
    is_coarse,
    prepare_row,
    scratch_rows,
    start_row,
    stationary,
)
from .math import (
    CONTRACT,
    UPDATE_NOISE,
    exp2m1,
    gauss2,
    gauss_list,
    gauss_row,
    kernel,
    lent,
    log2_1p,
    philox,
    popcount,
)

__all__ = [
    "AHEAD",
    "apply_row",
    "event",
    "gauss_pulses",
    "lend_scratch",
    "moments",
    "replay",
    "row_scratch",
    "rows_chunk",
    "sparse_cost",
    "train_count",
]

u32, i32, f32 = np.uint32, np.int32, np.float32

PULSE_NOISE = 4  # ohmgrad.rng.Purpose
#: Gaussians that a replay draws at a time
AHEAD = 64

# measured costs in ns: of a cell and sample on the dense road, and of a cell once per row on it; of
# an x-line that fires on the sparse road, and of one that meets the d-line there
DENSE_SAMPLE, DENSE_ROW, SPARSE_LINE, SPARSE_EVENT = 0.6, 4.5, 1.0, 11.0


@kernel()
def train_count(xs, ds, b, r, j):
    """Signed coincidence count of one cell and sample."""
    k = 0
    for w in range(xs.shape[0]):
        a, c = xs[w, b, j], ds[w, b, r]
        n = i32(popcount(u32(u32(a & c) & LOW31)))
        k += -n if u32(u32(a ^ c) >> u32(31)) != u32(0) else n
    return k


@kernel(fastmath=CONTRACT)
def gauss_pulses(r, j, first, blocks, step, k0, k1, z):
    """Standard normal numbers of the pulses 4 first ... 4 (first + blocks) - 1 of one cell."""
    for i in range(blocks):
        address = u32(u32(PULSE_NOISE) | u32(u32(first + i) << u32(8)))
        a, b, c, d = philox(u32(j), u32(r), step, address, k0, k1)
        z[4 * i], z[4 * i + 1] = gauss2(a, b)
        z[4 * i + 2], z[4 * i + 3] = gauss2(c, d)


@kernel(fastmath=CONTRACT)
def replay(w, r, j, todo, n, planes, slopes, kind, std, step, k0, k1, z):
    """All pulses of one cell, each with its own noise and clipping; returns the new weight.

    todo: signed counts of its n samples, in order; z: scratch for AHEAD Gaussians.
    """
    uniform = planes[0].size == 1
    pr, pj = (0, 0) if uniform else (r, j)
    up, down = planes[0][pr, pj], planes[1][pr, pj]
    lower, upper = planes[2][pr, pj], planes[3][pr, pj]
    slope_up, slope_down = f32(slopes[0]), f32(slopes[1])
    e_up = slope_up * up / far_bound(up, upper, slope_up)
    e_down = slope_down * down / far_bound(down, -lower, slope_down)
    left = 0
    for i in range(n):
        left += abs(todo[i])
    index = 0
    for i in range(n):
        e, move = (e_up, up) if todo[i] > 0 else (e_down, -down)
        keep, noise = f32(1) - e, std * abs(move)
        for _ in range(abs(todo[i])):
            at = index % AHEAD
            if at == 0 and kind != QUIET:
                blocks = min(AHEAD, left - index + 3) // 4
                gauss_pulses(r, j, index // 4, blocks, step, k0, k1, z)
            if kind == ADDITIVE:
                w = w * keep + (move + noise * z[at])
            elif kind == MULTIPLICATIVE:
                factor = f32(1) + std * z[at]
                w = w * (f32(1) - e * factor) + move * factor
            else:
                w = w * keep + move
            w = min(max(w, lower), upper)
            index += 1
    return w


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def event(n, step, bound, slope, toward, kind, std, mean, var):
    """Mean and variance of one cell after n pulses in one direction; a few go one by one."""
    bound = far_bound(step, bound, slope)
    e = slope * step / bound
    if n <= 4:
        keep = (f32(1) - e) * (f32(1) - e)
        for _ in range(n):
            dw = toward * step - e * mean
            if kind == ADDITIVE:
                var = var * keep + std * std * step * step
            elif kind == MULTIPLICATIVE:
                var = var * (keep + std * std * e * e) + std * std * dw * dw
            mean += dw
    else:
        gone = exp2m1(f32(n) * log2_1p(-e))
        gap = toward * bound / slope - mean
        if kind == ADDITIVE:
            var -= (stationary(e, step, std) - var) * (gone * (f32(2) + gone))
        elif kind == MULTIPLICATIVE:
            keep = (f32(1) + gone) * (f32(1) + gone)
            var = keep * (var + exp2m1(f32(n) * growth(e, std)) * (var + gap * gap))
        mean -= gap * gone
    return mean, var


@kernel(fastmath=CONTRACT)
def _sparse_row(
    r, w, planes, slopes, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1,
    m, v, high, low, peak, z, seen, columns, todo, ahead,
):  # fmt: skip
    """The sparse road: visit the x-lines that fire, then finish the cells that were touched."""
    uniform = planes[0].size == 1
    row = 0 if uniform else r
    ups, downs, lowers, uppers = planes[0][row], planes[1][row], planes[2][row], planes[3][row]
    slope_up, slope_down = f32(slopes[0]), f32(slopes[1])
    one_word = xs.shape[0] == 1
    touched = 0
    for i in range(n_mine):
        b = mine[i]
        word, train, active = ds[0, b, r], xs[0, b], lines[b]
        for q in range(n_lines[b]):
            j = active[q]
            both = u32(u32(train[j] & word) & LOW31)
            n = i32(popcount(both))
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
                m[j], high[j], low[j] = w[r, j], w[r, j], w[r, j]
                v[j], peak[j] = f32(0), f32(0)
            c = 0 if uniform else j
            if down:
                mean, var = event(n, downs[c], -lowers[c], slope_down, f32(-1), kind, std, m[j], v[j])
            else:
                mean, var = event(n, ups[c], uppers[c], slope_up, f32(1), kind, std, m[j], v[j])
            if kind == QUIET:
                mean = min(max(mean, lowers[c]), uppers[c])
            m[j], v[j] = mean, var
            high[j] = max(high[j], mean)
            low[j] = min(low[j], mean)
            peak[j] = max(peak[j], var)
    if kind != QUIET:
        gauss_list(r, touched, z.shape[0] // 4, step, UPDATE_NOISE, k0, k1, columns, z)
    for i in range(touched):
        j = columns[i]
        seen[j] = 0
        c = 0 if uniform else j
        again = is_coarse(ups[c], uppers[c], slope_up) or is_coarse(downs[c], -lowers[c], slope_down)
        if kind == QUIET and not again:
            w[r, j] = m[j]
            continue
        std_j, room = np.sqrt(v[j]), Z * np.sqrt(peak[j])
        if again or high[j] + room > uppers[c] or low[j] - room < lowers[c]:
            for q in range(n_mine):
                todo[q] = train_count(xs, ds, mine[q], r, j)
            w[r, j] = replay(
                w[r, j], r, np.int64(j), todo, n_mine, planes, slopes, kind, std, step, k0, k1, ahead
            )
        else:
            w[r, j] = min(max(m[j] + std_j * z[i], lowers[c]), uppers[c])


@kernel()
def _dense_row(
    r, w, planes, slopes, kind, std, xs, ds, mine, n_mine, step, k0, k1,
    coef, count, m, v, high, low, peak, z, todo, ahead,
):  # fmt: skip
    """The dense road: stream the whole row for every sample."""
    n = w.shape[1]
    prepare_row(r, planes, slopes, kind, std, coef)
    start_row(w[r], m, v, high, low, peak)
    for i in range(n_mine):
        count_row(xs, mine[i], ds[0, mine[i], r], ds, r, count)
        collapse(count, coef, kind, m, v, high, low, peak)
    if kind == QUIET:
        again = flag_coarse(coef, count)
    else:
        gauss_row(r, step, UPDATE_NOISE, k0, k1, z)
        again = finish_row(coef, m, v, high, low, peak, z, count)
    if again:
        for j in range(n):
            if count[j] != f32(0):
                for q in range(n_mine):
                    todo[q] = train_count(xs, ds, mine[q], r, j)
                m[j] = replay(w[r, j], r, j, todo, n_mine, planes, slopes, kind, std, step, k0, k1, ahead)
    for j in range(n):
        w[r, j] = m[j]


@njit(inline="always")
def sparse_cost(b, fires, n_lines, on):
    """What sample b costs on the sparse road, in ns, in a row whose d-line fires so often."""
    meets = min(np.float64(n_lines[b]), fires * on[b])
    return n_lines[b] * SPARSE_LINE + meets * SPARSE_EVENT


@njit(inline="always")
def moments(rows, n):
    """Mean, variance, highest and lowest mean and largest variance so far, and counts, of n cells."""
    return rows[0, :n], rows[1, :n], rows[2, :n], rows[3, :n], rows[4, :n], rows[5, :n]


@kernel()
def row_scratch(n, samples):
    """Scratch of `apply_row` for rows of n cells; the caller holds it while rows use it."""
    scratch = scratch_rows(n, 14)
    z, ahead = np.empty(4 * ((n + 3) // 4), np.float32), np.empty(AHEAD, np.float32)
    seen, columns = np.zeros(n, np.uint8), np.empty(n, np.int32)
    mine, todo = np.empty(samples, np.int64), np.empty(samples, np.int64)
    return scratch[:8], scratch[8:], z, ahead, seen, columns, mine, todo


@njit(inline="always")
def lend_scratch(scratch, n):
    """coef; the six moments of n cells; z, ahead, seen, columns, mine and todo: all lent."""
    coef, rows, z, ahead, seen, columns, mine, todo = scratch
    m, v, high, low, peak, count = moments(lent(rows), n)
    z, ahead, seen, columns, mine, todo = (
        lent(z), lent(ahead), lent(seen), lent(columns), lent(mine), lent(todo),
    )  # fmt: skip
    return lent(coef), m, v, high, low, peak, count, z, ahead, seen, columns, mine, todo


@njit(inline="always")
def apply_row(
    r, w, planes, slopes, kind, std, by_pulse, xs, ds, lines, n_lines, n_mine, sparse, step, k0, k1, own,
):  # fmt: skip
    """Apply the trains of the n_mine samples in which d-line r fires; `sparse` is the sum of their costs."""
    n = w.shape[1]
    coef, m, v, high, low, peak, count, z, ahead, seen, columns, mine, todo = own
    if by_pulse:
        for j in range(n):
            for q in range(n_mine):
                todo[q] = train_count(xs, ds, mine[q], r, j)
            w[r, j] = replay(w[r, j], r, j, todo, n_mine, planes, slopes, kind, std, step, k0, k1, ahead)
    elif sparse < n * (n_mine * DENSE_SAMPLE + DENSE_ROW):
        _sparse_row(
            r, w, planes, slopes, kind, std, xs, ds, lines, n_lines, mine, n_mine, step, k0, k1,
            m, v, high, low, peak, z, seen, columns, todo, ahead,
        )  # fmt: skip
    else:
        _dense_row(
            r, w, planes, slopes, kind, std, xs, ds, mine, n_mine, step, k0, k1,
            coef, count, m, v, high, low, peak, z, todo, ahead,
        )  # fmt: skip


@kernel()
def rows_chunk(
    begin, end, w, planes, slopes, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live,
    step, key,
):  # fmt: skip
    """Apply the trains of the live samples to rows begin ... end-1 of the weights."""
    scratch = row_scratch(w.shape[1], max(n_live, 1))
    _rows(
        begin, end, w, planes, slopes, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live,
        step, key[0], key[1], scratch,
    )  # fmt: skip


@kernel()
def _rows(
    begin, end, w, planes, slopes, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live,
    step, k0, k1, scratch,
):  # fmt: skip
    w, xs, ds, lines, n_lines = lent(w), lent(xs), lent(ds), lent(lines), lent(n_lines)
    on, live = lent(on), lent(live)
    planes = (lent(planes[0]), lent(planes[1]), lent(planes[2]), lent(planes[3]))
    own = lend_scratch(scratch, w.shape[1])
    mine = own[11]
    for r in range(begin, end):
        n_mine, sparse = np.int64(0), 0.0  # not a literal 0: it would compile another version
        for i in range(n_live):
            b, fires = live[i], np.int64(0)
            for q in range(ds.shape[0]):
                fires += np.int64(popcount(u32(ds[q, b, r] & LOW31)))
            if fires > 0:
                mine[n_mine] = b
                n_mine += 1
                sparse += sparse_cost(b, fires, n_lines, on)
        if n_mine > 0:
            apply_row(
                r, w, planes, slopes, kind, std, by_pulse, xs, ds, lines, n_lines, n_mine, sparse, step,
                k0, k1, own,
            )  # fmt: skip
