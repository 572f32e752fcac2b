"""The discrete-time dynamics in Numba: updates without pulses, row by row."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import prange
from torch import Tensor

from ..cells import Cells
from .affine import far_bound
from .compiling import chunks_for, kernel, no_refcount, serial_and_parallel
from .packing import AFFINE, Affine, Tables, pack
from .tables import interval

__all__ = ["apply_mean_"]

f32 = np.float32


@kernel()
def _affine_chunk(begin, end, w, affine, x, d, lr, dw_min):
    _affine_rows(begin, end, w, affine, x, d, lr, dw_min, np.empty((6, w.shape[1]), np.float32))


@kernel()
def _affine_rows(begin, end, w, affine, x, d, lr, dw_min, rows):
    w, affine, x, d, rows = no_refcount((w, affine, x, d, rows))
    up, down, tilt_up, tilt_down, lower, upper = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    uniform, s, t = affine.up.size == 1, affine.slope_up, affine.slope_down
    for r in range(begin, end):
        row = 0 if uniform else r
        lower[:], upper[:] = affine.lower[row], affine.upper[row]
        for j in range(w.shape[1]):
            q = 0 if uniform else j
            up[j], down[j] = affine.up[row, q] / f32(dw_min), affine.down[row, q] / f32(dw_min)
            tilt_up[j] = -up[j] * s / far_bound(affine.up[row, q], upper[j], s)
            tilt_down[j] = down[j] * t / far_bound(affine.down[row, q], -lower[j], t)
        for b in range(x.shape[0]):
            g = f32(lr) * d[b, r]
            if g != f32(0):
                for j in range(w.shape[1]):
                    dw, wj = g * x[b, j], w[r, j]
                    a, c = up[j] + tilt_up[j] * wj, down[j] + tilt_down[j] * wj
                    w[r, j] = min(max(wj + dw * (a if dw >= f32(0) else c), lower[j]), upper[j])


@kernel()
def _tables_rows(begin, end, w, tables, x, d, lr, dw_min):
    w, tables, x, d = no_refcount((w, tables, x, d))
    uniform, nodes = tables.up.size == 1, tables.n + np.int32(1)
    for r in range(begin, end):
        row = 0 if uniform else r
        for b in range(x.shape[0]):
            g = f32(lr) * d[b, r]
            if g != f32(0):
                for j in range(w.shape[1]):
                    q = 0 if uniform else j
                    dw, wj = g * x[b, j], w[r, j]
                    lower, upper = tables.lower[row, q], tables.upper[row, q]
                    i, t = interval(wj, tables.top / upper, tables.bottom / lower, tables)
                    down = dw < f32(0)
                    at = tables.which[row, q] + i + (nodes if down else np.int32(0))
                    size = (tables.down[row, q] if down else tables.up[row, q]) / f32(dw_min)
                    move = size * (tables.value[at] + t * tables.rise[at])
                    w[r, j] = min(max(wj + dw * move, lower), upper)


@serial_and_parallel
def _mean(w, elements, x, d, lr, dw_min, chunks):
    """elements: parts of `Affine` or `Tables`."""
    rows = w.shape[0]
    for u in prange(chunks):
        c = np.int64(u)
        begin, end = c * rows // chunks, (c + 1) * rows // chunks
        if len(elements) == AFFINE:
            _affine_chunk(begin, end, w, Affine(*elements), x, d, lr, dw_min)
        else:
            _tables_rows(begin, end, w, Tables(*elements), x, d, lr, dw_min)


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float) -> None:
    """As `ops.apply_mean_`."""
    elements = cells.elements[0]
    chunks = chunks_for(x.numel() * w.shape[0])
    mean = _mean.serial if chunks == 1 else _mean.parallel
    mean(w.numpy(), pack(elements), x.numpy(), d.numpy(), float(lr), elements.dw_min, chunks)
