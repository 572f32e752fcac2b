"""Blocks of tabulated elements in Triton: parabolas of their tables, and segments of pulses on them.

`reference.tables` has the mathematics. Tables of several devices stand one after the other.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import triton
import triton.language as tl

from ..reference.tables import KINK_END, KINK_HEIGHT, LINEAR, RADIUS_STD
from .affine import SAFE, clip
from .launching import MEASURED, MULTIPLICATIVE, NOISELESS

__all__ = ["drawn_step", "interval", "mean_step", "segments"]

LIMIT, SIGMAS = tl.constexpr(LINEAR), tl.constexpr(RADIUS_STD)
HEIGHT, END = tl.constexpr(KINK_HEIGHT), tl.constexpr(KINK_END)
ONE_OVER_LIMIT = tl.constexpr(1 / LINEAR)


@triton.jit
def interval(w, top, bottom, origin, n):
    """Interval of weights, and the part of it left of them; top, bottom: intervals per weight there."""
    p = tl.minimum(tl.maximum(w * tl.where(w >= 0.0, top, bottom) + origin, 0.0), n.to(tl.float32))
    i = tl.maximum(tl.minimum(p.to(tl.int32), n - 1), 0)  # whatever p is, the interval exists
    return i, p - i.to(tl.float32)


@triton.jit
def mean_step(value, which, falls, i, t, n, there):
    """Mean size of a pulse over that at w = 0."""
    at = value + (2 * which + falls.to(tl.int32)) * (n + 1) + i
    left = tl.load(at, mask=there, other=0.0)
    return left + t * (tl.load(at + 1, mask=there, other=0.0) - left)


@triton.jit
def drawn_step(steps, cdf, which, falls, i, t, u, n, levels, there, HALVINGS: tl.constexpr):
    """Size of a measured pulse over that at w = 0, by its probability u: bilinear in levels and nodes.

    HALVINGS: after how many a search finds one of the levels.
    """
    low = tl.zeros(i.shape, tl.int32)
    high = low + (levels - 1)
    for _ in tl.static_range(HALVINGS):
        middle = (low + high) >> 1
        right = tl.load(cdf + middle, mask=there, other=0.0) <= u
        apart = high - low > 1
        low, high = tl.where(apart & right, middle, low), tl.where(apart & (right == 0), middle, high)
    below, above = tl.load(cdf + low, mask=there, other=0.0), tl.load(cdf + high, mask=there, other=1.0)
    s = tl.minimum(tl.maximum(tl.div_rn(u - below, above - below), 0.0), 1.0)
    at = steps + ((2 * which + falls.to(tl.int32)) * levels + low) * (n + 1) + i
    a, b = tl.load(at, mask=there, other=0.0), tl.load(at + 1, mask=there, other=0.0)
    one = a + t * (b - a)
    at += n + 1
    a, b = tl.load(at, mask=there, other=0.0), tl.load(at + 1, mask=there, other=0.0)
    two = a + t * (b - a)
    return one + s * (two - one)


@triton.jit
def _terms(k, e):
    """sum_{i<k} (1 - e)^i by five terms, for k |e| <= LINEAR; exact for k <= 5."""
    y = k * e
    s = 1.0 - (y - 4.0 * e) * 0.2
    s = 1.0 - (y - 3.0 * e) * 0.25 * s
    s = 1.0 - (y - 2.0 * e) * 0.3333333333333333 * s
    s = 1.0 - (y - e) * 0.5 * s
    return k * s


@triton.jit
def _kink(middle, variance):
    """How far on the other side of w = 0 a segment is in the mean, and for which part:
    `reference.tables.over_the_kink`."""
    std = tl.sqrt_rn(tl.maximum(variance, 0.0))
    near = tl.maximum(1.0 - tl.div_rn(tl.abs(middle), tl.maximum(std, 1e-30)) / END, 0.0)
    return std * HEIGHT * near * near * near, (3.0 * HEIGHT / END) * near * near


@triton.jit
def _advance(k, mean, var, a, b, c, sd_a, sd_b, sd_c, top, bottom, centre, noise_std, KIND: tl.constexpr):
    """Mean and variance after a segment of k pulses (float32), and the error of the segment's line.

    a, b, c: move of a pulse at distance t from the middle of an interval, a + b t + c t^2, with its sign;
    sd_a, sd_b, sd_c: its noise, likewise. centre: middle of the interval, in intervals from w = 0.
    """
    first = tl.where(mean >= 0.0, top, bottom)
    d = mean * first - centre
    start = first * (b + c * (d + d))
    before = tl.maximum(k - 1.0, 0.0) * 0.5
    half = before * (a + d * (b + c * d)) * (1.0 + (before - 0.5) * start)
    middle = mean + half
    above = middle >= 0.0
    here = tl.where(above, top, bottom)
    d = middle * here - centre
    at, rise = a + d * (b + c * d), b + c * (d + d)
    if KIND == MULTIPLICATIVE:  # noqa: SIM108 (Triton compiles one branch)
        sd = noise_std * at
    else:
        sd = sd_a + d * (sd_b + sd_c * d)
    noise = sd * sd
    variance = var + half * half * 0.3333333333333333 + before * noise
    beyond, share = _kink(middle, variance)
    jump = rise * (top - bottom)  # of the slope, from below w = 0 to above
    at += (c * here) * (here * variance) + jump * beyond
    jump *= share
    e = tl.where(above, jump, -jump) - rise * here
    move = at + e * half
    error = tl.maximum(tl.abs(start), tl.abs(e))
    terms = _terms(k, e)
    one_minus_decay = e * terms
    decay = 1.0 - one_minus_decay
    if KIND == MULTIPLICATIVE:
        r = tl.div_rn(noise_std, 1.0 - e)
        r, square = r * r, e * e
        grows = r * square
        error = tl.maximum(error, grows * ONE_OVER_LIMIT)
        y = k * grows  # of (1 + grows)^k - 1 over grows three terms are enough
        grown = (r * k) * (1.0 + (y - grows) * 0.5 * (1.0 + (y - 2.0 * grows) * 0.3333333333333333))
        squares = square * var + move * move
        many = (decay * decay) * (var + grown * squares)
        once = var * (decay * decay) + (noise_std * noise_std * terms) * squares
        var = tl.where(k > 1.0, many, once)
    elif KIND != NOISELESS:
        h = 0.5 * e  # 2/(2 - e) = 1 + h + h^2 + ..., good to 3 10^-5 for |e| <= LINEAR/2
        more = 1.0 + h * (1.0 + h * (1.0 + h))
        sums = terms * (1.0 - 0.5 * one_minus_decay) * more
        var = var * (decay * decay) + noise * tl.where(k > 1.0, sums, terms)  # one may bend beyond LINEAR
    return mean + move * terms, var, tl.where(k > 1.0, error * k, 0.0)


@triton.jit
def _parabola(curve, place, size, falls, there, FIRST: tl.constexpr):
    """Three values of a row of `curve`, up or down, times the size of a pulse at w = 0."""
    at = curve + place + FIRST + tl.where(falls, 3, 0)
    a = size * tl.load(at, mask=there, other=0.0)
    b = size * tl.load(at + 1, mask=there, other=0.0)
    c = size * tl.load(at + 2, mask=there, other=0.0)
    return a, b, c


@triton.jit
def segments(
    k, state, interval_now, beyond, planes, top, bottom, which, curve, origin, n, noise_std,
    KIND: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Mean, variance, highest and lowest mean and largest variance (`state`) after k signed pulses.

    Returns:
        The state; the interval whose parabola is in use; and which cells need pulse by pulse, of which the
        collapse ends.
    """
    up, down, lower, upper = planes
    mean, var, mean_max, mean_min, var_max = state
    here, falls = interval_now, k < 0
    size = tl.where(falls, down, up)
    steepest = SIGMAS * tl.maximum(top, bottom)
    left = tl.where(beyond, 0, tl.abs(k))
    segment = left
    while tl.max(left) > 0:
        active = left > 0
        place = (which * n + here) * WIDTH
        radius = tl.load(curve + place + 6, mask=active, other=0.0)
        a, b, c = _parabola(curve, place, tl.where(falls, -size, size), falls, active, 0)
        sd_a, sd_b, sd_c = (
            noise_std * size,
            tl.zeros(size.shape, tl.float32),
            tl.zeros(size.shape, tl.float32),
        )
        if KIND == MEASURED:
            sd_a, sd_b, sd_c = _parabola(curve, place, size, falls, active, 8)
        centre = here.to(tl.float32) + 0.5 - origin
        new, v, error = _advance(
            segment.to(tl.float32), mean, var, a, b, c, sd_a, sd_b, sd_c, top, bottom, centre, noise_std, KIND
        )
        if KIND == NOISELESS:
            new, v = clip(new, lower, upper), tl.zeros(new.shape, tl.float32)
        widest = tl.maximum(var_max, v)
        deviation = tl.sqrt_rn(widest)
        noise = steepest * deviation
        gap = tl.abs(new * tl.where(new >= 0.0, top, bottom) - centre)
        holds = (gap + noise <= radius) & (error <= LIMIT)
        now, _ = interval(mean, top, bottom, origin, n)
        ahead, _ = interval(new, top, bottom, origin, n)
        own = here == now
        take = active & (holds | ((segment <= 1) & own))  # a single pulse there has no other way
        ends = take & (segment >= left)
        if KIND == NOISELESS:  # at a bound, where all further pulses leave it
            ends = ends | (take & (new == mean) & (((new > lower) & (new < upper)) == 0))
        else:
            near = tl.abs(mean * tl.where(mean >= 0.0, top, bottom) - centre) + noise <= radius
            fine = (holds | near) & (new + SAFE * deviation <= upper) & (new - SAFE * deviation >= lower)
            beyond = beyond | (take & (fine == 0))
            ends = ends | beyond
        mean_max = tl.where(take, tl.maximum(mean_max, new), mean_max)
        mean_min = tl.where(take, tl.minimum(mean_min, new), mean_min)
        mean, var, var_max = (
            tl.where(take, new, mean),
            tl.where(take, v, var),
            tl.where(take, widest, var_max),
        )
        left = tl.where(ends, 0, tl.where(take, left - segment, left))
        longer = tl.where(segment > (left >> 1), left, segment + segment)
        shorter = tl.where(own, tl.maximum(segment >> 1, 1), segment)
        segment = tl.where(take, longer, shorter)
        after = tl.where(take, tl.where(holds, here, ahead), now)
        here = tl.where(active, after, here)
    return (mean, var, mean_max, mean_min, var_max), here, beyond
