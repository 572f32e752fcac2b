"""Checks of what operations are given for a stack of arrays, and the errors that say what is wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .cells import Cells

__all__ = ["check_finite", "check_pulsed", "check_stack", "check_stack_counts"]


def check_stack(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """x and d as the back ends take them, of the dtype of `w`, and lr of each array, float64 (T,).

    Raises:
        InputError: when shapes do not match.
    """
    arrays, (rows, cols) = _check_weights(w, cells), cells.shape
    samples = d.shape[1] if d.dim() == 3 else 0
    lines = tuple(x.shape) in ((1, samples, cols), (arrays, samples, cols))
    if not lines or tuple(d.shape) != (arrays, samples, rows):
        raise InputError(
            f"x is {tuple(x.shape)} and d is {tuple(d.shape)}, but {arrays} arrays of {rows} x {cols} need x "
            f"of (1 or {arrays}, samples, {cols}) and d of ({arrays}, samples, {rows})"
        )
    rates = torch.as_tensor(lr, dtype=torch.float64)
    if rates.dim() == 0:
        rates = rates.expand(arrays)
    if rates.shape != (arrays,):
        raise InputError(f"lr is {tuple(rates.shape)}, but must be a number or of ({arrays},)")
    return _plain(x, w.dtype), _plain(d, w.dtype), rates.contiguous()


def check_stack_counts(w: Tensor, cells: Cells, counts: Tensor) -> None:
    """Raise InputError unless pulse counts are int64 (1 or T, rows, cols)."""
    arrays = _check_weights(w, cells)
    fits = tuple(counts.shape) in ((1, *cells.shape), (arrays, *cells.shape))
    if not fits or counts.dtype != torch.int64:
        raise InputError(
            f"pulse counts are {tuple(counts.shape)} {counts.dtype}, but {arrays} arrays of {cells.shape} "
            f"need (1 or {arrays}, rows, cols) torch.int64"
        )


def check_pulsed(w: Tensor) -> None:
    """Raise InputError unless weights are float32, as pulses need them."""
    if w.dtype != torch.float32:
        raise InputError(f"weights are {w.dtype}, but pulses change float32: use fidelity 'mean'")


def check_finite(x: Tensor, d: Tensor, lr: Tensor) -> None:
    """Raise InputError, naming it, if a value of a learning rate, d or x is not finite."""
    for name, t in (("lr", lr), ("d", d), ("x", x)):
        finite = torch.isfinite(t)
        if not bool(finite.all()):
            at = tuple((~finite).nonzero()[0].tolist())
            where = f"array {at[0]}" if len(t) == len(lr) else "the lines of all arrays"
            raise InputError(
                f"{name} has the value {float(t[at])} in {where}, but must be finite: the training has "
                "diverged (lower the learning rate) or the data has gaps"
            )


def _plain(t: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous tensor without graph; the common case costs no call of torch."""
    if t.dtype == dtype and not t.requires_grad and t.is_contiguous():
        return t
    return t.detach().to(dtype).contiguous()


def _check_weights(w: Tensor, cells: Cells) -> int:
    if tuple(w.shape) != (len(cells), *cells.shape):
        raise InputError(f"weights are {tuple(w.shape)}, but the cells are {(len(cells), *cells.shape)}")
    return len(cells)
