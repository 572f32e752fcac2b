"""Two elements for one weight: one-sided pairs with refresh, and a reference that is subtracted."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError, check_integer, check_number, python_numbers, shown
from .response import MOST

__all__ = ["OneSided", "Reference"]

SYMMETRIC_POINT = "symmetric_point"


@dataclass(frozen=True)
class OneSided:
    """A weight is the difference of two elements that pulses can only drive up, as in phase-change memory.

        w = g+ - g-,        g' = g + dw_min q+(g)  for each pulse,        0 <= g <= upper bound

    Pulses up go to G+, pulses down to G-; of the device's response only q+ on [0, w_max] is used, and
    g = 0 is the reset state. Each element has its own spread and noise, G- drawn independently of G+.
    Within one update the pulses of all samples are summed for each element: each moves one way only.

    Both elements fill up. So after every `refresh_every` updates all are read (exactly), and where one of
    a pair is beyond `refresh_at` of its upper bound, while the other holds more than dw_min, both are
    reset and the difference is programmed back by write-verify into the one of its sign (Burr et al. 2015,
    10.1109/TED.2015.2439635, "occasional reset"; aihwkit's `OneSidedUnitCell`).

    Args:
        refresh_every: updates between refreshes (>= 1).
        refresh_at: share of an element's upper bound, in (0, 1).

    Raises:
        InputError: when a value is out of range.
    """

    refresh_every: int = 100
    refresh_at: float = 0.75

    def __post_init__(self) -> None:
        python_numbers(self)
        check_integer("refresh_every", self.refresh_every, 1)
        check_number("refresh_at", self.refresh_at, low=0, high=1, open_low=True, open_high=True)


@dataclass(frozen=True)
class Reference:
    """A second element beside each weight holds a reference R; products and reads see w - R.

        R = at + std z,     z standard normal, one for each element, R kept inside the element's bounds

    The reference is not pulsed in training and keeps its value. With R at the symmetric point that of the
    difference is 0, as Tiki-Taka needs it: zero-shifting (Kim et al. 2019, arXiv 1907.10228). What a
    calibration by pulses reaches is `Tile.calibrate`; this draws the result, with an error of `std`
    (aihwkit's `SoftBoundsReferenceDevice`: `subtract_symmetry_point`, `reference_std`).

    Args:
        at: "symmetric_point" (each element's own), or a weight inside the device's range.
        std: of the error, in weight units (>= 0).

    Raises:
        InputError: when a value is out of range.
    """

    at: str | float = SYMMETRIC_POINT
    std: float = 0.0

    def __post_init__(self) -> None:
        python_numbers(self)
        if isinstance(self.at, str):
            if self.at != SYMMETRIC_POINT:
                raise InputError(f"reference at {shown(self.at)}: must be {SYMMETRIC_POINT!r} or a number")
        else:
            check_number("reference at", self.at)
        check_number("std of the reference", self.std, low=0, high=MOST)
