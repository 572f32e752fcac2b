"""Tabulated elements in Numba: their tables, and one cell's pulses on a tangent of its own.

The affine kernels know their contraction beforehand; here it is looked up at the mean, for every run of
pulses. `reference` has the mathematics, with the conditions under which a tangent holds.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, MULTIPLICATIVE, QUIET
from .cpu_math import CONTRACT, as_float, as_int, kernel
from .reference import BEND, KINK_END, KINK_HEIGHT, WIDE

__all__ = ["MEASURED", "SIGMAS", "Packed", "Rows", "advance", "beyond", "interval", "run", "single"]

i32, f32 = np.int32, np.float32

MEASURED = 3  # a kind of noise, beside those of cpu_dense
LIMIT, SIGMAS = f32(BEND), f32(WIDE)
HEIGHT, END, SLOPE = f32(KINK_HEIGHT), f32(1 / KINK_END), f32(3 * KINK_HEIGHT / KINK_END)


class Packed(NamedTuple):
    """Elements and their table, as the kernels take them; float32 but for `which` (int32), `line` and n.

    up, down, lower, upper: planes (1, 1) or (rows, cols); which: first place of the element's device in the
    tables, of the same shape. value, rise: at 2 (n + 1) places a device, up and then down, q at a node over
    its value at w = 0, and the increase to the next; sd, sd_rise: likewise; line: value and rise as one
    uint64; room: likewise, how far a run may move, in intervals; need: likewise, measured pulses that the
    collapse needs. reach: (devices, L, n). steps: (devices, 2, levels, n + 1), as one row; cdf: (levels,);
    even: whether its levels are. top, bottom: intervals per unit of weight, times w_max and w_min; origin:
    place of w = 0 in intervals; n: intervals. least_reach, most_value, most_rise: over the whole table.
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
    room: np.ndarray
    reach: np.ndarray
    need: np.ndarray
    steps: np.ndarray
    cdf: np.ndarray
    top: np.float32
    bottom: np.float32
    origin: np.float32
    n: np.int32
    even: bool
    least_reach: np.float32
    most_value: np.float32
    most_rise: np.float32


class Rows(NamedTuple):
    """Scratch rows, one value a cell. Parameters: steps up and down, intervals per weight above and below
    zero, bounds, place in the tables, pulses that one run takes wherever the cell may be. State: mean,
    variance, highest and lowest mean, largest variance. Of the present sample: counts, of which runs leave
    the rest; part of the interval, intervals per weight, room of a run, a measured step's standard
    deviation and its slope."""

    up: np.ndarray
    down: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    base: np.ndarray
    sure: np.ndarray
    m: np.ndarray
    v: np.ndarray
    high: np.ndarray
    low: np.ndarray
    peak: np.ndarray
    counts: np.ndarray
    part: np.ndarray
    rate: np.ndarray
    room: np.ndarray
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
def _root(v):
    """1/sqrt(v) to 5 in a million, without a division; v times it is 0 at v = 0."""
    y = as_float(i32(i32(0x5F3759DF) - i32(as_int(v) >> i32(1))))
    y = y * (f32(1.5) - f32(0.5) * v * y * y)
    return y * (f32(1.5) - f32(0.5) * v * y * y)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def run(kind, std, one, e, room, steep):
    """Pulses that a tangent serves, at least 1: `reference._run`. steep: largest intervals per weight."""
    bend = abs(e)
    if kind == MULTIPLICATIVE:
        more = std * e / (f32(1) - e)
        bend = max(bend, more * more)
    reach = f32(1) + room / max(abs(one) * steep, f32(1e-30))
    most = min(reach, LIMIT / max(bend, f32(1e-30)))
    most = most if most >= f32(1) else f32(1)  # so too where nothing is finite any more
    return np.floor(min(most, f32(1e6)))


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _kink(m, halfway, v):
    """How far on the other side of w = 0 a run is in the mean, with its sign seen from m, and for which
    part: `reference._over_the_kink`."""
    root = _root(v)
    middle = m + halfway
    a = middle * root if m >= f32(0) else -middle * root
    near = max(f32(1) - abs(a) * END, f32(0))
    beyond = (v * root) * (HEIGHT * near * near * near + max(-a, f32(0)))
    share = SLOPE * near * near
    return beyond if m >= f32(0) else -beyond, share if a >= f32(0) else f32(1) - share


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def advance(kind, std, k, size, m, v, noise, q, slope, jump, sd, sd_slope):
    """Mean and variance of a cell after a run of k pulses of one direction.

    size: step at w = 0, with the sign of the pulse; noise: its variance; q: the table at m; slope: its slope
    per unit of weight; jump: by how much that differs across w = 0; sd, sd_slope: of a measured step; all
    over q(0).
    """
    path = max(k - f32(1), f32(0)) * (size * q)
    shift, share = _kink(m, f32(0.5) * path, v + path * path * f32(1 / 12))
    one, e = size * (q - jump * shift), -(size * slope)
    terms = _terms(k, e)
    new = m + one * terms
    e -= size * jump * share
    if kind in (ADDITIVE, MEASURED):
        if kind == MEASURED:
            halfway = size * (sd + sd_slope * (f32(0.5) * one * max(terms - f32(1), f32(0))))
            noise = halfway * halfway
        gone = e * terms
        keep = f32(1) - gone
        h = f32(0.5) * e  # 2/(2 - e) = 1 + h + h^2 + ..., good to 10^-5 up to |e| = BEND
        more = f32(1) + h * (f32(1) + h * (f32(1) + h))
        sums = terms * (f32(1) - f32(0.5) * gone) * more
        v = v * (keep * keep) + noise * (sums if k > f32(1) else terms)  # one pulse may bend beyond BEND
    elif kind == MULTIPLICATIVE:
        keep = f32(1) - e * terms
        c = std * std / ((f32(1) - e) * (f32(1) - e))
        grown = _terms(k, -c * e * e) * c
        many = (keep * keep) * (v + grown * (e * e * v + one * one))
        once = v * (keep * keep) + (std * std * terms) * (e * e * v + one * one)
        v = many if k > f32(1) else once
    return new, v


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def single(kind, std, size, m, v, noise, q, slope, jump, sd, sd_slope):
    """`advance` by one pulse."""
    share = f32(0)
    if jump != f32(0) and kind != QUIET:
        shift, share = _kink(m, f32(0), v)
        q -= jump * shift
    one, keep = size * q, f32(1) + size * (slope + jump * share)
    if kind == MULTIPLICATIVE:
        e = f32(1) - keep
        v = v * (keep * keep + std * std * e * e) + std * std * one * one
    elif kind != QUIET:
        if kind == MEASURED:
            noise = size * (sd + sd_slope * (f32(0.5) * one))
            noise *= noise
        v = v * (keep * keep) + noise
    return m + one, v


@njit(forceinline=True, error_model="numpy")
def _least(levels, device, i, j):
    level = i32(i32(as_int(f32(j - i + 1)) >> i32(23)) - i32(127))  # log2 of a whole number, rounded down
    return min(levels[device, level, i], levels[device, level, j + 1 - (1 << level)])


@kernel(fastmath=CONTRACT)
def beyond(high, low, sd, top, bottom, base, reach, origin, n):
    """Whether noise needs more than the tangents on a cell's way. sd: largest standard deviation there."""
    device = i32(base) // (2 * (n + 1))
    i, _, _ = interval(low, top, bottom, origin, n)
    last, _, _ = interval(high, top, bottom, origin, n)
    return not SIGMAS * sd * max(top, bottom) <= _least(reach, device, i, last)
