"""Arguments of the kind that their types say, checked before anything is done: `checked`.

A function, or a class, that users call has types. `checked` reads them when it is first called, and from then
on refuses what is of another kind: text for a number, a number that is not finite, True for a whole number, a
tensor with gaps. Ranges, which types do not say, are given by name.
"""

from __future__ import annotations

import builtins
import collections.abc as abc
import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from .errors import LARGEST, InputError, check_integer, check_number, is_integer, is_number, shown

__all__ = [
    "ABOVE_ZERO",
    "BIT_LENGTH",
    "COUNT",
    "FROM_ZERO",
    "OWN",
    "SEED",
    "WHOLE",
    "Range",
    "checked",
    "of_tensors",
]

Thing = TypeVar("Thing", bound=Callable[..., Any])


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
        if t.device.type != "cpu" or not t.numel():  # to look at a card's numbers is to wait for it
            return True
        low, high = (end.item() for end in t.detach().aminmax())
        return self.has(low) and self.has(high)

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
#: of arguments that the function looks at itself, since it has more to say
OWN = Range()
#: of pulse trains
BIT_LENGTH = Range(1, 2**20)
#: of whole numbers: repetitions, which one must be able to wait for, and sizes
WHOLE, COUNT, SEED = Range(0, 2**31 - 1), Range(1, 2**31 - 1), Range(0, 2**32 - 1)


#: what to pass, of classes whose names do not say it
_ADVICE = {
    "Device": "a Device: Device(SoftBounds.symmetric(0.6)), or a named one, "
    "ohmgrad.devices.presets.preset('paper')",
    "AbstractResponse": "a response: an instance such as SoftBounds.symmetric(1.0), or Custom; of a Device "
    "pass device.nominal.response (and dw_min=device.dw_min to functions that take it)",
    "Quadratic": "a Quadratic: use its Hessian at the minimum, Quadratic(H, w)",
    "Objective": "an Objective: Quadratic, Logistic, or UserObjective(function, n)",
    "GradientNoise": "GradientNoise(sigma), sigma per entry",
}


def _says_nothing(name: str, value: Any) -> None: ...


@dataclass(frozen=True)
class _Kind:
    """What a type allows: a test of a value, and the words for it."""

    allows: Callable[[Any], bool]
    words: str
    refuse: Callable[[str, Any], object] = _says_nothing  #: raises its own error, if it has one


@overload
def checked(thing: Thing, /) -> Thing: ...
@overload
def checked(**ranges: Range) -> Callable[[Thing], Thing]: ...
def checked(thing: Any = None, /, **ranges: Range) -> Any:
    """Have the arguments of a function, or of a class's constructor, checked against their types.

    Args:
        thing: a function or a class.
        ranges: of arguments that are numbers, or lists, tensors or mappings of numbers; others may be any.

    Raises:
        InputError: when it is called with an argument of another kind, naming the argument, its value and
            what it must be; before anything is done.
    """
    if thing is None:
        return functools.partial(_checked, ranges=ranges)
    return _checked(thing, ranges)


def of_tensors(cls: type, *names: str) -> None:
    """Have methods of a class that take tensors refuse anything else; NaN is for them to pass on.

    Where objects of the class have a number `n`, it is the tensors' last dimension.
    """
    for name in names:
        if inspect.isfunction(method := vars(cls).get(name)) and not hasattr(method, "__isabstractmethod__"):
            setattr(cls, name, _of_tensors(method))


def _of_tensors(method: Any) -> Any:
    names = list(inspect.signature(method).parameters)[1:]

    @functools.wraps(method)
    def called(self: Any, *tensors: Tensor, **named: Tensor) -> Any:
        n = getattr(self, "n", None)
        for name, t in (*zip(names, tensors, strict=False), *named.items()):
            fits = isinstance(t, Tensor) and not t.is_complex()
            if not fits or (n is not None and (not t.dim() or t.shape[-1] != n)):
                _refuse(name, t, _Kind(bool, "a tensor of numbers" + ("" if n is None else f" (..., {n})")))
        if len(tensors) + len(named) > 1:
            try:
                torch.broadcast_shapes(*(t.shape for t in (*tensors, *named.values())))
            except RuntimeError:
                first = next(iter((*tensors, *named.values())))
                _refuse(names[0], first, _Kind(bool, f"of a shape that fits {', '.join(names[1:])}"))
        return method(self, *tensors, **named)

    return called


def _checked(thing: Any, ranges: dict[str, Range]) -> Any:
    if inspect.isclass(thing):
        thing.__init__ = _wrapped(thing.__init__, ranges)
        return thing
    return _wrapped(thing, ranges)


def _wrapped(function: Any, ranges: dict[str, Range]) -> Any:
    parameters = inspect.signature(function).parameters.values()
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "")
    kinds: dict[str, _Kind] = {}

    @functools.wraps(function)
    def called(*args: Any, **named: Any) -> Any:
        if not kinds:
            kinds.update(_kinds(function, ranges))
        for place, value in enumerate(args):
            name = places[place] if place < len(places) else rest
            if (kind := kinds.get(name)) is not None and not kind.allows(value):
                _refuse(name, value, kind)
        for name, value in named.items():
            if (kind := kinds.get(name)) is not None and not kind.allows(value):
                _refuse(name, value, kind)
        return function(*args, **named)

    return called


def _refuse(name: str, value: Any, kind: _Kind) -> None:
    kind.refuse(name, value)
    if isinstance(value, Tensor):
        said = f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    elif isinstance(value, type):
        said = f"the class {value.__name__}"
    else:
        said = shown(value)
    raise InputError(f"{name} is {said}, but must be {kind.words}")


