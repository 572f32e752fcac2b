"""Pulses of an update by cell and direction, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cells import Cells
from ..counts import Counts, Pulses, dense, listed
from ..pulsing import Pulsing
from .trains import coincidences, count_events, update_trains

__all__ = ["count_pulses"]


def count_pulses(
    cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Counts:
    """As `ops.count_pulses`."""
    xs, ds, bl = update_trains(x, d, lr, cells.elements[0].dw_min, pulsing, cells.keys[0], int(step))
    counts = coincidences(xs, ds)
    ups, downs = counts.clamp(min=0).sum(0), -counts.clamp(max=0).sum(0)
    added = count_events(xs, ds, bl, counts)
    events += torch.tensor(added)
    if dense(added[0] + added[1], cells.shape):
        return Counts(Pulses(None, ups), Pulses(None, downs))
    return Counts(listed(ups), listed(downs))
