"""What forward and backward passes of analog layers keep to: float32, and first derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["as_float32", "first_order", "full_precision"]

Backward = Callable[..., tuple[Tensor | None, ...]]


class _NoSecondDerivative(torch.autograd.Function):
    """A tensor as it is, made to depend on `sources`; asking for that dependence is an error."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *sources: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        raise InputError(
            "analog layers have no second derivatives: pass create_graph=False, or keep the layers that the "
            "gradient penalty goes through digital"
        )


def full_precision(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run a forward pass in float32 also where torch.autocast is on, as elements know nothing else."""

    @functools.wraps(forward)
    def wrapped(ctx: Any, x: Tensor, *rest: Any) -> Tensor:
        kind = "cpu" if x.is_cpu else x.device.type  # the latter takes four times as long
        if not torch.is_autocast_enabled(kind):
            return forward(ctx, x, *rest)
        with torch.autocast(kind, enabled=False):
            return forward(ctx, x, *rest)

    return wrapped


def as_float32(x: Tensor) -> Tensor:
    """The input of an analog layer, cast where torch.autocast is on.

    Raises:
        InputError: when it is not float32 and autocast is off.
    """
    if x.dtype == torch.float32:
        return x
    if x.dtype in (torch.bfloat16, torch.float16) and torch.is_autocast_enabled(x.device.type):
        return x.float()
    raise InputError(
        f"input is {x.dtype}, but crossbars compute in torch.float32: keep model and input in float32, and "
        "use torch.autocast for mixed precision"
    )


def first_order(backward: Backward) -> Backward:
    """Make every second derivative through `backward` an error, at no cost where none is taken.

    It runs in float32, as `full_precision` does. torch's own `once_differentiable` costs microseconds in each
    pass, and gives None or a part in silence where torch.autograd.grad finds another way to the input, or
    none. `ctx.weight` must be the weight.
    """

    def wrapped(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        kind = "cpu" if grads[0].is_cpu else grads[0].device.type
        if torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return wrapped(ctx, *grads)
        if not torch.is_grad_enabled():  # it is with create_graph=True only
            return backward(ctx, *grads)
        with torch.no_grad():
            outputs = backward(ctx, *grads)
        sources = [t for t in (*grads, ctx.weight, *ctx.saved_tensors) if t is not None and t.requires_grad]
        return tuple(None if v is None else _NoSecondDerivative.apply(v, *sources) for v in outputs)

    return wrapped
