"""Tabulated elements in Numba: one cell's pulses on a tangent of its table, and whole rows of that.

The affine kernels know their contraction beforehand; here it is looked up at the mean, for every cell and
sample. `reference` has the mathematics, with the conditions under which a tangent holds. A row keeps, per
cell, mean, variance and what those conditions need: the rows of `Rows`.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, MULTIPLICATIVE, QUIET, Z
from .cpu_math import CONTRACT, as_int, kernel
from .reference import BEND, WIDE

__all__ = [
    "LIMIT",
    "MEASURED",
    "Packed",
    "Rows",
    "advance",
    "beyond",
    "collapse",
    "finish_row",
    "interval",
    "prepare_row",
    "start_row",
]

i32, u32, f32 = np.int32, np.uint32, np.float32

MEASURED = 3  # a kind of noise, beside those of cpu_dense
LIMIT, SIGMAS = f32(BEND), f32(WIDE)


class Packed(NamedTuple):
    """Elements and their table, as the kernels take them; float32 but for `which` (int32), `line` and n.

    up, down, lower, upper: planes (1, 1) or (rows, cols); which: first place of the element's device in the
    tables, of the same shape. value, rise: at 2 (n + 1) places a device, up and then down, q at a node over
    its value at w = 0, and the increase to the next; sd, sd_rise: likewise; line: value and rise as one
    uint64. reach, need: (devices, L, n);
    zero: (devices,). steps: (devices, 2, levels, n + 1), cdf: (levels,). top, bottom: intervals per unit of
    weight, times w_max and w_min; origin: place of w = 0 in intervals; n: intervals. least_reach and
    least_zero: over the whole table.
    """

    up: np.ndarray
    down: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    which: np.ndarray
    value: np.ndarray
    rise: np.ndarray
    sd: np.ndarray
    sd_rise: np.ndarray
    line: np.ndarray
    reach: np.ndarray
    need: np.ndarray
    zero: np.ndarray
    steps: np.ndarray
    cdf: np.ndarray
    top: np.float32
    bottom: np.float32
    origin: np.float32
    n: np.int32
    least_reach: np.float32
    least_zero: np.float32


class Rows(NamedTuple):
    """Scratch rows, one value a cell. Parameters: steps up and down, intervals per weight above and below
    zero, variance of the noise up and down, bounds, place in the tables. State: mean, variance, highest and
    lowest mean, largest variance, farthest use of a tangent, largest bend, pulses. Of the present sample:
    counts, part of the interval, intervals per weight, a measured step's standard deviation and its slope."""

    up: np.ndarray
    down: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    var_up: np.ndarray
    var_down: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    base: np.ndarray
    m: np.ndarray
    v: np.ndarray
    high: np.ndarray
    low: np.ndarray
    peak: np.ndarray
    far: np.ndarray
    bend: np.ndarray
    pulses: np.ndarray
    counts: np.ndarray
    part: np.ndarray
    rate: np.ndarray
    sd: np.ndarray
    sd_slope: np.ndarray


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def interval(m, top, bottom, origin, n):
    """Interval of weight m, the part of it left of m, and intervals per weight there."""
    scale = top if m >= f32(0) else bottom
    p = min(max(m * scale + origin, f32(0)), f32(n))
    i = max(min(i32(p), i32(n - i32(1))), i32(0))  # whatever p is, the place exists
    return i, p - f32(i), scale


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _terms(k, e):
    """sum_{i<k} (1 - e)^i by four terms, for k |e| <= BEND; exact for k <= 4."""
    y = k * e
    s = f32(1) - (y - f32(3) * e) * f32(1 / 4)
    s = f32(1) - (y - f32(2) * e) * f32(1 / 3) * s
    s = f32(1) - (y - e) * f32(1 / 2) * s
    return k * s


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def advance(kind, std, k, down, m, v, up, fall, var_up, var_down, q, slope, sd, sd_slope):
    """Mean and variance of a cell after k pulses in one direction; how far the tangent was used; its bend.

    q: the table at m; slope: its slope per unit of weight; sd: of a measured step; all over q(0).
    """
    size = -fall if down else up
    one, e = size * q, -(size * slope)
    bend = abs(k * e)
    terms = _terms(k, e)
    new = m + one * terms
    far = abs(one) * max(terms - f32(1), f32(0))
    if kind in (ADDITIVE, MEASURED):
        noise = var_down if down else var_up
        if kind == MEASURED:
            middle = size * (sd + sd_slope * (f32(0.5) * one * max(terms - f32(1), f32(0))))
            noise = middle * middle
        gone = e * terms
        keep = f32(1) - gone
        h = f32(0.5) * e  # 2/(2 - e) = 1 + h + h^2 + ..., good to 10^-5 up to |e| = BEND
        more = f32(1) + h * (f32(1) + h * (f32(1) + h))
        v = v * (keep * keep) + noise * (terms * (f32(1) - f32(0.5) * gone) * more)
    elif kind == MULTIPLICATIVE:
        keep = f32(1) - e * terms
        c = std * std / ((f32(1) - e) * (f32(1) - e))
        more = c * e * e
        bend = max(bend, k * more)
        grown = _terms(k, -more) * c
        v = (keep * keep) * (v + grown * (e * e * v + one * one))
    return new, v, far, bend


