"""The one error that wrong input raises: it names the value, what is allowed, and the fix."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

__all__ = ["InputError", "check_choice", "check_number"]


class InputError(ValueError):
    """Wrong input, said in one line: the value, the allowed range and what to do."""


def check_choice(what: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        InputError: naming the nearest choice and all choices.
    """
    names = list(choices)
    if value in names:
        return value
    near = difflib.get_close_matches(str(value).lower(), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"unknown {what} {value!r}: {hint}choose one of {', '.join(names)}")


def check_number(
    what: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` if it is a finite number in [low, high] (open ends where asked).

    Raises:
        InputError: naming the value and the allowed range.
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if ok:
        ok = (value > low if open_low else value >= low) and (value < high if open_high else value <= high)
    if not ok:
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise InputError(f"{what} is {value!r}, but must be a number in {left}{low:g}, {high:g}{right}")
    return value
