"""Configurations of aihwkit as they come: an object, its JSON, or its text; one tree of nodes either way.

Nothing here imports aihwkit. `classes.yaml` has the fields of its classes with their defaults, since a text
leaves those out, and which of them change no training.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import math
import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import InputError, check_choice, naming, said, shown
from ..yaml_text import read_yaml

__all__ = ["Node", "Notes", "around", "read", "word"]

#: no text of a configuration is longer: those of aihwkit's presets have up to 10,000 characters
_LONGEST = 200_000


@dataclasses.dataclass
class Notes:
    """What came of a configuration.

    Args:
        taken: name there, value, name here; for each value that was taken over.
        close: sentences; what is here nearly as it is there.
        missing: name there, value and reason; for what has no counterpart.
    """

    taken: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    close: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def told_once(self) -> Iterator[None]:
        """What is taken over inside has no rows of its own: it is a second time the same."""
        before = len(self.taken)
        yield
        del self.taken[before:]

    def nearly(self, text: str) -> None:
        if text not in self.close:
            self.close.append(text)

    def lacks(self, text: str) -> None:
        if text not in self.missing:
            self.missing.append(text)


@dataclasses.dataclass
class Node:
    """One object of a configuration.

    Args:
        path: where it is, as in device.unit_cell_devices[0].
        kind: its class, the nearest that `classes.yaml` knows; empty for none.
        name: its class as it calls itself.
        values: of all fields, defaults among them; objects are nodes.
        given: fields that the configuration itself names.
        notes: of the whole configuration.
    """

    path: str
    kind: str
    name: str
    values: dict[str, Any]
    given: frozenset[str]
    notes: Notes
    _used: set[str] = dataclasses.field(default_factory=set)

    def take(self, field: str, ours: str = "") -> Any:
        """The value of a field, which counts as read; with `ours`, a row of what was taken over."""
        self._used.add(field)
        value = self.values.get(field)
        if ours and value and word(value) != "none":
            text = f"{value:g}" if isinstance(value, float) else str(value)
            self.notes.taken.append((self.at(field), text, ours))
        return value

    def child(self, field: str) -> Node:
        """The object of a field."""
        value = self.take(field)
        if not isinstance(value, Node):
            raise InputError(f"{self.at(field)} is {shown(value)}, but must be an object of aihwkit")
        return value

    def children(self, field: str) -> list[Node]:
        """The objects in a list."""
        value = self.take(field)
        if not isinstance(value, list) or not all(isinstance(each, Node) for each in value):
            raise InputError(f"{self.at(field)} must be a list of devices")
        return value

    def is_a(self, kind: str) -> bool:
        return kind in _lineage(self.kind)

    def at(self, field: str) -> str:
        return f"{self.path}.{field}" if self.path else field

    def report_rest(self) -> None:
        """Note every field that nobody has read, changes the training, and is not as if it were not there."""
        known = _class(self.kind)
        for field, value in self.values.items():
            if field in self._used:  # objects in it, too, as far as anybody looked into them
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, Node) and each._used:
                        each.report_rest()
                continue
            if field in known["harmless"] or known["switch"] not in ("", field):
                continue
            neutral = known["neutral"].get(field)
            if isinstance(value, Node) and _class(value.kind)["fields"]:
                value.report_rest()
            elif field not in known["neutral"] or not _same(value, neutral):
                text = value.name if isinstance(value, Node) else shown(value)
                self.notes.lacks(f"{self.at(field)} = {text}")


def word(value: Any) -> str:
    """A name of an Enum, however it is written, in small letters: AbsMax, ABS_MAX and Type.ABS_MAX alike."""
    text = str(value.value) if isinstance(value, Enum) else str(value)
    return text.rpartition(".")[2].replace("_", "").lower()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return word(a) == word(b)
    return a == b


# --- the classes ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _classes() -> dict[str, dict[str, Any]]:
    return read_yaml(Path(__file__).with_name("classes.yaml"))


def _lineage(kind: str) -> list[str]:
    """A class and those that it extends, the nearest first."""
    found, classes = [], _classes()
    while kind in classes:
        found.append(kind)
        kind = classes[kind].get("base", "")
    return found


@lru_cache(maxsize=256)
def _class(kind: str) -> dict[str, Any]:
    """Fields with their defaults, harmless ones, and the values with which a field does nothing."""
    fields: dict[str, Any] = {}
    neutral: dict[str, Any] = {}
    harmless: set[str] = set()
    switch = ""
    for each in reversed(_lineage(kind)):
        entry = _classes()[each]
        fields |= entry.get("fields", {})
        neutral = {**entry.get("fields", {}), **neutral, **entry.get("neutral", {})}
        harmless |= set(entry.get("harmless", []))
        switch = entry.get("switch", switch)
    return {"fields": fields, "neutral": neutral, "harmless": harmless, "switch": switch}


def _kind_by_fields(values: Mapping[str, Any]) -> str:
    """The class that an object without a name is of: it has its fields, few others, and like defaults."""

    def distance(kind: str) -> tuple[int, int, int]:
        fields = _class(kind)["fields"]
        unlike = sum(not _same(values[f], fields[f]) for f in values if f in fields)
        return len({*values} - {*fields}), len({*fields} - {*values}), unlike

    kinds = [k for k, entry in _classes().items() if not entry.get("by_name") and _class(k)["fields"]]
    best = min(kinds, key=distance)
    return best if 2 * distance(best)[0] < len(values) else ""


def _node(path: str, names: Iterable[str], given: dict[str, Any], notes: Notes) -> Node:
    """A node of the first of the names that is known, with the defaults of what is not given."""
    names = list(names)
    kind = next((n for n in names if n in _classes()), "")
    if not kind and given:
        kind = _kind_by_fields(given)
        if kind and names:
            notes.nearly(f"{names[0]} is read as a {kind}, whose fields it has")
    if path == "" and not kind:
        known = [k for k in _classes() if k.endswith("RPUConfig") or "Device" in k or "Compound" in k]
        check_choice("configuration of aihwkit", names[0] if names else "", known)
    values = {f: _default(v, f"{path}.{f}" if path else f, notes) for f, v in _class(kind)["fields"].items()}
    for field, value in given.items():  # an object that does not say its class is of that of the default
        if isinstance(value, Node) and not (value.kind or value.name) and isinstance(values.get(field), Node):
            given[field] = _node(value.path, [values[field].kind], value.values, notes)
    return Node(path, kind, names[0] if names else kind, values | given, frozenset(given), notes)


def _default(value: Any, path: str, notes: Notes) -> Any:
    """A default of the table: names of classes are objects with the defaults of these."""
    if isinstance(value, list):
        return [_default(each, f"{path}[{i}]", notes) for i, each in enumerate(value)]
    return _node(path, [value], {}, notes) if isinstance(value, str) and value in _classes() else value


# --- the three forms --------------------------------------------------------------------------------------


def read(source: Any) -> Node:
    """The tree of a configuration.

    Args:
        source: an object of aihwkit; a dictionary or JSON text, as of `dataclasses.asdict`; the text that
            `print` or `repr` gives, or that makes it in a script; a Path to a file of these.

    Raises:
        InputError: when it is none of these.
    """
    if isinstance(source, Path):
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {source}: {said(error)}") from None
        with naming(source):
            return read(text)
    notes = Notes()
    if isinstance(source, str):
        source = _parsed(source)
    found = _taken_in(source, "", notes)
    if not isinstance(found, Node):
        raise InputError(
            f"{shown(source)} is no configuration of aihwkit: give its rpu_config, the text that "
            "print(rpu_config) gives, or JSON of dataclasses.asdict(rpu_config)"
        )
    return found


def around(device: Node) -> Node:
    """The configuration of a device or compound by itself: all else has aihwkit's defaults."""
    kind = "DigitalRankUpdateRPUConfig" if device.is_a("DigitalRankUpdateCell") else "UnitCellRPUConfig"
    return _node("", [kind], {"device": device}, device.notes)


