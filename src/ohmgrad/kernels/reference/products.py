"""Analog products in plain PyTorch, see `ohmgrad.kernels.periphery` for the equations."""

from __future__ import annotations

import torch
from torch import Tensor

from ...rng import Key, gaussians
from ..periphery import MAX_DOUBLINGS, Periphery

__all__ = ["analog_product"]


def analog_product(
    x: Tensor, matrix: Tensor, periphery: Periphery, purpose: int, key: Key, first: Tensor
) -> tuple[Tensor, int]:
    """As `ops.analog_product`."""
    out = torch.empty(len(x), matrix.shape[1], dtype=x.dtype)
    todo, driven_again = torch.arange(len(x)), 0
    for doubling in range(MAX_DOUBLINGS + 1):
        sent, factor = _inputs(x[todo], periphery, purpose, key, first + todo, doubling)
        y = sent @ matrix
        y, hit = _outputs(y, sent, factor, periphery, purpose, key, first + todo, doubling)
        out[todo] = y
        todo = todo[hit]
        if periphery.bound_management == "none" or not len(todo) or doubling == MAX_DOUBLINGS:
            break
        driven_again += len(todo)
    return out, driven_again


def _inputs(
    x: Tensor, p: Periphery, purpose: int, key: Key, number: Tensor, doubling: int
) -> tuple[Tensor, Tensor]:
    """Managed, converted and noisy inputs, and the factor (samples, 1) that the outputs get."""
    factor = torch.ones(len(x), 1, dtype=x.dtype)
    if p.noise_management == "abs_max":
        top = x.abs().amax(1, keepdim=True)
        factor = torch.where(top > 0, top, factor)
    factor = factor * 2.0**doubling
    sent = _convert(x / factor, p.in_bound, p.in_step)
    if p.in_noise:
        z = gaussians(x.shape[1], number, 1 + 2 * doubling, purpose, key)
        sent = sent + p.in_noise * z.to(x.dtype)
    return sent, factor


def _outputs(
    y: Tensor,
    sent: Tensor,
    factor: Tensor,
    p: Periphery,
    purpose: int,
    key: Key,
    number: Tensor,
    doubling: int,
) -> tuple[Tensor, Tensor]:
    """Noisy and converted outputs, and which vectors (samples,) hit the bound."""
    if p.out_noise or p.weight_noise:
        std = (p.out_noise**2 + (p.weight_noise * sent.norm(dim=1, keepdim=True)) ** 2).sqrt()
        y = y + std * gaussians(y.shape[1], number, 2 * doubling, purpose, key).to(y.dtype)
    y = _convert(y, p.out_bound, p.out_step)
    hit = torch.zeros(len(y), dtype=torch.bool)
    if p.out_bound is not None:
        hit = (y.abs() >= p.out_bound).any(1)
    return y * factor, hit


def _convert(v: Tensor, bound: float | None, step: float) -> Tensor:
    if step:
        v = (v / step).round() * step
    return v if bound is None else v.clamp(-bound, bound)
