"""Settings of a study, checked against its default ones: the same type, the same shape, the same sign."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InputError, check_choice, is_integer, is_number, shown
from ..models import check_model

__all__ = ["at_least_two", "check_settings"]


def check_settings(study: str, defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with lists as tuples and whole numbers as floats where the defaults are floats.

    A default that is an integer asks for one of at least 1 (`seeds`, a count, for 2, since a single run shows
    nothing), None for one or None; a float for a float, positive if the default is; a list for a list of its
    kind, all different, with the sign that all defaults share; a mapping for one with its names, of which
    those with lists may be left out.

    Raises:
        InputError: naming the first setting that differs in kind, and what it must be.
    """
    for name in settings:
        check_choice(f"setting of {study}", name, defaults)
    return {name: _checked(name, value, defaults[name]) for name, value in settings.items()}


def at_least_two(settings: Mapping[str, Any], *names: str) -> None:
    """Check that lists have two values or more.

    Raises:
        InputError: naming the first that has not.
    """
    for name in names:
        values = list(settings[name])
        if len(values) < 2:
            raise InputError(f"{name} is {values}, but must have at least two values to compare")


def _checked(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, Mapping):
        return _mapping(name, value, default)
    if isinstance(default, tuple):
        return _list(name, value, default)
    if isinstance(default, str):
        if not isinstance(value, str):
            raise InputError(f"{name} is {shown(value)}, but must be a name, such as {default or 'x'}")
        return value
    if default is None and value is None:
        return None
    if isinstance(default, float):
        return _number(name, value, (default,))
    least = 2 if name == "seeds" else 1
    if not is_integer(value) or not least <= value < 2**31:
        why = ": a single run shows nothing" if name == "seeds" else ""
        none = ", or null for all" if default is None else ""
        raise InputError(f"{name} is {shown(value)}, but must be an integer of at least {least}{none}{why}")
    return value


def _mapping(name: str, value: Any, default: Mapping[str, Any]) -> dict[str, Any]:
    lists = isinstance(next(iter(default.values())), tuple)
    if not isinstance(value, Mapping) or not value or not (lists or value.keys() >= default.keys()):
        what = "a list" if lists else "a number"
        few = "one or more" if lists else "all"
        raise InputError(f"{name} is {shown(value)}, but must give {what} for {few} of {', '.join(default)}")
    for key in value:
        check_choice(f"name in {name}", key, default)
    return {key: _checked(f"{name} of {key}", v, default[key]) for key, v in value.items()}


def _list(name: str, value: Any, default: tuple[Any, ...]) -> tuple[Any, ...]:
    names = isinstance(default[0], str)
    example = f"[{', '.join(map(str, default))}]"
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError(f"{name} is {shown(value)}, but must be a list, such as {example}")
    if names:
        values = tuple(check_model(v, f"entry of {name}") if name == "models" else v for v in value)
        if not all(isinstance(v, str) for v in values):
            raise InputError(f"{name} is {shown(value)}, but must be a list of names, such as {example}")
    else:
        values = tuple(_number(f"entry of {name}", v, default) for v in value)
    # parts are named, and curves labelled, with six digits
    if len({v if names else f"{v:g}" for v in values}) < len(values):
        raise InputError(f"{name} is {list(values)}, but its entries must all differ")
    return values


def _number(name: str, value: Any, defaults: tuple[float, ...]) -> float:
    """A number of the defaults' kind: positive or not negative if all of them are, whole if all are."""
    whole = all(is_integer(d) for d in defaults)
    ok = is_number(value) and (is_integer(value) or not whole)
    low = min(defaults)
    if not ok or (low > 0 and value <= 0) or (low == 0 and value < 0):
        kind = "integer" if whole else "number"
        if low > 0:
            must = f"a positive {kind}"
        else:
            must = f"{'an' if whole else 'a'} {kind}{' of at least 0' if low == 0 else ''}"
        raise InputError(f"{name} is {shown(value)}, but must be {must}")
    return value if whole else float(value)
