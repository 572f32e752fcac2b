"""Exponential step: fitted to ReRAM and to capacitors charged through transistors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import check_number, python_numbers
from ..response import MOST_FACTOR, AbstractResponse, check_range

__all__ = ["ExpStep"]


@dataclass(frozen=True)
class ExpStep(AbstractResponse):
    """Exponential step: nearly constant over most of the range, and falling fast towards the bound ahead.

        z = 2 a w/(w_max - w_min) + b
        q+(w) = up max(0, 1 - A_up exp(gamma_up z)),   q-(w) = down max(0, 1 - A_down exp(-gamma_down z))

    With A < 0 and a < 0 it is the opposite: steps are large far from the bound ahead, and fall towards a
    constant.

    The law and its default figures are those of the fit to the ReRAM of Gong et al., Nat. Commun. 2018
    (10.1038/s41467-018-04485-1) in aihwkit, whose `ExpStepDevice` has the same law and names
    (`es_a`, `es_b` in its core); its `up_down` u > 0 is down = 1 - u. dw_min is aihwkit's too: the step at
    w = 0 is q(0) dw_min, and with the default figures q+(0) = q-(0) = 0.983. There the noise
    multiplies the step: Noise(std, "multiplicative") here.

    Args:
        w_min, w_max: weight range with hard clipping, w_min < 0 < w_max.
        A_up, A_down: factors, small enough that both steps at w = 0 are positive.
        gamma_up, gamma_down: exponents (dimensionless; >= 0 for steps that fall ahead).
        a, b: slope and offset of z (dimensionless).
        up, down: both steps are multiplied by these (> 0).

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> round(ExpStep().symmetric_point(), 3)
        0.0
    """

    w_min: float = -1.0
    w_max: float = 1.0
    A_up: float = 0.00081
    A_down: float = 0.36833
    gamma_up: float = 12.44625
    gamma_down: float = 12.78785
    a: float = 0.244
    b: float = 0.2425
    up: float = 1.0
    down: float = 1.0
    family: ClassVar[str] = "exp_step"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_range(self.w_min, self.w_max)
        for name in ("A_up", "A_down"):
            check_number(name, getattr(self, name))
        for name in ("up", "down"):
            check_number(name, getattr(self, name), low=1 / MOST_FACTOR, high=MOST_FACTOR)
        # the bounds keep exp() finite: |gamma z| stays below 700
        for name in ("gamma_up", "gamma_down"):
            check_number(name, getattr(self, name), low=-100, high=100)
        for name in ("a", "b"):
            check_number(name, getattr(self, name), low=-2, high=2)

    def _z(self, w: Tensor) -> Tensor:
        return 2 * self.a / (self.w_max - self.w_min) * w + self.b

    def q_plus(self, w: Tensor) -> Tensor:
        """up max(0, 1 - A_up exp(gamma_up z)), in units of dw_min."""
        return self.up * (1 - self.A_up * torch.exp(self.gamma_up * self._z(w))).clamp(min=0)

    def q_minus(self, w: Tensor) -> Tensor:
        """down max(0, 1 - A_down exp(-gamma_down z)), in units of dw_min."""
        return self.down * (1 - self.A_down * torch.exp(-self.gamma_down * self._z(w))).clamp(min=0)