def _taken_in(value: Any, path: str, notes: Notes) -> Any:
    """A value as a tree: dataclasses, dictionaries and calls become nodes."""

    def inner(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {str(k): _taken_in(v, f"{path}.{k}" if path else str(k), notes) for k, v in items}

    if isinstance(value, _Call):
        return _node(path, [value.name], inner(value.values.items()), notes)
    if isinstance(value, Mapping):
        name = [str(value[k]) for k in ("class", "__class__") if k in value]
        rest = ((k, v) for k, v in value.items() if k not in ("class", "__class__"))
        return _node(path, name, inner(rest), notes)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.__name__ for each in type(value).__mro__]
        kind = next((n for n in names if n in _classes()), "")
        known = _class(kind)["fields"]
        own = ((f.name, getattr(value, f.name), f) for f in dataclasses.fields(value))
        # a field that the table does not know counts only where it is not as its class has it
        given = inner((n, v) for n, v, f in own if n in known or not _is_default(v, f))
        return _node(path, names, given, notes)
    if isinstance(value, (list, tuple)):
        return [_taken_in(each, f"{path}[{i}]", notes) for i, each in enumerate(value)]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    return name if isinstance(value, type) else Node(path, "", name, {}, frozenset(), notes)


def _is_default(value: Any, field: dataclasses.Field[Any]) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return value is field.default or bool(value == field.default)


