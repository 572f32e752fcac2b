"""Every command with nonsense as every option and argument: exit code 2 and a sentence, and nothing done."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import tempfile
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
import typer.models

from ohmgrad.cli import app, main

from .calls import Finding, attempt
from .examples import FOLDER, files
from .kinds import FACES, POSITIVE, RANGES, RATE, Numbers

__all__ = ["commands", "lines_of", "sweep_commands", "tried"]

#: a valid command line of each command; one without an entry has no arguments that it must have
BASES: dict[str, list[str]] = {
    "train": ["--images", "20", "--algorithms", "sgd"],
    "fit": [str(FOLDER / "pulses.csv")],
    "plot": [str(FOLDER / "run")],
    "report": [str(FOLDER / "run")],
    "reproduce": ["S1"],
    "compare": ["paper"],
    "cost": [str(FOLDER / "run")],
    "tiles": ["mlp"],
    "map": ["paper"],
    "devices show": ["paper"],
    "check device": ["paper"],
    "check algorithm": ["sgd"],
}
#: options whose value may be any text: names of files that are written, and what only some files have
FREE = {"out", "sheet"}
#: texts that make sense, of options that are lists of numbers
LISTS = {"train.seeds": {"0"}, "map.rates": {"1.5"}}
#: ranges that only commands have, by `command.option` or name
OWN = {
    "lr": RATE,
    "compare.seeds": Numbers(2, 2**31 - 1),
    "map.trainings": Numbers(6, 2**31 - 1),
    "map.target": Numbers(0, 100, open_low=True, open_high=True),
    "cost.accuracy": Numbers(1, 100, open_low=True),
    "compare.accuracy": Numbers(0, 100),  # 0: the highest that all reach
}


@dataclass(frozen=True)
class Part:
    """An option or argument of a command: flags (none for an argument), type, and whether it is needed."""

    name: str
    flags: tuple[str, ...]
    kind: Any
    needed: bool


def commands() -> dict[str, list[Part]]:
    """Every command by name, such as `train` and `devices show`, with its options and arguments."""
    found: dict[str, list[Part]] = {}

    def walk(group: typer.Typer, name: str) -> None:
        for command in group.registered_commands:
            function: Any = command.callback
            found[f"{name} {command.name or function.__name__}".strip()] = list(_parts(function))
        for inner in group.registered_groups:
            assert inner.typer_instance is not None
            walk(inner.typer_instance, f"{name} {inner.name}".strip())

    walk(app, "")
    return found


def _parts(function: Any) -> Iterator[Part]:
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        kind, told = typing.get_args(hints[parameter.name])[:2]
        own = [word for word in told.param_decls or () if word.startswith("-")]
        flag = own or [f"--{parameter.name.replace('_', '-')}"]
        is_option = isinstance(told, typer.models.OptionInfo)
        needed = parameter.default is parameter.empty
        yield Part(parameter.name, tuple(flag) if is_option else (), kind, needed)


def makes_sense(name: str, part: Part, text: str) -> bool:
    """Whether a text is a value of an option or argument."""
    if part.name in FREE:
        return bool(text)
    if text in LISTS.get(f"{name}.{part.name}", ()):
        return True
    kinds = [part.kind, *typing.get_args(part.kind)]
    kind = next((k for k in (int, float) if k in kinds), None)
    if kind is None:
        return False
    try:
        value = kind(text)
    except ValueError:
        return False
    default = Numbers(1, 2**31 - 1) if kind is int else POSITIVE
    own = OWN.get(f"{name}.{part.name}") or OWN.get(part.name) or RANGES.get(part.name, default)
    return own.has(value)


def lines_of(name: str, parts: list[Part]) -> Iterator[tuple[str, list[str]]]:
    """Command lines with one wrong part, each with where it is."""
    words, base = name.split(), BASES.get(name, [])
    yield f"{name} --nonsense", [*words, *base, "--nonsense"]
    for part in parts:
        if not part.flags:
            if part.needed:
                yield f"{name} without {part.name}", words
            for text in FACES:
                if not text.startswith("-") and not makes_sense(name, part, text):
                    yield f"{name} {part.name}", [*words, text, *base[1:]]
            continue
        flag = part.flags[-1].split("/")[0]
        if bool in (part.kind, *typing.get_args(part.kind)):
            yield f"{name} {flag}", [*words, *base, f"{flag}=nonsense"]
            continue
        yield f"{name} {flag}", [*words, *base, flag]
        for text in FACES:
            if not makes_sense(name, part, text):
                yield f"{name} {flag}", [*words, *base, flag, text]
    if all(part.flags for part in parts):
        yield f"{name} and more", [*words, "nonsense", *base]


def sweep_commands(names: list[str] | None = None) -> Iterator[Finding]:
    """All wrong command lines, each in an empty folder."""
    files()
    for name, parts in commands().items():
        if names is None or name in names:
            for where, line in lines_of(name, parts):
                yield tried(where, line)


class _AcceptedError(Exception):
    """A command ended as one that has done its work, or has not said what is wrong."""


def tried(where: str, line: list[str]) -> Finding:
    """What came of a command line, in an empty folder."""
    files()

    def call() -> None:
        from ohmgrad.errors import InputError

        out, err = io.StringIO(), io.StringIO()
        code: Any = 0
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main(line)
                except SystemExit as end:
                    code = end.code
            left = os.listdir(folder)
        said = err.getvalue().strip()
        if code == 2 and said and "Traceback" not in said and not left:
            raise InputError(said.splitlines()[-1])
        raise _AcceptedError(f"exit code {code}, left {left[:3]}, said {said[-200:]!r}")

    return attempt(where, " ".join(line[1:])[-60:], False, call)
