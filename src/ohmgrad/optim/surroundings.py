"""What analog weights meet around them: torch's own optimizers, and process groups."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..crossbar import tiles_of
from ..crossbar.gradient import FactoredGradient
from ..crossbar.ranks import is_exchanged, several_ranks
from ..errors import InputError

__all__ = ["check_ranks", "refuse_capture", "watch_other_optimizers"]

#: optimizers that have been looked at
_SEEN: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()


def check_ranks(params: Iterable[Tensor], step: bool) -> None:
    """Raise InputError where ranks train together and analog weights would drift apart, or are in shards.

    Args:
        params: of an optimizer.
        step: whether their gradients are to be used now.
    """
    if not (ranks := several_ranks()):
        return
    for p in params:
        if hasattr(p, "placements"):
            raise InputError(
                "fully_shard has cut the weights into shards, of which elements know nothing: train with "
                "DistributedDataParallel(ohmgrad.exchange_gradients(model))"
            )
        if not tiles_of(p):
            continue
        exchanged = is_exchanged(p)
        if exchanged is None:
            raise InputError(
                f"a process group of {ranks} ranks is there, where analog weights would drift apart: call "
                "ohmgrad.exchange_gradients(model) before DistributedDataParallel(model)"
            )
        gradient = p.grad if step and exchanged else None
        if gradient is not None and not (isinstance(gradient, FactoredGradient) and gradient.of_all_ranks):
            raise InputError(
                f"a gradient of the analog weight {tuple(p.shape)} was not exchanged between the ranks: call "
                "the model by its DistributedDataParallel, and step after a backward pass outside no_sync()"
            )


def capturing(p: Tensor) -> bool:
    """Whether a CUDA graph is being captured of what happens to a parameter."""
    return p.is_cuda and torch.cuda.is_current_stream_capturing()


def refuse_capture(algorithm: str, p: Tensor) -> None:
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
