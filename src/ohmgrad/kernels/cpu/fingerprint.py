"""A number that tells whether weights have been written: a fingerprint of their bits, in Numba."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from torch import Tensor

from .compiling import kernel, no_refcount

__all__ = ["fingerprint_of"]

u32, u64 = np.uint32, np.uint64

#: columns of a stretch that is looked at where not all cells are
STRETCH = 64
ROW = u64(0x9E3779B97F4A7C15)
COLUMN, MIX = u32(0x9E3779B1), u32(0x5BD1E995)


@kernel(inline="always")
def _stretch(row, begin, end):
    """Bits times numbers that depend on the column, added up: no change of one cell leaves it as it is."""
    total = u64(0)
    for c in range(begin, end):
        total += u64(row[c]) * u64(u32(u32(u32(c) * COLUMN) ^ MIX))
    return total


@kernel()
def _fingerprint(bits, every):
    """Fingerprint of a matrix of uint32, (rows, cols).

    Args:
        every: 1 to look at all cells; n for one stretch of columns in n, other ones in every row.
    """
    bits = no_refcount(bits)
    rows, cols, every = u64(bits.shape[0]), u64(bits.shape[1]), u64(every)
    found, first = u64(0), u64(0)
    for r in range(rows):
        row = bits[r]
        if every == u64(1):
            found = found * ROW + _stretch(row, u64(0), cols)
            continue
        c = first * u64(STRETCH)
        while c < cols:
            found = found * ROW + _stretch(row, c, min(c + u64(STRETCH), cols))
            c += every * u64(STRETCH)
        first += u64(7)
        while first >= every:
            first -= every
    return found


def fingerprint_of(w: Tensor, every: int) -> Callable[[], int]:
    """As `ops.fingerprint_of`."""
    return partial(_fingerprint, w.numpy().view(np.uint32), every)
