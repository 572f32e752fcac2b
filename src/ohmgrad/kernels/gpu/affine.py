"""Blocks of affine elements in Triton: the collapse of their pulses, its noise, and their pulses one by one.

`reference.affine` has the equations.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import triton
import triton.language as tl

from ...rng import Purpose
from ..reference.affine import COARSE, SAFETY
from .blocks import block_of_cells, next_count, plane_of
from .launching import ADDITIVE, FLAT, MULTIPLICATIVE, NOISELESS
from .math import cell_normals, exp2m1, gauss2, log2_1p, philox

__all__ = ["SAFE", "UPDATE_NOISE", "affine_pulses", "clip", "is_near", "per_pulse", "pulse_normal"]

PULSE_NOISE, UPDATE_NOISE = tl.constexpr(Purpose.PULSE_NOISE), tl.constexpr(Purpose.UPDATE_NOISE)
SAFE, MAX_E = tl.constexpr(SAFETY), tl.constexpr(COARSE)


@triton.jit
def clip(w, lower, upper):
    """`w` kept inside the bounds."""
    return tl.minimum(tl.maximum(w, lower), upper)


@triton.jit
def is_coarse(size, bound, slope):
    """Whether one pulse towards `bound`, given by its size, goes too far for the collapse."""
    return tl.abs(slope) * size > MAX_E * bound


@triton.jit
def per_pulse(size, bound, slope):
    """e of a pulse, and the bound that it refers to: of a flat slope any that keeps e that small."""
    bound = tl.where(tl.abs(slope) <= FLAT, tl.maximum(bound, size), bound)
    return tl.div_rn(slope * size, bound), bound


@triton.jit
def coefficients(size, bound, slope, noise_std, KIND: tl.constexpr):
    """log2(1 - e), distance of the fixed point from zero, and what noise adds, of pulses in one direction.

    bound: its size. Of coarse elements, which the collapse does not serve, they are of some other e.
    """
    e, far = per_pulse(size, bound, slope)
    e = tl.where(is_coarse(size, bound, slope), 0.25, e)
    fixed = tl.div_rn(far, slope)
    if KIND == ADDITIVE:  # the variance that it drives the element to
        step = noise_std * size
        term = tl.div_rn(step * step, e * (2.0 - e))
    elif KIND == MULTIPLICATIVE:  # log2 of r/(1-e)^2, the growth of the second moment
        part = tl.div_rn(noise_std * e, 1.0 - e)
        term = log2_1p(tl.minimum(part * part, 0.5))
    else:
        term = e
    return log2_1p(-e), fixed, term


@triton.jit
def advance(k, mean, var, up, down, lower, upper, KIND: tl.constexpr):
    """Mean and variance after k signed pulses in one direction each; up, down: their `coefficients`."""
    falls, n = k < 0, tl.abs(k).to(tl.float32)
    log = tl.where(falls, down[0], up[0])
    fixed = tl.where(falls, -down[1], up[1])
    decay_minus_one = exp2m1(n * log)
    gap = fixed - mean
    mean = mean - gap * decay_minus_one
    if KIND == NOISELESS:
        mean = clip(mean, lower, upper)
    else:
        term = tl.where(falls, down[2], up[2])
        if KIND == ADDITIVE:
            var = var - (term - var) * (decay_minus_one * (2.0 + decay_minus_one))
        else:
            decay = (1.0 + decay_minus_one) * (1.0 + decay_minus_one)
            var = decay * (var + exp2m1(n * term) * (var + gap * gap))
    return mean, var


@triton.jit
def is_near(mean_max, mean_min, var_max, lower, upper):
    """Whether noise reaches a bound, so that an element needs pulse by pulse."""
    room = SAFE * tl.sqrt_rn(var_max)
    return ((mean_max + room <= upper) & (mean_min - room >= lower)) == 0


@triton.jit
def pulse_normal(row, col, index, step, k0, k1):
    """Standard normal number of pulse `index` (int32) of each cell in an update; the others are uint32."""
    zero = tl.zeros(index.shape, tl.uint32)
    block = PULSE_NOISE | ((index >> 2).to(tl.uint32) << 8)
    a, b, c, d = philox(zero + col, zero + row, zero + step, block, zero + k0, zero + k1)
    late = (index & 2) != 0
    one, two = gauss2(tl.where(late, c, a), tl.where(late, d, b))
    return tl.where((index & 1) != 0, two, one)


@triton.jit
def pulse_once(w, falls, z, up, down, e_up, e_down, lower, upper, noise_std, KIND: tl.constexpr):
    """Weights after a pulse with the normal number z, clipped."""
    e, move = tl.where(falls, e_down, e_up), tl.where(falls, -down, up)
    if KIND == ADDITIVE:
        w = w * (1.0 - e) + (move + noise_std * tl.abs(move) * z)
    elif KIND == MULTIPLICATIVE:
        factor = 1.0 + noise_std * z
        w = w * (1.0 - e * factor) + move * factor
    else:
        w = w * (1.0 - e) + move
    return clip(w, lower, upper)


@triton.jit
def _by_pulse(
    w, which, x, d, row, col, there, planes, slope_up, slope_down, noise_std, step, k0, k1, samples, cols,
    rows, n_words, KIND: tl.constexpr, COUNTED: tl.constexpr,
):  # fmt: skip
    """Weights after every single pulse of the cells `which`, each with its own noise and clipping."""
    up, down, lower, upper = planes
    e_up, _ = per_pulse(up, upper, slope_up)
    e_down, _ = per_pulse(down, -lower, slope_down)
    index = tl.zeros(w.shape, tl.int32)
    z = tl.zeros(w.shape, tl.float32)
    for _ in range(samples):
        k = tl.where(which, next_count(x, d, samples, cols, rows, n_words, there, COUNTED), 0)
        left = tl.abs(k)
        for _ in range(tl.max(left)):
            if KIND != NOISELESS:
                z = pulse_normal(row, col, index, step, k0, k1)
            new = pulse_once(w, k < 0, z, up, down, e_up, e_down, lower, upper, noise_std, KIND)
            busy = left > 0
            w = tl.where(busy, new, w)
            index, left = index + busy.to(tl.int32), left - busy.to(tl.int32)
        x, d = x + cols, d + rows
    return w


@triton.jit(do_not_specialize=["samples", "k0", "k1"])
def affine_pulses(
    w, up, down, lower, upper, x, d, touched, step, events, status, rows, cols, group, samples, n_words,
    slope_up, slope_down, noise_std, k0, k1, KIND: tl.constexpr, UNIFORM: tl.constexpr,
    BY_PULSE: tl.constexpr, COUNTED: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """Pulses on a block of affine elements.

    x, d: words of the trains; COUNTED: x has signed counts instead, int64 (rows, cols), of one sample.
    """
    if tl.load(status) != 0:
        return
    row, index, col, there = block_of_cells(rows, cols, group, ROWS, COLS)
    at = row.to(tl.int64) * cols + col
    x = x + at if COUNTED else x + col + tl.zeros((ROWS, COLS), tl.int64)
    d = x if COUNTED else d + row + tl.zeros((ROWS, COLS), tl.int64)
    planes = (
        plane_of(up, at, there, 1.0, UNIFORM), plane_of(down, at, there, 1.0, UNIFORM),
        plane_of(lower, at, there, -1.0, UNIFORM), plane_of(upper, at, there, 1.0, UNIFORM),
    )  # fmt: skip
    before = tl.load(w + at, mask=there, other=0.0)
    number, first, second = tl.load(step).to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32)

    ups = tl.zeros((ROWS, COLS), tl.int32)
    downs = tl.zeros((ROWS, COLS), tl.int32)
    mean, mean_max, mean_min = before, before, before
    var = tl.zeros((ROWS, COLS), tl.float32)
    var_max = var
    rising = coefficients(planes[0], planes[3], slope_up, noise_std, KIND)
    falling = coefficients(planes[1], -planes[2], slope_down, noise_std, KIND)
    x_sample, d_sample = x, d
    for _ in range(samples):
        k = next_count(x_sample, d_sample, samples, cols, rows, n_words, there, COUNTED)
        ups += tl.maximum(k, 0)
        downs += tl.maximum(-k, 0)
        if not BY_PULSE:
            mean, var = advance(k, mean, var, rising, falling, planes[2], planes[3], KIND)
            if KIND != NOISELESS:
                mean_max, mean_min = tl.maximum(mean_max, mean), tl.minimum(mean_min, mean)
                var_max = tl.maximum(var_max, var)
        x_sample, d_sample = x_sample + cols, d_sample + rows

    pulsed = (ups + downs) > 0
    needs = pulsed
    new = mean
    if not BY_PULSE:
        needs = is_coarse(planes[0], planes[3], slope_up) | is_coarse(planes[1], -planes[2], slope_down)
        if KIND != NOISELESS:
            z = cell_normals(row.to(tl.uint32), index.to(tl.uint32), number, UPDATE_NOISE, first, second)
            new = tl.minimum(tl.maximum(mean + tl.sqrt_rn(var) * z, planes[2]), planes[3])
            needs = needs | is_near(mean_max, mean_min, var_max, planes[2], planes[3])
        needs = needs & pulsed
    if tl.max(needs.to(tl.int32)) > 0:
        by_pulse = _by_pulse(
            before, needs, x, d, row.to(tl.uint32), col.to(tl.uint32), there, planes, slope_up, slope_down,
            noise_std, number, first, second, samples, cols, rows, n_words, KIND, COUNTED,
        )  # fmt: skip
        new = tl.where(needs, by_pulse, new)
    tl.store(w + at, new, mask=there & pulsed)
    if touched is not None:
        tl.store(touched + at, pulsed, mask=there & pulsed)
    if events is not None:
        tl.atomic_add(events, tl.sum(ups.to(tl.int64)))
        tl.atomic_add(events + 1, tl.sum(downs.to(tl.int64)))
