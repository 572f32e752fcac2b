"""The one error that wrong input raises: it names the value, what is allowed, and the fix."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

__all__ = ["InputError", "check_choice", "check_number", "check_options"]


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


def check_options(options: Iterable[str], has: Mapping[str, Iterable[str]]) -> None:
    """Every option must be one that at least one of the algorithms has.

    Args:
        options: names of options.
        has: the algorithms that get them, each with the names of its own.

    Raises:
        InputError: naming the option, the algorithms, and the options of each.
    """
    own = {algorithm: list(names) for algorithm, names in has.items()}
    known = [name for names in own.values() for name in names]
    for option in options:
        if option in known:
            continue
        near = difflib.get_close_matches(str(option).lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}? " if near else "leave it out; "
        lists = (f"{algorithm} has {', '.join(names) or 'no options'}" for algorithm, names in own.items())
        raise InputError(f"unknown option {option!r} of {', '.join(own)}: {hint}{'; '.join(lists)}")


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
