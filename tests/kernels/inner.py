"""Kernels that only kernels call, as tests call them."""

# pyright: reportCallIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from ohmgrad.kernels.cpu import affine_columns, affine_rows
from ohmgrad.kernels.cpu.trains import empty_trains, list_active_samples, train_scratch, trains_chunk

__all__ = ["apply_columns", "apply_rows", "drawn_trains"]


@njit(nogil=True)  # as what asks for kernels must be
def drawn_trains(words, x, d, how, address):
    """The trains of an update, with the active samples listed."""
    trains = empty_trains(words, x.shape[0], d.shape[1], x.shape[1])
    scratch = train_scratch(max(x.shape[1], d.shape[1]), how.max_bl, x.shape[0])
    trains_chunk(0, x.shape[0], x, d, how, address, trains, np.zeros(5, np.int64), scratch)
    return list_active_samples(trains)


@njit(nogil=True)  # as what asks for kernels must be
def apply_rows(w, affine, trains, address):
    """The trains on all rows, sample by sample."""
    affine_rows.rows_in_order(0, w.shape[0], w, affine, trains, False, address)


@njit(nogil=True)  # as what asks for kernels must be
def apply_columns(w, affine, trains, address):
    """The trains on single columns; whether they are such, without which nothing is done."""
    alone = affine_columns.single_columns(w.shape[1], trains)
    if alone:
        affine_columns.write_columns(w, affine, trains, address)
    return alone
