"""What a program has: a block of cells, their planes, and the pulses that they get in a sample."""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

import triton
import triton.language as tl

from ..pulsing import SLOTS
from .math import popcount

__all__ = ["block_of_cells", "next_count", "plane_of", "signed_count"]

N_SLOTS = tl.constexpr(SLOTS)


@triton.jit
def block_of_cells(rows, cols, group, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Cells of this program: rows (ROWS, 1), blocks of four (1, COLS/4), columns (1, COLS); which are there.

    Column 4 g + lane of the program is column lane G + g of the array, so that each has one of four words.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    index = tl.program_id(1) * (COLS // 4) + tl.arange(0, COLS // 4)[None, :]
    place = tl.program_id(1) * COLS + tl.arange(0, COLS)[None, :]
    col = (place % 4) * group + place // 4
    return row, index, col, (row < rows) & (place // 4 < group) & (col < cols)


@triton.jit
def signed_count(x, d, samples, cols, rows, n_words, there):
    """Signed coincidence counts of cells in one sample, int32.

    x, d: pointers to the first word of their lines in that sample; n_words: of a train.
    """
    k = tl.zeros(there.shape, tl.int32)
    for _ in range(n_words):
        a = tl.load(x, mask=there, other=0).to(tl.uint32, bitcast=True)
        b = tl.load(d, mask=there, other=0).to(tl.uint32, bitcast=True)
        both = a & b
        n = popcount(both) - (both >> N_SLOTS).to(tl.int32)  # compilers know `popcount` of a whole word
        k += tl.where(((a ^ b) >> N_SLOTS) != 0, -n, n)
        x, d = x + samples.to(tl.int64) * cols, d + samples.to(tl.int64) * rows
    return k


@triton.jit
def next_count(x, d, samples, cols, rows, n_words, there, COUNTED: tl.constexpr):
    """Signed pulses of cells in the sample that x and d point to; COUNTED: x points to the counts."""
    if COUNTED:
        k = tl.load(x, mask=there, other=0).to(tl.int32)
    else:
        k = signed_count(x, d, samples, cols, rows, n_words, there)
    return k


@triton.jit
def plane_of(plane, at, there, other, UNIFORM: tl.constexpr):
    """Values of the cells of a block; one for all where elements are alike."""
    if UNIFORM:
        value = tl.load(plane) + tl.zeros(there.shape, tl.float32)
    else:
        value = tl.load(plane + at, mask=there, other=other)
    return value
