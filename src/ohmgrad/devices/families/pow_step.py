"""Power step: soft bounds with an exponent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...errors import check_number, python_numbers
from ..response import MOST_FACTOR, AbstractResponse, check_range

__all__ = ["PowStep"]


@dataclass(frozen=True)
class PowStep(AbstractResponse):
    """Power step: the step falls as a power of the distance to the bound ahead.

        q+(w) = up (1 - w/w_max)^gamma_up,   q-(w) = down (1 - w/w_min)^gamma_down

    Fusi & Abbott 2007 (10.1038/nn1859); with one gamma and a symmetric range the power response of Wu et
    al. 2025 (arXiv 2502.06309, eq. 144). gamma = 1 is soft bounds. aihwkit's `PowStepDevice` writes the same
    law as dw ((w_max - w)/(w_max - w_min))^gamma, whose step at w = 0 is dw (w_max/(w_max - w_min))^gamma;
    here dw_min is the step at w = 0, so that on a symmetric range dw_min = 0.5^gamma times aihwkit's.
    Its `pow_up_down` b is gamma_up = gamma (1 + min(b, 0)), gamma_down = gamma (1 - max(b, 0)) in its code,
    whose documentation has gamma (1 + b) and gamma (1 - b).

    Args:
        w_min, w_max: weight range, w_min < 0 < w_max.
        gamma_up, gamma_down: exponents, in (0, 20]; below 1 the slope at the bound is infinite, and from
            0.5 on a table serves nevertheless (`ohmgrad.devices.table`).
        up, down: steps at w = 0 in units of dw_min (> 0).

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> import torch
        >>> PowStep(gamma_up=2.0).q_plus(torch.tensor(0.5))
        tensor(0.2500)
    """

    w_min: float = -1.0
    w_max: float = 1.0
    gamma_up: float = 1.0
    gamma_down: float = 1.0
    up: float = 1.0
    down: float = 1.0
    family: ClassVar[str] = "pow_step"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_range(self.w_min, self.w_max)
        for name in ("gamma_up", "gamma_down"):
            check_number(name, getattr(self, name), low=0, high=20, open_low=True)
        for name in ("up", "down"):
            check_number(name, getattr(self, name), low=1 / MOST_FACTOR, high=MOST_FACTOR)

    def q_plus(self, w: Tensor) -> Tensor:
        """up (1 - w/w_max)^gamma_up, in units of dw_min; 0 beyond the bound."""
        return self.up * (1 - w / self.w_max).clamp(min=0) ** self.gamma_up

    def q_minus(self, w: Tensor) -> Tensor:
        """down (1 - w/w_min)^gamma_down, in units of dw_min; 0 beyond the bound."""
        return self.down * (1 - w / self.w_min).clamp(min=0) ** self.gamma_down
