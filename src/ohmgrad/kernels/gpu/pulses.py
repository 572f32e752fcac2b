"""The pulsed update in Triton: same trains and counts as the reference, same weights to rounding.

A program has a block of cells. It counts the pulses of a sample, follows mean and variance, and at the end
draws one Gaussian for each element that got pulses; elements near a bound are computed pulse by pulse, in the
same program. Nothing waits for the card: a value that is not finite, or a count that is too large, sets the
status of the cells, and nothing is applied where it is set.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...rng import Purpose
from ..cells import Cells
from ..pulsing import Pulsing
from ..reference.mean import mean_counts
from .affine import advance, coefficients, is_coarse, is_near, per_pulse, pulse_normal, pulse_once
from .launching import FUSED, NOISELESS, affine_of, blocks, grid_of, key_words, noise_kind, quarter, status_of
from .math import cell_normals
from .random import block_of_cells
from .trains import signed_count, trains_of

__all__ = ["apply_counts_", "pulsed_update_"]

UPDATE_NOISE = tl.constexpr(Purpose.UPDATE_NOISE)
#: status: a pulse count is too large
TOO_MANY = tl.constexpr(2)


@triton.jit
def _next_count(x, d, samples, cols, rows, n_words, there, COUNTED: tl.constexpr):
    """Signed pulses of cells in the sample that x and d point to; COUNTED: x points to the counts."""
    if COUNTED:
        k = tl.load(x, mask=there, other=0).to(tl.int32)
    else:
        k = signed_count(x, d, samples, cols, rows, n_words, there)
    return k


@triton.jit
def _plane(plane, at, there, other, UNIFORM: tl.constexpr):
    """Values of the cells of a block; one for all where elements are alike."""
    if UNIFORM:
        value = tl.load(plane) + tl.zeros(there.shape, tl.float32)
    else:
        value = tl.load(plane + at, mask=there, other=other)
    return value


@triton.jit
def _by_pulse(
    w, which, x, d, row, col, there, planes, slope_up, slope_down, noise_std, step, k0, k1, samples, cols, rows,
    n_words, KIND: tl.constexpr, COUNTED: tl.constexpr,
):  # fmt: skip
    """Weights after every single pulse of the cells `which`, each with its own noise and clipping."""
    up, down, lower, upper = planes
    e_up, _ = per_pulse(up, upper, slope_up)
    e_down, _ = per_pulse(down, -lower, slope_down)
    index = tl.zeros(w.shape, tl.int32)
    z = tl.zeros(w.shape, tl.float32)
    for _ in range(samples):
        k = tl.where(which, _next_count(x, d, samples, cols, rows, n_words, there, COUNTED), 0)
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
def _affine(
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
        _plane(up, at, there, 1.0, UNIFORM), _plane(down, at, there, 1.0, UNIFORM),
        _plane(lower, at, there, -1.0, UNIFORM), _plane(upper, at, there, 1.0, UNIFORM),
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
        k = _next_count(x_sample, d_sample, samples, cols, rows, n_words, there, COUNTED)
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


@triton.jit(do_not_specialize=["most"])
def _check_counts(counts, status, size, most, CELLS: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS)
    n = tl.load(counts + at, mask=at < size, other=0)
    if tl.max(((n > most) | (n < -most)).to(tl.int32)) > 0:
        tl.store(status, TOO_MANY)


def _apply(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, fidelity: str, step: Tensor, events: Tensor | None,
    touched: Tensor | None, samples: int, n_words: int, counted: bool,
) -> None:  # fmt: skip
    """Launch the kernel for pulses on these elements."""
    elements, (rows, cols), sizes = cells.elements[0], cells.shape, blocks()
    group = quarter(cols)
    grid = grid_of((rows, sizes.rows), (4 * group, sizes.cols))
    e = affine_of(elements)
    _affine[grid](
        w, e.up, e.down, e.lower, e.upper, x, d, touched, step, events, status_of(cells), rows, cols, group,
        samples, n_words, e.slope_up, e.slope_down, e.noise_std, *key_words(cells.keys[0]),
        noise_kind(elements), e.up.numel() == 1, fidelity == "pulse-by-pulse", counted, sizes.rows, sizes.cols,
        **FUSED,
    )  # fmt: skip


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor,
    touched: Tensor | None,
) -> None:  # fmt: skip
    """As `ops.pulsed_update_`; a value that is not finite sets the status, see `ops.check_status`."""
    trains = trains_of(x, d, lr, cells, pulsing, step, events)
    _apply(
        w, cells, trains.xs, trains.ds, pulsing.fidelity, step, events, touched, len(x), pulsing.words, False
    )


def apply_counts_(
    w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor, events: Tensor | None, most: int
) -> None:
    """As `ops.apply_counts_`; a count that is too large sets the status, see `ops.check_status`."""
    counts, status, sizes = counts.contiguous(), status_of(cells), blocks()
    block = sizes.rows * sizes.cols
    _check_counts[grid_of((counts.numel(), block))](counts, status, counts.numel(), most, block, **FUSED)
    if fidelity != "mean":
        _apply(w, cells, counts, counts, fidelity, step, events, None, 1, 1, True)
        return
    fine: Any = status == 0
    w.copy_(torch.where(fine, mean_counts(w, cells.elements[0], counts), w))
    if events is not None:
        events[0] += counts.clamp(min=0).sum() * fine[0]
        events[1] -= counts.clamp(max=0).sum() * fine[0]
