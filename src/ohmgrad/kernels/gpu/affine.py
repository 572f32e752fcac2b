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
from .launching import ADDITIVE, FLAT, MULTIPLICATIVE, NOISELESS
from .math import exp2m1, gauss2, log2_1p, philox

__all__ = ["SAFE", "advance", "clip", "coefficients", "is_coarse", "is_near", "per_pulse", "pulse_normal",
           "pulse_once"]  # fmt: skip

PULSE_NOISE = tl.constexpr(Purpose.PULSE_NOISE)
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
