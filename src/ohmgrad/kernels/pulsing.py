"""Settings of the update by pulses: fidelity, bit length and its management.

`ohmgrad.kernels.reference.trains` has the equations of pulse trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import check_choice, check_flag, check_integer, python_numbers

__all__ = ["FIDELITIES", "SLOTS", "WHOLE", "Pulsing"]

FIDELITIES = ("mean", "pulsed", "pulse-by-pulse")
ORDERS = ("bounded", "strict")

#: slots of a train in one 32-bit word; the top bit carries the sign of the line
SLOTS = 31
#: share by which a number of pulses K may lie above a whole one and still be meant as that. K is a product
#: and quotient of four numbers, each rounded to float32 (by 2^-24 at most) when it was stored and once more
#: when it was computed, as d from a gradient and a scale: eight roundings, 2^-21. A change that takes the
#: whole number of slots falls short by no more than this
WHOLE = 2.0**-21


@dataclass(frozen=True)
class Pulsing:
    """How wanted changes become pulses.

    Args:
        fidelity: "mean" (the discrete-time dynamics w + dw F - |dw| G, no pulses), "pulsed"
            (stochastic trains; the pulses of a minibatch are collapsed into one Gaussian per
            element) or "pulse-by-pulse" (every pulse with its own noise and clipping).
        max_bl: largest bit length BL, 1 to 2^20.
        update_management: balance the line probabilities, A/B = sqrt(max|d| / max|x|).
        bl_management: choose BL = ceil(K), at most max_bl, with K = lr max|x| max|d| / dw_min the
            number of pulses that the largest change needs, whole up to the rounding of float32; without
            it BL = max_bl.
        order: "bounded" takes the pulses of several samples on an element together, up and down: its weight
            then has the mean and the variance that samples in random order give, for as many samples as keep
            the effect of their order below 10 % of the cycle-to-cycle noise
            (`ohmgrad.kernels.reference.groups` has the law); "strict" takes all samples in their order. At
            fidelity "pulsed".

    Raises:
        InputError: when a value is out of range.
    """

    fidelity: Literal["mean", "pulsed", "pulse-by-pulse"] = "pulsed"
    max_bl: int = 31
    update_management: bool = True
    bl_management: bool = True
    order: Literal["bounded", "strict"] = "bounded"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_choice("fidelity", self.fidelity, FIDELITIES)
        check_choice("order", self.order, ORDERS)
        for name in ("update_management", "bl_management"):
            check_flag(name, getattr(self, name))
        check_integer("bit length max_bl", self.max_bl, 1, 2**20)

    @property
    def words(self) -> int:
        """32-bit words that a train takes."""
        return -(-self.max_bl // SLOTS)
