"""The circuits around a crossbar: converters, bounds, read noise, and how ranges are managed.

A matrix-vector product y = W x runs as

    x~ = DAC(x / (a f)),   y~ = ADC(W x~ + noise),   y = a f y~

with a = max|x| per vector (absolute-max noise management; else 1) and f = 1, doubled as long as an
output of this vector hits its bound (iterative bound management). The scheme and its names follow
Gokmen, Onen & Haensch 2017 (10.3389/fnins.2017.00538).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from ..errors import InputError, check_choice, check_integer, check_number, python_numbers

__all__ = ["MAX_DOUBLINGS", "NOISY_PERIPHERY", "Periphery"]

#: doublings of the input range that iterative bound management tries
MAX_DOUBLINGS = 10


@dataclass(frozen=True)
class Periphery:
    """Imperfections of a crossbar's inputs and outputs; the default has none.

    Args:
        in_bound, out_bound: largest |input| and |output|; beyond, they are clipped. None: no bound.
        in_steps, out_steps: number of quantisation steps of the DAC and the ADC over the whole range
            [-bound, bound] (so one step is 2 bound / steps); needs the bound. None: continuous.
        in_noise, out_noise: standard deviation of Gaussian noise on every input (after the DAC) and
            output (before the ADC), in units of the managed input and output.
        weight_noise: standard deviation of the Gaussian noise of every element at every read, in
            weight units; it acts on an output as weight_noise ||x~||, fresh for every vector.
        noise_management: "none", or "abs_max": inputs are divided by their largest absolute value.
        bound_management: "none", or "iterative": a vector whose output hits the bound is repeated with
            half the input.

    Raises:
        InputError: when a value is out of range.
    """

    in_bound: float | None = None
    in_steps: int | None = None
    out_bound: float | None = None
    out_steps: int | None = None
    in_noise: float = 0.0
    out_noise: float = 0.0
    weight_noise: float = 0.0
    noise_management: Literal["none", "abs_max"] = "none"
    bound_management: Literal["none", "iterative"] = "none"

    def __post_init__(self) -> None:
        python_numbers(self)
        for side in ("in", "out"):
            bound, steps = getattr(self, f"{side}_bound"), getattr(self, f"{side}_steps")
            if bound is not None:
                check_number(f"{side}_bound", bound, low=0, open_low=True)
            if steps is not None:
                check_integer(f"{side}_steps", steps, 1)
            if steps is not None and bound is None:
                raise InputError(
                    f"{side}_steps is {steps} but {side}_bound is not set: a converter's steps span "
                    "[-bound, bound]"
                )
        for name in ("in_noise", "out_noise", "weight_noise"):
            check_number(name, getattr(self, name), low=0)
        check_choice("noise_management", self.noise_management, ("none", "abs_max"))
        check_choice("bound_management", self.bound_management, ("none", "iterative"))
        if self.bound_management == "iterative" and self.out_bound is None:
            raise InputError("bound_management is 'iterative' but out_bound is not set: set out_bound")

    @cached_property
    def perfect(self) -> bool:
        """True when a product is exact."""
        return replace(self, noise_management="none") == Periphery()

    def seeing(self, noise: float) -> Periphery:
        """The same circuits before elements that have read noise of their own, in weight units (>= 0)."""
        return replace(self, weight_noise=math.hypot(self.weight_noise, noise)) if noise else self

    @cached_property
    def unmanaged(self) -> Periphery:
        """The same circuits without noise and bound management, as single columns are read."""
        return replace(self, noise_management="none", bound_management="none")

    @cached_property
    def in_step(self) -> float:
        """Step of the DAC, 0 for none."""
        return 2 * (self.in_bound or 0.0) / self.in_steps if self.in_steps else 0.0

    @cached_property
    def out_step(self) -> float:
        """Step of the ADC, 0 for none."""
        return 2 * (self.out_bound or 0.0) / self.out_steps if self.out_steps else 0.0


#: 7-bit inputs, 9-bit outputs, output noise and both managements: the setting of Wu et al. 2024
NOISY_PERIPHERY = Periphery(
    in_bound=1.0,
    in_steps=126,
    out_bound=12.0,
    out_steps=510,
    out_noise=0.06,
    noise_management="abs_max",
    bound_management="iterative",
)