def _kinds(function: Any, ranges: dict[str, Range]) -> dict[str, _Kind]:
    """The kinds of the arguments of a function by name, of those whose types say one."""
    inner = inspect.unwrap(function)
    found: dict[str, _Kind] = {"": _Kind(lambda value: True, "")}
    for name, hint in inner.__annotations__.items():
        if isinstance(hint, str):
            hint = eval(hint, inner.__globals__, _Names(inner.__globals__))
        if name == "return" or ranges.get(name) is OWN:
            continue
        if (kind := _kind(hint, ranges.get(name, NUMBER))) is not None:
            found[name] = kind
    return found


class _Names(dict[str, Any]):
    """What a module's names mean; one for type checkers only stands for a class of that name."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, name: str) -> Any:
        if name in self._known or hasattr(builtins, name):
            raise KeyError(name)
        self[name] = type(name, (_ByName,), {})
        return self[name]


class _ByName:
    """A class that is known by its name alone."""


def _kind(hint: Any, numbers: Range) -> _Kind | None:
    """What a type allows; None where it says nothing."""
    if hint is Any:
        return None
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        kinds = [_kind(part, numbers) for part in parts]
        some = [kind for kind in kinds if kind is not None]
        if len(some) < len(kinds):
            return None
        others = {int, float, bool, str, Tensor}.intersection(parts[1:])
        own = _says_nothing if others else some[0].refuse
        words = " or ".join(kind.words for kind in some)
        return _Kind(lambda v: any(k.allows(v) for k in some), words, own)
    if origin is typing.Literal:
        return _Kind(lambda v: isinstance(v, str) and v in parts, f"one of {', '.join(map(str, parts))}")
    if origin is type and isinstance(parts[0], type):
        above = parts[0]
        return _Kind(lambda v: isinstance(v, type) and issubclass(v, above), f"a class of {above.__name__}")
    if hint is abc.Callable or origin is abc.Callable:
        return _Kind(callable, "a function")
    if origin in (abc.Mapping, dict) or hint in (abc.Mapping, dict):
        return _mapping(_kind(parts[1], numbers) if parts else None)
    if origin in (list, tuple, abc.Sequence, abc.Iterable):
        return _listed(origin, parts, numbers)
    return _plain(hint, numbers)


def _plain(hint: Any, numbers: Range) -> _Kind | None:
    """What a type that is a class allows."""
    if hint is None or hint is type(None):
        return _Kind(lambda v: v is None, "None")
    if hint is bool:
        return _Kind(lambda v: isinstance(v, (bool, np.bool_)), "True or False")
    if hint is int:
        return _Kind(
            lambda v: is_integer(v) and numbers.has(v), numbers.words("an integer"), numbers.check_integer
        )
    if hint is float:
        return _Kind(
            lambda v: is_number(v) and numbers.has(v), numbers.words("a number"), numbers.check_number
        )
    if hint is str:
        return _Kind(lambda v: isinstance(v, str), "text")
    if hint is Path:
        return _Kind(lambda v: isinstance(v, os.PathLike), "a pathlib.Path")
    if hint is Tensor:
        words = numbers.words("a tensor of finite numbers")
        if numbers is ANYTHING:
            return _Kind(lambda v: isinstance(v, Tensor) and not v.is_complex(), "a tensor of numbers")
        return _Kind(lambda v: _is_finite(v) and (numbers is NUMBER or numbers.has_all(v)), words)
    if not isinstance(hint, type) or hint is object:
        return None
    own = hint.__name__
    words = _ADVICE.get(own, f"a {own}")
    if issubclass(hint, _ByName):
        return _Kind(lambda v: any(c.__name__ == own for c in type(v).__mro__), words)
    if getattr(hint, "_is_protocol", False):
        names = [name for name in vars(hint) if not name.startswith("_")]
        return _Kind(lambda v: all(hasattr(v, name) for name in names), words)
    return _Kind(lambda v: isinstance(v, hint), words, functools.partial(_another, words, own))


def _another(words: str, own: str, name: str, value: Any) -> None:
    """Say of which class a value is, where classes are what matters."""
    if own in _ADVICE and own != "Device" and not isinstance(value, type):
        raise InputError(f"{name} is of type {type(value).__name__}, but must be {words}")


def _is_finite(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.is_complex():
        return False
    if value.device.type != "cpu" or not value.is_floating_point():
        return True
    return bool(torch.isfinite(value.detach()).all())


def _mapping(values: _Kind | None) -> _Kind:
    def allows(value: Any) -> bool:
        return isinstance(value, abc.Mapping) and (values is None or all(map(values.allows, value.values())))

    return _Kind(allows, "a mapping" + (f" whose values are {values.words}" if values else ""))


def _listed(origin: Any, parts: tuple[Any, ...], numbers: Range) -> _Kind:
    """What a list or a tuple allows, or an iterable: one without a length is not looked into."""
    fixed = origin is tuple and parts[-1] is not Ellipsis
    entries = [_kind(part, numbers) for part in (parts if fixed else parts[:1])]

    def allows(value: Any) -> bool:
        if isinstance(value, (str, bytes, abc.Mapping, Tensor)) or not hasattr(value, "__iter__"):
            return False
        if not hasattr(value, "__len__"):
            return origin is abc.Iterable
        if fixed and len(value) != len(parts):
            return False
        each = entries if fixed else entries * len(value)
        return all(kind is None or kind.allows(v) for kind, v in zip(each, value, strict=True))

    inner = [kind.words for kind in entries if kind is not None]
    words = f"({', '.join(inner)})" if fixed else f"a list, each entry {inner[0]}" if inner else "a list"
    return _Kind(allows, words)
