"""Tabulated elements in Numba: their tables, and a run of one cell's pulses on a parabola of its table.

The affine kernels know their contraction beforehand; here it depends on where a cell is. At its first pulse
in an update a cell looks up the parabola around it; then samples take no look-ups any more.
`reference` has the mathematics, with the conditions under which a parabola holds.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..reference.tables import KINK_END, KINK_HEIGHT, LINEAR, RADIUS_STD
from .affine import ADDITIVE, MULTIPLICATIVE, QUIET
from .math import CONTRACT, as_float, as_int

__all__ = [
    "A_DOWN",
    "A_UP",
    "BASE",
    "BOTTOM",
    "B_DOWN",
    "B_UP",
    "CENTRE",
    "C_DOWN",
    "C_UP",
    "DOWN",
    "HIGH",
    "LIMIT",
    "LOST",
    "LOW",
    "LOWER",
    "MEASURED",
    "N_DOWN",
    "N_UP",
    "O_DOWN",
    "O_UP",
    "PEAK",
    "P_DOWN",
    "P_UP",
    "REACH",
    "SIGMAS",
    "TOP",
    "UP",
    "UPPER",
    "VALUES",
    "M",
    "Packed",
    "U",
    "V",
    "advance",
    "interval",
    "single",
]

i32, f32 = np.int32, np.float32

MEASURED = 3  # a kind of noise, beside those of cpu_dense
LIMIT, SIGMAS = f32(LINEAR), f32(RADIUS_STD)
HEIGHT, END, SLOPE = f32(KINK_HEIGHT), f32(1 / KINK_END), f32(3 * KINK_HEIGHT / KINK_END)

# The values of a cell: columns of its record on the sparse road, rows of a block on the dense one.
# State: mean, variance, highest and lowest mean, largest variance, whether the cell is to be replayed.
M, V, HIGH, LOW, PEAK, LOST = range(6)
# Parameters: intervals per weight above and below zero; middle of the interval whose parabola is in use, in
# intervals from w = 0; the parabola up and down, three values times the step at w = 0, and the standard
# deviation of a pulse, of measured steps also a parabola; reach.
TOP, BOTTOM, CENTRE = range(6, 9)
A_UP, B_UP, C_UP, N_UP, O_UP, P_UP, A_DOWN, B_DOWN, C_DOWN, N_DOWN, O_DOWN, P_DOWN = range(9, 21)
REACH, UP, DOWN, LOWER, UPPER, BASE = range(21, 27)
# The next four uniform numbers of a measured cell that is drawn pulse by pulse; V is then the number of
# pulses it has had. Until then the first of them is the number of its pulses.
U = 27
VALUES = 32


class Packed(NamedTuple):
    """Elements and their table, as the kernels take them; float32 but for `which` (int32) and n.

    up, down, lower, upper: planes (1, 1) or (rows, cols); which: first place of the element's device in the
    tables, of the same shape. value, rise: at 2 (n + 1) places a device, up and then down, q at a node over
    its value at w = 0, and the increase to the next; need: likewise, measured pulses that the collapse needs.
    curve: at n + 1 places a device one row each, the parabola up and down, reach, and of measured steps from
    the 8th on the parabolas of the standard deviation. steps: (devices, 2, levels, n + 1), as one row; cdf:
    (levels,); even: whether its levels are. top, bottom: intervals per unit of weight, times w_max and w_min;
    origin: place of w = 0 in intervals; n: intervals.
    """

    up: np.ndarray
    down: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    which: np.ndarray
    value: np.ndarray
    rise: np.ndarray
    need: np.ndarray
    curve: np.ndarray
    steps: np.ndarray
    cdf: np.ndarray
    top: np.float32
    bottom: np.float32
    origin: np.float32
    n: np.int32
    even: bool


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def interval(m, top, bottom, origin, n):
    """Interval of weight m, the part of it left of m, and intervals per weight there."""
    scale = top if m >= f32(0) else bottom
    p = min(max(m * scale + origin, f32(0)), f32(n))
    i = max(min(i32(p), i32(n - i32(1))), i32(0))  # whatever p is, the place exists
    return i, p - f32(i), scale


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _terms(k, e):
    """sum_{i<k} (1 - e)^i by five terms, for k |e| <= BEND; exact for k <= 5."""
    y = k * e
    s = f32(1) - (y - f32(4) * e) * f32(1 / 5)
    s = f32(1) - (y - f32(3) * e) * f32(1 / 4) * s
    s = f32(1) - (y - f32(2) * e) * f32(1 / 3) * s
    s = f32(1) - (y - e) * f32(1 / 2) * s
    return k * s


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _root(v):
    """1/sqrt(v) to 2 in 10,000, without a division; v times it is 0 at v = 0."""
    y = as_float(i32(i32(0x5F3759DF) - i32(as_int(v) >> i32(1))))
    r = v * y * y
    return y * (f32(15 / 8) - r * (f32(5 / 4) - f32(3 / 8) * r))


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _kink(middle, spread):
    """How far on the other side of w = 0 a run is in the mean, and for which part:
    `reference._over_the_kink`."""
    root = _root(spread)
    near = max(f32(1) - abs(middle) * root * END, f32(0))
    square = near * near
    return (spread * root) * (HEIGHT * near * square), SLOPE * square


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def advance(kind, std, k, m, v, a, b, c, n, o, p, top, bottom, centre):
    """Mean and variance of a cell after a run of k pulses of one direction, and the bend of the run.

    a, b, c: parabola of the step, with the sign of the pulse; n, o, p: of its standard deviation, or n alone;
    top, bottom: intervals per weight above and below zero; centre: where the parabolas have their middle.
    """
    first = top if m >= f32(0) else bottom
    d = m * first - centre
    start = first * (b + c * (d + d))
    before = max(k - f32(1), f32(0)) * f32(0.5)
    half = before * (a + d * (b + c * d)) * (f32(1) + (before - f32(0.5)) * start)
    middle = m + half
    above = middle >= f32(0)
    here = top if above else bottom
    d = middle * here - centre
    at, rise = a + d * (b + c * d), b + c * (d + d)
    noise = f32(0)
    if kind == ADDITIVE:
        noise = n * n
    elif kind == MULTIPLICATIVE:
        noise = (std * at) * (std * at)
    elif kind == MEASURED:
        sd = n + d * (o + p * d)
        noise = sd * sd
    spread = v + half * half * f32(1 / 3) + before * noise
    beyond, share = _kink(middle, spread)
    jump = rise * (top - bottom)  # of the slope, from below w = 0 to above
    at += (c * here) * (here * spread) + jump * beyond
    jump *= share
    e = (jump if above else -jump) - rise * here
    one = at + e * half
    bend = max(abs(start), abs(e))
    terms = _terms(k, e)
    gone = e * terms
    keep = f32(1) - gone
    if kind in (ADDITIVE, MEASURED):
        h = f32(0.5) * e  # 2/(2 - e) = 1 + h + h^2 + ..., good to 3 10^-5 for |e| <= BEND/2
        more = f32(1) + h * (f32(1) + h * (f32(1) + h))
        sums = terms * (f32(1) - f32(0.5) * gone) * more
        v = v * (keep * keep) + noise * (sums if k > f32(1) else terms)  # one pulse may bend beyond BEND
    elif kind == MULTIPLICATIVE:
        r = std / (f32(1) - e)
        r, square = r * r, e * e
        grows = r * square
        bend = max(bend, grows * f32(1 / LINEAR))
        y = k * grows  # of (1 + grows)^k - 1 over grows three terms are enough
        grown = (r * k) * (f32(1) + (y - grows) * f32(1 / 2) * (f32(1) + (y - f32(2) * grows) * f32(1 / 3)))
        step = square * v + one * one
        many = (keep * keep) * (v + grown * step)
        once = v * (keep * keep) + (std * std * terms) * step
        v = many if k > f32(1) else once
    return m + one * terms, v, bend * k if k > f32(1) else f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def single(kind, std, m, v, a, b, c, n, o, p, top, bottom, centre):
    """`advance` by one pulse, of one cell by itself."""
    above = m >= f32(0)
    here = top if above else bottom
    d = m * here - centre
    at, rise = a + d * (b + c * d), b + c * (d + d)
    if kind == QUIET:
        return m + at, v
    noise = n * n
    if kind == MEASURED:
        noise = n + d * (o + p * d)
        noise *= noise
    slope = rise * here
    one = at + c * here * here * v
    if m * m < v * f32(KINK_END * KINK_END):
        beyond, share = _kink(m, v)
        jump = rise * (top - bottom)
        one += jump * beyond
        jump *= share
        slope += -jump if above else jump
    keep = f32(1) + slope
    if kind == MULTIPLICATIVE:
        v = v * (keep * keep + std * std * slope * slope) + std * std * one * one
    else:
        v = v * (keep * keep) + noise
    return m + one, v
