"""Arguments of the kind that their types say, checked before anything is done: `checked`.

A function, or a class, that users call has types. `checked` refuses arguments of another kind: text for a
number, a number that is not finite, True for a whole number, a tensor with gaps. beartype says whether a
value is of a type; ranges, which types do not say, are given by name. Of a list beartype looks at one entry,
drawn anew in every call, so that lists are gone through here.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import functools
import inspect
import os
import typing
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, TypeVar, overload

import numpy as np
from beartype import BeartypeConf, FrozenDict
from beartype.door import is_bearable
from beartype.vale import Is
from torch import Tensor

from .errors import InputError, is_integer, is_number
from .ranges import NUMBER, OWN, Range
from .type_words import LISTS, MAPPINGS, UNIONS, kind_of, words_of

__all__ = ["checked"]

Thing = TypeVar("Thing", bound=Callable[..., Any])


@overload
def checked(thing: Thing, /) -> Thing: ...
@overload
def checked(**ranges: Range) -> Callable[[Thing], Thing]: ...
def checked(thing: Any = None, /, **ranges: Range) -> Any:
    """Have the arguments of a function, or of a class's constructor, checked against their types.

    Args:
        thing: a function or a class.
        ranges: of arguments that are numbers, or lists, tensors or mappings of numbers; others may be any.
            `OWN` leaves an argument to the function.

    Raises:
        InputError: when it is called with an argument of another kind, naming the argument, its value and
            what it must be; before anything is done.
    """
    if thing is None:
        return functools.partial(_checked, ranges=ranges)
    return _checked(thing, ranges)


def _checked(thing: Any, ranges: dict[str, Range]) -> Any:
    if not inspect.isclass(thing):
        return _wrapped(thing, thing, ranges)
    typed = thing if dataclasses.is_dataclass(thing) else thing.__init__
    thing.__init__ = _wrapped(thing.__init__, typed, ranges)
    return thing


def _wrapped(function: Any, typed: Any, ranges: dict[str, Range]) -> Any:
    """A function that looks at its arguments first; `typed` has their types."""
    parameters = inspect.signature(function).parameters.values()
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
    hints: dict[str, Any] | None = None

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        nonlocal hints
        if hints is None:
            hints = {k: v for k, v in _hints(typed).items() if v is not Any and ranges.get(k) is not OWN}
        for k, value in enumerate(args):
            name = places[k] if k < len(places) else rest
            if name in hints:
                _check(name, value, hints[name], ranges.get(name, NUMBER))
        for name, value in named.items():
            if name in hints:
                _check(name, value, hints[name], ranges.get(name, NUMBER))
        return function(*args, **named)

    return called


def _hints(typed: Any) -> dict[str, Any]:
    """Types by name. What a module imports for type checkers alone is a class of that name here."""
    names: dict[str, Any] = {}
    while True:
        try:
            return typing.get_type_hints(inspect.unwrap(typed), localns=names, include_extras=True)
        except NameError as error:
            name = str(error.name)
            names[name] = _ByName(name, (), {})


class _ByName(type):
    """A class that is known by its name."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return any(above.__name__ == cls.__name__ for above in type(instance).__mro__)


def _check(name: str, value: Any, hint: Any, numbers: Range) -> None:
    """Raise InputError unless a value is of a type, and its numbers in their range."""
    if _fits(value, hint, numbers):
        return
    kinds = [part for part in _parts(hint) if part is not type(None)]
    if kinds == [int]:
        numbers.check_integer(name, value)
    if kinds == [float]:
        numbers.check_number(name, value)
    raise InputError(f"{name} is {kind_of(value)}, but must be {words_of(hint, numbers)}")


def _fits(value: Any, hint: Any, numbers: Range) -> bool:
    """Whether a value is of a type. A list is a tuple, too; without a length it is an iterable alone."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return any(_fits(value, part, numbers) for part in parts)
    if origin in MAPPINGS:
        return isinstance(value, abc.Mapping) and all(_fits(v, parts[1], numbers) for v in value.values())
    if origin not in LISTS:
        return is_bearable(value, hint, conf=_as_read(numbers))
    if isinstance(value, (str, bytes, abc.Mapping, Tensor)) or not hasattr(value, "__iter__"):
        return False
    if not hasattr(value, "__len__"):
        return origin is abc.Iterable
    if origin is not tuple or parts[-1] is Ellipsis:
        return all(_fits(v, parts[0], numbers) for v in value)
    return len(value) == len(parts) and all(map(_fits, value, parts, [numbers] * len(parts)))


@functools.cache
def _as_read(numbers: Range) -> BeartypeConf:
    """How beartype reads types: NumPy's numbers are numbers, True is none, and numbers are in their range."""
    in_range = Is[lambda value: numbers.has(value)]
    all_in_range = Is[lambda t: numbers.has_all(t)]
    return BeartypeConf(
        hint_overrides=FrozenDict(
            {
                bool: bool | np.bool_,
                int: Annotated[Integral, Is[is_integer] & in_range],
                float: Annotated[Real, Is[is_number] & in_range],
                Tensor: Annotated[Tensor, all_in_range],
                Path: os.PathLike,
            }
        )
    )


def _parts(hint: Any) -> tuple[Any, ...]:
    """The types of a union; of another type, itself."""
    return typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
