"""Pulses on blocks of tabulated and measured elements in Triton."""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import triton
import triton.language as tl

from ...rng import Purpose
from .affine import UPDATE_NOISE, clip, is_near, pulse_normal
from .blocks import block_of_cells, next_count, plane_of
from .launching import MEASURED, MULTIPLICATIVE, NOISELESS
from .math import cell_normals, philox, unit
from .tables import drawn_step, interval, mean_step, segments

__all__ = ["tables_pulses"]

MEASURED_STEP = tl.constexpr(Purpose.MEASURED_STEP)


@triton.jit
def _pulse_uniform(row, col, index, step, k0, k1):
    """Uniform number of pulse `index` (int32) of each cell in an update; the others are uint32."""
    zero = tl.zeros(index.shape, tl.uint32)
    block = MEASURED_STEP | ((index >> 2).to(tl.uint32) << 8)
    a, b, c, d = philox(zero + col, zero + row, zero + step, block, zero + k0, zero + k1)
    odd, late = (index & 1) != 0, (index & 2) != 0
    return unit(tl.where(late, tl.where(odd, d, c), tl.where(odd, b, a)))


@triton.jit
def _by_pulse(
    w, cells, x, d, row, col, there, planes, top, bottom, which, value, steps, cdf, origin, n, levels,
    noise_std, step, k0, k1, samples, cols, rows, n_words, KIND: tl.constexpr, COUNTED: tl.constexpr,
    HALVINGS: tl.constexpr,
):  # fmt: skip
    """Weights after every single pulse of some cells, each with its own noise and clipping."""
    up, down, lower, upper = planes
    index = tl.zeros(w.shape, tl.int32)
    for _ in range(samples):
        k = tl.where(cells, next_count(x, d, samples, cols, rows, n_words, there, COUNTED), 0)
        left, falls = tl.abs(k), k < 0
        size = tl.where(falls, -down, up)
        for _ in range(tl.max(left)):
            busy = left > 0
            i, t = interval(w, top, bottom, origin, n)
            if KIND == MEASURED:
                u = _pulse_uniform(row, col, index, step, k0, k1)
                dw = size * drawn_step(steps, cdf, which, falls, i, t, u, n, levels, busy, HALVINGS)
            else:
                dw = size * mean_step(value, which, falls, i, t, n, busy)
                if KIND != NOISELESS:
                    z = pulse_normal(row, col, index, step, k0, k1)
                    dw += noise_std * (dw if KIND == MULTIPLICATIVE else tl.abs(size)) * z
            w = tl.where(busy, clip(w + dw, lower, upper), w)
            index, left = index + busy.to(tl.int32), left - busy.to(tl.int32)
        x, d = x + cols, d + rows
    return w


@triton.jit(do_not_specialize=["samples", "n", "levels", "k0", "k1"])
def tables_pulses(
    w, up, down, lower, upper, which, value, curve, need, steps, cdf, x, d, touched, step, events, status,
    rows, cols, group, samples, n_words, top, bottom, origin, n, levels, noise_std, k0, k1,
    KIND: tl.constexpr, UNIFORM: tl.constexpr, BY_PULSE: tl.constexpr, COUNTED: tl.constexpr,
    WIDTH: tl.constexpr, HALVINGS: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """As `affine.affine_pulses`, of tabulated elements.

    Args:
        which: number of each element's device; value, curve, need, steps, cdf: see `launching.Tables`.
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
    device = plane_of(which, at, there, 0, UNIFORM).to(tl.int32)
    before = tl.load(w + at, mask=there, other=0.0)
    above, below = tl.div_rn(top + before * 0.0, planes[3]), tl.div_rn(bottom + before * 0.0, planes[2])
    number, first, second = tl.load(step).to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32)
    start, _ = interval(before, above, below, origin, n)

    ups = tl.zeros((ROWS, COLS), tl.int32)
    downs = tl.zeros((ROWS, COLS), tl.int32)
    state = (before, before * 0.0, before, before, before * 0.0)
    here, beyond = start, ups > 0
    x_sample, d_sample = x, d
    for _ in range(samples):
        k = next_count(x_sample, d_sample, samples, cols, rows, n_words, there, COUNTED)
        ups += tl.maximum(k, 0)
        downs += tl.maximum(-k, 0)
        if not BY_PULSE:
            state, here, beyond = segments(
                k, state, here, beyond, planes, above, below, device, curve, origin, n, noise_std, KIND, WIDTH
            )
        x_sample, d_sample = x_sample + cols, d_sample + rows

    pulsed = (ups + downs) > 0
    needs, new = pulsed, state[0]
    if not BY_PULSE:
        needs = beyond
        if KIND == MEASURED:
            enough = tl.load(need + device * n + start, mask=there, other=0.0)
            needs = needs | ((ups + downs).to(tl.float32) < enough)
        if KIND != NOISELESS:
            z = cell_normals(row.to(tl.uint32), index.to(tl.uint32), number, UPDATE_NOISE, first, second)
            new = clip(state[0] + tl.sqrt_rn(state[1]) * z, planes[2], planes[3])
            needs = needs | is_near(state[2], state[3], state[4], planes[2], planes[3])
        needs = needs & pulsed
    if tl.max(needs.to(tl.int32)) > 0:
        by_pulse = _by_pulse(
            before, needs, x, d, row.to(tl.uint32), col.to(tl.uint32), there, planes, above, below, device,
            value, steps, cdf, origin, n, levels, noise_std, number, first, second, samples, cols, rows,
            n_words, KIND, COUNTED, HALVINGS,
        )  # fmt: skip
        new = tl.where(needs, by_pulse, new)
    tl.store(w + at, new, mask=there & pulsed)
    if touched is not None:
        tl.store(touched + at, pulsed, mask=there & pulsed)
    if events is not None:
        tl.atomic_add(events, tl.sum(ups.to(tl.int64)))
        tl.atomic_add(events + 1, tl.sum(downs.to(tl.int64)))
