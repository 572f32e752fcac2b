"""The gradient of a digital unit, in plain PyTorch, and how many pulses it may send."""

from __future__ import annotations

import torch
from torch import Tensor

from ...devices import Elements
from ..checks import raise_not_finite

__all__ = ["AT_LEAST", "MOST", "digital_gradient", "most_counts"]

#: largest number of pulses that an element gets at once, whole in float32
MOST = 2**24
#: pulses that any element may get at once, and how often they may cross its device's range. Soft bounds are
#: then within exp(-20) of their range
AT_LEAST, CROSSINGS = 10_000, 10


def most_counts(elements: Elements) -> int:
    """Largest number of pulses that a digital unit sends to one element in an update.

    More would change nothing: elements are at their bounds, where each pulse counts by itself.
    """
    response = elements.response
    return int(min(max(CROSSINGS * (response.w_max - response.w_min) / elements.dw_min, AT_LEAST), MOST))


def digital_gradient(x: Tensor, d: Tensor) -> Tensor:
    """g = sum_b d_b x_b^T in float32, added up in the order of the samples.

    Args:
        x: (samples, cols); d: (samples, rows).

    Returns:
        (rows, cols).
    """
    if not (torch.isfinite(x).all() and torch.isfinite(d).all()):
        raise_not_finite(x, d)
    g = torch.zeros(d.shape[1], x.shape[1])
    for xb, db in zip(x, d, strict=True):
        g += torch.outer(db, xb)
    return g
