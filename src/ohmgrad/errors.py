"""The one error that wrong input raises: it names the value, what is allowed, and the fix."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any

__all__ = [
    "LARGEST", "InputError", "check_choice", "check_flag", "check_integer", "check_number", "check_options",
    "is_integer", "is_number", "naming", "python_numbers", "said", "shown",
]  # fmt: skip

#: numbers are no larger: squares and products of a few are finite, and so is their float32
LARGEST = 1e30
#: whole numbers without another limit are no larger: nobody waits for more repetitions
MOST_WHOLE = 2**31 - 1
#: characters of a message and of a value in one; what is longer loses its middle
MOST, MOST_OF_VALUE = 400, 80


class InputError(ValueError):
    """Wrong input, said in one line: the value, the allowed range and what to do."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_cut(message, MOST))


def shown(value: Any) -> str:
    """The `repr` of a user's value on one line, without its middle where it is long."""
    return _cut(" ".join(repr(value).split()), MOST_OF_VALUE)


def said(error: BaseException) -> str:
    """What another error says, on one line, without its middle where it is long."""
    return _cut(" ".join(str(error).split()), 2 * MOST_OF_VALUE)


def _cut(text: str, most: int) -> str:
    head = most * 2 // 3
    return text if len(text) <= most else f"{text[:head]} ... {text[head + 5 - most :]}"


@contextlib.contextmanager
def naming(source: Any) -> Iterator[None]:
    """Name the file that wrong input comes from: an `InputError` from inside begins with `source`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error.__cause__


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, of Python or NumPy; True is none, nor is a float that is whole."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of at most `LARGEST`, of Python or NumPy; True is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    number: Any = value  # which pyright takes for a Real without an order
    return bool(-LARGEST <= number <= LARGEST)


def check_integer(what: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as Python's int if it is an integer in [low, high], by default of at most 2^31 - 1.

    Raises:
        InputError: naming the value and the allowed range.
    """
    if high is None and is_integer(value) and abs(value) > MOST_WHOLE:
        raise InputError(f"{what} is {shown(value)}, but must be an integer of at most {MOST_WHOLE}")
    if not is_integer(value) or (low is not None and value < low) or (high is not None and value > high):
        if high is not None:
            allowed = f" in [{low}, {'2^32)' if high == 2**32 - 1 else f'{high}]'}"
        else:
            allowed = "" if low is None else f" of at least {low}"
        raise InputError(f"{what} is {shown(value)}, but must be an integer{allowed}")
    return int(value)


def check_flag(what: str, value: Any) -> None:
    """Raise InputError unless a value is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{what} is {shown(value)}, but must be true or false")


def python_numbers(spec: Any) -> None:
    """Make NumPy's numbers in the fields of a frozen dataclass Python's: they print and save alike."""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if isinstance(value, Real) and type(value) not in (int, float, bool):
            object.__setattr__(spec, field.name, int(value) if isinstance(value, Integral) else float(value))


def check_choice(what: str, value: Any, choices: Iterable[str], others: str = "") -> str:
    """Return `value` if it is one of `choices`.

    Args:
        what: what is chosen, for the message.
        others: what the caller takes besides, for the message, as in "a YAML file".

    Raises:
        InputError: naming the nearest choice and all choices.
    """
    names = list(choices)
    if isinstance(value, str) and value in names:
        return value
    near = difflib.get_close_matches(str(value)[:40].lower(), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    more = f"; or {others}" if others else ""
    raise InputError(f"unknown {what} {shown(value)}: {hint}choose one of {', '.join(names)}{more}")


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
        near = difflib.get_close_matches(str(option)[:40].lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}? " if near else "leave it out; "
        lists = (f"{algorithm} has {', '.join(names) or 'no options'}" for algorithm, names in own.items())
        raise InputError(f"unknown option {shown(option)} of {', '.join(own)}: {hint}{'; '.join(lists)}")


def check_number(
    what: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value`, as Python's int or float, if it is a number in [low, high] (or open ends).

    NumPy's numbers are numbers; True is none, nor what is not finite or larger than `LARGEST`.

    Raises:
        InputError: naming the value and the allowed range.
    """
    ok, ok_type = is_number(value), isinstance(value, Real)
    number: Any = value
    if ok:
        ok = number > low if open_low else number >= low
        ok = ok and (number < high if open_high else number <= high)
    if not ok:
        if ok_type and LARGEST < abs(number) < math.inf:
            low, high = max(low, -LARGEST), min(high, LARGEST)
        left = "(" if open_low or low == -math.inf else "["
        right = ")" if open_high or high == math.inf else "]"
        raise InputError(f"{what} is {shown(value)}, but must be a number in {left}{low:g}, {high:g}{right}")
    return int(value) if isinstance(value, Integral) else float(value)
