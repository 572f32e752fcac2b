"""The discrete-time dynamics in Numba: updates without pulses, row by row."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import prange
from torch import Tensor

from ..cells import Cells
from .affine import far_bound
from .math import kernel, threads
from .packing import pack
from .pulses import PARALLEL_FROM

__all__ = ["apply_mean_"]

f32 = np.float32


@kernel()
def _change(w, planes, slopes, x, d, lr, dw_min):
    for r in range(w.shape[0]):
        _change_row(r, w, planes, slopes, x, d, lr, dw_min)


@kernel(parallel=True)
def _change_parallel(w, planes, slopes, x, d, lr, dw_min):
    for u in prange(w.shape[0]):
        _change_row(np.int64(u), w, planes, slopes, x, d, lr, dw_min)


@kernel()
def _change_row(r, w, planes, slopes, x, d, lr, dw_min):
    n = w.shape[1]
    uniform = planes[0].size == 1
    up, down = np.empty(n, np.float32), np.empty(n, np.float32)
    tilt_up, tilt_down = np.empty(n, np.float32), np.empty(n, np.float32)
    lower, upper = np.empty(n, np.float32), np.empty(n, np.float32)
    row = 0 if uniform else r
    lower[:], upper[:] = planes[2][row], planes[3][row]
    for j in range(n):
        q = 0 if uniform else j
        up[j], down[j] = planes[0][row, q] / f32(dw_min), planes[1][row, q] / f32(dw_min)
        s, t = f32(slopes[0]), f32(slopes[1])
        tilt_up[j] = -up[j] * s / far_bound(planes[0][row, q], upper[j], s)
        tilt_down[j] = down[j] * t / far_bound(planes[1][row, q], -lower[j], t)
    for b in range(x.shape[0]):
        g = f32(lr) * d[b, r]
        if g != f32(0):
            for j in range(n):
                dw, wj = g * x[b, j], w[r, j]
                a, c = up[j] + tilt_up[j] * wj, down[j] + tilt_down[j] * wj
                w[r, j] = min(max(wj + dw * (a if dw >= f32(0) else c), lower[j]), upper[j])


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float) -> None:
    """As `ops.apply_mean_`."""
    elements = cells.elements[0]
    spread = x.numel() * w.shape[0] >= PARALLEL_FROM and threads() > 1
    if elements.form == "table":
        from . import tables_update as tables  # compiled only where a table is met

        change_table = tables.change_parallel if spread else tables.change
        change_table(w.numpy(), tables.pack(elements)[0], x.numpy(), d.numpy(), float(lr), elements.dw_min)
        return
    planes, slopes, _, _ = pack(elements)
    change_rows = _change_parallel if spread else _change
    change_rows(w.numpy(), planes, slopes, x.numpy(), d.numpy(), float(lr), elements.dw_min)
