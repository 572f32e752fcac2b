"""Pulses of an update by cell and direction, in Triton."""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..cells import Cells
from ..counts import Counts, Pulses
from ..pulsing import Pulsing
from .blocks import block_of_cells, signed_count
from .launching import FUSED, blocks, grid_of, quarter, status_of
from .trains import trains_of

__all__ = ["count_pulses"]


@triton.jit(do_not_specialize=["samples"])
def _count(
    ups, downs, xs, ds, events, status, rows, cols, group, samples, n_words, ROWS: tl.constexpr,
    COLS: tl.constexpr,
):  # fmt: skip
    if tl.load(status) != 0:
        return
    row, _, col, there = block_of_cells(rows, cols, group, ROWS, COLS)
    x, d = xs + col + tl.zeros((ROWS, COLS), tl.int64), ds + row + tl.zeros((ROWS, COLS), tl.int64)
    up, down = tl.zeros((ROWS, COLS), tl.int32), tl.zeros((ROWS, COLS), tl.int32)
    for _ in range(samples):
        k = signed_count(x, d, samples, cols, rows, n_words, there)
        up, down = up + tl.maximum(k, 0), down + tl.maximum(-k, 0)
        x, d = x + cols, d + rows
    at = row.to(tl.int64) * cols + col
    tl.store(ups + at, up.to(tl.int64), mask=there)
    tl.store(downs + at, down.to(tl.int64), mask=there)
    tl.atomic_add(events, tl.sum(up.to(tl.int64)))
    tl.atomic_add(events + 1, tl.sum(down.to(tl.int64)))


def count_pulses(
    cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Counts:
    """As `ops.count_pulses`, of all cells always: how many have pulses is not known on the host."""
    trains = trains_of(x, d, lr, cells, pulsing, step, events)
    (rows, cols), sizes = cells.shape, blocks()
    up, down = torch.zeros(2, rows, cols, dtype=torch.int64, device=x.device)
    group = quarter(cols)
    _count[grid_of((rows, sizes.rows), (4 * group, sizes.cols))](
        up, down, trains.xs, trains.ds, events, status_of(cells), rows, cols, group, len(x), pulsing.words,
        sizes.rows, sizes.cols, **FUSED,
    )  # fmt: skip
    return Counts(Pulses(None, up), Pulses(None, down))
