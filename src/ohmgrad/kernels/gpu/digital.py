"""The gradient of a digital unit in Triton: as `reference.digital`, to the bit."""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launching import blocks, grid_of

__all__ = ["digital_gradient"]


@triton.jit(do_not_specialize=["samples"])
def _gradient(g, x, d, rows, cols, samples, ROWS: tl.constexpr, COLS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)[None, :]
    total = tl.zeros((ROWS, COLS), tl.float32)
    x_at, d_at = x + col, d + row
    for _ in range(samples):
        total += tl.load(d_at, mask=row < rows, other=0.0) * tl.load(x_at, mask=col < cols, other=0.0)
        x_at, d_at = x_at + cols, d_at + rows
    tl.store(g + row.to(tl.int64) * cols + col, total, mask=(row < rows) & (col < cols))


def digital_gradient(x: Tensor, d: Tensor) -> Tensor:
    """As `ops.digital_gradient`; what is not finite stays so, and the cells have noted it.

    Args:
        x: (samples, cols); d: (samples, rows), float32 and contiguous.
    """
    (samples, cols), rows, sizes = x.shape, d.shape[1], blocks()
    g = torch.empty(rows, cols, device=x.device)
    _gradient[grid_of((rows, sizes.rows), (cols, sizes.cols))](
        g, x, d, rows, cols, samples, sizes.rows, sizes.cols, enable_fp_fusion=False
    )  # every product and sum is rounded by itself
    return g
