"""The discrete-time dynamics of a stack of arrays in float64, in plain PyTorch: any response."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cells import Cells
from ..stacks import check_finite

__all__ = ["apply_mean_"]


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: Tensor) -> None:
    """As `ops.apply_mean_` of a stack.

    Args:
        w: float64 (T, rows, cols); lr: float64 (T,).
        x: float64 (1 or T, samples, cols); d: float64 (T, samples, rows).
    """
    check_finite(x, d, lr)
    for xb, db in zip(x.unbind(1), d.unbind(1), strict=True):
        dw = (lr.unsqueeze(1) * db).unsqueeze(2) * xb.unsqueeze(1)
        q = torch.where(dw >= 0, cells.q_plus(w), cells.q_minus(w))
        w.copy_(cells.clip(w + dw * q))
