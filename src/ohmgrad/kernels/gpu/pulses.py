"""The pulsed update in Triton: same trains and counts as the reference, same weights to rounding.

A program has a block of cells. It counts the pulses of a sample, follows mean and variance, and at the end
draws one Gaussian for each element that got pulses; elements near a bound are computed pulse by pulse, in the
same program. Nothing waits for the card: a value that is not finite, or a count that is too large, sets the
status of the cells, and nothing is applied where it is set.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..cells import Cells
from ..pulsing import Pulsing
from ..reference.mean import mean_counts
from .affine import affine_pulses
from .launching import (
    FUSED,
    affine_of,
    blocks,
    grid_of,
    key_words,
    noise_kind,
    quarter,
    status_of,
    tables_of,
)
from .tables_pulses import tables_pulses
from .trains import trains_of

__all__ = ["apply_counts_", "pulsed_update_"]

#: status: a pulse count is too large
TOO_MANY = tl.constexpr(2)


@triton.jit(do_not_specialize=["most"])
def _check_counts(counts, status, size, most, CELLS: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS)
    n = tl.load(counts + at, mask=at < size, other=0)
    if tl.max(((n > most) | (n < -most)).to(tl.int32)) > 0:
        tl.store(status, TOO_MANY)


def _apply(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, fidelity: str, step: Tensor, events: Tensor | None,
    touched: Tensor | None, samples: int, n_words: int, counted: bool,
) -> None:  # fmt: skip
    """Launch the kernel for pulses on these elements."""
    elements, (rows, cols), sizes = cells.elements[0], cells.shape, blocks()
    group = quarter(cols)
    grid = grid_of((rows, sizes.rows), (4 * group, sizes.cols))
    given = (x, d, touched, step, events, status_of(cells), rows, cols, group, samples, n_words)
    kind, uniform = noise_kind(elements), elements.up.numel() == 1
    how = (kind, uniform, fidelity == "pulse-by-pulse", counted)
    std, key = float(elements.noise_std), key_words(cells.keys[0])
    if elements.form == "affine":
        e = affine_of(elements)
        affine_pulses[grid](
            w, e.up, e.down, e.lower, e.upper, *given, e.slope_up, e.slope_down, std, *key, *how, sizes.rows,
            sizes.cols, **FUSED,
        )  # fmt: skip
        return
    t = tables_of(elements)
    tables_pulses[grid](
        w, t.up, t.down, t.lower, t.upper, t.which, t.value, t.curve, t.need, t.steps, t.cdf, *given, t.top,
        t.bottom, t.origin, t.n, len(t.cdf), std, *key, *how, t.curve.shape[-1], len(t.cdf).bit_length(),
        sizes.rows, sizes.cols, **FUSED,
    )  # fmt: skip


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor,
    touched: Tensor | None,
) -> None:  # fmt: skip
    """As `ops.pulsed_update_`; a value that is not finite sets the status, see `ops.check_status`."""
    trains = trains_of(x, d, lr, cells, pulsing, step, events)
    _apply(
        w, cells, trains.xs, trains.ds, pulsing.fidelity, step, events, touched, len(x), pulsing.words, False
    )


def apply_counts_(
    w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor, events: Tensor | None, most: int
) -> None:
    """As `ops.apply_counts_`; a count that is too large sets the status, see `ops.check_status`."""
    counts, status, sizes = counts.contiguous(), status_of(cells), blocks()
    block = sizes.rows * sizes.cols
    _check_counts[grid_of((counts.numel(), block))](counts, status, counts.numel(), most, block, **FUSED)
    if fidelity != "mean":
        _apply(w, cells, counts, counts, fidelity, step, events, None, 1, 1, True)
        return
    fine: Any = status == 0
    w.copy_(torch.where(fine, mean_counts(w, cells.elements[0], counts), w))
    if events is not None:
        events[0] += counts.clamp(min=0).sum() * fine[0]
        events[1] -= counts.clamp(max=0).sum() * fine[0]
