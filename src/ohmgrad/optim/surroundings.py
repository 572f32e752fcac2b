"""What analog weights meet around them: torch's own optimizers, and process groups."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..crossbar import tiles_of
from ..crossbar.gradient import FactoredGradient
from ..errors import InputError

__all__ = ["refuse_capture", "refuse_process_group", "watch_other_optimizers"]

#: optimizers that have been looked at
_SEEN: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()


def refuse_process_group() -> None:
    """Raise InputError when several processes train together: their analog weights are not exchanged."""
    group = torch.distributed
    if group.is_available() and group.is_initialized() and group.get_world_size() > 1:
        raise InputError(
            f"a process group of {group.get_world_size()} ranks is there, but ranks do not exchange analog "
            "gradients yet, so that their weights would drift apart: train in one process"
        )


def capturing(p: torch.Tensor) -> bool:
    """Whether a CUDA graph is being captured of what happens to a parameter."""
    return p.is_cuda and torch.cuda.is_current_stream_capturing()


def refuse_capture(algorithm: str, p: torch.Tensor) -> None:
    """Raise InputError where a CUDA graph would repeat for ever what the host chose once."""
    if capturing(p):
        raise InputError(
            f"{algorithm} counts its steps on the host, and a CUDA graph would repeat one of them: capture "
            "forward and backward passes alone, and call step() after each replay"
        )


def watch_other_optimizers(kind: type[torch.optim.Optimizer]) -> None:
    """Warn of an optimizer that is not of this kind and trains analog weights, at its first step.

    It gets their gradients as ordinary matrices, which it may keep.
    """

    def before_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if isinstance(optimizer, kind) or any(isinstance(held, kind) for held in vars(optimizer).values()):
            return  # the second wraps one, as accelerate's does
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for p in params:
            if isinstance(p.grad, FactoredGradient):
                p.grad = p.grad.to_dense()
        if optimizer in _SEEN:
            return
        _SEEN.add(optimizer)
        if any(p.requires_grad and tiles_of(p) for p in params):
            warnings.warn(
                f"{type(optimizer).__name__} trains analog weights digitally, without pulses: "
                "give them to an analog optimizer, such as ohmgrad.AnalogSGD or ohmgrad.TikiTaka",
                stacklevel=3,
            )

    register_optimizer_step_pre_hook(before_step)
