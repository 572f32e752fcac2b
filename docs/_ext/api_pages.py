"""The API reference: a page for each public package, with every name of its `__all__`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

from docstring import doc_of

__all__ = ["api_pages"]

#: packages with public names, in the order of the reference
PACKAGES = {
    "ohmgrad": "what most scripts need",
    "ohmgrad.devices": "the physics of one element",
    "ohmgrad.devices.presets": "named devices with their sources",
    "ohmgrad.devices.fitting": "measured pulses to a device",
    "ohmgrad.crossbar": "tiles: arrays with their periphery",
    "ohmgrad.kernels": "pulses, products and their settings",
    "ohmgrad.nn": "analog layers",
    "ohmgrad.optim": "algorithms",
    "ohmgrad.theory": "dynamics, fixed points, floors, bounds",
    "ohmgrad.ensemble": "thousands of small runs as one batch",
    "ohmgrad.monitor": "predictions beside a training",
    "ohmgrad.conformance": "the laws for devices and algorithms",
    "ohmgrad.cost": "energy, time, area, wear",
    "ohmgrad.datasets": "data",
    "ohmgrad.models": "networks as plain torch modules",
    "ohmgrad.studies": "trainings, comparisons, studies of papers",
    "ohmgrad.report": "tables, figures, pages",
    "ohmgrad.errors": "the one error for wrong input",
}


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
    rows = "\n".join(f"| [`{name}`]({name}.md) | {words} |" for name, words in PACKAGES.items())
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
