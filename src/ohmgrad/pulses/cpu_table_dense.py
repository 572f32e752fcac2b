"""Whole rows of tabulated elements in Numba: runs of pulses as vectors, and the noise."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, MULTIPLICATIVE, QUIET, Z
from .cpu_math import CONTRACT, kernel
from .cpu_table import MEASURED, SIGMAS, advance, beyond, interval, run

__all__ = ["collapse", "finish_row", "prepare_row", "start_row"]

i32, u32, f32 = np.int32, np.uint32, np.float32

#: where at most one cell in so many has pulses left after a run, they are finished one by one
FEW_LEFT = 32
#: cells that are looked at together
SKIP = 16


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _sure(kind, std, size, steep, least_reach, most_value, most_rise):
    """Pulses that one run takes wherever the cell may be; a little less, so that no rounding of its own
    limit is below."""
    far = f32(1.001) * size * steep
    pulses = run(kind, std, far * most_value, min(far * most_rise, f32(0.5)), least_reach, f32(1))
    return pulses if far * most_rise < f32(0.5) else f32(1)


@kernel(fastmath=CONTRACT)
def prepare_row(r, first, e, kind, std, rows):
    """Parameters of the cells of a row from cell `first` on."""
    uniform, n = e.up.size == 1, rows.m.shape[0]
    row, end = (0, 1) if uniform else (r, first + n)
    begin = 0 if uniform else first
    up, down, which = e.up[row, begin:end], e.down[row, begin:end], e.which[row, begin:end]
    lower, upper = e.lower[row, begin:end], e.upper[row, begin:end]
    reach, value, rise = e.least_reach, e.most_value, e.most_rise
    for j in range(up.shape[0]):
        a, b, top, bottom = up[j], down[j], e.top / upper[j], e.bottom / lower[j]
        rows.up[j], rows.down[j], rows.top[j], rows.bottom[j] = a, b, top, bottom
        rows.lower[j], rows.upper[j], rows.base[j] = lower[j], upper[j], f32(which[j])
        rows.sure[j] = _sure(kind, std, max(a, b), max(top, bottom), reach, value, rise)
    if uniform:
        for j in range(n):
            rows.up[j], rows.down[j] = rows.up[0], rows.down[0]
            rows.top[j], rows.bottom[j] = rows.top[0], rows.bottom[0]
            rows.lower[j], rows.upper[j], rows.base[j] = rows.lower[0], rows.upper[0], rows.base[0]
            rows.sure[j] = rows.sure[0]


@kernel()
def start_row(row, rows):
    m, v, high, low, peak = rows.m, rows.v, rows.high, rows.low, rows.peak
    for j in range(row.shape[0]):
        m[j], high[j], low[j] = row[j], row[j], row[j]
        v[j], peak[j] = f32(0), f32(0)


@kernel(fastmath=CONTRACT)
def _places(rows, places, origin, n):
    """Where each cell stands in the tables of its direction."""
    m, count, top, bottom, base = rows.m, rows.counts, rows.top, rows.bottom, rows.base
    part, rate = rows.part, rows.rate
    nodes = i32(n + i32(1))
    for j in range(m.shape[0]):
        a, b, first = top[j], bottom[j], i32(base[j])
        i, t, scale = interval(m[j], a, b, origin, n)
        places[j] = i32(first + i32(i + (nodes if count[j] < f32(0) else i32(0))))
        part[j], rate[j] = t, scale


@kernel()
def _gather(places, line, pairs):
    """Value and slope there, as one word of 64 bits. A loop of its own: what is looked up may lie anywhere,
    so that the compiler cannot prove that nothing written before changes it, and makes no vectors."""
    for j in range(places.shape[0]):
        pairs[j] = line[u32(places[j])]


@kernel()
def _gather_room(places, room, out):
    for j in range(places.shape[0]):
        out[j] = room[u32(places[j])]


@kernel(fastmath=CONTRACT)
def _gather_sd(rows, places, sd, sd_rise):
    part, rate, out, slope = rows.part, rows.rate, rows.sd, rows.sd_slope
    for j in range(out.shape[0]):
        at = u32(places[j])
        out[j], slope[j] = sd[at] + part[j] * sd_rise[at], sd_rise[at] * rate[j]


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _loop(kind, split, std, rows, pair):
    """A run of every cell; returns how many have pulses left (none unless `split`)."""
    up, fall, count = rows.up, rows.down, rows.counts
    lower, upper, sd, sd_slope = rows.lower, rows.upper, rows.sd, rows.sd_slope
    part, rate, top, bottom, room = rows.part, rows.rate, rows.top, rows.bottom, rows.room
    m, v, high, low, peak = rows.m, rows.v, rows.high, rows.low, rows.peak
    some = i32(0)
    for j in range(count.shape[0]):
        k = count[j]
        ups, falls, q, rise = up[j], fall[j], pair[2 * j], pair[2 * j + 1]
        here, a, b, mean = rate[j], top[j], bottom[j], m[j]
        q, slope, jump = q + part[j] * rise, rise * here, rise * (a + b - here - here)
        down = k < f32(0)
        size, n = -falls if down else ups, abs(k)
        noise = (std * size) * (std * size)
        if split:
            most = run(kind, std, size * q, size * slope * f32(-1), room[j], max(a, b))
            left = max(n - most, f32(0))
            some = i32(some + i32(left != f32(0)))
            count[j] = -left if down else left
            n = min(n, most)
        sdj, sdsj = (sd[j], sd_slope[j]) if kind == MEASURED else (f32(0), f32(0))
        new, var = advance(kind, std, n, size, mean, v[j], noise, q, slope, jump, sdj, sdsj)
        if kind == QUIET:
            new = min(max(new, lower[j]), upper[j])
        else:
            v[j] = var
            peak[j] = max(peak[j], var)
        m[j] = new
        high[j] = max(high[j], new)
        low[j] = min(low[j], new)
    return some


@kernel(fastmath=CONTRACT)
def _additive(std, rows, pair):
    _loop(ADDITIVE, False, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _multiplicative(std, rows, pair):
    _loop(MULTIPLICATIVE, False, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _quiet(std, rows, pair):
    _loop(QUIET, False, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _measured(std, rows, pair):
    _loop(MEASURED, False, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _additive_run(std, rows, pair):
    return _loop(ADDITIVE, True, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _multiplicative_run(std, rows, pair):
    return _loop(MULTIPLICATIVE, True, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _quiet_run(std, rows, pair):
    return _loop(QUIET, True, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _measured_run(std, rows, pair):
    return _loop(MEASURED, True, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _finish_cells(kind, std, rows, e):
    """All further runs of the few cells that have pulses left."""
    n, counts, j = rows.m.shape[0], rows.counts, 0
    while j < n:
        if j % SKIP == 0 and j + SKIP <= n:
            some = i32(0)
            for q in range(SKIP):
                some |= i32(counts[j + q] != f32(0))
            if some == i32(0):
                j += SKIP
                continue
        k = counts[j]
        j += 1
        if k != f32(0):
            _finish_cell(kind, std, rows, e, j - 1, k)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _finish_cell(kind, std, rows, e, j, k):
    down, left, m, v = k < f32(0), abs(k), rows.m[j], rows.v[j]
    top, bottom = rows.top[j], rows.bottom[j]
    size = -rows.down[j] if down else rows.up[j]
    noise = (std * size) * (std * size)
    first = i32(i32(rows.base[j]) + (e.n + i32(1) if down else i32(0)))
    while left > f32(0):
        i, t, here = interval(m, top, bottom, e.origin, e.n)
        at = u32(first + i)
        rise = e.rise[at]
        q, slope, jump = e.value[at] + t * rise, rise * here, rise * (top + bottom - here - here)
        n = min(left, run(kind, std, size * q, size * slope * f32(-1), e.room[at], max(top, bottom)))
        left -= n
        sd, sd_slope = f32(0), f32(0)
        if kind == MEASURED:
            sd, sd_slope = e.sd[at] + t * e.sd_rise[at], e.sd_rise[at] * here
        m, v = advance(kind, std, n, size, m, v, noise, q, slope, jump, sd, sd_slope)
        if kind == QUIET:
            m = min(max(m, rows.lower[j]), rows.upper[j])
        rows.high[j], rows.low[j] = max(rows.high[j], m), min(rows.low[j], m)
        rows.peak[j] = max(rows.peak[j], v)
    rows.m[j], rows.v[j] = m, v


@kernel()
def _exceeds(counts, sure):
    """Whether the pulses of any cell may need more than one run."""
    some = i32(0)
    for j in range(counts.shape[0]):
        some |= i32(abs(counts[j]) > sure[j])
    return some != i32(0)


@njit(forceinline=True, error_model="numpy")
def collapse(kind, std, rows, places, pairs, pair, e):
    """One sample of a row, its signed counts in `rows.counts`.

    Scratch: places int32 (n,); pairs uint64 (n,), and `pair`, float32 (2 n,), the same memory.
    """
    left, split = rows.m.shape[0], _exceeds(rows.counts, rows.sure)
    while left:
        _places(rows, places, e.origin, e.n)
        _gather(places, e.line, pairs)
        if kind == MEASURED:
            _gather_sd(rows, places, e.sd, e.sd_rise)
        if split:
            _gather_room(places, e.room, rows.room)
            if kind == ADDITIVE:
                left = _additive_run(std, rows, pair)
            elif kind == MULTIPLICATIVE:
                left = _multiplicative_run(std, rows, pair)
            elif kind == QUIET:
                left = _quiet_run(std, rows, pair)
            else:
                left = _measured_run(std, rows, pair)
            if left != 0 and left * FEW_LEFT <= rows.m.shape[0]:
                _finish_cells(kind, std, rows, e)
                left = 0
        else:
            if kind == ADDITIVE:
                _additive(std, rows, pair)
            elif kind == MULTIPLICATIVE:
                _multiplicative(std, rows, pair)
            elif kind == QUIET:
                _quiet(std, rows, pair)
            else:
                _measured(std, rows, pair)
            left = 0


@kernel(fastmath=CONTRACT)
def _check(rows, least_reach):
    """Flag a cell in `rows.counts` with 1 that must be replayed, with 2 that `beyond` has to look at: those
    that are not fine even where the table is worst."""
    m, high, low, peak = rows.m, rows.high, rows.low, rows.peak
    upper, lower, top, bottom, count = rows.upper, rows.lower, rows.top, rows.bottom, rows.counts
    some = i32(0)
    for j in range(m.shape[0]):
        sd = np.sqrt(peak[j])
        h, w, t, b = high[j], low[j], top[j], bottom[j]
        fine = h + Z * sd <= upper[j]
        fine &= w - Z * sd >= lower[j]
        flag = f32(0) if SIGMAS * sd * max(t, b) <= least_reach else f32(2)
        flag = flag if fine else f32(1)
        count[j] = flag
        some |= i32(flag != f32(0))
    return some != i32(0)


@kernel(fastmath=CONTRACT)
def _noise(rows, z):
    m, v, lower, upper = rows.m, rows.v, rows.lower, rows.upper
    for j in range(m.shape[0]):
        m[j] = min(max(m[j] + np.sqrt(v[j]) * z[j], lower[j]), upper[j])


@kernel(fastmath=CONTRACT)
def _look(rows, reach, origin, n):
    high, low, peak = rows.high, rows.low, rows.peak
    top, bottom, base, count = rows.top, rows.bottom, rows.base, rows.counts
    some = False
    for j in range(count.shape[0]):
        if count[j] == f32(2):
            again = beyond(
                high[j], low[j], np.sqrt(peak[j]), top[j], bottom[j], base[j], reach, origin, n
            )  # fmt: skip
            count[j] = f32(1) if again else f32(0)
        some |= count[j] != f32(0)
    return some


@kernel()
def finish_row(kind, rows, z, e):
    """Flag the cells to be replayed, in `rows.counts`, then add the noise; returns whether there are any."""
    if kind == QUIET:
        for j in range(rows.m.shape[0]):
            rows.counts[j] = f32(0)
        return False
    some = _check(rows, e.least_reach)
    if some:
        some = _look(rows, e.reach, e.origin, e.n)
    _noise(rows, z)
    return some
