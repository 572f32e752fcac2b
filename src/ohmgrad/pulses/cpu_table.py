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
    """Elements and their table, as the kernels take them; float32 but for `which` (int32) and n.

    up, down, lower, upper: planes (1, 1) or (rows, cols); which: first place of the element's device in the
    tables, of the same shape. value, rise: at 2 (n + 1) places a device, up and then down, q at a node over
    its value at w = 0, and the increase to the next; sd, sd_rise: likewise. reach, need: (devices, L, n);
    zero: (devices,). steps: (devices, 2, levels, n + 1), cdf: (levels,). top, bottom: intervals per unit of
    weight, times w_max and w_min; origin: place of w = 0 in intervals; n: intervals.
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
    reach: np.ndarray
    need: np.ndarray
    zero: np.ndarray
    steps: np.ndarray
    cdf: np.ndarray
    top: np.float32
    bottom: np.float32
    origin: np.float32
    n: np.int32


class Rows(NamedTuple):
    """Scratch rows, one value a cell. Parameters: steps up and down, intervals per weight above and below
    zero, variance of the noise up and down, bounds, place in the tables. State: mean, variance, highest and
    lowest mean, largest variance, farthest use of a tangent, largest bend, pulses; and counts."""

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
    count: np.ndarray


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def interval(m, top, bottom, origin, n):
    """Interval of weight m, the part of it left of m, and intervals per weight there."""
    scale = top if m >= f32(0) else bottom
    p = min(max(m * scale + origin, f32(0)), f32(n))
    i = max(min(i32(p), i32(n - i32(1))), i32(0))  # whatever p is, the place exists
    return i, p - f32(i), scale


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def _terms(k, e):
    """sum_{i<k} (1 - e)^i by six terms, for k |e| <= BEND; kept finite beyond."""
    y = min(max(k * e, f32(-1)), f32(1))
    e = min(max(e, f32(-1)), f32(1))
    s = f32(1) - (y - f32(5) * e) * f32(1 / 6)
    s = f32(1) - (y - f32(4) * e) * f32(1 / 5) * s
    s = f32(1) - (y - f32(3) * e) * f32(1 / 4) * s
    s = f32(1) - (y - f32(2) * e) * f32(1 / 3) * s
    s = f32(1) - (y - e) * f32(1 / 2) * s
    return k * s


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def advance(
    kind, std, k, down, m, v, up, fall, top, bottom, var_up, var_down, base, value, rise, sd, sd_rise,
    origin, n,
):  # fmt: skip
    """Mean and variance of a cell after k pulses in one direction; how far the tangent was used; its bend."""
    i, t, scale = interval(m, top, bottom, origin, n)
    at = u32(i32(base + i) + (i32(n + i32(1)) if down else i32(0)))
    q, slope = value[at], rise[at]
    size = -fall if down else up
    one, e = size * (q + t * slope), -(size * slope) * scale
    bend = abs(k * e)
    e = min(max(e, f32(-0.9)), f32(0.9))
    terms = _terms(k, e)
    new = m + one * terms
    far = abs(one) * max(terms - f32(1), f32(0))
    if kind == ADDITIVE or kind == MEASURED:
        noise = var_down if down else var_up
        if kind == MEASURED:
            noise = size * (sd[at] + t * sd_rise[at])
            noise = noise * noise
        gone = e * terms
        keep = f32(1) - gone
        v = v * (keep * keep) + noise * (terms * (f32(2) - gone) / (f32(2) - e))
    elif kind == MULTIPLICATIVE:
        keep = f32(1) - e * terms
        c = std * std / ((f32(1) - e) * (f32(1) - e))
        more = c * e * e
        bend = max(bend, k * more)
        grown = _terms(k, -min(more, f32(1))) * c
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


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def _loop(kind, std, rows, value, rise, sd, sd_rise, origin, n):
    up, fall, top, bottom = rows.up, rows.down, rows.top, rows.bottom
    var_up, var_down, base, count = rows.var_up, rows.var_down, rows.base, rows.count
    lower, upper = rows.lower, rows.upper
    m, v, high, low, peak = rows.m, rows.v, rows.high, rows.low, rows.peak
    far, bend, pulses = rows.far, rows.bend, rows.pulses
    for j in range(count.shape[0]):
        k = count[j]
        ups, falls, tops, bottoms, vu, vd = up[j], fall[j], top[j], bottom[j], var_up[j], var_down[j]
        new, var, used, bent = advance(
            kind, std, abs(k), k < f32(0), m[j], v[j], ups, falls, tops, bottoms, vu, vd, i32(base[j]),
            value, rise, sd, sd_rise, origin, n,
        )  # fmt: skip
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
def _additive(std, rows, value, rise, origin, n):
    _loop(ADDITIVE, std, rows, value, rise, value, rise, origin, n)


@kernel(fastmath=CONTRACT)
def _multiplicative(std, rows, value, rise, origin, n):
    _loop(MULTIPLICATIVE, std, rows, value, rise, value, rise, origin, n)


@kernel(fastmath=CONTRACT)
def _quiet(std, rows, value, rise, origin, n):
    _loop(QUIET, std, rows, value, rise, value, rise, origin, n)


@kernel(fastmath=CONTRACT)
def _measured(std, rows, value, rise, sd, sd_rise, origin, n):
    _loop(MEASURED, std, rows, value, rise, sd, sd_rise, origin, n)


@kernel()
def collapse(kind, std, rows, e):
    """One sample of a row, its signed counts in `rows.count`."""
    if kind == ADDITIVE:
        _additive(std, rows, e.value, e.rise, e.origin, e.n)
    elif kind == MULTIPLICATIVE:
        _multiplicative(std, rows, e.value, e.rise, e.origin, e.n)
    elif kind == QUIET:
        _quiet(std, rows, e.value, e.rise, e.origin, e.n)
    else:
        _measured(std, rows, e.value, e.rise, e.sd, e.sd_rise, e.origin, e.n)


@njit(inline="always", error_model="numpy")
def _least(levels, device, i, j):
    level = i32(i32(as_int(f32(j - i + 1)) >> i32(23)) - i32(127))  # log2 of a whole number, rounded down
    return min(levels[device, level, i], levels[device, level, j + 1 - (1 << level)])


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def beyond(rows, j, kind, e):
    """Whether cell j must be replayed: near a bound, beyond its tangents, or too few measured pulses."""
    sd = np.sqrt(rows.peak[j])
    high, low, top, bottom = rows.high[j], rows.low[j], rows.top[j], rows.bottom[j]
    fine = high + Z * sd <= rows.upper[j] and low - Z * sd >= rows.lower[j]
    fine &= rows.bend[j] <= LIMIT
    if fine:
        wide = rows.far[j] + SIGMAS * sd
        device = i32(rows.base[j]) // (2 * (e.n + 1))
        i, _, _ = interval(low, top, bottom, e.origin, e.n)
        last, _, _ = interval(high, top, bottom, e.origin, e.n)
        fine &= wide * max(top, bottom) <= _least(e.reach, device, i, last)
        if low < f32(0) and high > f32(0):
            fine &= wide * abs(top - bottom) <= e.zero[device]
        if kind == MEASURED:
            fine &= rows.pulses[j] >= -_least(e.need, device, i, last)
    return not fine


@kernel(fastmath=CONTRACT)
def finish_row(kind, rows, z, e):
    """Flag the cells to be replayed, in `rows.count`, then add the noise; returns whether there are any."""
    some = False
    m, v, lower, upper, count = rows.m, rows.v, rows.lower, rows.upper, rows.count
    for j in range(m.shape[0]):
        again = beyond(rows, j, kind, e)
        count[j] = f32(1) if again else f32(0)
        some |= again
    if kind != QUIET:
        for j in range(m.shape[0]):
            m[j] = min(max(m[j] + np.sqrt(v[j]) * z[j], lower[j]), upper[j])
    return some
