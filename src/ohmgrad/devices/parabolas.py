"""Parabolas on the values of a table, and how far each can be trusted.

The collapse replaces a table around an interval by a parabola in t, the distance from the middle of the
interval in intervals: a + b t + c t^2. Its **valid radius** is the largest |t| up to which it is within a
tolerance of the values at all nodes, and c t^2 no more than `CURVED`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["CURVED", "parabolas"]

#: largest part of a step, relative to that at w = 0, by which a parabola is away from its tangent
CURVED = 0.1
#: distances that are looked at, in nodes: all up to the first, then by this factor
_ALL, _FACTOR = 64, 1.0625
#: halves of the windows that are tried where values scatter
_HALVES = (3, 4, 6, 8, 12, 16, 24)


def parabolas(values: Tensor, tolerance: Tensor, scatter: bool) -> tuple[Tensor, Tensor]:
    """A parabola for every interval: of several, the one that reaches farthest.

    Tried are the line through the two nodes of the interval; parabolas through them with the second
    difference at one of them or the mean of both; and where values scatter, least squares on windows around.

    Args:
        values: (..., n + 1) float64 at the nodes, in units of what `tolerance` (...) and `CURVED` refer to.
        scatter: whether values are measured ones, that scatter from node to node.

    Returns:
        Coefficients a, b, c, (..., 3, n), and valid radius (..., n), at least 1/2; infinite where nothing
        ends it.
    """
    n = values.shape[-1] - 1
    tried = [_through(values, second) for second in _seconds(values)]
    if scatter:
        tried += [_fitted(values, half) for half in _HALVES if 2 * half <= n + 1]
    best, valid_radius = tried[0], _valid_radius(values, tried[0], tolerance).clamp(min=0.5)
    for other in tried[1:]:
        far = _valid_radius(values, other, tolerance)
        better = far > valid_radius
        best = torch.where(better.unsqueeze(-2), other, best)
        valid_radius = torch.where(better, far, valid_radius)
    return best, valid_radius


def _seconds(values: Tensor) -> list[Tensor]:
    """Second differences to try for every interval: none, the mean of its nodes', the left, the right."""
    second = values[..., 2:] - 2 * values[..., 1:-1] + values[..., :-2]
    if not second.shape[-1]:
        return [torch.zeros_like(values[..., 1:])]
    left = torch.cat([second[..., :1], second], -1)
    right = torch.cat([second, second[..., -1:]], -1)
    return [torch.zeros_like(left), (left + right) / 2, left, right]


def _through(values: Tensor, second: Tensor) -> Tensor:
    left, right = values[..., :-1], values[..., 1:]
    c = second / 2
    return torch.stack([(left + right) / 2 - c / 4, right - left, c], -2)


def _fitted(values: Tensor, half: int) -> Tensor:
    """Least squares on 2 half nodes, as near around each interval as the ends allow."""
    n = values.shape[-1] - 1
    i = torch.arange(n)
    nodes = (i - half + 1).clamp(0, n + 1 - 2 * half).unsqueeze(1) + torch.arange(2 * half)
    t = (nodes - i.unsqueeze(1)).double() - 0.5
    powers = torch.stack([torch.ones_like(t), t, t.square()], -1)
    return (torch.linalg.pinv(powers) @ values[..., nodes].unsqueeze(-1)).squeeze(-1).transpose(-1, -2)


def _valid_radius(values: Tensor, parabola: Tensor, tolerance: Tensor) -> Tensor:
    """Reach of parabolas, 0 where not even the nodes of the interval are met."""
    n = values.shape[-1] - 1
    a, b, c = parabola.unbind(-2)
    bound = tolerance.unsqueeze(-1)
    valid_radius = torch.zeros_like(a)
    going = torch.ones_like(a, dtype=torch.bool)
    i = torch.arange(n)
    k = 0
    while k < n and bool(going.any()):
        t = k + 0.5
        for side in (-1, 1):
            node = i + (1 + k if side > 0 else -k)
            there = values[..., node.clamp(0, n)]
            off = (a + side * t * b + t * t * c - there).abs()
            going &= (off <= bound) | (node < 0) | (node > n)
        valid_radius = torch.where(going, t, valid_radius)
        k = k + 1 if k < _ALL else min(math.ceil(k * _FACTOR), max(n - 1, k + 1))
    valid_radius = torch.where(going, math.inf, valid_radius)
    curved = (CURVED / c.abs().clamp(min=1e-30)).sqrt()
    return torch.where(c == 0, valid_radius, torch.minimum(valid_radius, curved))
