"""Analog products with converters and read noise in Numba: as `reference.products`, to rounding."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numba import njit, prange, types
from torch import Tensor

from ...rng import Key
from ..periphery import MAX_DOUBLINGS, Periphery
from .compiling import CONTRACT, carve, part, room, serial_and_parallel, threads
from .late import late_kernel
from .math import gauss2, philox, top, wide_vectors

__all__ = ["analog_product"]

u32, f32 = np.uint32, np.float32

#: values from which a conversion is shared by threads, in this many pieces
PARALLEL_FROM, CHUNKS = 50_000, 8
#: values that are converted at a time, where vectors are shorter
BLOCK = 2048
_ALL = np.empty(0, np.int64)


class Circuit(NamedTuple):
    """One side of the periphery: 0 for what it has not. See `Periphery`."""

    bound: np.float32
    step: np.float32
    noise: np.float32
    weight_noise: np.float32
    #: whether inputs are divided by their largest absolute value
    manage: bool


class Reads(NamedTuple):
    """Which vectors are read, and the address of their noise."""

    #: int64 (n,): their numbers in the batch; empty for all
    todo: np.ndarray
    #: number of the first vector of the batch
    first: int
    #: 2 doublings; the noise of inputs is that of the next number
    clock: int
    purpose: np.uint32
    k0: np.uint32
    k1: np.uint32


@njit(inline="always")
def _number(reads, i):
    """Number of vector i, which addresses its noise."""
    return u32(reads.first + (reads.todo[i] if reads.todo.shape[0] else i))


class Scratch(NamedTuple):
    """Scratch for a block of vectors."""

    #: float32, for each value what it is divided by; for each vector the standard deviation of its noise
    scale: np.ndarray
    std: np.ndarray
    #: of random numbers in four lanes: counters, uint32 (2, m), and the numbers, float32 (4, m)
    counters: np.ndarray
    lanes: np.ndarray


@part()
def _scratch(vectors, n):
    """Scratch for so many vectors, of n values, in all; and how many of them are a block."""
    block = max(1, min(vectors, BLOCK // n))
    m, std = block * ((n + 3) // 4), room(0, 4 * block * n)
    counters = room(std, 4 * block)
    lanes = room(counters, 8 * m)
    memory = np.empty(room(lanes, 16 * m), np.uint8)
    return block, Scratch(
        carve(memory, 0, (block * n,), np.float32), carve(memory, std, (block,), np.float32),
        carve(memory, counters, (2, m), np.uint32), carve(memory, lanes, (4, m), np.float32),
    )  # fmt: skip


@late_kernel(types.void, fastmath=CONTRACT)
def _add_noise(first, vectors, values, reads, clock, scratch):
    """Add the numbers of `rng.gaussians`, times their standard deviations, to the values of a block.

    Those of several short vectors are drawn in one loop, whose lanes they fill.
    """
    wide_vectors()
    n = values.shape[0] // vectors
    group, purpose, k0, k1 = (n + 3) // 4, reads.purpose, reads.k0, reads.k1
    index, number = scratch.counters[0], scratch.counters[1]
    for i in range(vectors):
        own = _number(reads, first + i)
        for g in range(group):
            index[i * group + g], number[i * group + g] = g, own
    za, zb, zc, zd = scratch.lanes[0], scratch.lanes[1], scratch.lanes[2], scratch.lanes[3]
    for q in range(vectors * group):
        a, b, c, d = philox(index[q], number[q], clock, purpose, k0, k1)
        za[q], zb[q] = gauss2(a, b)
        zc[q], zd[q] = gauss2(c, d)
    for i in range(vectors):
        std = scratch.std[i]
        for lane in range(4):
            z, begin = scratch.lanes[lane], lane * group
            for g in range(min(group, n - begin)):
                values[i * n + begin + g] += std * z[i * group + g]


@njit(inline="always", error_model="numpy")
def _converted(v, bound, step):
    """A value quantised (step > 0) and clipped (bound > 0)."""
    if step > f32(0):
        v = np.rint(v / step) * step
    if bound > f32(0):
        v = min(max(v, -bound), bound)
    return v


@late_kernel(types.void, fastmath=CONTRACT)
def _inputs_chunk(begin, end, x, circuit, reads, sent, factor):
    """Managed, converted and noisy inputs of the vectors begin ... end-1 of those that are read."""
    n, bound, step = x.shape[1], circuit.bound, circuit.step
    doubled = f32(2.0 ** (reads.clock >> 1))
    block, scratch = _scratch(end - begin, n)
    scale = scratch.scale
    for first in range(begin, end, block):
        vectors = min(block, end - first)
        for i in range(vectors):
            row = x[reads.todo[first + i] if reads.todo.shape[0] else first + i]
            largest = top(row) if circuit.manage else f32(1)
            own = doubled * (largest if largest > f32(0) else f32(1))
            factor[first + i], scratch.std[i] = own, circuit.noise
            into, at = sent[first + i], i * n
            for j in range(n):
                into[j], scale[at + j] = row[j], own
        values = sent[first : first + vectors].ravel()
        for q in range(values.shape[0]):  # of all vectors at once, as short ones fill no lanes
            values[q] = _converted(values[q] / scale[q], bound, step)
        if circuit.noise > f32(0):
            _add_noise(first, vectors, values, reads, u32(reads.clock + 1), scratch)


@part()
def _deviation(sent, circuit):
    """Standard deviation of the noise of an output, whose inputs are `sent`."""
    if circuit.weight_noise == f32(0):
        return circuit.noise
    square = f32(0)
    for j in range(sent.shape[0]):
        square += sent[j] * sent[j]
    return np.sqrt(circuit.noise * circuit.noise + circuit.weight_noise * circuit.weight_noise * square)


@late_kernel(types.int64, fastmath=CONTRACT)
def _outputs_chunk(begin, end, y, circuit, reads, sent, factor, hit):
    """Noisy and converted outputs, in place; hit[i] = 1 where vector i hit the bound; how many did."""
    n, bound, step, hits = y.shape[1], circuit.bound, circuit.step, np.int64(0)
    noisy = circuit.noise > f32(0) or circuit.weight_noise > f32(0)
    block, scratch = _scratch(end - begin, n)
    for first in range(begin, end, block):
        vectors = min(block, end - first)
        values = y[first : first + vectors].ravel()
        if noisy:
            for i in range(vectors):
                scratch.std[i] = _deviation(sent[first + i], circuit)
            _add_noise(first, vectors, values, reads, u32(reads.clock), scratch)
        some = u32(0)
        for q in range(values.shape[0]):
            v = _converted(values[q], bound, step)
            values[q] = v
            some |= u32(abs(v) >= bound)
        for i in range(vectors):
            own, row, reached = factor[first + i], y[first + i], u32(0)
            if some != u32(0) and bound > f32(0):
                for j in range(n):
                    reached |= u32(abs(row[j]) >= bound)
            hit[first + i] = reached
            hits += np.int64(reached)
            for j in range(n):
                row[j] *= own
    return hits


@serial_and_parallel
def _inputs(x, circuit, reads, sent, factor, chunks):
    """circuit, reads: the parts of `Circuit` and `Reads`."""
    side, vectors, n = Circuit(*circuit), Reads(*reads), sent.shape[0]
    for u in prange(chunks):
        c = np.int64(u)
        _inputs_chunk(c * n // chunks, (c + 1) * n // chunks, x, side, vectors, sent, factor)


@serial_and_parallel
def _outputs(y, circuit, reads, sent, factor, hit, chunks):
    """circuit, reads: the parts of `Circuit` and `Reads`; returns how many vectors hit the bound."""
    side, vectors, n, hits = Circuit(*circuit), Reads(*reads), y.shape[0], np.int64(0)
    for u in prange(chunks):
        c = np.int64(u)
        hits += _outputs_chunk(c * n // chunks, (c + 1) * n // chunks, y, side, vectors, sent, factor, hit)
    return hits


@lru_cache(maxsize=64)
def _settings(p: Periphery, key: Key, purpose: int) -> tuple:
    """The parts of both circuits, and purpose and key in the types of the kernels."""
    manage = p.noise_management == "abs_max"
    into = (f32(p.in_bound or 0), f32(p.in_step), f32(p.in_noise), f32(0), manage)
    out = (f32(p.out_bound or 0), f32(p.out_step), f32(p.out_noise), f32(p.weight_noise), False)
    return into, out, (u32(purpose), u32(key.seed), u32(key.array))


def _chunks(values: int) -> int:
    return CHUNKS if values >= PARALLEL_FROM and threads() > 1 else 1


def analog_product(
    x: Tensor, matrix: Tensor, periphery: Periphery, purpose: int, key: Key, first: Tensor
) -> tuple[Tensor, int]:
    """As `ops.analog_product`, for float32."""
    into, outof, address = _settings(periphery, key, purpose)
    given = x.detach().contiguous().numpy()
    out = torch.empty(0)
    todo, driven_again, start = _ALL, 0, int(first.numpy())
    for doubling in range(MAX_DOUBLINGS + 1):
        n = len(todo) or len(given)
        sent, factor = np.empty((n, given.shape[1]), np.float32), np.empty(n, np.float32)
        hit, reads, chunks = np.empty(n, np.uint8), (todo, start, 2 * doubling, *address), _chunks(sent.size)
        (_inputs.serial if chunks == 1 else _inputs.parallel)(given, into, reads, sent, factor, chunks)
        y = torch.from_numpy(sent) @ matrix
        chunks = _chunks(y.numel())
        outputs = _outputs.serial if chunks == 1 else _outputs.parallel
        hits = outputs(y.numpy(), outof, reads, sent, factor, hit, chunks)
        if doubling == 0:
            out = y
        else:
            out[torch.from_numpy(todo)] = y
        if periphery.bound_management == "none" or not hits or doubling == MAX_DOUBLINGS:
            break
        todo = np.flatnonzero(hit) if doubling == 0 else todo[hit != 0]
        driven_again += len(todo)
    return out, driven_again
