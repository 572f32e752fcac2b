"""The gradient of a step, as the terms of its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["Samples", "summed"]


@dataclass(frozen=True, eq=False)
class Samples:
    """The stochastic gradient of a step as S terms g_s = d_s x_s, which an array is pulsed with one by one.

    `Arrays.pulse` takes them whole. `summed` gives their sum, for digital algorithms.

    Args:
        lines: x_s, float64: (S, n) if all R runs have the same, else (R, S, n).
        errors: d_s, float64 (R, S).
    """

    lines: Tensor
    errors: Tensor

    @property
    def stacked(self) -> Tensor:
        """Lines as (1, S, n) if all runs have the same, else (R, S, n)."""
        return self.lines if self.lines.dim() == 3 else self.lines.unsqueeze(0)

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise InputError(
            "the gradient of this objective has samples: write summed(gradient) where one tensor is needed, "
            "or pulse an array with it as it is"
        )


def summed(gradient: Tensor | Samples) -> Tensor:
    """The gradient of a step as one tensor, float64 (R, n): the sum of its samples, if it has any."""
    if isinstance(gradient, Tensor):
        return gradient
    from . import compiled

    out = torch.empty(len(gradient.errors), gradient.lines.shape[-1], dtype=torch.float64)
    compiled.sum_samples(gradient.stacked.numpy(), gradient.errors.numpy(), out.numpy())
    return out
