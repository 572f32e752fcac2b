"""Calls with valid values, into which nonsense can be put."""

from __future__ import annotations

import collections.abc as abc
import functools
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

import ohmgrad as og
from ohmgrad import cost, deployment, theory
from ohmgrad.devices import AbstractResponse

from .examples import (
    AIHWKIT,
    BY_NAME,
    BY_TYPE,
    DEVICE,
    KEYWORDS,
    LONG,
    NO_CALL,
    USED,
    WANTED,
    alive,
    arrays,
    dataset,
    ensemble_result,
    events,
    model,
)  # fmt: skip
from .surface import Target, parameters, targets

__all__ = ["Call", "NoExampleError", "call_of"]


class NoExampleError(Exception):
    """A parameter without a valid value."""


@dataclass(frozen=True)
class Call:
    """A call of a target with valid values, into which nonsense can be put.

    `positions` are the names of what can be given, each with its type; `make` gives what is called and the
    arguments, made anew, as calls may change them.
    """

    target: Target
    positions: dict[str, Any]
    make: Callable[[], tuple[Callable[..., Any], dict[str, Any]]]
    spread: str | None
    runs: bool

    def run(self, **changes: Any) -> Any:
        """Call it, with some arguments replaced."""
        function, arguments = self.make()
        arguments |= changes
        first = [arguments.pop(self.spread)] if self.spread else []
        result = function(*first, **arguments)
        if self.target.name in USED:
            result = USED[self.target.name](result)
        return list(result) if isinstance(result, types.GeneratorType) else result


@functools.cache
def call_of(target: Target) -> Call:
    """The call of a target.

    Raises:
        NoExampleError: saying what to add where a parameter has no valid value.
    """
    positions: dict[str, Any] = {}
    needed: dict[str, Callable[[], Any]] = {}
    spread, runs = None, not any(f".{target.name}".endswith(f".{name}") for name in LONG)
    for name, (parameter, hint) in parameters(target).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named = KEYWORDS.get(f"{target.function.__name__}.{name}", KEYWORDS.get(name, {}))
            positions |= {k: v for k, v in named.items() if k not in positions}
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            spread = name
        positions[name] = hint
        if parameter.default is parameter.empty or f"{target.function.__name__}.{name}" in WANTED:
            needed[name] = _example(target.name, name, hint)
            runs = runs and not any(t.__name__ in NO_CALL for t in _classes(hint))

    def make() -> tuple[Callable[..., Any], dict[str, Any]]:
        arguments = {name: example() for name, example in needed.items()}
        if target.owner is None:
            return target.function, arguments
        return getattr(_instance(target.owner), target.function.__name__), arguments

    return Call(target, positions, make, spread, runs)


@functools.cache
def _instances() -> dict[str, Callable[[], Any]]:
    return {
        "Tile": lambda: og.Tile((2, 3), DEVICE),
        "Monitor": lambda: og.Monitor(model(), og.AnalogSGD(alive().parameters(), lr=0.1)),
        "Grid": ensemble_result,
        "Dataset": dataset,
        "Measured": lambda: og.Measured(**arrays()),
        "Hardware": lambda: cost.hardware("rasch-li"),
        "Cost": lambda: cost.cost_of(events(), "sgd", cost.hardware("rasch-li"), images=1, steps=1),
        "ArrayEvents": lambda: events()[0],
        "SkewedNoise": lambda: theory.SkewedNoise(0.1, 1.0),
        "Deployed": lambda: deployment.deploy(nn.Linear(3, 2)),
        "FromAihwkit": lambda: og.from_aihwkit(AIHWKIT),
    }


def _instance(owner: type) -> Any:
    """An object of a class, to call a method of."""
    if owner.__name__ in _instances():
        return _instances()[owner.__name__]()
    if issubclass(owner, AbstractResponse):
        return owner(lambda w: 1 - w, lambda w: 1 + w) if owner is og.Custom else owner()
    for kind, example in BY_TYPE.items():
        if isinstance(kind, type) and issubclass(owner, kind) and type(example()) is owner:
            return example()
    function, arguments = call_of(targets()[f"{_home(owner)}"]).make()
    return function(**arguments)


def _home(owner: type) -> str:
    return next(name for name, target in targets().items() if target.function is owner)


def _classes(hint: Any) -> list[type]:
    """The classes that a type is made of."""
    parts = typing.get_args(hint)
    if parts and typing.get_origin(hint) is not typing.Literal:
        return [c for part in parts for c in _classes(part)]
    return [hint] if isinstance(hint, type) else []


def _example(owner: str, name: str, hint: Any) -> Callable[[], Any]:
    """What makes a valid value of a parameter."""
    parts = owner.split(".")
    for key in (*(f"{'.'.join(parts[k:])}.{name}" for k in range(len(parts))), name):
        if key in BY_NAME:
            return BY_NAME[key]
    if (listed := typing.get_origin(hint)) in (abc.Sequence, abc.Iterable, list, tuple):
        first = _example(owner, name, typing.get_args(hint)[0])
        return lambda: (first(),) if listed is tuple else [first()]
    choices = [c for c in (hint, *typing.get_args(hint)) if not isinstance(c, list)]
    for choice in choices:
        if choice in BY_TYPE:
            return BY_TYPE[choice]
        if typing.get_origin(choice) is typing.Literal:
            return functools.partial(next, iter(typing.get_args(choice)))
        if isinstance(choice, type) and choice.__name__ in NO_CALL:
            return functools.partial(object.__new__, choice)
    inner = next((c for c in choices if typing.get_args(c)), None)
    if inner is not None and typing.get_origin(inner) in (abc.Sequence, abc.Iterable, list, tuple):
        return _example(owner, name, inner)
    if type(None) in choices:
        return lambda: None
    if typing.get_origin(hint) is abc.Callable:
        return lambda: lambda *_: None
    raise NoExampleError(
        f"{owner}({name}: {hint}) has no valid value: add one to BY_TYPE or BY_NAME of "
        "tests/arguments/examples.py"
    )
