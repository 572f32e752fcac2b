"""Which layers of a model, and which parts of them, name patterns choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from typing import NamedTuple

from torch import Tensor, nn

from ..errors import InputError, shown
from .functional import AnalogLayer
from .left_digital import Left, check_has_weights, layers_left, listed, told
from .parts import part_names

__all__ = ["Choice", "Patterns", "choose", "patterns"]


class Choice(NamedTuple):
    """A layer to convert."""

    #: its first name
    name: str
    #: parts of it that stay digital
    digital: list[str]


class Patterns(NamedTuple):
    """Name patterns with * and ?."""

    include: list[str]
    exclude: list[str]

    def take(self, names: Iterable[str]) -> bool:
        """Whether they choose what has all these names."""
        names = list(names)
        return _match(names, self.include) and not _match(names, self.exclude)


def patterns(include: Iterable[str], exclude: Iterable[str]) -> Patterns:
    """The patterns of convert().

    Raises:
        InputError: for what is no list of patterns, as a string.
    """
    found: list[list[str]] = []
    for what, given in (("include", include), ("exclude", exclude)):
        if isinstance(given, str):
            raise InputError(f"{what} is {given!r}, but must be a list of patterns: [{given!r}]")
        no_list = not isinstance(given, Iterable) or isinstance(given, (bytes, Mapping, Tensor))
        found.append([] if no_list else list(given))
        if no_list or not all(isinstance(pattern, str) for pattern in found[-1]):
            raise InputError(f"{what} is {shown(given)}, but must be a list of patterns: ['features.*']")
    return Patterns(*found)


def choose(
    model: nn.Module, wanted: tuple[type[nn.Module], ...], known: tuple[type[nn.Module], ...], by: Patterns
) -> tuple[list[Choice], list[Left]]:
    """The layers to convert, and those that the patterns choose and convert() cannot take.

    Patterns see all names of a layer that has several. A part is chosen by its name or by its layer's.

    Args:
        wanted: exact types to choose from.
        known: all exact types that can be converted.
        by: the patterns.

    Raises:
        InputError: when a pattern matches nothing, no layer is chosen, or a layer is lazy still.
    """
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) in wanted:
            names.setdefault(module, []).append(name)
    parts = {module: part_names(module) for module in names}
    left = layers_left(model, wanted, known)
    check_has_weights(left)
    analog = listed(n or "the model" for n, m in model.named_modules() if isinstance(m, AnalogLayer))
    hint = f"; analog already: {analog}" if analog else ""
    if not names:
        if analog:
            also = f"; digital: {told(left)}" if any(each.product for each in left) else ""
            raise InputError(f"no layer is left to convert{hint}{also}")
        types = ", ".join(kind.__name__ for kind in wanted)
        present = told(left) or "no layer has parameters"
        raise InputError(f"no layer can be converted: {present}; convertible are {types}")
    layers = [name for several in names.values() for name in several]
    every = [*layers, *(_join(n, p) for m, several in names.items() for n in several for p in parts[m])]
    for pattern in (*by.include, *by.exclude):
        unable = [each for each in left if _match(each.names, [pattern])]
        if _match(every, [pattern]) or (unable and pattern in by.exclude):
            continue
        if unable:
            raise InputError(f"pattern {pattern!r} matches no layer that can be converted: {told(unable)}")
        raise InputError(f"pattern {pattern!r} matches no layer: the candidates are {listed(layers)}{hint}")
    chosen: list[Choice] = []
    for module, several in names.items():
        # a layer of one crossbar is its own part
        each = {p: by.take(several + [_join(n, p) for n in several if p]) for p in parts[module] or [""]}
        if any(each.values()):
            chosen.append(Choice(several[0], [part for part, taken in each.items() if not taken]))
    left = [each for each in left if each.product and by.take(each.names)]
    if not chosen:
        also = f" ({told(left)})" if left else ""
        raise InputError(
            f"no layer is left to convert{also}: give other patterns, or another model; "
            "convertible are " + ", ".join(t.__name__ for t in wanted)
        )
    return chosen, left


def _match(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part
