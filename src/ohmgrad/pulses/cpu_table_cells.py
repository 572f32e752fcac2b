"""Single cells of tabulated elements in Numba: the collapse, drawn pulses, and the replay."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, MULTIPLICATIVE, QUIET, Z
from .cpu_math import CONTRACT, kernel, lent, philox
from .cpu_rows import AHEAD, gauss_pulses
from .cpu_table import MEASURED, SIGMAS, Packed, advance, beyond, interval, run, single

__all__ = [
    "BASE",
    "BOTTOM",
    "DRAWN",
    "TOP",
    "TOUCHED",
    "M",
    "U",
    "draw",
    "enter",
    "few_pulses",
    "first_draws",
    "leave",
    "lend",
    "replay",
    "visit",
]

u32, i32, f32 = np.uint32, np.int32, np.float32

MEASURED_STEP = 31  # ohmgrad.rng.Purpose

# A function that is not inlined lends anew what it passes on: else every call counts the references
# of all arrays in it, which takes as long as the work.


@njit(inline="always")
def lend(e):
    return Packed(
        lent(e.up), lent(e.down), lent(e.lower), lent(e.upper), lent(e.which), lent(e.value), lent(e.rise),
        lent(e.sd), lent(e.sd_rise), lent(e.line), lent(e.room), lent(e.reach), lent(e.need),
        lent(e.steps), lent(e.cdf), e.top, e.bottom, e.origin, e.n, e.even, e.least_reach, e.most_value,
        e.most_rise,
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
def _drawn(steps, first, nodes, cdf, even, i, t, u):
    """Step at interval i, part t, and probability u: bilinear. steps: of all devices; first: of this one."""
    last = cdf.shape[0] - 1
    if even:
        place = u * f32(last)
        low = min(np.int64(place), last - 1)
        s = place - f32(low)
    else:
        low, high = 0, last
        while high - low > 1:
            mid = (low + high) // 2
            if cdf[mid] <= u:
                low = mid
            else:
                high = mid
        s = min(max((u - cdf[low]) / (cdf[high] - cdf[low]), f32(0)), f32(1))
    a = u32(first + i32(low) * nodes + i)
    b = u32(a + u32(nodes))
    one = steps[a] + t * (steps[a + u32(1)] - steps[a])
    two = steps[b] + t * (steps[b + u32(1)] - steps[b])
    return one + s * (two - one)


@kernel(fastmath=CONTRACT)
def replay(w, r, j, todo, n, e, kind, std, step, k0, k1, z):
    """All pulses of one cell, each with its own noise and clipping; returns the new weight.

    todo: signed counts of its n samples, in order; z: scratch for AHEAD random numbers.
    """
    e, z = lend(e), lent(z)
    uniform = e.up.size == 1
    pr, pj = (0, 0) if uniform else (r, j)
    up, down, lower, upper, base = (
        e.up[pr, pj], e.down[pr, pj], e.lower[pr, pj], e.upper[pr, pj], e.which[pr, pj],
    )  # fmt: skip
    top, bottom = e.top / upper, e.bottom / lower
    nodes = e.n + i32(1)
    levels = i32(e.cdf.shape[0])
    left = 0
    for i in range(n):
        left += abs(todo[i])
    index = 0
    for i in range(n):
        way = 1 if todo[i] < 0 else 0
        size = -down if way else up
        first = base + i32(way) * nodes
        drawn = i32(first * levels)
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
                dw = size * _drawn(e.steps, drawn, nodes, e.cdf, e.even, place, t, z[at])
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


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def enter(r, j, w, e, cell):
    """Parameters and state of cell j of row r before its first pulse."""
    row, c = (0, 0) if e.up.size == 1 else (r, j)
    lower, upper, now = e.lower[row, c], e.upper[row, c], w[r, j]
    cell[UP], cell[DOWN], cell[LOWER], cell[UPPER] = e.up[row, c], e.down[row, c], lower, upper
    cell[TOP], cell[BOTTOM], cell[BASE] = e.top / upper, e.bottom / lower, f32(e.which[row, c])
    cell[M], cell[HIGH], cell[LOW] = now, now, now
    cell[V], cell[PEAK], cell[U] = f32(0), f32(0), f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def visit(cell, k, down, kind, std, e):
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
        if not k > f32(0):
            break
    cell[M], cell[V] = m, v


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def leave(cell, z, kind, e):
    """New weight of a cell, and whether it must be replayed instead."""
    if kind == QUIET:
        return cell[M], False
    sd, top, bottom = np.sqrt(cell[PEAK]), cell[TOP], cell[BOTTOM]
    again = not (cell[HIGH] + Z * sd <= cell[UPPER] and cell[LOW] - Z * sd >= cell[LOWER])
    if not (again or SIGMAS * sd * max(top, bottom) <= e.least_reach):
        again = beyond(cell[HIGH], cell[LOW], sd, top, bottom, cell[BASE], e.reach, e.origin, e.n)
    return min(max(cell[M] + np.sqrt(cell[V]) * z, cell[LOWER]), cell[UPPER]), again


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def few_pulses(pulses, w, top, bottom, base, e):
    """Whether so many pulses of a measured cell at w have no Gaussian sum."""
    i, _, _ = interval(w, top, bottom, e.origin, e.n)
    return not pulses >= e.need[u32(i32(base) + i)]


@kernel()
def _uniform_list(r, n, step, k0, k1, columns, a, b, c, d):
    """Uniform numbers of the first four pulses of the listed cells."""
    for i in range(n):
        p, q, s, t = philox(u32(columns[i]), u32(r), step, u32(MEASURED_STEP), k0, k1)
        a[i], b[i], c[i], d[i] = _unit(p), _unit(q), _unit(s), _unit(t)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def draw(cell, r, j, k, e, step, k0, k1):
    """k signed pulses of a measured cell, each drawn."""
    down, nodes = k < 0, i32(e.n + i32(1))
    size = -cell[DOWN] if down else cell[UP]
    w, index = cell[M], i32(cell[V])
    drawn = i32(i32(i32(cell[BASE]) + (nodes if down else i32(0))) * i32(e.cdf.shape[0]))
    for _ in range(abs(k)):
        at = index & i32(3)
        if at == 0 and index != 0:
            _uniform_pulses(r, j, index // 4, 1, step, k0, k1, cell[U : U + 4])
        i, t, _ = interval(w, cell[TOP], cell[BOTTOM], e.origin, e.n)
        w += size * _drawn(e.steps, drawn, nodes, e.cdf, e.even, i, t, cell[U + at])
        w = min(max(w, cell[LOWER]), cell[UPPER])
        index += i32(1)
    cell[M], cell[V] = w, f32(index)


@kernel()
def first_draws(r, n, step, k0, k1, columns, rows, cells):
    """Make the n listed cells ready to be drawn pulse by pulse."""
    cells = lent(cells)
    a, b, c, d = rows.part, rows.rate, rows.sd, rows.sd_slope
    _uniform_list(r, n, step, k0, k1, columns, a, b, c, d)
    for i in range(n):
        cell = cells[columns[i]]
        cell[V], cell[U], cell[U + 1], cell[U + 2], cell[U + 3] = f32(0), a[i], b[i], c[i], d[i]