@kernel(fastmath=CONTRACT)
def prepare_row(r, e, kind, std, rows):
    """Parameters of a row."""
    uniform = e.up.size == 1
    row = 0 if uniform else r
    up, down, lower, upper, which = e.up[row], e.down[row], e.lower[row], e.upper[row], e.which[row]
    for j in range(up.shape[0]):
        rows.up[j], rows.down[j] = up[j], down[j]
        rows.top[j], rows.bottom[j] = e.top / upper[j], e.bottom / lower[j]
        rows.lower[j], rows.upper[j], rows.base[j] = lower[j], upper[j], f32(which[j])
        a, b = std * up[j], std * down[j]
        rows.var_up[j] = a * a
        rows.var_down[j] = b * b
    if uniform:
        for j in range(rows.m.shape[0]):
            rows.up[j], rows.down[j] = rows.up[0], rows.down[0]
            rows.top[j], rows.bottom[j] = rows.top[0], rows.bottom[0]
            rows.lower[j], rows.upper[j], rows.base[j] = rows.lower[0], rows.upper[0], rows.base[0]
            rows.var_up[j], rows.var_down[j] = rows.var_up[0], rows.var_down[0]


@kernel()
def start_row(row, rows):
    m, v, high, low, peak = rows.m, rows.v, rows.high, rows.low, rows.peak
    far, bend, pulses = rows.far, rows.bend, rows.pulses
    for j in range(row.shape[0]):
        m[j], high[j], low[j] = row[j], row[j], row[j]
        v[j], peak[j], far[j], bend[j], pulses[j] = f32(0), f32(0), f32(0), f32(0), f32(0)


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


@kernel(fastmath=CONTRACT)
def _gather_sd(rows, places, sd, sd_rise):
    part, rate, out, slope = rows.part, rows.rate, rows.sd, rows.sd_slope
    for j in range(out.shape[0]):
        at = u32(places[j])
        out[j], slope[j] = sd[at] + part[j] * sd_rise[at], sd_rise[at] * rate[j]


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _loop(kind, std, rows, pair):
    up, fall, var_up, var_down, count = rows.up, rows.down, rows.var_up, rows.var_down, rows.counts
    lower, upper, sd, sd_slope = rows.lower, rows.upper, rows.sd, rows.sd_slope
    part, rate = rows.part, rows.rate
    m, v, high, low, peak = rows.m, rows.v, rows.high, rows.low, rows.peak
    far, bend, pulses = rows.far, rows.bend, rows.pulses
    for j in range(count.shape[0]):
        k = count[j]
        ups, falls, vu, vd, q, slope = up[j], fall[j], var_up[j], var_down[j], pair[2 * j], pair[2 * j + 1]
        q, slope = q + part[j] * slope, slope * rate[j]
        sdj, sdsj = (sd[j], sd_slope[j]) if kind == MEASURED else (f32(0), f32(0))
        new, var, used, bent = advance(
            kind, std, abs(k), k < f32(0), m[j], v[j], ups, falls, vu, vd, q, slope, sdj, sdsj
        )
        if kind == QUIET:
            new = min(max(new, lower[j]), upper[j])
        else:
            v[j] = var
            peak[j] = max(peak[j], var)
        if kind == MEASURED:
            pulses[j] += abs(k)
        m[j] = new
        high[j] = max(high[j], new)
        low[j] = min(low[j], new)
        far[j] = max(far[j], used)
        bend[j] = max(bend[j], bent)


