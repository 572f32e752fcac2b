"""Tabulated elements in Numba that a sample takes too far for one run: run by run, parabola by parabola.

One cell at a time, wherever its values lie: value q of `cpu_table` at place `at + q stride` of some floats.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .affine import QUIET, Z
from .math import CONTRACT, kernel, lent
from .tables import (
    A_DOWN,
    A_UP,
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
    N_DOWN,
    N_UP,
    PEAK,
    REACH,
    SIGMAS,
    TOP,
    UP,
    UPPER,
    M,
    V,
    advance,
    interval,
)

__all__ = ["expand", "one_way", "take_runs"]

i32, u32, f32 = np.int32, np.uint32, np.float32


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def expand(s, at, stride, kind, std, curve, origin, n):
    """Take the parabola of the interval where a cell is."""
    i, _, _ = interval(s[at + M * stride], s[at + TOP * stride], s[at + BOTTOM * stride], origin, n)
    row = u32(i32(i32(s[at + BASE * stride]) >> i32(1)) + i)
    up, down = s[at + UP * stride], s[at + DOWN * stride]
    s[at + CENTRE * stride], s[at + REACH * stride] = f32(i) + f32(0.5) - origin, curve[row, 6]
    for q in range(3):
        s[at + (A_UP + q) * stride] = up * curve[row, q]
        s[at + (A_DOWN + q) * stride] = down * curve[row, 3 + q]
        if kind == MEASURED:
            s[at + (N_UP + q) * stride] = up * curve[row, 8 + q]
            s[at + (N_DOWN + q) * stride] = down * curve[row, 11 + q]
    if kind != MEASURED:
        s[at + N_UP * stride], s[at + N_DOWN * stride] = up * std, down * std


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def one_way(kind, s, at, stride, down):
    """Parabola of the step in one direction, with its sign, and of its standard deviation."""
    q = at + (A_DOWN if down else A_UP) * stride
    a, b, c, n = s[q], s[q + stride], s[q + 2 * stride], s[q + 3 * stride]
    o, p = (s[q + 4 * stride], s[q + 5 * stride]) if kind == MEASURED else (f32(0), f32(0))
    return (-a, -b, -c, n, o, p) if down else (a, b, c, n, o, p)


@kernel(fastmath=CONTRACT)
def take_runs(kind, std, k, s, at, stride, curve, origin, last):
    """k signed pulses on one cell: `reference._collapse_table`. A cell that is to be replayed is marked as
    `LOST`, and moves no more."""
    s, curve = lent(s), lent(curve)
    left, down = np.float64(abs(k)), k < f32(0)  # float32 would lose single pulses of 2^24 and more
    top, bottom = s[at + TOP * stride], s[at + BOTTOM * stride]
    lower, upper = s[at + LOWER * stride], s[at + UPPER * stride]
    k, steep, fresh = f32(left), SIGMAS * max(top, bottom), False
    while left > 0.0:
        m, v, peak = s[at + M * stride], s[at + V * stride], s[at + PEAK * stride]
        centre, reach = s[at + CENTRE * stride], s[at + REACH * stride]
        a, b, c, n, o, p = one_way(kind, s, at, stride, down)
        new, var, bend = advance(kind, std, k, m, v, a, b, c, n, o, p, top, bottom, centre)
        if kind == QUIET:
            new, var = min(max(new, lower), upper), f32(0)
        peak = max(peak, var)
        deviation = np.sqrt(peak)
        noise = steep * deviation
        holds = abs(new * (top if new >= f32(0) else bottom) - centre) + noise <= reach and bend <= LIMIT
        i, _, _ = interval(m, top, bottom, origin, last)
        own = fresh or centre == f32(i) + f32(0.5) - origin  # fresh: whatever rounding may say
        fresh = False
        if holds or (k <= f32(1) and own):
            lost = not (holds or abs(m * (top if m >= f32(0) else bottom) - centre) + noise <= reach)
            lost |= not (new + Z * deviation <= upper and new - Z * deviation >= lower)
            s[at + M * stride], s[at + V * stride], s[at + PEAK * stride] = new, var, peak
            s[at + HIGH * stride] = max(s[at + HIGH * stride], new)
            s[at + LOW * stride] = min(s[at + LOW * stride], new)
            left -= k
            k = f32(min(left, np.float64(k + k)))
            if kind == QUIET and new == m and not lower < new < upper:
                break  # at a bound: so do all further pulses
            if kind != QUIET and lost:
                s[at + LOST * stride], s[at + REACH * stride] = f32(1), f32(np.inf)
                for q in range(3):
                    s[at + (A_UP + q) * stride] = f32(0)
                    s[at + (A_DOWN + q) * stride] = f32(0)
                break
            if not holds:
                expand(s, at, stride, kind, std, curve, origin, last)
        elif own:
            k, fresh = np.floor(f32(0.5) * k), True
        else:
            expand(s, at, stride, kind, std, curve, origin, last)
            fresh = True
