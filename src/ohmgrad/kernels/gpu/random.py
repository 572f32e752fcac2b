"""Random numbers by cell, in Triton."""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..cells import Cells
from .blocks import block_of_cells
from .launching import FUSED, blocks, grid_of, key_words, quarter
from .math import cell_normals, philox, quads

__all__ = ["normals_", "random_words"]


@triton.jit(do_not_specialize=["purpose", "k0", "k1"])
def _normals(
    out, where, step, std, rows, cols, group, purpose, k0, k1, ROWS: tl.constexpr, COLS: tl.constexpr
):
    row, index, col, there = block_of_cells(rows, cols, group, ROWS, COLS)
    z = cell_normals(
        row.to(tl.uint32), index.to(tl.uint32), tl.load(step).to(tl.uint32), purpose.to(tl.uint32),
        k0.to(tl.uint32), k1.to(tl.uint32),
    )  # fmt: skip
    at = row.to(tl.int64) * cols + col
    if where is not None:
        there = there & (tl.load(where + at, mask=there, other=0) != 0)
    tl.store(out + at, std * z, mask=there)


@triton.jit(do_not_specialize=["purpose", "k0", "k1"])
def _words(out, step, rows, cols, group, purpose, k0, k1, ROWS: tl.constexpr, COLS: tl.constexpr):
    row, index, col, there = block_of_cells(rows, cols, group, ROWS, COLS)
    zero = tl.zeros((ROWS, COLS // 4), tl.uint32)
    a, b, c, d = philox(
        zero + index.to(tl.uint32), zero + row.to(tl.uint32), zero + tl.load(step).to(tl.uint32),
        zero + purpose.to(tl.uint32), zero + k0.to(tl.uint32), zero + k1.to(tl.uint32),
    )  # fmt: skip
    tl.store(out + row.to(tl.int64) * cols + col, quads(a, b, c, d).to(tl.int64), mask=there)


@triton.jit(do_not_specialize=["purpose", "k0", "k1"])
def _marked_words(out, marked, ends, step, size, purpose, k0, k1, CELLS: tl.constexpr):
    """ends: of every cell, how many marked ones there are up to it, int64 (cells,)."""
    at = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS)
    there = at < size
    hit = there & (tl.load(marked + at, mask=there, other=0) != 0)
    place = tl.load(ends + at, mask=there, other=1) - 1
    group = tl.maximum((tl.load(ends + size - 1) + 3) // 4, 1)
    lane = place // group
    zero = tl.zeros((CELLS,), tl.uint32)
    a, b, c, d = philox(
        (place - lane * group).to(tl.uint32), zero, zero + tl.load(step).to(tl.uint32),
        zero + purpose.to(tl.uint32), zero + k0.to(tl.uint32), zero + k1.to(tl.uint32),
    )  # fmt: skip
    word = tl.where(lane < 2, tl.where(lane == 0, a, b), tl.where(lane == 2, c, d))
    tl.store(out + at, tl.where(hit, word.to(tl.int64), 0), mask=there)


def normals_(out: Tensor, cells: Cells, step: Tensor, purpose: int, std: float, where: Tensor | None) -> None:
    """As `ops.normals_`."""
    (rows, cols), sizes = cells.shape, blocks()
    group = quarter(cols)
    _normals[grid_of((rows, sizes.rows), (4 * group, sizes.cols))](
        out, where, step, float(std), rows, cols, group, purpose, *key_words(cells.keys[0]), sizes.rows,
        sizes.cols, **FUSED,
    )  # fmt: skip


def random_words(cells: Cells, step: Tensor, purpose: int, marked: Tensor | None) -> Tensor:
    """As `ops.random_words`."""
    (rows, cols), sizes = cells.shape, blocks()
    out = torch.empty(rows, cols, dtype=torch.int64, device=step.device)
    if marked is None:
        group = quarter(cols)
        _words[grid_of((rows, sizes.rows), (4 * group, sizes.cols))](
            out,
            step,
            rows,
            cols,
            group,
            purpose,
            *key_words(cells.keys[0]),
            sizes.rows,
            sizes.cols,
            **FUSED,
        )
    else:
        marked = marked.contiguous()
        ends = marked.flatten().cumsum(0)
        _marked_words[grid_of((out.numel(), sizes.cols * sizes.rows))](
            out,
            marked,
            ends,
            step,
            out.numel(),
            purpose,
            *key_words(cells.keys[0]),
            sizes.cols * sizes.rows,
            **FUSED,
        )
    return out
