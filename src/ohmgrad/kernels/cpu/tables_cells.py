"""Single cells of tabulated elements in Numba: the collapse, drawn pulses, and the replay."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .affine import ADDITIVE, MULTIPLICATIVE, QUIET, Z
from .affine_rows import AHEAD, gauss_pulses
from .math import CONTRACT, kernel, lent, philox
from .tables import (
    BASE,
    BOTTOM,
    CENTRE,
    DOWN,
    HIGH,
    LIMIT,
    LOST,
    LOW,
    LOWER,
    MEASURED,
    PEAK,
    REACH,
    SIGMAS,
    TOP,
    UP,
    UPPER,
    M,
    Packed,
    U,
    V,
    advance,
    interval,
    single,
)
from .tables_segments import one_way, take_runs

__all__ = [
    "DRAWN",
    "TOUCHED",
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
        lent(e.need), lent(e.curve), lent(e.steps), lent(e.cdf), e.top, e.bottom, e.origin, e.n, e.even,
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


TOUCHED, DRAWN = 1, 2


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def enter(r, j, w, e, cell):
    """Parameters and state of cell j of row r before its first pulse, but for the parabola."""
    row, c = (0, 0) if e.up.size == 1 else (r, j)
    lower, upper, now = e.lower[row, c], e.upper[row, c], w[r, j]
    cell[UP], cell[DOWN], cell[LOWER], cell[UPPER] = e.up[row, c], e.down[row, c], lower, upper
    cell[TOP], cell[BOTTOM], cell[BASE] = e.top / upper, e.bottom / lower, f32(e.which[row, c])
    cell[M], cell[HIGH], cell[LOW] = now, now, now
    cell[V], cell[PEAK], cell[LOST], cell[U] = f32(0), f32(0), f32(0), f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def visit(cell, k, down, kind, std, e):
    """k pulses in one direction on one cell."""
    a, b, c, n, o, p = one_way(kind, cell, 0, 1, down)
    top, bottom, centre, bend = cell[TOP], cell[BOTTOM], cell[CENTRE], f32(0)
    if k == f32(1):
        m, v = single(kind, std, cell[M], cell[V], a, b, c, n, o, p, top, bottom, centre)
    else:
        m, v, bend = advance(kind, std, k, cell[M], cell[V], a, b, c, n, o, p, top, bottom, centre)
    if kind == QUIET:
        m, v = min(max(m, cell[LOWER]), cell[UPPER]), f32(0)
    peak = max(cell[PEAK], v)
    slack = cell[REACH] - abs(m * (top if m >= f32(0) else bottom) - centre)
    wide = SIGMAS * max(top, bottom)
    if slack >= f32(0) and slack * slack >= (wide * wide) * peak and bend <= LIMIT:
        cell[V], cell[PEAK], cell[M], cell[HIGH], cell[LOW] = (
            v,
            peak,
            m,
            max(cell[HIGH], m),
            min(cell[LOW], m),
        )
    else:
        take_runs(kind, std, -k if down else k, cell, 0, 1, e.curve, e.origin, e.n)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def leave(cell, z, kind):
    """New weight of a cell, and whether it must be replayed instead."""
    if kind == QUIET:
        return cell[M], False
    sd = np.sqrt(cell[PEAK])
    again = not (cell[HIGH] + Z * sd <= cell[UPPER] and cell[LOW] - Z * sd >= cell[LOWER])
    new = min(max(cell[M] + np.sqrt(cell[V]) * z, cell[LOWER]), cell[UPPER])
    return new, again or cell[LOST] != f32(0)


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
def first_draws(r, step, k0, k1, columns, s, cells):
    """Make the listed cells ready to be drawn pulse by pulse. s: scratch for four numbers each."""
    n, cells, s, columns = columns.shape[0], lent(cells), lent(s), lent(columns)
    a, b, c, d = s[:n], s[n : 2 * n], s[2 * n : 3 * n], s[3 * n : 4 * n]
    _uniform_list(r, n, step, k0, k1, columns, a, b, c, d)
    for i in range(n):
        cell = cells[columns[i]]
        cell[V], cell[U], cell[U + 1], cell[U + 2], cell[U + 3] = f32(0), a[i], b[i], c[i], d[i]
