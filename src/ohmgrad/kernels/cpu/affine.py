"""Whole rows of the array in Numba: counts, the collapse of their moments, and the noise, as vectors."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from ..reference.affine import COARSE, SAFETY
from .math import CONTRACT, exp2m1, kernel, log2_1p, popcount

__all__ = [
    "ADDITIVE",
    "FLAT",
    "LOW31",
    "MULTIPLICATIVE",
    "QUIET",
    "Z",
    "collapse",
    "count_row",
    "far_bound",
    "finish_row",
    "flag_coarse",
    "growth",
    "is_coarse",
    "prepare_row",
    "scratch_rows",
    "start_row",
    "stationary",
]

u32, i32, f32 = np.uint32, np.int32, np.float32

ADDITIVE, MULTIPLICATIVE, QUIET = 0, 1, 2
LOW31 = u32(0x7FFFFFFF)
Z = f32(SAFETY)
#: slopes nearer zero are taken as this: its error is below float32 rounding
FLAT = 1e-6
#: in the place of log2(1-e): an element that is to be replayed. No other is below -1
REPLAYED = f32(-2)
MOST = f32(COARSE)


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def stationary(e, step, std):
    """Variance towards which additive noise drives the element."""
    return std * std * step * step / (e * (f32(2) - e))


@njit(inline="always", error_model="numpy", fastmath=CONTRACT)
def growth(e, std):
    """log2 of r/(1-e)^2, the growth of the second moment by multiplicative noise."""
    keep = f32(1) - e
    return log2_1p(min(std * std * e * e / (keep * keep), f32(0.5)))


@njit(inline="always", error_model="numpy")
def far_bound(step, bound, slope):
    """The bound that e = slope step/bound refers to; of a flat slope any that keeps e that small."""
    return max(bound, step) if abs(slope) <= f32(FLAT) else bound


@njit(inline="always", error_model="numpy")
def is_coarse(step, bound, slope):
    """Whether one pulse towards `bound`, given by its size, goes too far for the collapse."""
    return abs(slope) * step > MOST * bound


@kernel(fastmath=CONTRACT)
def _prepare_way(steps, bounds, slope, inverse, kind, std, log, fixed, term):
    """Per-cell constants of the collapse in one direction: log2(1-e), fixed point, noise term.

    Those of coarse cells mean nothing but that.
    """
    least = f32(1) if abs(slope) <= f32(FLAT) else f32(0)
    if kind == MULTIPLICATIVE:
        for j in range(steps.shape[0]):
            bound = max(abs(bounds[j]), least * steps[j])
            e = slope * steps[j] / bound
            log[j] = REPLAYED if abs(e) > MOST else log2_1p(-e)
            fixed[j] = bound * inverse
            term[j] = growth(e, std)
    else:
        for j in range(steps.shape[0]):
            bound = max(abs(bounds[j]), least * steps[j])
            e = slope * steps[j] / bound
            log[j] = REPLAYED if abs(e) > MOST else log2_1p(-e)
            fixed[j] = bound * inverse
            term[j] = stationary(e, steps[j], std)


@kernel()
def prepare_row(r, planes, slopes, kind, std, coef):
    """Constants of a row: rows 0-5 of `coef` as above, up and down in turn; rows 6, 7 the bounds."""
    uniform = planes[0].size == 1
    row = 0 if uniform else r
    up, down, lower, upper = planes[0][row], planes[1][row], planes[2][row], planes[3][row]
    n = up.shape[0]
    s, t = f32(slopes[0]), f32(slopes[1])
    _prepare_way(up, upper, s, f32(1) / s, kind, std, coef[0, :n], coef[2, :n], coef[4, :n])
    _prepare_way(down, lower, t, f32(-1) / t, kind, std, coef[1, :n], coef[3, :n], coef[5, :n])
    for j in range(n):
        coef[6, j], coef[7, j] = lower[j], upper[j]
    if uniform:
        for q in range(8):
            for j in range(coef.shape[1]):
                coef[q, j] = coef[q, 0]


@kernel()
def count_row(xs, b, word, ds, r, count):
    """Signed coincidence counts of row r with all x-lines of sample b, as float32."""
    n = count.shape[0]
    first = xs[0, b]
    for j in range(n):
        k = f32(i32(popcount(u32(u32(first[j] & word) & LOW31))))
        count[j] = -k if i32(first[j] ^ word) < i32(0) else k
    for w in range(1, xs.shape[0]):
        other, word = xs[w, b], ds[w, b, r]
        for j in range(n):
            k = f32(i32(popcount(u32(u32(other[j] & word) & LOW31))))
            count[j] += -k if i32(other[j] ^ word) < i32(0) else k


@kernel(fastmath=CONTRACT)
def _collapse_additive(count, coef, m, v, high, low, peak):
    """Mean and variance of a row after `count` pulses, additive noise."""
    log_u, log_d, fix_u, fix_d, var_u, var_d = coef[0], coef[1], coef[2], coef[3], coef[4], coef[5]
    for j in range(count.shape[0]):
        k = count[j]
        down = k < f32(0)
        la, lb, fa, fb, va, vb = log_u[j], log_d[j], fix_u[j], fix_d[j], var_u[j], var_d[j]
        log = lb if down else la
        fixed = fb if down else fa
        stationary = vb if down else va
        gone = exp2m1(abs(k) * log)
        new = m[j] - (fixed - m[j]) * gone
        var = v[j] - (stationary - v[j]) * (gone * (f32(2) + gone))
        m[j], v[j] = new, var
        high[j] = max(high[j], new)
        low[j] = min(low[j], new)
        peak[j] = max(peak[j], var)


@kernel(fastmath=CONTRACT)
def _collapse_multiplicative(count, coef, m, v, high, low, peak):
    """Mean and variance of a row after `count` pulses, multiplicative noise."""
    log_u, log_d, fix_u, fix_d, var_u, var_d = coef[0], coef[1], coef[2], coef[3], coef[4], coef[5]
    for j in range(count.shape[0]):
        k = count[j]
        down = k < f32(0)
        la, lb, fa, fb, va, vb = log_u[j], log_d[j], fix_u[j], fix_d[j], var_u[j], var_d[j]
        log = lb if down else la
        fixed = fb if down else fa
        more = vb if down else va
        gone = exp2m1(abs(k) * log)
        growth = exp2m1(abs(k) * more)
        gap = fixed - m[j]
        keep = (f32(1) + gone) * (f32(1) + gone)
        new = m[j] - gap * gone
        var = keep * (v[j] + growth * (v[j] + gap * gap))
        m[j], v[j] = new, var
        high[j] = max(high[j], new)
        low[j] = min(low[j], new)
        peak[j] = max(peak[j], var)


@kernel(fastmath=CONTRACT)
def _collapse_quiet(count, coef, m):
    """Weights of a row after `count` noiseless pulses, clipped."""
    log_u, log_d, fix_u, fix_d, lower, upper = coef[0], coef[1], coef[2], coef[3], coef[6], coef[7]
    for j in range(count.shape[0]):
        k = count[j]
        down = k < f32(0)
        la, lb, fa, fb = log_u[j], log_d[j], fix_u[j], fix_d[j]
        log = lb if down else la
        fixed = fb if down else fa
        new = m[j] - (fixed - m[j]) * exp2m1(abs(k) * log)
        m[j] = min(max(new, lower[j]), upper[j])


@kernel()
def collapse(count, coef, kind, m, v, high, low, peak):
    if kind == ADDITIVE:
        _collapse_additive(count, coef, m, v, high, low, peak)
    elif kind == MULTIPLICATIVE:
        _collapse_multiplicative(count, coef, m, v, high, low, peak)
    else:
        _collapse_quiet(count, coef, m)


@kernel()
def start_row(row, m, v, high, low, peak):
    for j in range(row.shape[0]):
        m[j], v[j], high[j], low[j], peak[j] = row[j], f32(0), row[j], row[j], f32(0)


@kernel(fastmath=CONTRACT)
def finish_row(coef, m, v, high, low, peak, z, flag):
    """Add the noise; flag the cells that are coarse or came near a bound; returns whether there are any."""
    up, down, lower, upper = coef[0], coef[1], coef[6], coef[7]
    some = i32(0)
    for j in range(m.shape[0]):
        std_j, room = np.sqrt(v[j]), Z * np.sqrt(peak[j])
        near = high[j] + room > upper[j]
        near |= low[j] - room < lower[j]
        near |= min(up[j], down[j]) == REPLAYED
        flag[j] = f32(1) if near else f32(0)
        some |= i32(near)
        m[j] = min(max(m[j] + std_j * z[j], lower[j]), upper[j])
    return some != i32(0)


@kernel()
def flag_coarse(coef, flag):
    """Flag the coarse cells, the only ones that are replayed without noise; whether there are any."""
    up, down = coef[0], coef[1]
    some = i32(0)
    for j in range(flag.shape[0]):
        coarse = min(up[j], down[j]) == REPLAYED
        flag[j] = f32(1) if coarse else f32(0)
        some |= i32(coarse)
    return some != i32(0)


@kernel()
def scratch_rows(n, rows):
    """Scratch rows for n cells, at least n long, on cache lines of their own.

    The rows start 256 bytes apart modulo 4096: rows in step would share the sets of the cache, and a
    load that follows a store by nearly 4096 bytes is taken to depend on it. Both halve the speed.
    """
    stride = 64 + 1024 * ((max(n - 64, 0) + 1023) // 1024)
    flat = np.empty(rows * stride + 16, np.float32)
    start = (-(flat.ctypes.data // 4)) % 16
    return flat[start : start + rows * stride].reshape(rows, stride)