# --- text -------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Call:
    """A constructor in a text: its class, and its arguments by name."""

    name: str
    values: dict[str, Any]


_ARITHMETIC = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: lambda a, b: float(a) ** b,
}  # fmt: skip


def _parsed(text: str) -> Any:
    """A dictionary of JSON, or the constructor that a text is; its code is read, and never run."""
    if len(text) > _LONGEST:
        raise InputError(
            f"the text has {len(text)} characters, but that of one configuration has few thousand"
        )
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise InputError(f"the text is no JSON: {said(error)}") from None
    # Enums, classes and objects are no Python in a repr: <Type.A: 'a'>, <class 'x.y'>, <x.y object at 0>
    plain = re.sub(r"<class '([^']*)'>", lambda m: repr(m[1].rpartition(".")[2]), text.strip())
    plain = re.sub(r"<\w+\.\w+: '?([^'<>]*)'?>", lambda m: repr(m[1]), plain)
    plain = re.sub(r"<([\w.]+)[^<>\n]*>", lambda m: repr(m[1].rpartition(".")[2]), plain)
    try:
        body = ast.parse(plain).body
        (line,) = body
        if isinstance(line, (ast.Expr, ast.Assign, ast.AnnAssign)) and line.value is not None:
            return _value(line.value)
    except (SyntaxError, ValueError, RecursionError, ArithmeticError) as error:
        raise InputError(f"{shown(text)} is no text of a configuration of aihwkit: {said(error)}") from None
    raise InputError(f"{shown(text)} is no text of a configuration of aihwkit")


def _value(node: ast.expr) -> Any:
    """What an expression stands for: constants, arithmetic, lists and constructors."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name)):
            if node.args:
                raise ValueError(f"arguments of {name} must have names")
            return _Call(name, {k.arg: _value(k.value) for k in node.keywords if k.arg})
        case ast.List(elts) | ast.Tuple(elts):
            return [_value(each) for each in elts]
        case ast.Dict(keys, values):
            return {str(_value(k)): _value(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](_value(left), _value(right))
        case ast.Name(name):
            return {"inf": math.inf, "nan": math.nan}.get(name, name)
        case ast.Attribute(attr=name):
            return name
    raise ValueError(f"{ast.unparse(node)[:40]} is no value")
