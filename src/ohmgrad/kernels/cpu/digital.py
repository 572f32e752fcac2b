"""The gradient of a digital unit in Numba: as `reference.digital`, to the bit."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit
from torch import Tensor, from_numpy, isfinite

from ..checks import raise_not_finite
from .compiling import kernel

__all__ = ["digital_gradient"]

f32 = np.float32


@njit(inline="always", error_model="numpy")
def _gradient_row(r, x, d, g):
    n = g.shape[0]
    for j in range(n):
        g[j] = f32(0)
    fours = 4 * (x.shape[0] // 4)
    for b in range(0, fours, 4):  # four samples for one load and store of g, added in their order
        d0, d1, d2, d3 = d[b, r], d[b + 1, r], d[b + 2, r], d[b + 3, r]
        if d0 != f32(0) or d1 != f32(0) or d2 != f32(0) or d3 != f32(0):
            for j in range(n):
                two = (g[j] + d0 * x[b, j]) + d1 * x[b + 1, j]
                g[j] = (two + d2 * x[b + 2, j]) + d3 * x[b + 3, j]
    for b in range(fours, x.shape[0]):
        last = d[b, r]
        if last != f32(0):
            for j in range(n):
                g[j] += last * x[b, j]


@kernel()
def _gradient(x, d, g):
    for r in range(g.shape[0]):
        _gradient_row(r, x, d, g[r])


def digital_gradient(x: Tensor, d: Tensor) -> Tensor:
    """As `ops.digital_gradient`.

    Args:
        x: (samples, cols); d: (samples, rows), float32 and contiguous.
    """
    if not (isfinite(x).all() and isfinite(d).all()):
        raise_not_finite(x, d)
    g = np.empty((d.shape[1], x.shape[1]), np.float32)
    _gradient(x.numpy(), d.numpy(), g)
    return from_numpy(g)
