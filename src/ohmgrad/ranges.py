"""Ranges of numbers, by which arguments are checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .errors import LARGEST, check_integer, check_number

__all__ = [
    "ABOVE_ZERO",
    "ANYTHING",
    "BIT_LENGTH",
    "COUNT",
    "FROM_ZERO",
    "NUMBER",
    "OWN",
    "SEED",
    "WHOLE",
    "Range",
]


@dataclass(frozen=True)
class Range:
    """The numbers in [low, high], without the ends that are open."""

    low: float = -LARGEST
    high: float = LARGEST
    open_low: bool = False
    open_high: bool = False

    def has(self, value: Any) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return bool(above and (value < self.high if self.open_high else value <= self.high))

    def has_all(self, t: Tensor) -> bool:
        """Whether all numbers of a tensor are; a card's are not looked at, which would be to wait for it."""
        if t.is_complex():
            return False
        if self == ANYTHING or t.device.type != "cpu" or not t.numel():
            return True
        return all(self.has(end.item()) for end in t.detach().aminmax())

    def words(self, kind: str) -> str:
        if self == NUMBER:
            return kind
        left, right = "(" if self.open_low else "[", ")" if self.open_high else "]"
        return f"{kind} in {left}{self.low:g}, {self.high:g}{right}"

    def check_integer(self, name: str, value: Any) -> None:
        low = None if self.low == -LARGEST else int(self.low)
        check_integer(name, value, low, None if self.high in (LARGEST, 2**31 - 1) else int(self.high))

    def check_number(self, name: str, value: Any) -> None:
        low = -math.inf if self.low == -LARGEST else self.low
        high = math.inf if self.high == LARGEST else self.high
        check_number(name, value, low=low, high=high, open_low=self.open_low, open_high=self.open_high)


NUMBER, ABOVE_ZERO, FROM_ZERO = Range(), Range(0, open_low=True), Range(0)
#: of tensors that may hold what is not finite, such as a run that diverged
ANYTHING = Range(-math.inf, math.inf)
#: of arguments that the function looks at itself, since it has more to say; it is known by its identity
OWN = Range()
#: of pulse trains
BIT_LENGTH = Range(1, 2**20)
#: of whole numbers: repetitions, which one must be able to wait for, and sizes
WHOLE, COUNT, SEED = Range(0, 2**31 - 1), Range(1, 2**31 - 1), Range(0, 2**32 - 1)
