"""The pulsed operations with their checks, and the choice of a backend.

The tensors and the form of the elements select the backend: "numba" for contiguous float32 weights on
the CPU with affine or tabulated responses, "reference" (plain PyTorch) for everything else on the CPU.
What no backend serves raises with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from ..devices import Elements
from ..errors import InputError, check_choice, shown
from ..rng import Key
from .pulsing import Pulsing
from .reference import pulses as reference
from .reference.digital import check_counts

__all__ = ["BACKENDS", "apply_counts_", "asked_for", "backend_for", "check_factors", "pulsed_update_"]

BACKENDS = ("auto", "reference", "numba")

Op = TypeVar("Op", bound=Callable[..., Any])


def backend_for(w: Tensor, elements: Elements, backend: str = "auto") -> str:
    """Name of the backend that serves these weights and elements.

    Raises:
        InputError: when the tensor's device is not served, or the wished backend cannot serve it.
    """
    if w.device.type != "cpu":
        raise InputError(
            f"weights are on {w.device}, but pulsed updates run on the CPU: call model.to('cpu')"
        )
    if w.dtype != torch.float32 or not w.is_contiguous():
        raise InputError(
            f"weights are {w.dtype}, {'contiguous' if w.is_contiguous() else 'strided'}, but analog "
            "weights are contiguous float32: call model.float() before converting"
        )
    if elements.form == "callable":
        if backend == "numba":
            raise InputError(
                f"backend 'numba' cannot run this {type(elements.response).__name__}: {elements.reason}; use "
                "backend 'reference'"
            )
        return "reference"
    return "numba" if backend == "auto" else check_choice("backend", backend, BACKENDS[1:])


def _cpu() -> ModuleType:
    from .cpu import update as cpu  # numba takes half a second to import, and only updates need it

    return cpu


def _on_blocks(op: Op) -> Op:
    """Let an operation that changes its first argument in place take a block of a wider matrix too."""

    @wraps(op)
    def wrapped(w: Tensor, *args: Any, **rest: Any) -> Any:
        if w.is_contiguous():
            return op(w, *args, **rest)
        block = w.contiguous()  # kernels run on whole matrices: a copy costs less than an update
        out = op(block, *args, **rest)
        w.data.copy_(block)  # .data, as kernels do not count as writing to torch's version counters
        return out

    return cast(Op, wrapped)


@_on_blocks
def pulsed_update_(
    w: Tensor,
    elements: Elements,
    x: Tensor,
    d: Tensor,
    lr: float,
    pulsing: Pulsing,
    key: Key,
    step: int,
    backend: str = "auto",
    touched: Tensor | None = None,
) -> list[int]:
    """Change `w` in place by lr sum_b d_b x_b^T, at the fidelity of `pulsing`.

    See `ohmgrad.kernels.reference.pulses` for the equations.

    Args:
        w: weights (rows, cols), float32; elements: drawn for this shape.
        x: (samples, cols); d: (samples, rows).
        lr: learning rate, negative to descend.
        key, step: address of the random numbers; step grows with every update.
        touched: bool (rows, cols), where elements that get a pulse are marked with True; at fidelity "mean",
            where there are no pulses, those for which a sample asks for a change.

    Returns:
        Events: pulses up, pulses down, line toggles, slots.

    Raises:
        InputError: when shapes do not match or a value is not finite; `w` is then unchanged.
    """
    x, d = _fitting(elements, x, d, lr)
    if len(x) == 0 or lr == 0:
        return [0, 0, 0, 0]
    served_by = backend_for(w, elements, backend)
    if served_by == "numba" and pulsing.fidelity != "mean":
        *events, bad = _cpu().pulsed_update(w, elements, x, d, lr, pulsing, key, step, touched)
        if bad:
            _raise_not_finite(x, d)
        return events
    if not (torch.isfinite(x).all() and torch.isfinite(d).all()):
        _raise_not_finite(x, d)
    if pulsing.fidelity == "mean":
        if served_by == "numba":
            _cpu().change(w, elements, x, d, lr)
        else:
            w.copy_(reference.change(w, elements, x, d, lr))
        if touched is not None:
            up, down = asked_for(x, d, lr)
            touched |= up | down
        return [0, 0, 0, 0]
    if touched is not None:
        xs, ds, _ = reference.trains(x, d, lr, elements.dw_min, pulsing, key, step)
        touched |= (reference.coincidences(xs, ds) != 0).any(0)
    new, events = reference.pulsed_update(w, elements, x, d, lr, pulsing, key, step)
    w.copy_(new)
    return events


def asked_for(x: Tensor, d: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """Where any sample asks for a change up, and where for one down: bool (rows, cols) each.

    Args:
        x: (samples, cols); d: (samples, rows); lr: negative to descend, not 0.
    """
    both = [torch.zeros(d.shape[1], x.shape[1]) for _ in range(2)]
    for a in (1, -1):  # signs of the two lines
        for b in (1, -1):
            both[(a * b * lr) < 0] += ((b * d) > 0).float().t() @ ((a * x) > 0).float()
    return both[0] > 0, both[1] > 0


def check_factors(elements: Elements, x: Tensor, d: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """x (samples, cols) and d (samples, rows) as the backends take them.

    Raises:
        InputError: when shapes do not match or a value is not finite.
    """
    x, d = _fitting(elements, x, d, lr)
    if not (torch.isfinite(x).all() and torch.isfinite(d).all()):
        _raise_not_finite(x, d)
    return x, d


def _fitting(elements: Elements, x: Tensor, d: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """As `check_factors`, for backends that look at the values themselves."""
    rows, cols = elements.shape
    samples = x.shape[0] if x.dim() else 0
    if tuple(x.shape) != (samples, cols) or tuple(d.shape) != (samples, rows):
        raise InputError(
            f"x is {tuple(x.shape)} and d is {tuple(d.shape)}, but an array of {rows} x {cols} needs "
            f"x of (samples, {cols}) and d of (samples, {rows})"
        )
    if not math.isfinite(lr):
        raise InputError(f"lr is {shown(lr)}, but must be a finite number")
    return _plain(x), _plain(d)


def _plain(t: Tensor) -> Tensor:
    """A contiguous float32 tensor without graph; the common case costs no call of torch."""
    if t.dtype == torch.float32 and not t.requires_grad and t.is_contiguous():
        return t
    return t.detach().to(torch.float32).contiguous()


@_on_blocks
def apply_counts_(
    w: Tensor,
    elements: Elements,
    counts: Tensor,
    fidelity: str,
    key: Key,
    step: int,
    backend: str = "auto",
) -> None:
    """Apply signed pulse counts (rows, cols), int64, to `w` in place; negative counts go down.

    At fidelity "mean" n pulses are the wanted change n dw_min.

    Raises:
        InputError: when the shape or the type of the counts does not match, or a count is too large.
    """
    check_counts(elements, counts)
    served_by = backend_for(w, elements, backend)
    if fidelity == "mean":
        dw = counts.double() * elements.dw_min
        now = w.double()
        q = torch.where(dw >= 0, elements.q_plus(now), elements.q_minus(now))
        w.copy_(elements.clip(now + dw * q))
    elif served_by == "numba":
        _cpu().apply_counts(w, elements, counts, fidelity, key, step)
    else:
        w.copy_(reference.apply_counts(w, elements, counts.unsqueeze(0), fidelity, key, step))


def _raise_not_finite(x: Tensor, d: Tensor) -> None:
    name, t = ("d", d) if torch.isfinite(x).all() else ("x", x)
    sample, line = (int(i) for i in torch.nonzero(~torch.isfinite(t))[0])
    raise InputError(
        f"{name} has the value {float(t[sample, line])} at sample {sample}, line {line}, but must be "
        "finite: the training has diverged (lower the learning rate) or the data has gaps"
    )
