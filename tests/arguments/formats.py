"""Every field of every file of settings with nonsense in it: devices, runs, hardware, maps, comparisons."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

import ohmgrad as og
from ohmgrad import cost
from ohmgrad.devices import FAMILIES, OneSided, ReadNoise, Reference, Retention, Stuck
from ohmgrad.studies import RunSpec
from ohmgrad.studies.compare import COMPARE
from ohmgrad.studies.map import MapSettings
from ohmgrad.studies.settings import check_settings

from .calls import Finding, attempt
from .kinds import HUGE, HUGE_WHOLE, LARGE, legitimate
from .surface import hints_of

__all__ = ["formats", "sweep_formats"]

#: nonsense that YAML can say; how it is written is for the parser, which has tests of its own
PLAIN: dict[str, Any] = {
    "None": None, "text": "nonsense", "empty text": "", "NaN": math.nan, "inf": math.inf, "-inf": -math.inf,
    "-1": -1, "-0.5": -0.5, "0": 0, "large": LARGE, "huge": HUGE, "huge integer": HUGE_WHOLE, "-huge": -HUGE,
    "True": True, "[]": [], "{}": {}, "seven numbers": [1, 2, 3, 4, 5, 6, 7], "list of text": ["nonsense"],
    "list of None": [None], "mapping": {"nonsense": 1},
}  # fmt: skip


@dataclass(frozen=True)
class Format:
    """A kind of file: valid content, how it is read, and the type and owner of the field at a path."""

    content: Mapping[str, Any]
    read: Callable[[Any], Any]
    field: Callable[[tuple[str, ...]], tuple[Any, str]]


def _of_class(cls: type) -> Callable[[tuple[str, ...]], tuple[Any, str]]:
    """The fields of a dataclass whose parts are dataclasses, too."""

    def field(path: tuple[str, ...]) -> tuple[Any, str]:
        owner: type = cls
        for name in path[:-1]:
            hint = hints_of(owner)[name]
            inner = next(
                (
                    c
                    for c in (hint, *typing.get_args(hint))
                    if isinstance(c, type) and dataclasses.is_dataclass(c)
                ),
                None,
            )
            if inner is None:  # a mapping: its values, which are as the field is named
                return (*typing.get_args(hint), Any)[1], f"{owner.__name__}.{name}"
            owner = inner
        return hints_of(owner)[path[-1]], owner.__name__

    return field


def _of_device(response: type) -> Callable[[tuple[str, ...]], tuple[Any, str]]:
    inner = _of_class(og.Device)

    def field(path: tuple[str, ...]) -> tuple[Any, str]:
        if path == ("response",):
            return og.SoftBounds, "Device"
        if path[0] == "response":
            return (str, "family") if path[1] == "family" else _of_class(response)(path[1:])
        return inner(path)

    return field


def _of_hardware(path: tuple[str, ...]) -> tuple[Any, str]:
    """A coefficient is a mapping: its value, unit, source and node, and whether it is assumed."""
    if len(path) == 1:
        return (str, "Hardware") if path[0] in ("name", "note") else (cost.Hardware, "Hardware")
    if path[1] == "value":
        return hints_of(cost.Hardware)[path[0]], f"Hardware.value.{path[0]}"
    return {"unit": (None, ""), "assumed": (bool, "Source")}.get(path[1], (str, "Source.text"))


def _of_compare(path: tuple[str, ...]) -> tuple[Any, str]:
    """A setting is as its default."""
    default = COMPARE.settings[path[0]]
    if isinstance(default, tuple):
        return tuple[type(default[0]), ...], "compare"
    return (int | None if default is None else type(default)), "compare"


def formats() -> dict[str, Format]:
    """By name."""
    memory = {
        "stuck": Stuck(0.1, 0.0), "write_noise": 0.1, "read_noise": ReadNoise(0.1, 0.1),
        "retention": Retention(100.0, 0.1, 0.0, 0.1, 0.1, 0.1, 1.0),
    }  # fmt: skip
    spread = og.Spread(0.1, w_max=0.1, w_min=0.1, symmetric_point=0.1)
    found: dict[str, Format] = {}
    for family, cls in FAMILIES.items():
        device = og.Device(cls(), 0.001, noise=og.Noise(0.1))
        found[f"device of {family}"] = Format(device.to_dict(), og.Device.from_dict, _of_device(cls))
    whole = {
        "with memory": og.Device(og.SoftBounds(), 0.01, spread, og.Noise(0.1), **memory),
        "with a pair": og.Device(og.SoftBounds(), 0.01, pair=OneSided()),
        "with a reference": og.Device(og.SoftBounds(), 0.01, reference=Reference(0.0, 0.1)),
    }
    for name, device in whole.items():
        found[f"device {name}"] = Format(device.to_dict(), og.Device.from_dict, _of_device(og.SoftBounds))
    run = RunSpec(images=20, algorithms=("sgd",), options={}, lrs={"sgd": 0.1}, lr_factors={"*": 0.1})
    found["run"] = Format(run.to_dict(), RunSpec.from_dict, _of_class(RunSpec))
    hardware = yaml.safe_load(cost.hardware("rasch-li").to_yaml())
    found["hardware"] = Format(hardware, cost.Hardware.from_dict, _of_hardware)
    settings = dataclasses.asdict(MapSettings())
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    found["map"] = Format(settings, lambda data: MapSettings(**data), _of_class(MapSettings))
    compare = {k: list(v) if isinstance(v, tuple) else v for k, v in COMPARE.settings.items()}
    found["compare"] = Format(
        compare,
        lambda data: COMPARE.check({**COMPARE.settings, **check_settings("compare", COMPARE.settings, data)}),
        _of_compare,
    )
    return found


def _paths(content: Mapping[str, Any], start: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in content.items():
        yield (*start, name)
        if isinstance(value, Mapping):
            yield from _paths(value, (*start, name))


def sensible(value: Any, hint: Any, owner: str, name: str) -> bool:
    """As `legitimate`, of what a file says: a part may be empty, or null, and then has its defaults."""
    parts = [hint, *typing.get_args(hint)] if isinstance(hint, types.UnionType) else [hint]
    if hint in (og.SoftBounds, cost.Hardware):  # a part that must be there
        return False
    if any(dataclasses.is_dataclass(part) for part in parts):
        return value is None or value == {}
    return legitimate(value, hint, owner, name)


def sweep_formats(names: list[str] | None = None, every: int = 1) -> Iterator[Finding]:
    """Every format with valid content, then with every so many of what is wrong in its fields."""
    count = itertools.count()
    for name, form in formats().items():
        if names is not None and name not in names:
            continue
        found = attempt(name, "valid", True, lambda form=form: form.read(copy.deepcopy(form.content)))
        yield found if found.outcome == "legitimate" else dataclasses.replace(found, outcome="example")
        for path in _paths(form.content):
            if name == "hardware" and path[1:] not in ((), ("value",)) and path[0] != "array_rows":
                continue  # of the others by the same lines
            hint, owner = form.field(path)
            for label, value in PLAIN.items():
                if next(count) % every:
                    continue
                sense = sensible(value, hint, owner, path[-1])
                changed = copy.deepcopy(dict(form.content))
                inner: Any = changed
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = value
                yield attempt(f"{name}: {'.'.join(path)}", label, sense, lambda c=changed, f=form: f.read(c))
