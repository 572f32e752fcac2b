"""Randomness is addressed, not consumed: Philox4x32-10 in plain PyTorch, the meaning of every draw.

Every random number of the library is a word of Philox(key, counter) (Salmon et al., SC 2011,
10.1145/2063384.2063405), so that all backends draw the same numbers, results do not depend on
thread count or batch splitting, and a resumed run continues exactly.

    key     = (seed, array)              which experiment, which array of elements
    counter = (index, row, step, purpose | block << 8)

Lines or cells 0 ... n-1 share blocks of four words: with G = ceil(n/4), item j uses word j // G of
the block with index j % G. This keeps neighbouring items in neighbouring vector lanes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Key", "Purpose", "gaussians", "philox", "uniform", "word", "words"]

_MASK = 0xFFFFFFFF


class Key(NamedTuple):
    """Philox key: `seed` of the experiment and number of the `array`, each in [0, 2^32)."""

    seed: int
    array: int


class Purpose:
    """What a random number is for; the low byte of the last counter word."""

    X_TRAIN = 1
    D_TRAIN = 2
    UPDATE_NOISE = 3
    PULSE_NOISE = 4
    READ_FORWARD = 5
    READ_BACKWARD = 6
    READ_COLUMNS = 7
    WEIGHT_NOISE = 8
    GRANULARITY = 16
    UP_DOWN = 17
    UPPER = 18
    LOWER = 19
    SYMMETRIC_POINT = 20
    COLUMN_ORDER = 21
    GRADIENT_NOISE = 22
    MEASURED_DEVICE = 23
    STUCK = 24
    STUCK_AT = 25
    WRITE_NOISE = 26
    LIFETIME = 27
    DRIFT = 28
    DIFFUSION = 29
    REFERENCE = 30
    MEASURED_STEP = 31
    SLOW_READ = 32
    SHAPE = 33
    CHOPPER = 40
    ROUNDING = 45
    MINIBATCH = 46
    WRITE = 47
    WINDOWS = 60
    SAMPLE = 61
    AUGMENTATION = 62
    FIT = 63


def philox(
    c0: Tensor | int, c1: Tensor | int, c2: Tensor | int, c3: Tensor | int, key: Key
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10.

    Args:
        c0, c1, c2, c3: counter words in [0, 2^32); int64 tensors (broadcast) or ints.
        key: two 32-bit words.

    Returns:
        Four int64 tensors of words in [0, 2^32), of the broadcast shape.
    """
    a, b, c, d = (t & _MASK for t in torch.broadcast_tensors(*(torch.as_tensor(v) for v in (c0, c1, c2, c3))))
    return _rounds(a, b, c, d, key)


def _rounds(a: Any, b: Any, c: Any, d: Any, key: Key) -> tuple[Any, Any, Any, Any]:
    """The ten rounds, on int64 tensors or on ints."""
    k0, k1 = key.seed & _MASK, key.array & _MASK
    for _ in range(10):
        p0, p1 = a * 0xD2511F53, c * 0xCD9E8D57  # wraps modulo 2^64, as wanted
        h0, l0 = (p0 >> 32) & _MASK, p0 & _MASK
        h1, l1 = (p1 >> 32) & _MASK, p1 & _MASK
        a, b, c, d = h1 ^ b ^ k0, l1, h0 ^ d ^ k1, l0
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return a, b, c, d


def _blocks(n: int, row: Tensor | int, step: int, purpose: int, key: Key, block: int) -> list[Tensor]:
    index = torch.arange((n + 3) // 4)
    rows = torch.as_tensor(row)
    return list(philox(index, rows.unsqueeze(-1), step, purpose | (block << 8), key))


def words(n: int, row: Tensor | int, step: int, purpose: int, key: Key, block: int = 0) -> Tensor:
    """Uniform 32-bit words for items 0 ... n-1 of each row.

    Args:
        n: number of items.
        row: second counter word: an int, or an int64 tensor of shape (...).
        step, purpose, block: the rest of the counter.

    Returns:
        int64 tensor of shape (..., n) with values in [0, 2^32).
    """
    return torch.cat(_blocks(n, row, step, purpose, key, block), dim=-1)[..., :n]


def word(row: int, step: int, purpose: int, key: Key) -> int:
    """The first of `words`, for a single decision: an int in [0, 2^32), in microseconds."""
    return _rounds(0, row & _MASK, step & _MASK, purpose & _MASK, key)[0]


def box_muller(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normal float64 tensors from two tensors of 32-bit words."""
    radius = torch.sqrt(-2 * torch.log(uniform(a)))
    angle = b.double() * (2 * math.pi * 2.0**-32)
    return radius * torch.cos(angle), radius * torch.sin(angle)


def uniform(a: Tensor) -> Tensor:
    """Uniform float64 numbers in (0, 1) from 32-bit words."""
    return (a.double() + 0.5) * 2.0**-32


def gaussians(n: int, row: Tensor | int, step: int, purpose: int, key: Key, block: int = 0) -> Tensor:
    """Standard normal numbers (float64, Box-Muller) for items 0 ... n-1 of each row.

    Arguments as in `words`; returns shape (..., n).
    """
    a, b, c, d = _blocks(n, row, step, purpose, key, block)
    return torch.cat([*box_muller(a, b), *box_muller(c, d)], dim=-1)[..., :n]
