"""The API reference: a page for each public package, with every name of its `__all__`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from docstring import doc_of

import ohmgrad

__all__ = ["api_pages"]

#: packages in the order of the reference; others follow
FIRST = (
    "ohmgrad",
    "ohmgrad.devices",
    "ohmgrad.devices.presets",
    "ohmgrad.devices.fitting",
    "ohmgrad.crossbar",
    "ohmgrad.kernels",
    "ohmgrad.nn",
    "ohmgrad.optim",
    "ohmgrad.theory",
    "ohmgrad.ensemble",
    "ohmgrad.monitor",
    "ohmgrad.conformance",
    "ohmgrad.cost",
    "ohmgrad.datasets",
    "ohmgrad.models",
    "ohmgrad.studies",
    "ohmgrad.report",
)
_FOUND = (f"ohmgrad.{found.name}" for found in pkgutil.iter_modules(ohmgrad.__path__) if found.ispkg)
PACKAGES = (*FIRST, *sorted({*_FOUND} - {*FIRST, "ohmgrad.cli"}), "ohmgrad.errors")


def api_pages() -> Iterator[tuple[str, str]]:
    """Names and Markdown of the pages."""
    yield "api/index", _index()
    documented: dict[object, str] = {}
    packages = {name: importlib.import_module(name) for name in PACKAGES}
    for package in sorted(packages, key=lambda name: name == "ohmgrad"):  # which gathers from the others
        for name in packages[package].__all__:
            thing = getattr(packages[package], name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                documented.setdefault(thing, package)
    for package, module in packages.items():
        yield f"api/{package}", _page(package, module, documented)


def _index() -> str:
    rows = "\n".join(
        f"| [`{name}`]({name}.md) | {_first(importlib.import_module(name))} |" for name in PACKAGES
    )
    tree = "\n".join(PACKAGES)
    return (
        "# API reference\n\nEvery public name, by package. A name that two packages offer is described "
        "in one.\n\n"
        f"| package | what it holds |\n|---|---|\n{rows}\n\n"
        f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{tree}\n```\n"
    )


def _page(package: str, module: object, documented: dict[object, str]) -> str:
    mine, elsewhere, values = [], [], []
    for name in sorted(module.__all__):  # pyright: ignore[reportAttributeAccessIssue]
        thing = getattr(module, name)
        home = documented.get(thing) if callable(thing) and getattr(thing, "__hash__", None) else None
        if home == package:
            mine.append((name, thing))
        elif home:
            elsewhere.append((name, home, thing))
        elif not name.startswith("__"):
            values.append((name, thing))
    rows = [f"| {{py:obj}}`{n} <{package}.{n}>` | {_first(t)} |" for n, t in mine]
    rows += [f"| {{py:obj}}`{n} <{home}.{n}>` | {_first(t)} |" for n, home, t in elsewhere]
    rows += [f"| `{n}` | {_value(t)} |" for n, t in values]
    table = "| name | what it is |\n|---|---|\n" + "\n".join(rows) if rows else ""
    entries = "\n\n".join(_entry(package, name, thing) for name, thing in mine)
    return (
        f"# {package}\n\n{_first(module)}\n\n{table}\n\n"
        f"```{{eval-rst}}\n.. currentmodule:: {package}\n\n{entries}\n```\n"
    )


def _first(thing: object) -> str:
    return doc_of(thing).summary.replace("|", "\\|").replace("*", "\\*")


def _value(thing: object) -> str:
    if inspect.ismodule(thing):
        name = thing.__name__
        return f"a module: [`{name}`]({name}.md)" if name in PACKAGES else f"a module: {_first(thing)}"
    return f"a value, {type(thing).__name__}"


def _entry(package: str, name: str, thing: object) -> str:
    if inspect.isclass(thing):
        return f".. autoclass:: {package}.{name}\n   :members:\n   :member-order: bysource"
    return f".. autofunction:: {package}.{name}"
