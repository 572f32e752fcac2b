"""Analog products with converters and read noise in Triton: as `reference.products`, to rounding.

The first drive of all vectors is a product of torch's between two kernels. Vectors that bound management
drives again are few, and the host does not know which: one kernel repeats them, a block in a program.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# (inside kernels the types are Triton's)

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...rng import Key
from ..periphery import MAX_DOUBLINGS, Periphery
from .launching import FUSED, blocks, grid_of, key_words, quarter
from .math import cell_normals, round_half_even

__all__ = ["analog_product"]

DOUBLINGS = tl.constexpr(MAX_DOUBLINGS)
#: vectors, and blocks of four lines and of four outputs, that a program drives again
AGAIN = (16, 16, 16)


@triton.jit
def _convert(v, bound, step, BOUND: tl.constexpr, STEP: tl.constexpr):
    """Quantised and clipped values."""
    if STEP:
        v = round_half_even(tl.div_rn(v, step + 0.0 * v)) * step
    if BOUND:
        v = tl.minimum(tl.maximum(v, -bound), bound)
    return v


@triton.jit
def _lines_of(first, group, n, FOURS: tl.constexpr):
    """Blocks of four (1, FOURS) from `first` on, their lines (1, 4 FOURS), and which are there."""
    index = first + tl.arange(0, FOURS)[None, :]
    place = 4 * first + tl.arange(0, 4 * FOURS)[None, :]
    line = (place % 4) * group + place // 4
    return index, line, (place // 4 < group) & (line < n)


@triton.jit
def _noise(number, index, clock, purpose, k0, k1):
    """The normal numbers of some lines of vectors, (vectors, 4 FOURS)."""
    return cell_normals(number, index.to(tl.uint32), clock.to(tl.uint32), purpose, k0, k1)


@triton.jit(do_not_specialize=["samples", "purpose", "k0", "k1"])
def _inputs(
    x, sent, factor, square, first, samples, n, group, bound, step, noise, purpose, k0, k1,
    BOUND: tl.constexpr, STEP: tl.constexpr, NOISE: tl.constexpr, MANAGE: tl.constexpr,
    VECTORS: tl.constexpr, FOURS: tl.constexpr,
):  # fmt: skip
    """Managed, converted and noisy inputs, their squares added up, and the factor that outputs get."""
    vector = tl.program_id(0) * VECTORS + tl.arange(0, VECTORS)[:, None]
    number = (tl.load(first) + vector).to(tl.uint32)
    f = tl.full((VECTORS, 1), 1.0, tl.float32)
    at = vector.to(tl.int64) * n
    if MANAGE:
        top = tl.zeros((VECTORS, 4 * FOURS), tl.float32)
        for start in range(0, group, FOURS):
            index, line, there = _lines_of(start, group, n, FOURS)
            value = tl.load(x + at + line, mask=there & (vector < samples), other=0.0).to(tl.float32)
            top = tl.maximum(top, tl.abs(value))
        highest = tl.max(top, 1)[:, None]
        f = tl.where(highest > 0.0, highest, 1.0)
    total = tl.zeros((VECTORS, 4 * FOURS), tl.float32)
    clock = tl.full((1, 1), 1, tl.int32)
    for start in range(0, group, FOURS):
        index, line, there = _lines_of(start, group, n, FOURS)
        inside = there & (vector < samples)
        value = tl.load(x + at + line, mask=inside, other=0.0).to(tl.float32)
        value = _convert(tl.div_rn(value, f + 0.0 * value), bound, step, BOUND, STEP)
        if NOISE:
            z = _noise(number, index, clock, purpose.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
            value += noise * z
        value = tl.where(inside, value, 0.0)
        total += value * value
        tl.store(sent + at + line, value, mask=inside)
    tl.store(factor + vector, f, mask=vector < samples)
    tl.store(square + vector, tl.sum(total, 1)[:, None], mask=vector < samples)


@triton.jit(do_not_specialize=["samples", "purpose", "k0", "k1"])
def _outputs(
    y, factor, square, hits, first, samples, n, group, bound, step, noise, weight_noise, purpose, k0, k1,
    BOUND: tl.constexpr, STEP: tl.constexpr, NOISE: tl.constexpr, VECTORS: tl.constexpr, FOURS: tl.constexpr,
):  # fmt: skip
    """Noisy and converted outputs, in place, and which vectors hit the bound."""
    vector = tl.program_id(0) * VECTORS + tl.arange(0, VECTORS)[:, None]
    number, f = (
        (tl.load(first) + vector).to(tl.uint32),
        tl.load(factor + vector, mask=vector < samples, other=1.0),
    )
    norm = tl.load(square + vector, mask=vector < samples, other=0.0)
    std = tl.sqrt_rn(noise * noise + weight_noise * weight_noise * norm)
    hit = tl.zeros((VECTORS, 4 * FOURS), tl.int32)
    at, clock = vector.to(tl.int64) * n, tl.full((1, 1), 0, tl.int32)
    for start in range(0, group, FOURS):
        index, line, there = _lines_of(start, group, n, FOURS)
        inside = there & (vector < samples)
        value = tl.load(y + at + line, mask=inside, other=0.0)
        if NOISE:
            z = _noise(number, index, clock, purpose.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
            value += std * z
        value = _convert(value, bound, step, BOUND, STEP)
        hit = hit | (inside & (tl.abs(value) >= bound)).to(tl.int32)
        tl.store(y + at + line, value * f, mask=inside)
    if hits is not None:
        tl.store(hits + vector, tl.max(hit, 1)[:, None], mask=vector < samples)


@triton.jit(do_not_specialize=["samples", "purpose", "k0", "k1"])
def _again(
    x, matrix, y, factor, hits, driven, first, samples, n, n_group, m, m_group, row_stride, col_stride,
    in_bound, in_step, in_noise, out_bound, out_step, out_noise, weight_noise, purpose, k0, k1,
    IN_BOUND: tl.constexpr, IN_STEP: tl.constexpr, IN_NOISE: tl.constexpr, OUT_STEP: tl.constexpr,
    OUT_NOISE: tl.constexpr, VECTORS: tl.constexpr, FOURS: tl.constexpr, OUTPUTS: tl.constexpr,
):  # fmt: skip
    """Drive vectors again, with the factor doubled each time, as long as they hit the bound.

    matrix: (n, m), with these strides.
    """
    vector = tl.program_id(0) * VECTORS + tl.arange(0, VECTORS)[:, None]
    hit = tl.load(hits + vector, mask=vector < samples, other=0)
    number, f = (
        (tl.load(first) + vector).to(tl.uint32),
        tl.load(factor + vector, mask=vector < samples, other=1.0),
    )
    purpose, k0, k1 = purpose.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32)
    clock, repeats = tl.full((1, 1), 0, tl.int32), tl.zeros((VECTORS, 1), tl.int32)
    in_row, out_row = vector.to(tl.int64) * n, vector.to(tl.int64) * m
    left = tl.max(hit) * DOUBLINGS
    while left > 0:
        repeats, f, clock = repeats + hit, f * 2.0, clock + 2
        still = tl.zeros((VECTORS, 1), tl.int32)
        for out_start in range(0, m_group, OUTPUTS):
            out_index, out, out_there = _lines_of(out_start, m_group, m, OUTPUTS)
            total = tl.zeros((VECTORS, 4 * OUTPUTS), tl.float32)
            norm = tl.zeros((VECTORS, 1), tl.float32)
            for start in range(0, n_group, FOURS):
                index, line, there = _lines_of(start, n_group, n, FOURS)
                inside = there & (hit > 0)
                value = tl.load(x + in_row + line, mask=inside, other=0.0).to(tl.float32)
                value = _convert(tl.div_rn(value, f + 0.0 * value), in_bound, in_step, IN_BOUND, IN_STEP)
                if IN_NOISE:
                    value += in_noise * _noise(number, index, clock + 1, purpose, k0, k1)
                value = tl.where(inside, value, 0.0)
                norm += tl.sum(value * value, 1)[:, None]
                place = tl.trans(line).to(tl.int64) * row_stride + out.to(tl.int64) * col_stride
                part = tl.load(matrix + place, mask=tl.trans(there) & out_there, other=0.0)
                total = tl.dot(value, part, total, input_precision="ieee")
            if OUT_NOISE:
                std = tl.sqrt_rn(out_noise * out_noise + weight_noise * weight_noise * norm)
                total += std * _noise(number, out_index, clock, purpose, k0, k1)
            total = _convert(total, out_bound, out_step, True, OUT_STEP)
            inside = out_there & (hit > 0)
            tl.store(y + out_row + out, total * f, mask=inside)
            over = (inside & (tl.abs(total) >= out_bound)).to(tl.int32)
            still = tl.maximum(still, tl.max(over, 1)[:, None])
        hit = still
        left = tl.where(tl.max(hit) > 0, left - 1, 0)
    tl.atomic_add(driven, tl.sum(repeats).to(tl.int64))


def analog_product(
    x: Tensor, matrix: Tensor, periphery: Periphery, purpose: int, key: Key, first: Tensor
) -> tuple[Tensor, int | Tensor]:
    """As `ops.analog_product`, in float32 for vectors of any type."""
    p, sizes, given, (samples, n), m = periphery, blocks(), x.detach().contiguous(), x.shape, matrix.shape[1]
    matrix, address = matrix.detach(), (purpose, *key_words(key))
    iterative = p.bound_management == "iterative"
    new: dict[str, Any] = {"dtype": torch.float32, "device": x.device}
    sent, (factor, square) = torch.empty(samples, n, **new), torch.empty(2, samples, **new)
    hits = torch.empty(samples, dtype=torch.int32, device=x.device) if iterative else None
    grid = grid_of((samples, sizes.samples))
    into, out = (float(p.in_bound or 0), p.in_step), (float(p.out_bound or 0), p.out_step)
    in_noise, out_noise, weight_noise = float(p.in_noise), float(p.out_noise), float(p.weight_noise)
    has_in, has_out = (p.in_bound is not None, p.in_step > 0), (p.out_bound is not None, p.out_step > 0)
    noisy = bool(p.out_noise or p.weight_noise)
    _inputs[grid](
        given, sent, factor, square, first, samples, n, quarter(n), *into, in_noise, *address, *has_in,
        in_noise > 0, p.noise_management == "abs_max", sizes.samples, sizes.fours, **FUSED,
    )  # fmt: skip
    y = sent @ matrix
    _outputs[grid](
        y, factor, square, hits, first, samples, m, quarter(m), *out, out_noise, weight_noise, *address,
        *has_out, noisy, sizes.samples, sizes.fours, **FUSED,
    )  # fmt: skip
    if hits is None:
        return y.to(x.dtype), 0
    driven = torch.zeros((), dtype=torch.int64, device=x.device)
    _again[grid_of((samples, AGAIN[0]))](
        given, matrix, y, factor, hits, driven, first, samples, n, quarter(n), m, quarter(m),
        *matrix.stride(), *into, in_noise, *out, out_noise, weight_noise, *address, *has_in, in_noise > 0,
        has_out[1], noisy, *AGAIN, **FUSED,
    )  # fmt: skip
    return y.to(x.dtype), driven
