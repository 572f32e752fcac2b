"""One affine element in Numba: the collapse of its pulses, its noise, and its pulses one by one.

`reference.affine` has the equations.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from ...rng import Purpose
from ..reference.affine import COARSE, SAFETY
from .compiling import CONTRACT, part
from .late import late_kernel
from .math import exp2m1, gauss2, log2_1p, philox
from .packing import ADDITIVE, FLAT, MULTIPLICATIVE, NOISELESS

__all__ = [
    "MAX_E", "NOISES", "SAFE", "Cell", "advance", "after_count", "apply_pulse_by_pulse", "cell_at",
    "far_bound", "finish_cell", "growth", "pulse_normals", "stationary",
]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

PULSE_NOISE = u32(Purpose.PULSE_NOISE)
SAFE, MAX_E = f32(SAFETY), f32(COARSE)
#: numbers for single pulses that are drawn at a time
NOISES = 64


class Cell(NamedTuple):
    """What pulses of one element do: sizes of a pulse at w = 0, and bounds."""

    up: np.float32
    down: np.float32
    lower: np.float32
    upper: np.float32


@njit(inline="always")
def cell_at(affine, r, j):
    """The element at row r and column j."""
    row, col = (0, 0) if affine.up.size == 1 else (r, j)
    return Cell(affine.up[row, col], affine.down[row, col], affine.lower[row, col], affine.upper[row, col])


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def stationary(e, pulse_size, noise_std):
    """Variance towards which additive noise drives the element."""
    return noise_std * noise_std * pulse_size * pulse_size / (e * (f32(2) - e))


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def growth(e, noise_std):
    """log2 of r/(1-e)^2, the growth of the second moment by multiplicative noise."""
    decay = f32(1) - e
    return log2_1p(min(noise_std * noise_std * e * e / (decay * decay), f32(0.5)))


@njit(inline="always", error_model="numpy")
def far_bound(pulse_size, bound, slope):
    """The bound in e = slope pulse_size/bound; of a flat slope one that keeps e as small."""
    return max(bound, pulse_size) if abs(slope) <= f32(FLAT) else bound


@njit(inline="always", error_model="numpy")
def _is_coarse(pulse_size, bound, slope):
    """Whether one pulse towards `bound`, given by its size, goes too far for the collapse."""
    return abs(slope) * pulse_size > MAX_E * bound


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def advance(n, down, cell, affine, mean, var):
    """Mean and variance of one cell after n pulses down or up; a few go one by one."""
    noise_kind, noise_std = affine.noise_kind, affine.noise_std
    if down:  # the direction is chosen once: code for both would take twice as long to compile
        pulse_size, bound, slope = cell.down, -cell.lower, affine.slope_down
    else:
        pulse_size, bound, slope = cell.up, cell.upper, affine.slope_up
    bound = far_bound(pulse_size, bound, slope)
    e = slope * pulse_size / bound
    move, end = (-pulse_size, -bound) if down else (pulse_size, bound)
    if n <= 4:
        decay = (f32(1) - e) * (f32(1) - e)
        for _ in range(n):
            dw = move - e * mean
            if noise_kind == ADDITIVE:
                var = var * decay + noise_std * noise_std * pulse_size * pulse_size
            elif noise_kind == MULTIPLICATIVE:
                var = var * (decay + noise_std * noise_std * e * e) + noise_std * noise_std * dw * dw
            mean += dw
    else:
        decay_minus_one = exp2m1(f32(n) * log2_1p(-e))
        gap = end / slope - mean
        if noise_kind == ADDITIVE:
            change = decay_minus_one * (f32(2) + decay_minus_one)
            var -= (stationary(e, pulse_size, noise_std) - var) * change
        elif noise_kind == MULTIPLICATIVE:
            decay = (f32(1) + decay_minus_one) * (f32(1) + decay_minus_one)
            var = decay * (var + exp2m1(f32(n) * growth(e, noise_std)) * (var + gap * gap))
        mean -= gap * decay_minus_one
    if noise_kind == NOISELESS:
        mean = min(max(mean, cell.lower), cell.upper)
    return mean, var


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def finish_cell(cell, affine, mean, var, mean_max, mean_min, var_max, z):
    """New weight of a cell, with its noise, and whether it needs pulse by pulse instead.

    mean_max, mean_min, var_max: over all samples; z: a standard normal number.
    """
    coarse = _is_coarse(cell.up, cell.upper, affine.slope_up)
    coarse = coarse or _is_coarse(cell.down, -cell.lower, affine.slope_down)
    if affine.noise_kind == NOISELESS:
        return mean, coarse
    room = SAFE * np.sqrt(var_max)
    near = mean_max + room > cell.upper or mean_min - room < cell.lower
    return min(max(mean + np.sqrt(var) * z, cell.lower), cell.upper), coarse or near


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def after_count(n, down, cell, affine, weight, z):
    """As `finish_cell`, of a cell that gets n pulses of one sample and no others."""
    mean, var = advance(n, down, cell, affine, weight, f32(0))
    return finish_cell(cell, affine, mean, var, max(mean, weight), min(mean, weight), var, z)


@part(fastmath=CONTRACT)
def pulse_normals(r, j, first, blocks, address, z):
    """Standard normal numbers of the pulses 4 first ... 4 (first + blocks) - 1 of one cell."""
    for i in range(blocks):
        block = u32(PULSE_NOISE | u32(u32(first + i) << u32(8)))
        a, b, c, d = philox(u32(j), u32(r), address.step, block, address.k0, address.k1)
        z[4 * i], z[4 * i + 1] = gauss2(a, b)
        z[4 * i + 2], z[4 * i + 3] = gauss2(c, d)


@late_kernel(types.float32, fastmath=CONTRACT)
def apply_pulse_by_pulse(weight, r, j, counts, affine, address, z):
    """All pulses of one cell, each with its own noise and clipping; returns the new weight.

    counts: signed, of its samples in order; z: scratch for `NOISES` numbers.
    """
    w, noise_kind, noise_std, cell = weight, affine.noise_kind, affine.noise_std, cell_at(affine, r, j)
    slope_up, slope_down = affine.slope_up, affine.slope_down
    e_up = slope_up * cell.up / far_bound(cell.up, cell.upper, slope_up)
    e_down = slope_down * cell.down / far_bound(cell.down, -cell.lower, slope_down)
    left = 0
    for i in range(counts.shape[0]):
        left += abs(counts[i])
    index = 0
    for i in range(counts.shape[0]):
        e, move = (e_up, cell.up) if counts[i] > 0 else (e_down, -cell.down)
        decay, noise = f32(1) - e, noise_std * abs(move)
        for _ in range(abs(counts[i])):
            at = index % NOISES
            if at == 0 and noise_kind != NOISELESS:
                blocks = min(NOISES, left - index + 3) // 4
                pulse_normals(r, j, index // 4, blocks, address, z)
            if noise_kind == ADDITIVE:
                w = w * decay + (move + noise * z[at])
            elif noise_kind == MULTIPLICATIVE:
                factor = f32(1) + noise_std * z[at]
                w = w * (f32(1) - e * factor) + move * factor
            else:
                w = w * decay + move
            w = min(max(w, cell.lower), cell.upper)
            index += 1
    return w
