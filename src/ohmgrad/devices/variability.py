"""What differs between elements (device to device) and between pulses (cycle to cycle)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError, check_choice, check_number, python_numbers, shown
from .response import MOST, MOST_FACTOR

__all__ = ["Noise", "Spread"]


@dataclass(frozen=True)
class Spread:
    """Device-to-device spread: how the elements of one array differ. Each field is a standard deviation.

    For an element with standard normal draws z1 ... z7 (independent, addressed by cell):

        granularity       g = |1 + dw_min z1|  (law "normal")  or  exp(dw_min z1)  ("lognormal")
        up/down balance   step up   = dw_min g (1 + d),   step down = dw_min g (1 - d),
                          d = up_down_mean + up_down z2, kept in [-0.9, 0.9]
        bounds            upper = w_max |1 + w_max z3|,   lower = w_min |1 + w_min z4|,
                          each at least 0.001 of its mean
        symmetric point   when `symmetric_point` is given: the balance d is chosen so that q+ = q-
                          at s = symmetric_point_mean + symmetric_point z5, kept inside 90 % of the
                          element's range; up_down must then be 0
        shape             of a LinearStep: slope_up + shape_up z6,  slope_down + shape_down z7;
                          of an ExpStep, ExpBounds or PowStep: gamma_up + shape_up z6,  likewise down;
                          of a PiecewiseStep: nodes_up exp(-shape_up z6 v),
                          nodes_down exp(shape_down z7 v),   v = 2 w/(w_max - w_min)

    Shapes leave the step at w = 0 as it is. z6 and z7 take 64 values (see `devices/shapes.py`): elements of
    several shapes run from as many tables. Slopes stay in [-1, 1], exponents of a PowStep in [0.5, 20], of an
    ExpBounds in [0.01, 10].

    Args:
        dw_min: relative spread of the granularity (>= 0), e.g. 0.3.
        up_down: spread of the up/down balance (>= 0), absolute, e.g. 0.01.
        up_down_mean: its mean, in (-0.9, 0.9); on soft bounds [-tau, tau] it puts the
            symmetric point at tau times this value.
        w_max, w_min: relative spread of the upper and lower bound (>= 0).
        symmetric_point: spread of the symmetric point, in weight units (>= 0), or None.
        symmetric_point_mean: its mean, in weight units; used when `symmetric_point` is given.
        law: of the granularity, "normal" (folded at zero) or "lognormal".
        shape_up, shape_down: spread of the slope, exponent or tilt of each direction (>= 0), absolute.

    Raises:
        InputError: when a value is out of range or both balance and symmetric point are set.
    """

    dw_min: float = 0.0
    up_down: float = 0.0
    up_down_mean: float = 0.0
    w_max: float = 0.0
    w_min: float = 0.0
    symmetric_point: float | None = None
    symmetric_point_mean: float = 0.0
    law: Literal["normal", "lognormal"] = "normal"
    shape_up: float = 0.0
    shape_down: float = 0.0

    def __post_init__(self) -> None:
        python_numbers(self)
        for name in ("dw_min", "up_down", "w_max", "w_min", "shape_up", "shape_down"):
            check_number(f"spread of {name}", getattr(self, name), low=0, high=MOST_FACTOR)
        check_number("up_down_mean", self.up_down_mean, low=-0.9, high=0.9)
        check_number("symmetric_point_mean", self.symmetric_point_mean)
        check_choice("law of the granularity", self.law, ("normal", "lognormal"))
        if self.symmetric_point is None:
            if self.symmetric_point_mean:
                raise InputError(
                    f"symmetric_point_mean is {shown(self.symmetric_point_mean)} but symmetric_point is "
                    "not set: give its spread too (0.0 for none)"
                )
        else:
            check_number("spread of symmetric_point", self.symmetric_point, low=0, high=MOST)
            if self.up_down or self.up_down_mean:
                raise InputError(
                    "both up_down and symmetric_point are set, but each fixes the up/down balance: "
                    "set one of them to zero"
                )

    @property
    def uniform(self) -> bool:
        """True when all elements of an array are alike."""
        sizes = (self.dw_min, self.up_down, self.w_max, self.w_min, self.symmetric_point)
        return not (any(sizes) or self.shaped)

    @property
    def shaped(self) -> bool:
        """True when elements differ in shape."""
        return bool(self.shape_up or self.shape_down)


@dataclass(frozen=True)
class Noise:
    """Cycle-to-cycle noise of one pulse with standard normal xi, independent for every pulse.

        additive:         step = dw(w) + std s0 xi,   s0 the element's own step at w = 0
        multiplicative:   step = dw(w) (1 + std xi)

    Args:
        std: relative to the step (>= 0), e.g. 0.3; 0 for none.
        kind: "additive" or "multiplicative".

    Raises:
        InputError: when std is negative or not finite, or the kind is unknown.
    """

    std: float = 0.0
    kind: Literal["additive", "multiplicative"] = "additive"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("std of the cycle-to-cycle noise", self.std, low=0, high=MOST_FACTOR)
        check_choice("kind of noise", self.kind, ("additive", "multiplicative"))
