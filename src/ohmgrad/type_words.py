"""Values, and types that they must have, in words for messages."""

from __future__ import annotations

import collections.abc as abc
import types
import typing
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor

from .errors import shown
from .ranges import ANYTHING, Range

__all__ = ["LISTS", "MAPPINGS", "UNIONS", "kind_of", "words_of"]

#: origins of types, as typing.get_origin gives them
UNIONS = (typing.Union, types.UnionType)
LISTS = (list, tuple, abc.Sequence, abc.Iterable)
MAPPINGS = (dict, abc.Mapping)
#: what to pass, of classes whose names do not say it
_ADVICE = {
    "Device": "a Device: Device(SoftBounds.symmetric(0.6)), or a named one, "
    "ohmgrad.devices.presets.preset('paper')",
    "AbstractResponse": "a response: an instance such as SoftBounds.symmetric(1.0), or Custom; of a Device "
    "pass device.nominal.response (and dw_min=device.dw_min to functions that take it)",
    "Quadratic": "a Quadratic: use its Hessian at the minimum, Quadratic(H, w)",
    "Objective": "an Objective: Quadratic, Logistic, or UserObjective(function, n)",
    "Optimizer": "an optimizer of torch",
    "GradientNoise": "GradientNoise(sigma), sigma per entry",
}


def kind_of(value: Any) -> str:
    """What a value is."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = value is None or isinstance(value, (Real, str, bytes, list, tuple, abc.Mapping, Path))
    return shown(value) if plain else f"of type {type(value).__name__}"


def words_of(hint: Any, numbers: Range) -> str:
    """What a type allows, with numbers in a range."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNIONS:
        return " or ".join(words_of(part, numbers) for part in parts)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is type:
        return f"a class of {parts[0].__name__}"
    if origin is abc.Callable:
        return "a function"
    if origin in MAPPINGS:
        return "a mapping" if parts[1] is Any else f"a mapping whose values are {words_of(parts[1], numbers)}"
    if origin is tuple and parts[-1] is not Ellipsis:
        return f"({', '.join(words_of(part, numbers) for part in parts)})"
    if origin in LISTS:
        return "a list" if parts[0] is Any else f"a list, each entry {words_of(parts[0], numbers)}"
    tensor = "a tensor of numbers" if numbers is ANYTHING else numbers.words("a tensor of finite numbers")
    plain = {
        int: numbers.words("an integer"),
        float: numbers.words("a number"),
        Tensor: tensor,
        bool: "True or False",
        str: "text",
        Path: "a pathlib.Path",
        type(None): "None",
    }
    article = "an" if hint.__name__[0] in "AEIO" and not hint.__name__.startswith("One") else "a"
    return plain.get(hint) or _ADVICE.get(hint.__name__, f"{article} {hint.__name__}")
