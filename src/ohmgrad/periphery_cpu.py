"""Converters and read noise in Numba: as `periphery._inputs` and `_outputs`, to rounding."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .periphery import Periphery
from .pulses.cpu_math import CONTRACT, gauss2, kernel, philox
from .rng import Key

__all__ = ["inputs", "outputs"]

u32, u64, f32 = np.uint32, np.uint64, np.float32

#: values from which a conversion is spread over threads
PARALLEL_FROM = 50_000


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
def _convert(v, bound, step):
    """Quantise (step > 0) and clip (bound > 0) in place."""
    if step > f32(0):
        for j in range(v.shape[0]):
            v[j] = np.rint(v[j] / step) * step
    if bound > f32(0):
        for j in range(v.shape[0]):
            v[j] = min(max(v[j], -bound), bound)


@kernel(fastmath=CONTRACT)
def _inputs(begin, end, x, manage, bound, step, noise, number, clock, purpose, key, sent, factor):
    n = x.shape[1]
    z = np.zeros(4 * ((n + 3) // 4), np.float32)
    for s in range(begin, end):
        top = f32(0)
        if manage:
            for j in range(n):
                top = max(top, abs(x[s, j]))
        # the factor holds the doubling of bound management on entry
        factor[s, 0] *= top if top > f32(0) else f32(1)
        for j in range(n):
            sent[s, j] = x[s, j] / factor[s, 0]
        _convert(sent[s], bound, step)
        if noise > f32(0):
            _noise(z, u32(number[s]), clock, purpose, key[0], key[1])
            for j in range(n):
                sent[s, j] += noise * z[j]


@kernel(fastmath=CONTRACT)
def _outputs(
    begin, end, y, sent, factor, out_noise, weight_noise, bound, step, number, clock, purpose, key, hit
):
    n = y.shape[1]
    z = np.zeros(4 * ((n + 3) // 4), np.float32)
    for s in range(begin, end):
        spread = out_noise
        if weight_noise > f32(0):
            square = f32(0)
            for j in range(sent.shape[1]):
                square += sent[s, j] * sent[s, j]
            spread = np.sqrt(out_noise * out_noise + weight_noise * weight_noise * square)
        if spread > f32(0):
            _noise(z, u32(number[s]), clock, purpose, key[0], key[1])
            for j in range(n):
                y[s, j] += spread * z[j]
        _convert(y[s], bound, step)
        if bound > f32(0):
            top = f32(0)
            for j in range(n):
                top = max(top, abs(y[s, j]))
            hit[s] = top >= bound
        for j in range(n):
            y[s, j] *= factor[s, 0]


@kernel(parallel=True)
def _inputs_parallel(
    chunks, x, manage, bound, step, noise, number, clock, purpose, key, sent, factor
):
    n = x.shape[0]
    for c in prange(chunks):
        _inputs(
            c * n // chunks, (c + 1) * n // chunks, x, manage, bound, step, noise, number, clock,
            purpose, key, sent, factor,
        )  # fmt: skip


@kernel(parallel=True)
def _outputs_parallel(
    chunks, y, sent, factor, out_noise, weight_noise, bound, step, number, clock, purpose, key, hit
):
    n = y.shape[0]
    for c in prange(chunks):
        _outputs(
            c * n // chunks, (c + 1) * n // chunks, y, sent, factor, out_noise, weight_noise, bound,
            step, number, clock, purpose, key, hit,
        )  # fmt: skip


def _address(purpose: int, key: Key, number: Tensor, clock: int) -> tuple:
    return number.numpy(), u32(clock), u32(purpose), (u32(key.seed), u32(key.array))


def inputs(
    x: Tensor, p: Periphery, purpose: int, key: Key, number: Tensor, doubling: int
) -> tuple[Tensor, Tensor]:
    """As `periphery._inputs`."""
    x = x.contiguous()
    sent, factor = torch.empty_like(x), torch.full((len(x), 1), 2.0**doubling)
    settings = (p.noise_management == "abs_max", f32(p.in_bound or 0), f32(p.in_step), f32(p.in_noise))
    address = _address(purpose, key, number, 1 + 2 * doubling)
    if x.numel() < PARALLEL_FROM:
        _inputs(0, len(x), x.numpy(), *settings, *address, sent.numpy(), factor.numpy())
    else:
        _inputs_parallel(8, x.numpy(), *settings, *address, sent.numpy(), factor.numpy())
    return sent, factor


def outputs(
    y: Tensor,
    sent: Tensor,
    factor: Tensor,
    p: Periphery,
    purpose: int,
    key: Key,
    number: Tensor,
    doubling: int,
) -> tuple[Tensor, Tensor]:
    """As `periphery._outputs`; works in place on `y`."""
    hit = torch.zeros(len(y), dtype=torch.bool)
    settings = (f32(p.out_noise), f32(p.weight_noise), f32(p.out_bound or 0), f32(p.out_step))
    address = _address(purpose, key, number, 2 * doubling)
    given = (y.numpy(), sent.numpy(), factor.numpy(), *settings, *address, hit.numpy())
    if y.numel() < PARALLEL_FROM:
        _outputs(0, len(y), *given)
    else:
        _outputs_parallel(8, *given)
    return y, hit
