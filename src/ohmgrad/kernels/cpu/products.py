"""Analog products with converters and read noise in Numba: as `reference.products`, to rounding."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from ...rng import Key
from ..periphery import MAX_DOUBLINGS, Periphery
from .compiling import CONTRACT, kernel, serial_and_parallel, threads
from .math import gauss2, gauss_row, philox
from .packing import Address

__all__ = ["analog_product"]

u32, f32 = np.uint32, np.float32

#: values from which a conversion is shared by threads, in this many pieces
PARALLEL_FROM, CHUNKS = 50_000, 8
#: outputs whose noise is drawn at a time, where vectors are shorter
BLOCK = 512
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


@kernel(fastmath=CONTRACT)
def _noise_block(z, numbers, address, purpose):
    """`gauss_row` of several short vectors at once, (vectors, padded length): long loops fill the lanes."""
    group = z.shape[1] // 4
    count = numbers.shape[0] * group
    index, number = np.empty(count, np.uint32), np.empty(count, np.uint32)
    za, zb = np.empty(count, np.float32), np.empty(count, np.float32)
    zc, zd = np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(numbers.shape[0]):
        for g in range(group):
            index[i * group + g], number[i * group + g] = g, numbers[i]
    for q in range(count):
        a, b, c, d = philox(index[q], number[q], address.step, purpose, address.k0, address.k1)
        za[q], zb[q] = gauss2(a, b)
        zc[q], zd[q] = gauss2(c, d)
    for i in range(numbers.shape[0]):
        for g in range(group):
            q = i * group + g
            z[i, g], z[i, g + group] = za[q], zb[q]
            z[i, g + 2 * group], z[i, g + 3 * group] = zc[q], zd[q]


@kernel(fastmath=CONTRACT)
def _convert(v, bound, step):
    """Quantise (step > 0) and clip (bound > 0) in place."""
    if step > f32(0):
        for j in range(v.shape[0]):
            v[j] = np.rint(v[j] / step) * step
    if bound > f32(0):
        for j in range(v.shape[0]):
            v[j] = min(max(v[j], -bound), bound)


@kernel(fastmath=CONTRACT)
def _inputs_chunk(begin, end, x, circuit, reads, sent, factor):
    """Managed, converted and noisy inputs of the vectors begin ... end-1 of those that are read."""
    n = x.shape[1]
    z = np.zeros(4 * ((n + 3) // 4), np.float32)
    doubled = f32(2.0 ** (reads.clock >> 1))
    address = Address(u32(reads.clock + 1), reads.k0, reads.k1)
    for i in range(begin, end):
        s = reads.todo[i] if reads.todo.shape[0] else i
        top = f32(0)
        if circuit.manage:
            for j in range(n):
                top = max(top, abs(x[s, j]))
        factor[i] = doubled * (top if top > f32(0) else f32(1))
        for j in range(n):
            sent[i, j] = x[s, j] / factor[i]
        _convert(sent[i], circuit.bound, circuit.step)
        if circuit.noise > f32(0):
            gauss_row(_number(reads, i), reads.purpose, address, z)
            for j in range(n):
                sent[i, j] += circuit.noise * z[j]


@kernel(fastmath=CONTRACT)
def _outputs_chunk(begin, end, y, circuit, reads, sent, factor, hit):
    """Noisy and converted outputs, in place; hit[i] = 1 where vector i hit the bound."""
    n, bound = y.shape[1], circuit.bound
    address = Address(u32(reads.clock), reads.k0, reads.k1)
    noisy = circuit.noise > f32(0) or circuit.weight_noise > f32(0)
    block = max(1, min(end - begin, BLOCK // n)) if noisy else 1
    zs, numbers = np.zeros((block, 4 * ((n + 3) // 4)), np.float32), np.empty(block, np.uint32)
    for i in range(begin, end):
        at = (i - begin) % block
        if noisy and at == 0:
            ahead = min(block, end - i)
            for q in range(ahead):
                numbers[q] = _number(reads, i + q)
            if block == 1:
                gauss_row(numbers[0], reads.purpose, address, zs[0])
            else:
                _noise_block(zs[:ahead], numbers[:ahead], address, reads.purpose)
        std = circuit.noise
        if circuit.weight_noise > f32(0):
            square = f32(0)
            for j in range(sent.shape[1]):
                square += sent[i, j] * sent[i, j]
            weight_noise = circuit.weight_noise
            std = np.sqrt(circuit.noise * circuit.noise + weight_noise * weight_noise * square)
        if std > f32(0):
            z = zs[at]
            for j in range(n):
                y[i, j] += std * z[j]
        _convert(y[i], bound, circuit.step)
        hit[i] = 0
        if bound > f32(0):
            top = f32(0)
            for j in range(n):
                top = max(top, abs(y[i, j]))
            hit[i] = 1 if top >= bound else 0
        for j in range(n):
            y[i, j] *= factor[i]


@serial_and_parallel
def _inputs(x, circuit, reads, sent, factor, chunks):
    """circuit, reads: the parts of `Circuit` and `Reads`."""
    side, vectors, n = Circuit(*circuit), Reads(*reads), sent.shape[0]
    for u in prange(chunks):
        c = np.int64(u)
        _inputs_chunk(c * n // chunks, (c + 1) * n // chunks, x, side, vectors, sent, factor)


@serial_and_parallel
def _outputs(y, circuit, reads, sent, factor, hit, chunks):
    """circuit, reads: the parts of `Circuit` and `Reads`."""
    side, vectors, n = Circuit(*circuit), Reads(*reads), y.shape[0]
    for u in prange(chunks):
        c = np.int64(u)
        _outputs_chunk(c * n // chunks, (c + 1) * n // chunks, y, side, vectors, sent, factor, hit)


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
        outputs(y.numpy(), outof, reads, sent, factor, hit, chunks)
        if doubling == 0:
            out = y
        else:
            out[torch.from_numpy(todo)] = y
        if periphery.bound_management == "none" or not hit.any() or doubling == MAX_DOUBLINGS:
            break
        todo = np.flatnonzero(hit) if doubling == 0 else todo[hit != 0]
        driven_again += len(todo)
    return out, driven_again
