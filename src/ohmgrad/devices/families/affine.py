"""The affine families, for which closed forms exist.

All are one form, q+ = up (1 - slope_up w/w_max), q- = down (1 - slope_down w/w_min),
so kernels need no family's name: ConstantStep has slopes 0, SoftBounds has slopes 1.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...checked import checked
from ...errors import check_number, python_numbers
from ..response import MOST_FACTOR, AbstractResponse, check_range

__all__ = ["AffineResponse", "ConstantStep", "LinearStep", "SoftBounds"]


class AffineResponse(AbstractResponse):
    """Shared form of the affine families; abstract: a family supplies the six numbers."""

    family: ClassVar[str]
    up: float
    down: float

    @property
    @abc.abstractmethod
    def slopes(self) -> tuple[float, float]:
        """(slope_up, slope_down), each in [-1, 1]."""

    def q_plus(self, w: Tensor) -> Tensor:
        """up (1 - slope_up w/w_max), in units of dw_min."""
        return self.up * (1 - self.slopes[0] * w / self.w_max)

    def q_minus(self, w: Tensor) -> Tensor:
        """down (1 - slope_down w/w_min), in units of dw_min."""
        return self.down * (1 - self.slopes[1] * w / self.w_min)

    def _check(self) -> None:
        python_numbers(self)
        check_range(self.w_min, self.w_max)
        check_number("up", self.up, low=1 / MOST_FACTOR, high=MOST_FACTOR)
        check_number("down", self.down, low=1 / MOST_FACTOR, high=MOST_FACTOR)
        # at slope 1 the step vanishes at the bound; above 1 it would change sign inside the range
        for name, slope in zip(("slope_up", "slope_down"), self.slopes, strict=True):
            check_number(name, slope, low=-1, high=1)


@dataclass(frozen=True)
class SoftBounds(AffineResponse):
    """Soft bounds: the step shrinks linearly to zero at the bound ahead.

        q+(w) = up (1 - w/w_max),   q-(w) = down (1 - w/w_min)

    With w_max = -w_min = tau and up = down = 1 this is the asymmetric linear device (ALD) of
    Wu et al. 2024 (arXiv 2406.12774): F = 1, G = w/tau, symmetric point 0. n equal pulses have the
    closed form w_n = b + (w - b)(1 - a dw_min/|b|)^n with b the bound ahead, a = up or down.

    Args:
        w_min, w_max: weight range, w_min < 0 < w_max (conductance units).
        up, down: steps at w = 0 in units of dw_min (> 0).

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> SoftBounds.symmetric(0.6).symmetric_point()
        0.0
    """

    w_min: float = -1.0
    w_max: float = 1.0
    up: float = 1.0
    down: float = 1.0
    family: ClassVar[str] = "soft_bounds"

    @property
    def slopes(self) -> tuple[float, float]:
        """(1, 1)."""
        return 1.0, 1.0

    def __post_init__(self) -> None:
        self._check()

    @classmethod
    @checked
    def symmetric(cls, tau: float) -> SoftBounds:
        """The paper's asymmetric linear device with range [-tau, tau]."""
        check_number("tau", tau, low=0, open_low=True)
        return cls(-tau, tau)


@dataclass(frozen=True)
class LinearStep(AffineResponse):
    """Linear step: the step falls linearly but need not vanish at the bound, where w is clipped.

        q+(w) = up (1 - slope_up w/w_max),   q-(w) = down (1 - slope_down w/w_min)

    Args:
        w_min, w_max: weight range with hard clipping, w_min < 0 < w_max.
        slope_up, slope_down: in [-1, 1]; 1 gives soft bounds, 0 constant steps.
        up, down: steps at w = 0 in units of dw_min (> 0).

    Raises:
        InputError: when an argument is out of range.
    """

    w_min: float = -1.0
    w_max: float = 1.0
    slope_up: float = 0.5
    slope_down: float = 0.5
    up: float = 1.0
    down: float = 1.0
    family: ClassVar[str] = "linear_step"

    @property
    def slopes(self) -> tuple[float, float]:
        """(slope_up, slope_down)."""
        return self.slope_up, self.slope_down

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True)
class ConstantStep(AffineResponse):
    """Constant step: every pulse has the same size until the weight is clipped at a bound.

        q+(w) = up,   q-(w) = down

    With up = down it is the ideal element: G = 0, and Analog SGD is digital SGD in units of dw_min.

    Args:
        w_min, w_max: weight range with hard clipping, w_min < 0 < w_max.
        up, down: step sizes in units of dw_min (> 0).

    Raises:
        InputError: when an argument is out of range.
    """

    w_min: float = -1.0
    w_max: float = 1.0
    up: float = 1.0
    down: float = 1.0
    family: ClassVar[str] = "constant_step"

    @property
    def slopes(self) -> tuple[float, float]:
        """(0, 0)."""
        return 0.0, 0.0

    def __post_init__(self) -> None:
        self._check()
