"""Objects in Python files of one's own, named as FILE.py:NAME: devices, algorithms, networks, data sets."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import InputError, check_choice, said, shown

__all__ = ["anywhere", "by_contents", "digest", "is_in_file", "made_in", "object_in"]


def is_in_file(name: Any) -> bool:
    """Whether a name is one of an object in a file: FILE.py:NAME."""
    return isinstance(name, str) and ".py:" in name


def object_in(name: str) -> Any:
    """The object NAME of FILE.py:NAME; the file's folder is on the path while it runs, as for a script.

    A file runs once in a process, and again when its contents have changed.

    Raises:
        InputError: when there is no such file or name, or the file raises.
    """
    path, _, inside = name.rpartition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(
            f"cannot read {path}: give a Python file and a name in it, as in my_device.py:device"
        )
    module = _module(file.resolve(), digest(file), path)
    names = [n for n in vars(module) if n[0] != "_"]
    return getattr(module, check_choice(f"name in {path}", inside, names))


def made_in(
    name: str, kind: type | tuple[type, ...], what: str, arguments: Sequence[tuple[Any, ...]] = ((),)
) -> Any:
    """The object of FILE.py:NAME if it is a `kind`, or else the one that it gives when it is called.

    Args:
        name: FILE.py:NAME.
        kind: the class, or several.
        what: what is wanted, for messages, as in "a Device, or a function that gives one".
        arguments: with which it may be called; the first that its signature takes.

    Raises:
        InputError: when it is neither, or raises.
    """
    found = object_in(name)
    if isinstance(found, kind):
        return found
    given = next((a for a in arguments if callable(found) and _takes(found, a)), None)
    if given is None:
        raise InputError(f"{name} is {shown(found)}, but must be {what}")
    try:
        made = found(*given)
    except InputError:
        raise
    except Exception as error:  # whatever a user's function may raise
        raised = f"{type(error).__name__} ({said(error)})"
        raise InputError(f"{name} raised {raised}: run it by itself first") from error
    if not isinstance(made, kind):
        raise InputError(f"{name} gives {shown(made)}, but must be {what}")
    return made


def _takes(function: Any, arguments: tuple[Any, ...]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # something in C that does not say what it takes
        return True
    return True


def anywhere(name: str) -> str:
    """A name that is right in any folder: FILE.py:NAME with the file's whole path; others as they are."""
    if not is_in_file(name):
        return name
    file, _, inside = name.rpartition(":")
    return f"{Path(file).expanduser().resolve()}:{inside}"


def by_contents(name: str) -> str:
    """A name that changes with what it names: the file of FILE.py:NAME as its digest; others as they are."""
    if not is_in_file(name):
        return name
    file, _, inside = name.rpartition(":")
    return f"{digest(Path(file).expanduser())}:{inside}"


def digest(file: Path) -> str:
    """Hash of a file's contents: 12 hexadecimal digits.

    Raises:
        InputError: when it cannot be read.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise InputError(f"cannot read {file} ({error.strerror}): is it there?") from None


@lru_cache(maxsize=64)
def _module(file: Path, contents: str, path: str) -> ModuleType:
    name = f"ohmgrad_user_{file.stem}_{contents}"  # never that of a module that others import
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # its name has .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    sys.modules[name] = module  # dataclasses in it look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file may raise
        del sys.modules[name]
        raise InputError(
            f"{path} raised {type(error).__name__} ({said(error)}): run it by itself first"
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return module