@kernel(fastmath=CONTRACT)
def _additive(std, rows, pair):
    _loop(ADDITIVE, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _multiplicative(std, rows, pair):
    _loop(MULTIPLICATIVE, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _quiet(std, rows, pair):
    _loop(QUIET, std, rows, pair)


@kernel(fastmath=CONTRACT)
def _measured(std, rows, pair):
    _loop(MEASURED, std, rows, pair)


@kernel()
def collapse(kind, std, rows, places, pairs, pair, e):
    """One sample of a row, its signed counts in `rows.counts`.

    Scratch: places int32 (n,); pairs uint64 (n,), and `pair`, float32 (2 n,), the same memory.
    """
    _places(rows, places, e.origin, e.n)
    _gather(places, e.line, pairs)
    if kind == ADDITIVE:
        _additive(std, rows, pair)
    elif kind == MULTIPLICATIVE:
        _multiplicative(std, rows, pair)
    elif kind == QUIET:
        _quiet(std, rows, pair)
    else:
        _gather_sd(rows, places, e.sd, e.sd_rise)
        _measured(std, rows, pair)


@njit(forceinline=True, error_model="numpy")
def _least(levels, device, i, j):
    level = i32(i32(as_int(f32(j - i + 1)) >> i32(23)) - i32(127))  # log2 of a whole number, rounded down
    return min(levels[device, level, i], levels[device, level, j + 1 - (1 << level)])


@kernel(fastmath=CONTRACT)
def beyond(kind, high, low, sd, far, pulses, top, bottom, base, reach, need, zero, origin, n):
    """Whether a cell that is away from its bounds must be replayed: beyond its tangents, or with too few
    measured pulses. sd: largest standard deviation on its way."""
    wide = far + SIGMAS * sd
    device = i32(base) // (2 * (n + 1))
    i, _, _ = interval(low, top, bottom, origin, n)
    last, _, _ = interval(high, top, bottom, origin, n)
    fine = wide * max(top, bottom) <= _least(reach, device, i, last)
    if low < f32(0) and high >= f32(0):  # at 0 the tangent is the one above
        fine &= wide * abs(top - bottom) <= zero[device]
    if kind == MEASURED:
        fine &= pulses >= -_least(need, device, i, last)
    return not fine


@kernel(fastmath=CONTRACT)
def _check(kind, rows, least_reach, least_zero):
    """Flag a cell in `rows.counts` with 1 that must be replayed, with 2 that `beyond` has to look at: those
    that are not fine even where the table is worst."""
    m, high, low, peak, far, bend = rows.m, rows.high, rows.low, rows.peak, rows.far, rows.bend
    upper, lower, top, bottom, pulses = rows.upper, rows.lower, rows.top, rows.bottom, rows.pulses
    count = rows.counts
    some = i32(0)
    for j in range(m.shape[0]):
        sd = np.sqrt(peak[j])
        h, w, t, b, wide = high[j], low[j], top[j], bottom[j], far[j] + SIGMAS * sd
        fine = h + Z * sd <= upper[j]
        fine &= w - Z * sd >= lower[j]
        fine &= bend[j] <= LIMIT
        sure = wide * max(t, b) <= least_reach
        sure &= wide * abs(t - b) <= least_zero
        if kind == MEASURED:
            sure &= pulses[j] == f32(0)
        flag = f32(0) if sure else f32(2)
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
def _look(kind, rows, reach, need, zero, origin, n):
    high, low, peak, far, pulses = rows.high, rows.low, rows.peak, rows.far, rows.pulses
    top, bottom, base, count = rows.top, rows.bottom, rows.base, rows.counts
    some = False
    for j in range(count.shape[0]):
        if count[j] == f32(2):
            again = beyond(
                kind, high[j], low[j], np.sqrt(peak[j]), far[j], pulses[j], top[j], bottom[j], base[j],
                reach, need, zero, origin, n,
            )  # fmt: skip
            count[j] = f32(1) if again else f32(0)
        some |= count[j] != f32(0)
    return some


@kernel()
def finish_row(kind, rows, z, e):
    """Flag the cells to be replayed, in `rows.counts`, then add the noise; returns whether there are any."""
    some = _check(kind, rows, e.least_reach, e.least_zero)
    if some:
        some = _look(kind, rows, e.reach, e.need, e.zero, e.origin, e.n)
    if kind != QUIET:
        _noise(rows, z)
    return some
