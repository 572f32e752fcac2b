"""The discrete-time dynamics in Triton: updates without pulses, a program for a block of cells."""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ..cells import Cells
from .affine import clip, per_pulse
from .blocks import block_of_cells, plane_of
from .launching import FUSED, affine_of, blocks, grid_of, quarter, status_of, tables_of
from .tables import interval, mean_step
from .trains import check_finite

__all__ = ["apply_mean_"]


@triton.jit(do_not_specialize=["samples"])
def _affine_mean(
    w, up, down, lower, upper, x, d, status, rows, cols, group, samples, slope_up, slope_down, lr, dw_min,
    UNIFORM: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    if tl.load(status) != 0:
        return
    row, _, col, there = block_of_cells(rows, cols, group, ROWS, COLS)
    at = row.to(tl.int64) * cols + col
    a, b = plane_of(up, at, there, 1.0, UNIFORM), plane_of(down, at, there, 1.0, UNIFORM)
    low, high = plane_of(lower, at, there, -1.0, UNIFORM), plane_of(upper, at, there, 1.0, UNIFORM)
    e_up, _ = per_pulse(a, high, slope_up)
    e_down, _ = per_pulse(b, -low, slope_down)
    now = tl.load(w + at, mask=there, other=0.0)
    x, d = x + col, d + row
    for _ in range(samples):
        dw = lr * tl.load(d, mask=row < rows, other=0.0) * tl.load(x, mask=there, other=0.0)
        step = tl.where(dw >= 0.0, a - e_up * now, b + e_down * now)
        now = clip(now + dw * tl.div_rn(step, dw_min + 0.0 * step), low, high)
        x, d = x + cols, d + rows
    tl.store(w + at, now, mask=there)


@triton.jit(do_not_specialize=["samples", "n"])
def _tables_mean(
    w, up, down, lower, upper, which, value, x, d, status, rows, cols, group, samples, top, bottom, origin, n,
    lr, dw_min, UNIFORM: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    if tl.load(status) != 0:
        return
    row, _, col, there = block_of_cells(rows, cols, group, ROWS, COLS)
    at = row.to(tl.int64) * cols + col
    a, b = plane_of(up, at, there, 1.0, UNIFORM), plane_of(down, at, there, 1.0, UNIFORM)
    low, high = plane_of(lower, at, there, -1.0, UNIFORM), plane_of(upper, at, there, 1.0, UNIFORM)
    device = plane_of(which, at, there, 0, UNIFORM).to(tl.int32)
    now = tl.load(w + at, mask=there, other=0.0)
    above, below = tl.div_rn(top + 0.0 * now, high), tl.div_rn(bottom + 0.0 * now, low)
    x, d = x + col, d + row
    for _ in range(samples):
        dw = lr * tl.load(d, mask=row < rows, other=0.0) * tl.load(x, mask=there, other=0.0)
        falls = dw < 0.0
        i, t = interval(now, above, below, origin, n)
        step = tl.where(falls, b, a) * mean_step(value, device, falls, i, t, n, there)
        now = clip(now + dw * tl.div_rn(step, dw_min + 0.0 * step), low, high)
        x, d = x + cols, d + rows
    tl.store(w + at, now, mask=there)


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float) -> None:
    """As `ops.apply_mean_`; a value that is not finite sets the status, see `ops.check_status`."""
    elements, (rows, cols), sizes, status = cells.elements[0], cells.shape, blocks(), status_of(cells)
    check_finite(x, d, cells)
    group, samples, uniform = quarter(cols), len(x), elements.up.numel() == 1
    grid = grid_of((rows, sizes.rows), (4 * group, sizes.cols))
    given = (x, d, status, rows, cols, group, samples)
    how = (float(lr), float(elements.dw_min), uniform, sizes.rows, sizes.cols)
    if elements.form == "affine":
        e = affine_of(elements)
        _affine_mean[grid](w, e.up, e.down, e.lower, e.upper, *given, e.slope_up, e.slope_down, *how, **FUSED)
    else:
        t = tables_of(elements)
        _tables_mean[grid](
            w, t.up, t.down, t.lower, t.upper, t.which, t.value, *given, t.top, t.bottom, t.origin, t.n, *how,
            **FUSED,
        )  # fmt: skip
