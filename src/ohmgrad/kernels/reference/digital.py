"""From a digital gradient to whole pulses, in plain PyTorch: the specification of `cpu_rounding`.

A digital unit forms the gradient of a minibatch, g = sum_b d_b x_b^T, in float32 and sample by sample,
and turns a number of pulses that is not whole into one that is:

    whole       n = trunc(h / step), and h keeps the rest h - n step
    stochastic  n = sign(v) floor(|v| + u),   u uniform on [0, 1), so that E n = v
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...devices import Elements
from ...errors import InputError
from ...rng import Key, Purpose, words

__all__ = [
    "MOST",
    "check_counts",
    "check_factors",
    "digital_gradient",
    "most_counts",
    "stochastic_counts",
    "whole_counts_",
]

#: largest number of pulses that rounding gives, whole in float32; and that kernels take, as int32
MOST, HELD = 2**24, 2**31 - 1
#: pulses that any element may get at once, and how often they may cross its device's range. Soft bounds are
#: then within exp(-20) of their range
AT_LEAST, CROSSINGS = 10_000, 10


def most_counts(elements: Elements) -> int:
    """Largest number of pulses that a digital unit sends to one element in an update.

    More would change nothing: elements are at their bounds, where each pulse must be replayed.
    """
    response = elements.response
    return int(min(max(CROSSINGS * (response.w_max - response.w_min) / elements.dw_min, AT_LEAST), MOST))


def check_counts(elements: Elements, n: Tensor, most: int = HELD) -> None:
    """Raise InputError unless the pulse counts n are int64 (rows, cols), and at most `most` each way."""
    if tuple(n.shape) != elements.shape or n.dtype != torch.int64:
        raise InputError(
            f"pulse counts are {tuple(n.shape)} {n.dtype}, but this array needs {elements.shape} torch.int64"
        )
    low, high = (int(end) for end in n.aminmax())
    if low < -most or high > most:
        worst = high if high > most else low
        raise InputError(f"pulse counts reach {worst}, but must be in [{-most}, {most}]: send fewer at once")


def check_factors(x: Tensor, d: Tensor) -> None:
    """Raise InputError unless all values of x (samples, cols) and d (samples, rows) are finite."""
    for name, t in (("x", x), ("d", d)):
        bad = torch.nonzero(~torch.isfinite(t))
        if len(bad):
            sample, line = bad[0].tolist()
            raise InputError(
                f"{name} has the value {float(t[sample, line])} at sample {sample}, line {line}, but must "
                "be finite: the training has diverged (lower the learning rate) or the data has gaps"
            )


def digital_gradient(x: Tensor, d: Tensor) -> Tensor:
    """g = sum_b d_b x_b^T in float32, added up in the order of the samples.

    Args:
        x: (samples, cols); d: (samples, rows).

    Returns:
        (rows, cols).
    """
    g = torch.zeros(d.shape[1], x.shape[1])
    for xb, db in zip(x, d, strict=True):
        g += torch.outer(db, xb)
    return g


def whole_counts_(h: Tensor, step: float, most: int = MOST) -> Tensor:
    """Take the whole pulses out of an accumulator; what is left is smaller than a step.

    Args:
        h: float32 accumulator in weight units, changed in place.
        step: size of a pulse (> 0).
        most: largest number of pulses; what is beyond stays.

    Returns:
        Signed counts, int64, of the shape of `h`; 0 where `h` has overflown to what is no number.
    """
    n = torch.trunc(h / step).nan_to_num(nan=0.0).clamp(-most, most)
    h -= n * step
    return n.long()


def stochastic_counts(
    v: Tensor, key: Key, number: int, most: int = MOST, purpose: int = Purpose.ROUNDING
) -> Tensor:
    """Round numbers of pulses to whole ones, up or down by chance, so that the expectation is exact.

    Args:
        v: float32 (rows, cols), in pulses.
        key, number, purpose: address of the uniform numbers (31 bits each); `number` counts the updates.
        most: largest number of pulses; what is beyond is lost.

    Returns:
        Signed counts, int64 (rows, cols); 0 where `v` has overflown to what is no number.
    """
    v = v.nan_to_num(nan=0.0)
    size = v.abs().clamp(max=float(most))
    low = torch.floor(size)
    u = words(v.shape[1], torch.arange(v.shape[0]), number, purpose, key) >> 1
    up = u < ((size - low).double() * 2.0**31).long()
    return ((low.long() + up.long()) * torch.sign(v)).long()
