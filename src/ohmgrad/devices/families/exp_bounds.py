"""Exponential bounds: soft bounds that are steep far from the bound ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import check_number, python_numbers
from ..response import MOST_FACTOR, AbstractResponse, check_range

__all__ = ["ExpBounds"]


@dataclass(frozen=True)
class ExpBounds(AbstractResponse):
    """Exponential bounds: the step falls exponentially on the way to the bound ahead, where it is 0.

        q+(w) = up   (exp(gamma_up   (1 - w/w_max)) - 1) / (exp(gamma_up)   - 1)
        q-(w) = down (exp(gamma_down (1 - w/w_min)) - 1) / (exp(gamma_down) - 1)

    The exponential response of Wu et al. 2025 (arXiv 2502.06309, eq. 145). gamma -> 0 is soft bounds; the
    step at the bound behind is exp(gamma) + 1 times that at w = 0, where the range is symmetric.

    Args:
        w_min, w_max: weight range, w_min < 0 < w_max.
        gamma_up, gamma_down: how steep (dimensionless), in (0, 10].
        up, down: steps at w = 0 in units of dw_min (> 0).

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> import torch
        >>> ExpBounds(gamma_up=2.0).q_plus(torch.tensor([0.0, 0.5, 1.0]))
        tensor([1.0000, 0.2689, 0.0000])
    """

    w_min: float = -1.0
    w_max: float = 1.0
    gamma_up: float = 1.0
    gamma_down: float = 1.0
    up: float = 1.0
    down: float = 1.0
    family: ClassVar[str] = "exp_bounds"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_range(self.w_min, self.w_max)
        for name in ("gamma_up", "gamma_down"):
            check_number(name, getattr(self, name), low=0, high=10, open_low=True)
        for name in ("up", "down"):
            check_number(name, getattr(self, name), low=1 / MOST_FACTOR, high=MOST_FACTOR)

    def q_plus(self, w: Tensor) -> Tensor:
        """The step up at `w`, in units of dw_min; 0 beyond the bound."""
        return self.up * _falling(w / self.w_max, self.gamma_up)

    def q_minus(self, w: Tensor) -> Tensor:
        """The step down at `w`, in units of dw_min; 0 beyond the bound."""
        return self.down * _falling(w / self.w_min, self.gamma_down)


def _falling(part: Tensor, gamma: float) -> Tensor:
    """(exp(gamma (1 - part)) - 1)/(exp(gamma) - 1), 1 at 0 and 0 from 1 on."""
    return torch.expm1(gamma * (1 - part).clamp(min=0)) / math.expm1(gamma)
