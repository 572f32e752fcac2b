"""Whole rows of affine elements in Numba: counts, moments and noise of all cells, as vectors."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from .affine import MAX_E, SAFE, growth, stationary
from .compiling import CONTRACT, part
from .late import late_kernel
from .math import exp2m1, log2_1p, popcount
from .packing import ADDITIVE, FLAT, MULTIPLICATIVE, NOISELESS
from .trains import SLOT_BITS

__all__ = [
    "COARSE_MARK", "COEFFICIENTS", "Moments", "advance_row", "count_row", "finish_row", "load_row",
    "load_way",
]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

#: in the place of log2(1-e): a coarse element. No other is below -1
COARSE_MARK = f32(-2)
#: rows of coefficients: log2(1-e), fixed point and noise term of a pulse up and down, and bounds
LOG_UP, LOG_DOWN, FIXED_UP, FIXED_DOWN, TERM_UP, TERM_DOWN, LOWER, UPPER = range(8)
COEFFICIENTS = 8


class Moments(NamedTuple):
    """Moments of the cells of a row, float32 (n,), and what they passed on their way."""

    mean: np.ndarray
    var: np.ndarray
    mean_max: np.ndarray
    mean_min: np.ndarray
    var_max: np.ndarray
    #: signed pulses of the present sample; after `finish_row` 1 where a cell needs pulse by pulse
    pulses: np.ndarray


@late_kernel(types.void, fastmath=CONTRACT)
def load_way(sizes, bounds, slope, inverse, affine, way, most, coefficients):
    """Coefficients of one direction, way 0 up or 1 down; those of coarse cells mean nothing but that.

    inverse: 1/slope, with the sign of the direction; most: |e| beyond which cells are coarse.
    """
    noise_kind, noise_std = affine.noise_kind, affine.noise_std
    log, fixed, term = coefficients[LOG_UP + way], coefficients[FIXED_UP + way], coefficients[TERM_UP + way]
    least = f32(1) if abs(slope) <= f32(FLAT) else f32(0)
    if noise_kind == MULTIPLICATIVE:
        for j in range(sizes.shape[0]):
            bound = max(abs(bounds[j]), least * sizes[j])
            e = slope * sizes[j] / bound
            log[j] = COARSE_MARK if abs(e) > most else log2_1p(-e)
            fixed[j] = bound * inverse
            term[j] = growth(e, noise_std)
    else:
        for j in range(sizes.shape[0]):
            bound = max(abs(bounds[j]), least * sizes[j])
            e = slope * sizes[j] / bound
            log[j] = COARSE_MARK if abs(e) > most else log2_1p(-e)
            fixed[j] = bound * inverse
            term[j] = stationary(e, sizes[j], noise_std)


@late_kernel(types.void)
def load_row(r, weights, affine, coefficients, moments):
    """Coefficients and moments of a row before its pulses."""
    uniform = affine.up.size == 1
    row = 0 if uniform else r
    up, down, lower, upper = affine.up[row], affine.down[row], affine.lower[row], affine.upper[row]
    n = up.shape[0]
    slope_up, slope_down = affine.slope_up, affine.slope_down
    load_way(up, upper, slope_up, f32(1) / slope_up, affine, 0, MAX_E, coefficients)
    load_way(down, lower, slope_down, f32(-1) / slope_down, affine, 1, MAX_E, coefficients)
    for j in range(n):
        coefficients[LOWER, j], coefficients[UPPER, j] = lower[j], upper[j]
    if uniform:
        for q in range(COEFFICIENTS):
            for j in range(coefficients.shape[1]):
                coefficients[q, j] = coefficients[q, 0]
    _load_moments(weights, moments)


@part()
def _load_moments(weights, moments):
    mean, var, mean_max, mean_min, var_max, _ = moments
    for j in range(weights.shape[0]):
        mean[j], mean_max[j], mean_min[j] = weights[j], weights[j], weights[j]
        var[j], var_max[j] = f32(0), f32(0)


@part()
def count_row(r, b, xs, ds, count):
    """Signed coincidence counts of row r with all x-lines of sample b, as float32."""
    n = count.shape[0]
    first, word = xs[0, b], ds[0, b, r]
    for j in range(n):
        k = f32(i32(popcount(u32(u32(first[j] & word) & SLOT_BITS))))
        count[j] = -k if i32(first[j] ^ word) < i32(0) else k
    for w in range(1, xs.shape[0]):
        other, word = xs[w, b], ds[w, b, r]
        for j in range(n):
            k = f32(i32(popcount(u32(u32(other[j] & word) & SLOT_BITS))))
            count[j] += -k if i32(other[j] ^ word) < i32(0) else k


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _advance_each(noise_kind, coefficients, moments):
    mean, var, mean_max, mean_min, var_max, count = moments
    log_up, log_down = coefficients[LOG_UP], coefficients[LOG_DOWN]
    fixed_up, fixed_down = coefficients[FIXED_UP], coefficients[FIXED_DOWN]
    term_up, term_down = coefficients[TERM_UP], coefficients[TERM_DOWN]
    lower, upper = coefficients[LOWER], coefficients[UPPER]
    for j in range(count.shape[0]):
        k = count[j]
        down = k < f32(0)
        la, lb, fa, fb = log_up[j], log_down[j], fixed_up[j], fixed_down[j]
        log = lb if down else la
        fixed = fb if down else fa
        decay_minus_one = exp2m1(abs(k) * log)
        gap = fixed - mean[j]
        new = mean[j] - gap * decay_minus_one
        if noise_kind == NOISELESS:
            mean[j] = min(max(new, lower[j]), upper[j])
            continue
        ta, tb = term_up[j], term_down[j]
        term = tb if down else ta
        if noise_kind == ADDITIVE:
            v = var[j] - (term - var[j]) * (decay_minus_one * (f32(2) + decay_minus_one))
        else:
            growth = exp2m1(abs(k) * term)
            decay = (f32(1) + decay_minus_one) * (f32(1) + decay_minus_one)
            v = decay * (var[j] + growth * (var[j] + gap * gap))
        mean[j], var[j] = new, v
        mean_max[j] = max(mean_max[j], new)
        mean_min[j] = min(mean_min[j], new)
        var_max[j] = max(var_max[j], v)


@late_kernel(types.void, fastmath=CONTRACT)
def _additive(coefficients, moments):
    _advance_each(ADDITIVE, coefficients, moments)


@late_kernel(types.void, fastmath=CONTRACT)
def _multiplicative(coefficients, moments):
    _advance_each(MULTIPLICATIVE, coefficients, moments)


@late_kernel(types.void, fastmath=CONTRACT)
def _noiseless(coefficients, moments):
    _advance_each(NOISELESS, coefficients, moments)


@part()
def advance_row(noise_kind, coefficients, moments):
    """Moments of a row after the pulses of one sample, `moments.pulses`."""
    if noise_kind == ADDITIVE:
        _additive(coefficients, moments)
    elif noise_kind == MULTIPLICATIVE:
        _multiplicative(coefficients, moments)
    else:
        _noiseless(coefficients, moments)


@late_kernel(types.boolean, fastmath=CONTRACT)
def _add_noise(coefficients, moments, z):
    mean, var, mean_max, mean_min, var_max, flag = moments
    log_up, log_down = coefficients[LOG_UP], coefficients[LOG_DOWN]
    lower, upper = coefficients[LOWER], coefficients[UPPER]
    some = i32(0)
    for j in range(mean.shape[0]):
        std, room = np.sqrt(var[j]), SAFE * np.sqrt(var_max[j])
        near = mean_max[j] + room > upper[j]
        near |= mean_min[j] - room < lower[j]
        near |= min(log_up[j], log_down[j]) == COARSE_MARK
        flag[j] = f32(1) if near else f32(0)
        some |= i32(near)
        mean[j] = min(max(mean[j] + std * z[j], lower[j]), upper[j])
    return some != i32(0)


@late_kernel(types.boolean)
def _flag_coarse(coefficients, flag):
    log_up, log_down = coefficients[LOG_UP], coefficients[LOG_DOWN]
    some = i32(0)
    for j in range(flag.shape[0]):
        coarse = min(log_up[j], log_down[j]) == COARSE_MARK
        flag[j] = f32(1) if coarse else f32(0)
        some |= i32(coarse)
    return some != i32(0)


@part()
def finish_row(noise_kind, coefficients, moments, z):
    """New weights of a row, in `moments.mean`; flags in `moments.pulses` the cells that need pulse by pulse.

    Returns whether there are any; without noise only coarse cells are flagged.
    """
    if noise_kind == NOISELESS:
        return _flag_coarse(coefficients, moments.pulses)
    return _add_noise(coefficients, moments, z)
