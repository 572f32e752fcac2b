"""Everything that a user can call: public constructors, functions and methods, with what they take."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import ohmgrad

__all__ = ["Target", "hints_of", "parameters", "targets"]

#: methods that the library calls: one's own algorithm or layer may override them, a script does not call them
HOOKS = {
    "analog_step", "auxiliary", "check", "transfer_model", "tiles_in", "tiles_by_parameter", "array",
    "cell", "function_for", "map_digital", "tiles_with_blocks", "renumber", "extra_repr",
    "from_digital", "from_weights", "forward", "backward", "init", "weight", "step", "sibling",
    "part_of", "read", "random_words", "digital_gradient", "state_dict", "load_state_dict",
    "add_param_group", "kept", "seeing", "left",
}  # fmt: skip
#: what only the library makes: answers, which users read, and what kernels and studies run on
MADE = {
    "Arrays", "Averages", "Balance", "Baseline", "Bound", "Cells", "Cost", "Elements", "Finding",
    "Grid", "InputRange", "Key", "LowerBound", "NoisyWeight", "OverTime", "Part", "Prediction",
    "Purpose", "Rates", "ReadBack", "Result", "Runs", "Samples", "Statement", "Table",
    "TikiTakaStatement",
}  # fmt: skip
#: what the library calls with tensors that it made
INNER = {"tiles_of", "balance", "count_products", "planes", "summed", "uncompiled"}
#: constructors that the library calls, `convert` with layers of torch; users call methods
CONVERTED = {"AnalogConv1d", "AnalogConv2d", "AnalogConv3d", "AnalogLayer", "Deployed", "FromAihwkit"}
#: what users make, and the library asks
ASKED = {"PCM", "ReRAM"}


@dataclass(frozen=True)
class Target:
    """Something that can be called: its name, what is called, and on what (a method's class)."""

    name: str
    function: Callable[..., Any]
    owner: type | None = None

    @property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)


def _packages() -> list[ModuleType]:
    """ohmgrad and its packages, which are what scripts import from; modules belong to the library."""
    found = [ohmgrad]
    for module in pkgutil.walk_packages(ohmgrad.__path__, "ohmgrad."):
        if module.ispkg and not module.name.startswith(("ohmgrad.cli", "ohmgrad.kernels.")):
            found.append(importlib.import_module(module.name))
    return found


@cache
def targets() -> dict[str, Target]:
    """By name, such as `ohmgrad.Tile` and `ohmgrad.Tile.pulse`; an object counts where it is named first."""
    found: dict[str, Target] = {}
    seen: set[int] = set()
    methods: set[int] = set()
    for package in _packages():
        for name in getattr(package, "__all__", ()):
            thing = getattr(package, name)
            if id(thing) in seen or not callable(thing) or not _own(thing):
                continue
            seen.add(id(thing))
            for target in _of(f"{package.__name__}.{name}", thing):
                what = getattr(target.function, "__func__", target.function)
                if id(what) not in methods and (target.owner is None or len(target.signature.parameters) > 1):
                    found[target.name] = target
                methods.add(id(what))
    return found


def _own(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).startswith("ohmgrad") and hasattr(thing, "__name__")


def _of(name: str, thing: Any) -> Iterator[Target]:
    if not inspect.isclass(thing):
        if thing.__name__ not in INNER:
            yield Target(name, thing)
        return
    if issubclass(thing, BaseException) or getattr(thing, "_is_protocol", False) or thing.__name__ in MADE:
        return
    if not inspect.isabstract(thing) and thing.__name__ not in CONVERTED:
        yield Target(name, thing)
    if thing.__name__ in ASKED:
        return
    for key in dir(thing):
        method = inspect.getattr_static(thing, key)
        if key.startswith("_") or key in HOOKS | INNER or isinstance(method, property):
            continue
        if isinstance(method, (classmethod, staticmethod)):
            if _own(method.__func__):
                yield Target(f"{name}.{key}", getattr(thing, key))
        elif inspect.isfunction(method) and _own(method) and not inspect.isabstract(thing):
            yield Target(f"{name}.{key}", method, thing)


def parameters(target: Target) -> dict[str, tuple[inspect.Parameter, Any]]:
    """The parameters of a target, each with its type; `self` is none."""
    hints = hints_of(target.function)
    found = list(target.signature.parameters.values())[1 if target.owner else 0 :]
    return {p.name: (p, hints.get(p.name, Any)) for p in found}


def hints_of(function: Any) -> dict[str, Any]:
    """Resolved types, those imported for type checkers only, too."""
    if inspect.isclass(function):
        if hasattr(function, "__dataclass_fields__"):
            return {
                k: v
                for c in reversed(function.__mro__)
                for k, v in _resolved(c, vars(c).get("__annotations__", {})).items()
            }
        if issubclass(function, tuple):
            return _resolved(function, function.__annotations__)
        function = function.__init__
    function = inspect.unwrap(getattr(function, "__func__", function))
    return _resolved(function, function.__annotations__)


def _resolved(where: Any, hints: dict[str, Any]) -> dict[str, Any]:
    names = _names(where.__module__)
    found = {}
    for name, hint in hints.items():
        if isinstance(hint, typing.ForwardRef):
            hint = hint.__forward_arg__
        found[name] = eval(hint, names) if isinstance(hint, str) else hint
    return found


@cache
def _names(module: str) -> dict[str, Any]:
    """What a module's names mean, with what it imports for type checkers."""
    here = sys.modules[module]
    names = dict(vars(here))
    if not getattr(here, "__file__", None):
        return names
    for node in ast.parse(Path(str(here.__file__)).read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(ast.unparse(ast.Module(node.body, [])), names)
    return names
