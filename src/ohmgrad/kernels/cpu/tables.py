"""A segment of one tabulated element in Numba: pulses in one direction on a parabola of its table.

The affine kernels know their contraction beforehand; here it depends on where a cell is. At its first pulse
in an update a cell looks up the parabola around it, and the samples that follow look nothing up.
`reference.tables` has the mathematics, with the conditions under which a parabola holds.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..reference.tables import KINK_END, KINK_HEIGHT, LINEAR, RADIUS_STD
from .compiling import CONTRACT
from .math import as_float, as_int
from .packing import ADDITIVE, MEASURED, MULTIPLICATIVE, NOISELESS

__all__ = ["LIMIT", "SIGMAS", "Parabola", "Stretch", "advance", "advance_by_one", "interval", "offset"]

i32, f32 = np.int32, np.float32

LIMIT, SIGMAS = f32(LINEAR), f32(RADIUS_STD)
HEIGHT, END, SLOPE = f32(KINK_HEIGHT), f32(1 / KINK_END), f32(3 * KINK_HEIGHT / KINK_END)


class Parabola(NamedTuple):
    """Move of a pulse at distance t from the middle of an interval: a + b t + c t^2, with its sign; and the
    noise of a pulse: sd_a alone, or a parabola too."""

    a: np.float32
    b: np.float32
    c: np.float32
    sd_a: np.float32
    sd_b: np.float32
    sd_c: np.float32


class Stretch(NamedTuple):
    """Intervals per weight above and below zero; middle of the interval of the parabola in use."""

    top: np.float32
    bottom: np.float32
    centre: np.float32


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def interval(w, top, bottom, tables):
    """Interval of a weight, and the part of it left of the weight."""
    scale = top if w >= f32(0) else bottom
    p = min(max(w * scale + tables.origin, f32(0)), f32(tables.n))
    i = max(min(i32(p), i32(tables.n - i32(1))), i32(0))  # whatever p is, the interval exists
    return i, p - f32(i)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def offset(w, top, bottom, centre):
    """Distance of a weight from the middle of an interval, in intervals."""
    return w * (top if w >= f32(0) else bottom) - centre


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _terms(k, e):
    """sum_{i<k} (1 - e)^i by five terms, for k |e| <= LINEAR; exact for k <= 5."""
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
def _kink(middle, variance):
    """How far on the other side of w = 0 a segment is in the mean, and for which part:
    `reference.tables.over_the_kink`."""
    root = _root(variance)
    near = max(f32(1) - abs(middle) * root * END, f32(0))
    square = near * near
    return (variance * root) * (HEIGHT * near * square), SLOPE * square


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def advance(noise_kind, noise_std, k, mean, var, parabola, stretch):
    """Mean and variance of a cell after a segment of k pulses, and the error of the segment's line.

    noise_kind, noise_std: of the noise.
    """
    a, b, c, n, o, p = parabola
    top, bottom, centre = stretch
    first = top if mean >= f32(0) else bottom
    d = mean * first - centre
    start = first * (b + c * (d + d))
    before = max(k - f32(1), f32(0)) * f32(0.5)
    half = before * (a + d * (b + c * d)) * (f32(1) + (before - f32(0.5)) * start)
    middle = mean + half
    above = middle >= f32(0)
    here = top if above else bottom
    d = middle * here - centre
    at, rise = a + d * (b + c * d), b + c * (d + d)
    noise = f32(0)
    if noise_kind == ADDITIVE:
        noise = n * n
    elif noise_kind == MULTIPLICATIVE:
        noise = (noise_std * at) * (noise_std * at)
    elif noise_kind == MEASURED:
        sd = n + d * (o + p * d)
        noise = sd * sd
    variance = var + half * half * f32(1 / 3) + before * noise
    beyond, share = _kink(middle, variance)
    jump = rise * (top - bottom)  # of the slope, from below w = 0 to above
    at += (c * here) * (here * variance) + jump * beyond
    jump *= share
    e = (jump if above else -jump) - rise * here
    move = at + e * half
    error = max(abs(start), abs(e))
    terms = _terms(k, e)
    one_minus_decay = e * terms
    decay = f32(1) - one_minus_decay
    if noise_kind in (ADDITIVE, MEASURED):
        h = f32(0.5) * e  # 2/(2 - e) = 1 + h + h^2 + ..., good to 3 10^-5 for |e| <= LINEAR/2
        more = f32(1) + h * (f32(1) + h * (f32(1) + h))
        sums = terms * (f32(1) - f32(0.5) * one_minus_decay) * more
        var = var * (decay * decay) + noise * (sums if k > f32(1) else terms)  # one may bend beyond LINEAR
    elif noise_kind == MULTIPLICATIVE:
        r = noise_std / (f32(1) - e)
        r, square = r * r, e * e
        grows = r * square
        error = max(error, grows * f32(1 / LINEAR))
        y = k * grows  # of (1 + grows)^k - 1 over grows three terms are enough
        grown = (r * k) * (f32(1) + (y - grows) * f32(1 / 2) * (f32(1) + (y - f32(2) * grows) * f32(1 / 3)))
        squares = square * var + move * move
        many = (decay * decay) * (var + grown * squares)
        once = var * (decay * decay) + (noise_std * noise_std * terms) * squares
        var = many if k > f32(1) else once
    return mean + move * terms, var, error * k if k > f32(1) else f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def advance_by_one(noise_kind, noise_std, mean, var, parabola, stretch):
    """`advance` by one pulse, of one cell by itself."""
    a, b, c, n, o, p = parabola
    top, bottom, centre = stretch
    above = mean >= f32(0)
    here = top if above else bottom
    d = mean * here - centre
    at, rise = a + d * (b + c * d), b + c * (d + d)
    if noise_kind == NOISELESS:
        return mean + at, var
    noise = n * n
    if noise_kind == MEASURED:
        noise = n + d * (o + p * d)
        noise *= noise
    slope = rise * here
    move = at + c * here * here * var
    if mean * mean < var * f32(KINK_END * KINK_END):
        beyond, share = _kink(mean, var)
        jump = rise * (top - bottom)
        move += jump * beyond
        jump *= share
        slope += -jump if above else jump
    decay = f32(1) + slope
    if noise_kind == MULTIPLICATIVE:
        var = (
            var * (decay * decay + noise_std * noise_std * slope * slope)
            + noise_std * noise_std * move * move
        )
    else:
        var = var * (decay * decay) + noise
    return mean + move, var
