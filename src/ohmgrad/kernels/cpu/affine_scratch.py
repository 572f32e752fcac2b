"""Scratch for rows of affine elements in Numba, all of it in one piece of memory."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .affine import NOISES
from .affine_dense import COEFFICIENTS, Moments
from .compiling import carve, part, room

__all__ = ["Scratch", "scratch_of"]

i32, f32 = np.int32, np.float32


class Scratch(NamedTuple):
    """Scratch of `affine_rows.apply_row`."""

    coefficients: np.ndarray
    moments: Moments
    #: standard normal numbers of a row, padded to fours, and of the pulses of a cell
    z: np.ndarray
    pulse_z: np.ndarray
    #: uint8 (n,), whether a cell got a pulse; 0 between rows. int32 (n,): the cells that did
    seen: np.ndarray
    columns: np.ndarray
    #: int64 (samples,): those in which the row's d-line fires, and counts of a cell in them
    row_samples: np.ndarray
    counts: np.ndarray


@njit(inline="always")
def _row_stride(n):
    """Floats from one scratch row for n cells to the next.

    The rows start 256 bytes apart modulo 4096: rows in step would share the sets of the cache, and a
    load that follows a store by nearly 4096 bytes is taken to depend on it. Both halve the speed.
    """
    return 64 + 1024 * ((max(n - 64, 0) + 1023) // 1024)


@part()
def _moments_in(memory, at, n):
    """Moments of n cells, in scratch rows from byte `at` of memory on."""
    step = 4 * _row_stride(n)
    return Moments(
        carve(memory, at, (n,), f32), carve(memory, at + step, (n,), f32),
        carve(memory, at + 2 * step, (n,), f32), carve(memory, at + 3 * step, (n,), f32),
        carve(memory, at + 4 * step, (n,), f32), carve(memory, at + 5 * step, (n,), f32),
    )  # fmt: skip


@part()
def scratch_of(n, samples):
    """Scratch for rows of n cells."""
    padded, stride = 4 * ((n + 3) // 4), _row_stride(n)
    moments = 4 * COEFFICIENTS * stride
    z = moments + 4 * 6 * stride
    pulse_z = room(z, 4 * padded)
    columns = room(pulse_z, 4 * NOISES)
    row_samples = room(columns, 4 * n)
    counts = room(row_samples, 8 * samples)
    seen = room(counts, 8 * samples)
    memory = np.empty(seen + n + 63, np.uint8)
    at = (-memory.ctypes.data) % 64
    scratch = Scratch(
        carve(memory, at, (COEFFICIENTS, stride), f32), _moments_in(memory, at + moments, n),
        carve(memory, at + z, (padded,), f32), carve(memory, at + pulse_z, (NOISES,), f32),
        carve(memory, at + seen, (n,), np.uint8), carve(memory, at + columns, (n,), i32),
        carve(memory, at + row_samples, (samples,), np.int64),
        carve(memory, at + counts, (samples,), np.int64),
    )  # fmt: skip
    for j in range(n):
        scratch.seen[j] = 0
    return scratch
