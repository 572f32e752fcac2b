"""Pulses of a tabulated cell segment by segment in Numba, where one segment does not hold them all.

One cell at a time, wherever its values lie: value q of `tables` at place `at + q stride` of some floats.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from . import tables_values as v
from .affine import SAFE
from .compiling import CONTRACT, kernel, no_refcount
from .packing import MEASURED, NOISELESS
from .tables import LIMIT, SIGMAS, Parabola, Stretch, advance, interval, offset

__all__ = ["apply_segments", "expand", "parabola_of"]

i32, u32, f32 = np.int32, np.uint32, np.float32


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def expand(s, at, stride, tables):
    """Take the parabola of the interval where a cell is."""
    curve, noise_kind, noise_std = tables.curve, tables.noise_kind, tables.noise_std
    i, _ = interval(s[at + v.MEAN * stride], s[at + v.TOP * stride], s[at + v.BOTTOM * stride], tables)
    row = u32(i32(i32(s[at + v.BASE * stride]) >> i32(1)) + i)
    up, down = s[at + v.UP * stride], s[at + v.DOWN * stride]
    s[at + v.CENTRE * stride] = f32(i) + f32(0.5) - tables.origin
    s[at + v.VALID_RADIUS * stride] = curve[row, 6]
    for q in range(3):
        s[at + (v.A_UP + q) * stride] = up * curve[row, q]
        s[at + (v.A_DOWN + q) * stride] = down * curve[row, 3 + q]
        if noise_kind == MEASURED:
            s[at + (v.SD_A_UP + q) * stride] = up * curve[row, 8 + q]
            s[at + (v.SD_A_DOWN + q) * stride] = down * curve[row, 11 + q]
    if noise_kind != MEASURED:
        s[at + v.SD_A_UP * stride], s[at + v.SD_A_DOWN * stride] = up * noise_std, down * noise_std


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def parabola_of(noise_kind, s, at, stride, down):
    """Parabola of a pulse in one direction, with its sign."""
    q = at + (v.A_DOWN if down else v.A_UP) * stride
    a, b, c, n = s[q], s[q + stride], s[q + 2 * stride], s[q + 3 * stride]
    o, p = (s[q + 4 * stride], s[q + 5 * stride]) if noise_kind == MEASURED else (f32(0), f32(0))
    return Parabola(-a, -b, -c, n, o, p) if down else Parabola(a, b, c, n, o, p)


@kernel(fastmath=CONTRACT)
def apply_segments(k, s, at, stride, tables):
    """k signed pulses on one cell, as in `reference.tables.collapse`.

    A cell that needs pulse by pulse is marked in `NEEDS`, and moves no more.
    """
    s, tables = no_refcount((s, tables))
    noise_kind, noise_std = tables.noise_kind, tables.noise_std
    left, down = np.float64(abs(k)), k < f32(0)  # float32 would lose single pulses of 2^24 and more
    top, bottom = s[at + v.TOP * stride], s[at + v.BOTTOM * stride]
    lower, upper = s[at + v.LOWER * stride], s[at + v.UPPER * stride]
    k, steepest, fresh = f32(left), SIGMAS * max(top, bottom), False
    while left > 0.0:
        mean, var, var_max = s[at + v.MEAN * stride], s[at + v.VAR * stride], s[at + v.VAR_MAX * stride]
        centre, valid_radius = s[at + v.CENTRE * stride], s[at + v.VALID_RADIUS * stride]
        parabola, stretch = parabola_of(noise_kind, s, at, stride, down), Stretch(top, bottom, centre)
        new, var, error = advance(noise_kind, noise_std, k, mean, var, parabola, stretch)
        if noise_kind == NOISELESS:
            new, var = min(max(new, lower), upper), f32(0)
        var_max = max(var_max, var)
        deviation = np.sqrt(var_max)
        noise = steepest * deviation
        holds = abs(offset(new, top, bottom, centre)) + noise <= valid_radius and error <= LIMIT
        i, _ = interval(mean, top, bottom, tables)
        own = fresh or centre == f32(i) + f32(0.5) - tables.origin  # fresh: whatever rounding may say
        fresh = False
        if holds or (k <= f32(1) and own):
            needs = not (holds or abs(offset(mean, top, bottom, centre)) + noise <= valid_radius)
            needs |= not (new + SAFE * deviation <= upper and new - SAFE * deviation >= lower)
            s[at + v.MEAN * stride], s[at + v.VAR * stride], s[at + v.VAR_MAX * stride] = new, var, var_max
            s[at + v.MEAN_MAX * stride] = max(s[at + v.MEAN_MAX * stride], new)
            s[at + v.MEAN_MIN * stride] = min(s[at + v.MEAN_MIN * stride], new)
            left -= k
            k = f32(min(left, np.float64(k + k)))
            if noise_kind == NOISELESS and new == mean and not lower < new < upper:
                break  # at a bound, where all further pulses leave it
            if noise_kind != NOISELESS and needs:
                s[at + v.NEEDS * stride], s[at + v.VALID_RADIUS * stride] = f32(1), f32(np.inf)
                for q in range(3):
                    s[at + (v.A_UP + q) * stride] = f32(0)
                    s[at + (v.A_DOWN + q) * stride] = f32(0)
                break
            if not holds:
                expand(s, at, stride, tables)
        elif own:
            k, fresh = np.floor(f32(0.5) * k), True
        else:
            expand(s, at, stride, tables)
            fresh = True
