"""The discrete-time dynamics in plain PyTorch, w + dw F(w) - |dw| G(w): updates without pulses."""

from __future__ import annotations

import torch
from torch import Tensor

from ...devices import Elements
from ..cells import Cells

__all__ = ["apply_mean_", "change", "mean_counts"]


def change(w: Tensor, elements: Elements, x: Tensor, d: Tensor, lr: float) -> Tensor:
    """The discrete-time dynamics, sample by sample: w + dw F(w) - |dw| G(w), dw = lr d_b x_b^T.

    Wu et al. 2024, eq. 3, for any response; clipped at the bounds after each sample.

    Args:
        w: (rows, cols); x: (samples, cols); d: (samples, rows); lr: negative to descend.

    Returns:
        New weights, of the dtype of `w`.
    """
    new = w.double()
    for xb, db in zip(x.double(), d.double(), strict=True):
        dw = lr * torch.outer(db, xb)
        q = torch.where(dw >= 0, elements.q_plus(new), elements.q_minus(new))
        new = elements.clip(new + dw * q)
    return new.to(w.dtype)


def mean_counts(w: Tensor, elements: Elements, counts: Tensor) -> Tensor:
    """New weights after signed pulse counts (rows, cols), n of them as the wanted change n dw_min."""
    dw, now = counts.double() * elements.dw_min, w.double()
    q = torch.where(dw >= 0, elements.q_plus(now), elements.q_minus(now))
    return elements.clip(now + dw * q).to(w.dtype)


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float) -> None:
    """As `ops.apply_mean_`."""
    w.copy_(change(w, cells.elements[0], x, d, lr))
