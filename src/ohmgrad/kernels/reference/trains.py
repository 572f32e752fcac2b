"""Pulse trains in plain PyTorch."""

from __future__ import annotations

from torch import Tensor

from ..cells import Cells
from ..pulsing import Pulsing
from .pulses import trains

__all__ = ["draw_trains"]


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """As `ops.draw_trains`."""
    xs, ds, _ = trains(x, d, lr, cells.elements[0].dw_min, pulsing, cells.keys[0], int(step))
    fires = (ds != 0).any(2).any(0)
    return xs * fires.view(1, -1, 1), ds
