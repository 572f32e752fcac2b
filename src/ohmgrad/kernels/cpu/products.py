"""Analog products with converters and read noise in Numba: as `reference.products`, to rounding."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...rng import Key
from ..periphery import MAX_DOUBLINGS, Periphery
from .math import CONTRACT, gauss2, kernel, philox, threads

__all__ = ["analog_product"]

u32, u64, f32 = np.uint32, np.uint64, np.float32

#: values from which a conversion is spread over threads, in this many pieces
PARALLEL_FROM, CHUNKS = 50_000, 8
#: outputs whose noise is drawn at a time, where vectors are shorter
BLOCK = 512
_ALL = np.empty(0, np.int64)


@kernel(fastmath=CONTRACT)
def _noise(z, number, step, purpose, k0, k1):
    """Standard normal numbers of one vector; z is padded to a multiple of four."""
    group = z.shape[0] // 4
    za, zb, zc, zd = z[:group], z[group : 2 * group], z[2 * group : 3 * group], z[3 * group :]
    for g in range(group):
        a, b, c, d = philox(u32(g), number, step, purpose, k0, k1)
        za[g], zb[g] = gauss2(a, b)
        zc[g], zd[g] = gauss2(c, d)


@kernel(fastmath=CONTRACT)
def _noise_block(z, numbers, step, purpose, k0, k1):
    """As `_noise` for several short vectors at once, (vectors, padded length): long loops fill the lanes."""
    group = z.shape[1] // 4
    count = numbers.shape[0] * group
    index, number = np.empty(count, np.uint32), np.empty(count, np.uint32)
    za, zb = np.empty(count, np.float32), np.empty(count, np.float32)
    zc, zd = np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(numbers.shape[0]):
        for g in range(group):
            index[i * group + g], number[i * group + g] = g, numbers[i]
    for q in range(count):
        a, b, c, d = philox(index[q], number[q], step, purpose, k0, k1)
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
def _inputs(begin, end, x, todo, manage, in_set, first, clock, purpose, key, sent, factor):
    """Managed, converted and noisy inputs of the vectors `todo` (all if it is empty)."""
    bound, step, noise = in_set
    n = x.shape[1]
    z = np.zeros(4 * ((n + 3) // 4), np.float32)
    doubled = f32(2.0 ** (clock >> 1))
    for i in range(begin, end):
        s = todo[i] if todo.shape[0] else i
        top = f32(0)
        if manage:
            for j in range(n):
                top = max(top, abs(x[s, j]))
        factor[i] = doubled * (top if top > f32(0) else f32(1))
        for j in range(n):
            sent[i, j] = x[s, j] / factor[i]
        _convert(sent[i], bound, step)
        if noise > f32(0):
            _noise(z, u32(first + s), u32(clock + 1), purpose, key[0], key[1])
            for j in range(n):
                sent[i, j] += noise * z[j]


@kernel(fastmath=CONTRACT)
def _outputs(begin, end, y, sent, todo, out_set, first, clock, purpose, key, factor, hit):
    """Noisy and converted outputs, in place; hit[i] = 1 where vector i hit the bound."""
    bound, step, out_noise, weight_noise = out_set
    n = y.shape[1]
    noisy = out_noise > f32(0) or weight_noise > f32(0)
    block = max(1, min(end - begin, BLOCK // n)) if noisy else 1
    zs, numbers = np.zeros((block, 4 * ((n + 3) // 4)), np.float32), np.empty(block, np.uint32)
    for i in range(begin, end):
        at = (i - begin) % block
        if noisy and at == 0:
            for q in range(min(block, end - i)):
                numbers[q] = u32(first + (todo[i + q] if todo.shape[0] else i + q))
            if block == 1:
                _noise(zs[0], numbers[0], u32(clock), purpose, key[0], key[1])
            else:
                ahead = min(block, end - i)
                _noise_block(zs[:ahead], numbers[:ahead], u32(clock), purpose, key[0], key[1])
        spread = out_noise
        if weight_noise > f32(0):
            square = f32(0)
            for j in range(sent.shape[1]):
                square += sent[i, j] * sent[i, j]
            spread = np.sqrt(out_noise * out_noise + weight_noise * weight_noise * square)
        if spread > f32(0):
            z = zs[at]
            for j in range(n):
                y[i, j] += spread * z[j]
        _convert(y[i], bound, step)
        hit[i] = 0
        if bound > f32(0):
            top = f32(0)
            for j in range(n):
                top = max(top, abs(y[i, j]))
            hit[i] = 1 if top >= bound else 0
        for j in range(n):
            y[i, j] *= factor[i]


@kernel(parallel=True)
def _inputs_parallel(x, todo, manage, in_set, first, clock, purpose, key, sent, factor):
    n = sent.shape[0]
    for c in prange(CHUNKS):
        _inputs(
            c * n // CHUNKS, (c + 1) * n // CHUNKS, x, todo, manage, in_set, first, clock, purpose,
            key, sent, factor,
        )  # fmt: skip


@kernel(parallel=True)
def _outputs_parallel(y, sent, todo, out_set, first, clock, purpose, key, factor, hit):
    n = y.shape[0]
    for c in prange(CHUNKS):
        _outputs(
            c * n // CHUNKS, (c + 1) * n // CHUNKS, y, sent, todo, out_set, first, clock, purpose,
            key, factor, hit,
        )  # fmt: skip


@lru_cache(maxsize=64)
def _settings(p: Periphery, key: Key, purpose: int) -> tuple:
    """What the kernels need of a periphery and an address, in their types."""
    in_set = (f32(p.in_bound or 0), f32(p.in_step), f32(p.in_noise))
    out_set = (f32(p.out_bound or 0), f32(p.out_step), f32(p.out_noise), f32(p.weight_noise))
    return in_set, out_set, u32(purpose), (u32(key.seed), u32(key.array))


def analog_product(
    x: Tensor, matrix: Tensor, periphery: Periphery, purpose: int, key: Key, first: Tensor
) -> tuple[Tensor, int]:
    """As `ops.analog_product`, for float32."""
    in_set, out_set, purpose_word, key_words = _settings(periphery, key, purpose)
    manage = periphery.noise_management == "abs_max"
    given = x.detach().contiguous().numpy()
    out = torch.empty(0)
    todo, again, start = _ALL, 0, int(first.numpy())
    for doubling in range(MAX_DOUBLINGS + 1):
        n = len(todo) or len(given)
        sent, factor = np.empty((n, given.shape[1]), np.float32), np.empty(n, np.float32)
        hit = np.empty(n, np.uint8)
        address = (start, 2 * doubling, purpose_word, key_words)
        if sent.size < PARALLEL_FROM or threads() == 1:
            _inputs(0, n, given, todo, manage, in_set, *address, sent, factor)
        else:
            _inputs_parallel(given, todo, manage, in_set, *address, sent, factor)
        y = torch.from_numpy(sent) @ matrix
        if y.numel() < PARALLEL_FROM or threads() == 1:
            _outputs(0, n, y.numpy(), sent, todo, out_set, *address, factor, hit)
        else:
            _outputs_parallel(y.numpy(), sent, todo, out_set, *address, factor, hit)
        if doubling == 0:
            out = y
        else:
            out[torch.from_numpy(todo)] = y
        if periphery.bound_management == "none" or not hit.any() or doubling == MAX_DOUBLINGS:
            break
        todo = np.flatnonzero(hit) if doubling == 0 else todo[hit != 0]
        again += len(todo)
    return out, again
