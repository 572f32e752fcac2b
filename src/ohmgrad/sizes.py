"""Sizes are looked at before memory is asked for, which a system may grant and then end the process for."""

from __future__ import annotations

import os

from .errors import InputError

__all__ = ["check_cells", "memory"]

#: bytes that a cell of an array takes in all when its elements are all alike: weight and draft, float32
_A_CELL = 8


def memory() -> int:
    """Bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return 2**40


def check_cells(what: str, rows: int, cols: int) -> None:
    """Raise InputError where so many cells do not fit into the memory of this machine."""
    needed = rows * cols * _A_CELL
    if needed > memory():
        raise InputError(
            f"{what} of {rows} x {cols} takes {needed / 2**30:.3g} GiB at least, but this machine has "
            f"{memory() / 2**30:.3g} GiB of memory: choose fewer rows or columns"
        )
