"""What one pulse does to one element: response functions, their parts, and the symmetric point.

For a wanted change dw an element of granularity dw_min does, to first order,

    w' = w + dw q+(w)   if dw >= 0,        w' = w + dw q-(w)   otherwise,

which is  w' = w + dw F(w) - |dw| G(w)  with the symmetric part F = (q- + q+)/2 and the asymmetric
part G = (q- - q+)/2 (Wu et al., NeurIPS 2024, arXiv 2406.12774). The symmetric point is where
G = 0: under alternating pulses every element drifts there.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ..errors import InputError, check_number, shown

__all__ = ["AbstractResponse", "affine_symmetric_point", "check_range"]


class AbstractResponse(abc.ABC):
    """A response: how the step of one pulse depends on the weight, in units of dw_min.

    A family overrides the four abstract members and nothing else; F, G and the numeric
    symmetric point follow. Weights are dimensionless conductances, w_min < 0 < w_max.
    """

    #: lower and upper end of the weight range
    w_min: float
    w_max: float

    @abc.abstractmethod
    def q_plus(self, w: Tensor) -> Tensor:
        """Step of one up pulse at `w` (any shape), in units of dw_min; same shape."""

    @abc.abstractmethod
    def q_minus(self, w: Tensor) -> Tensor:
        """Step of one down pulse at `w` (any shape), in units of dw_min; same shape."""

    def F(self, w: Tensor) -> Tensor:  # noqa: N802 - the paper's name
        """Symmetric part (q- + q+)/2 at `w`; same shape."""
        return (self.q_minus(w) + self.q_plus(w)) / 2

    def G(self, w: Tensor) -> Tensor:  # noqa: N802 - the paper's name
        """Asymmetric part (q- - q+)/2 at `w`; same shape."""
        return (self.q_minus(w) - self.q_plus(w)) / 2

    def symmetric_point(self) -> float:
        """Weight at which an up and a down pulse cancel, G(w) = 0.

        Returns:
            The root of G in [w_min, w_max] by bisection in float64; nearest bound if G keeps
            its sign (the element then drifts to that bound); 0 if G vanishes everywhere.
        """
        ends = torch.tensor([self.w_min, 0.0, self.w_max], dtype=torch.float64)
        low, zero, high = (float(g) for g in self.G(ends))
        if zero == 0.0:
            return 0.0
        if low * high > 0:
            return self.w_min if low > 0 else self.w_max
        if low == 0.0:
            return self.w_min
        a, b = self.w_min, self.w_max
        for _ in range(80):
            mid = (a + b) / 2
            value = float(self.G(torch.tensor(mid, dtype=torch.float64)))
            a, b = (mid, b) if (value < 0) == (low < 0) else (a, mid)
        return (a + b) / 2


def affine_symmetric_point(
    up: Tensor, down: Tensor, lower: Tensor, upper: Tensor, slope_up: float, slope_down: float
) -> Tensor:
    """Symmetric point of q+ = up (1 - slope_up w/upper), q- = down (1 - slope_down w/lower).

    Solves q+ = q-: w = (up - down) / (up slope_up/upper - down slope_down/lower), kept inside
    [lower, upper]. Where both lines are parallel the element has no inner symmetric point: 0 if
    they coincide, else the bound it drifts to.

    Args:
        up, down: step sizes at w = 0, any shape (> 0).
        lower, upper: bounds, same shape (lower < 0 < upper).
        slope_up, slope_down: 1 for soft bounds, 0 for constant steps.
    """
    gap = up - down
    slope = up * slope_up / upper - down * slope_down / lower
    flat = slope == 0
    drift = torch.where(gap > 0, upper, torch.where(gap < 0, lower, torch.zeros_like(gap)))
    point = torch.where(flat, drift, gap / torch.where(flat, torch.ones_like(slope), slope))
    return torch.minimum(torch.maximum(point, lower), upper)


def check_range(w_min: float, w_max: float) -> None:
    """Raise InputError unless w_min < 0 < w_max, both finite."""
    check_number("w_min", w_min)
    check_number("w_max", w_max)
    if not w_min < 0 < w_max:
        raise InputError(
            f"weight range is [{shown(w_min)}, {shown(w_max)}], but w_min < 0 < w_max is needed: "
            "weights are conductances relative to a reference inside the range"
        )
