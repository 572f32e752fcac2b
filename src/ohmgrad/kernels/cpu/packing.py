"""What kernels take, made from what operations are given: elements, keys, counters."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ...devices import Elements
from ...rng import Key
from .affine import ADDITIVE, FLAT, MULTIPLICATIVE, QUIET

__all__ = ["key_words", "number", "pack"]

u32, f32 = np.uint32, np.float32


def pack(elements: Elements) -> tuple:
    """Planes, slopes, kind of noise and its strength, as the kernels take them; kept with the elements."""
    if "numba" not in elements.packed:
        planes = (elements.up, elements.down, elements.lower, elements.upper)
        slopes = (elements.slope_up, elements.slope_down)
        kind = ADDITIVE if elements.noise == "additive" else MULTIPLICATIVE
        elements.packed["numba"] = (
            tuple(plane.numpy() for plane in planes),
            tuple(s if abs(s) >= FLAT else FLAT for s in slopes),
            kind if elements.noise_std else QUIET,
            f32(elements.noise_std),
        )
    return elements.packed["numba"]


def key_words(key: Key) -> tuple[np.uint32, np.uint32]:
    return u32(key.seed & 0xFFFFFFFF), u32(key.array & 0xFFFFFFFF)


def number(step: Tensor) -> np.uint32:
    """A counter, int64 (0-d), as the word that addresses random numbers."""
    return u32(int(step.numpy()) & 0xFFFFFFFF)
