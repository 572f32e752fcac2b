"""Pulses of an update by cell and direction, in Triton: products of matrices of whole numbers."""

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
from ..pulsing import SLOTS, Pulsing
from .launching import FUSED, grid_of, status_of
from .trains import trains_of

__all__ = ["count_pulses", "count_samples"]

N_SLOTS = tl.constexpr(SLOTS)
#: rows and columns of a program; samples and slots of a product
SIDE, OF_A_PRODUCT = 64, (16, 8)


@triton.jit
def _fires(words, first_slot, SIGNED: tl.constexpr, AT_ONCE: tl.constexpr):
    """Slots of words (samples, lines), one after the other, int8 (samples AT_ONCE, lines): 1 for a fire.

    SIGNED: -1 where it fires and its sign is negative.
    """
    slot = first_slot + tl.arange(0, AT_ONCE)[None, :, None]
    fires = (words[:, None, :] >> slot.to(tl.uint32)) & 1
    fires = tl.where(slot < N_SLOTS, fires, 0).to(tl.int32)
    if SIGNED:
        fires = tl.where((words >> N_SLOTS)[:, None, :] != 0, -fires, fires)
    return tl.reshape(fires.to(tl.int8), (words.shape[0] * AT_ONCE, words.shape[1]))


@triton.jit
def count_samples(
    xs, ds, bl, first, last, samples, cols, rows, n_words, row, row_there, col, col_there,
    SAMPLES: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Pulses up and down of a block of cells in the samples first ... last - 1, int32, by matrix products.

    With 1 where a line fires in a slot, all coincidences are a product over samples and slots; with the signs
    of the lines it is those up less those down. A product has SAMPLES, and AT_ONCE slots of each.

    Args:
        row, col: of the block, (ROWS,) and (COLS,).
    """
    every = tl.zeros((row.shape[0], col.shape[0]), tl.int32)
    net = tl.zeros((row.shape[0], col.shape[0]), tl.int32)
    for start in range(first, last, SAMPLES):
        sample = start + tl.arange(0, SAMPLES)
        inside = sample < last
        slots = tl.max(tl.load(bl + sample, mask=inside, other=0))
        at = sample.to(tl.int64)
        x, d = xs + at[:, None] * cols + col[None, :], ds + at[:, None] * rows + row[None, :]
        for _ in range(n_words):
            x_there, d_there = inside[:, None] & col_there[None, :], inside[:, None] & row_there[None, :]
            x_words = tl.load(x, mask=x_there, other=0).to(tl.uint32, bitcast=True)
            d_words = tl.load(d, mask=d_there, other=0).to(tl.uint32, bitcast=True)
            for slot in range(0, tl.minimum(slots, N_SLOTS), AT_ONCE):
                x_fires, d_fires = (
                    _fires(x_words, slot, False, AT_ONCE),
                    _fires(d_words, slot, False, AT_ONCE),
                )
                every = tl.dot(tl.trans(d_fires), x_fires, every)
                x_fires, d_fires = _fires(x_words, slot, True, AT_ONCE), _fires(d_words, slot, True, AT_ONCE)
                net = tl.dot(tl.trans(d_fires), x_fires, net)
            slots -= N_SLOTS
            x, d = x + samples.to(tl.int64) * cols, d + samples.to(tl.int64) * rows
    return (every + net) >> 1, (every - net) >> 1


@triton.jit(do_not_specialize=["samples"])
def _count(
    ups, downs, xs, ds, bl, events, status, rows, cols, samples, n_words, ROWS: tl.constexpr,
    COLS: tl.constexpr, SAMPLES: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    if tl.load(status) != 0:
        return
    row, col = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * COLS + tl.arange(0, COLS)
    row_there, col_there = row < rows, col < cols
    up, down = count_samples(
        xs, ds, bl, 0, samples, samples, cols, rows, n_words, row, row_there, col, col_there, SAMPLES, AT_ONCE
    )  # fmt: skip
    at = row.to(tl.int64)[:, None] * cols + col[None, :]
    there = row_there[:, None] & col_there[None, :]
    tl.store(ups + at, up.to(tl.int64), mask=there)
    tl.store(downs + at, down.to(tl.int64), mask=there)
    tl.atomic_add(events, tl.sum(up.to(tl.int64)))
    tl.atomic_add(events + 1, tl.sum(down.to(tl.int64)))


def count_pulses(
    cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Counts:
    """As `ops.count_pulses`, of all cells always: how many have pulses is not known on the host."""
    trains = trains_of(x, d, lr, cells, pulsing, step, events)
    rows, cols = cells.shape
    up, down = torch.zeros(2, rows, cols, dtype=torch.int64, device=x.device)
    _count[grid_of((rows, SIDE), (cols, SIDE))](
        up, down, trains.xs, trains.ds, trains.bl, events, status_of(cells), rows, cols, len(x),
        pulsing.words, SIDE, SIDE, *OF_A_PRODUCT, **FUSED,
    )  # fmt: skip
    return Counts(Pulses(None, up), Pulses(None, down))
