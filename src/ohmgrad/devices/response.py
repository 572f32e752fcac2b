"""What one pulse does to one element: response functions, their parts, and the symmetric point.

For a wanted change dw an element of granularity dw_min does, to first order,

    w' = w + dw q+(w)   if dw >= 0,        w' = w + dw q-(w)   otherwise,

which is  w' = w + dw F(w) - |dw| G(w)  with the symmetric part F = (q- + q+)/2 and the asymmetric
part G = (q- - q+)/2 (Wu et al., NeurIPS 2024, arXiv 2406.12774). The symmetric point is where alternating
pulses drive an element: where G = 0 and rises, or a bound.
"""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, check_number, shown
from ..tensor_methods import of_tensors
from .symmetric_point import driven_to, root, with_zero

__all__ = ["LEAST", "MOST", "MOST_FACTOR", "AbstractResponse", "check_range", "sampled"]

#: the smallest and largest weights and steps, and the largest factors of steps, that float32 can multiply
LEAST, MOST, MOST_FACTOR = 1e-12, 1e12, 1e9

#: intervals of a grid on each side of w = 0, on which a smooth response is looked at
_INTERVALS = 1024


class AbstractResponse(abc.ABC):
    """A response: how the step of one pulse depends on the weight, in units of dw_min.

    A family overrides the four abstract members and nothing else; F, G and the numeric
    symmetric point follow. Weights are dimensionless conductances, w_min < 0 < w_max.
    """

    #: lower and upper end of the weight range
    w_min: float
    w_max: float

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        of_tensors(cls, "q_plus", "q_minus")

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
        """Weight to which alternating pulses drive an element from w = 0.

        There q+ - q- falls through zero (the crossing nearest to 0 on the side to which pulses drive), or it
        is the bound on that side if no crossing holds elements; 0 if G vanishes there and around. Of several
        crossings that hold elements, those that start elsewhere may come to another (see
        `devices/symmetric_point.py`).
        """
        w, up, down = sampled(self)
        i, t = driven_to(w, up, down, torch.ones(1, dtype=torch.float64))
        if not 0 < float(t) < 1:
            return float(w[i + t.long()])
        return float(root(self.q_plus, self.q_minus, w[i], w[i + 1]))


def sampled(response: AbstractResponse) -> tuple[Tensor, Tensor, Tensor]:
    """A response on a grid that has w = 0, and the kinks of a piecewise one: w, q+ and q-, float64 (n,)."""
    own = int(getattr(response, "intervals", 1))
    parts = (
        (response.w_min, response.w_max, own),
        (response.w_min, 0, _INTERVALS),
        (0, response.w_max, _INTERVALS),
    )
    w = with_zero(torch.cat([torch.linspace(a, b, n + 1, dtype=torch.float64) for a, b, n in parts]))
    return w, response.q_plus(w).double(), response.q_minus(w).double()


def check_range(w_min: float, w_max: float) -> None:
    """Raise InputError unless w_min < 0 < w_max, both of sizes that float32 can work with."""
    for name, value in (("w_min", w_min), ("w_max", w_max)):
        check_number(name, value, low=-MOST, high=MOST)
    if not (w_min <= -LEAST and w_max >= LEAST):
        raise InputError(
            f"weight range is [{shown(w_min)}, {shown(w_max)}], but w_min < 0 < w_max is needed: "
            "weights are conductances relative to a reference inside the range"
        )
