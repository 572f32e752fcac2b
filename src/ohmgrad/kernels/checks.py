"""Checks of what operations are given, and the errors that say what is wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import LARGEST, InputError, is_number, shown
from .cells import Cells, check_triton
from .pulsing import Pulsing

__all__ = [
    "check_counts", "check_factors", "check_pulsing", "check_weights", "plain", "raise_not_finite",
    "raise_too_many", "rate",
]  # fmt: skip


def check_weights(w: Tensor) -> None:
    """Raise InputError unless a back end serves weights of this device, type and layout."""
    if w.device.type not in ("cpu", "cuda"):
        raise InputError(
            f"weights are on {w.device}, but pulsed updates run on the CPU and on cards that torch calls "
            "cuda: call model.to('cpu')"
        )
    if w.device.type == "cuda":
        check_triton(w.device)
    if w.dtype != torch.float32 or not w.is_contiguous():
        raise InputError(
            f"weights are {w.dtype}, {'contiguous' if w.is_contiguous() else 'strided'}, but analog "
            "weights are contiguous float32: call model.float() before converting"
        )


def check_counts(cells: Cells, counts: Tensor) -> None:
    """Raise InputError unless pulse counts are int64 (rows, cols)."""
    if not isinstance(counts, Tensor):
        raise InputError(
            f"pulse counts are {shown(counts)}, but must be a tensor of {cells.shape}, torch.int64"
        )
    if tuple(counts.shape) != cells.shape or counts.dtype != torch.int64:
        raise InputError(
            f"pulse counts are {tuple(counts.shape)} {counts.dtype}, but this array needs {cells.shape} "
            "torch.int64"
        )


def raise_too_many(low: int, high: int, most: int) -> None:
    """Raise InputError that names the pulse count, of the lowest and the highest one, that is too large."""
    worst = high if high > most else low
    raise InputError(f"pulse counts reach {worst}, but must be in [{-most}, {most}]: send fewer at once")


def check_factors(cells: Cells, x: Tensor, d: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """x and d as the back ends take them; raises InputError when shapes do not match or lr is not finite."""
    rows, cols = cells.shape
    if not (isinstance(x, Tensor) and isinstance(d, Tensor)):
        name, t = ("d", d) if isinstance(x, Tensor) else ("x", x)
        raise InputError(f"{name} is {shown(t)}, but must be a tensor of real numbers")
    samples = x.shape[0] if x.dim() else 0
    if tuple(x.shape) != (samples, cols) or tuple(d.shape) != (samples, rows):
        raise InputError(
            f"x is {tuple(x.shape)} and d is {tuple(d.shape)}, but an array of {rows} x {cols} needs "
            f"x of (samples, {cols}) and d of (samples, {rows})"
        )
    rate(lr)
    return plain(x), plain(d)


def rate(lr: Any) -> float:
    """A learning rate of any sign as a number; the common case costs little."""
    if type(lr) is float and -LARGEST <= lr <= LARGEST:
        return lr
    number = lr.item() if isinstance(lr, Tensor) and lr.numel() == 1 else lr
    if not is_number(number):
        raise InputError(f"lr is {shown(lr)}, but must be a finite number of at most {LARGEST:g}")
    return float(number)


def check_pulsing(pulsing: Pulsing) -> None:
    """Raise InputError unless it is settings of pulses."""
    if not isinstance(pulsing, Pulsing):
        raise InputError(f"pulsing is {shown(pulsing)}, but must be a Pulsing, or None for the tile's own")


def plain(t: Tensor) -> Tensor:
    """A contiguous float32 tensor without graph; the common case costs no call of torch."""
    if t.dtype == torch.float32 and not t.requires_grad and t.is_contiguous():
        return t
    if t.is_complex():
        raise InputError(f"x or d is of {t.dtype}, but must be a tensor of real numbers")
    return t.detach().to(torch.float32).contiguous()


def raise_not_finite(x: Tensor, d: Tensor) -> None:
    """Raise InputError that names the value of x or d that is not finite."""
    name, t = ("d", d) if torch.isfinite(x).all() else ("x", x)
    sample, line = (int(i) for i in torch.nonzero(~torch.isfinite(t))[0])
    raise InputError(
        f"{name} has the value {float(t[sample, line])} at sample {sample}, line {line}, but must be "
        "finite: the training has diverged (lower the learning rate) or the data has gaps"
    )
