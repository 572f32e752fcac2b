"""YAML as people write it: numbers such as 1e-3 are numbers, and what cannot be read is one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, said

__all__ = ["parse_yaml", "read_yaml"]


#: what a text may have at most: characters, in all and in one value; levels; values, copies by * counted too
MOST_TEXT, MOST_SCALAR, MOST_LEVELS, MOST_VALUES = 1_000_000, 10_000, 50, 100_000


_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SAFE):
    """PyYAML's safe loader, in C if it is there, with the exponents of YAML 1.2: 1e-3 has no dot."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+\Z"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, what: str) -> Any:
    """The content of YAML text.

    Args:
        text: YAML.
        what: what the text is, for messages.

    Raises:
        InputError: when it is not YAML, or longer or deeper than specifications are.
    """
    if len(text) > MOST_TEXT:
        raise InputError(f"{what} has {len(text)} characters, but must have {MOST_TEXT} at most")
    try:
        _check_size(text, what)
        return yaml.load(text, _Loader)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise InputError(f"{what} is not valid YAML: {said(error)}") from None


def _check_size(text: str, what: str) -> None:
    """Raise InputError for a text that is small but would be large or deep once it is read."""
    sizes: dict[str, int] = {}  # of values with an anchor, by its name
    open_: list[tuple[str | None, int]] = []  # anchors of the lists and mappings around, and sizes so far
    total = 0
    for event in yaml.parse(text, _Loader):
        size, anchor = 1, getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((anchor, total))
            if len(open_) > MOST_LEVELS:
                raise InputError(f"{what} has lists in lists over {MOST_LEVELS} levels deep: flatten it")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            size = 0
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == name for name, _ in open_):
                raise InputError(f"{what} has *{anchor} inside of &{anchor}: write it out")
            size = sizes.get(anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            if len(event.value) > MOST_SCALAR:
                raise InputError(
                    f"{what} has a value of {len(event.value)} characters, but of {MOST_SCALAR} at most"
                )
            if anchor is not None:
                sizes[anchor] = 1
        else:
            size = 0
        total += size
        if total > MOST_VALUES:
            raise InputError(f"{what} has more than {MOST_VALUES} values, copies by * counted: write fewer")


def read_yaml(path: Path, what: str = "") -> Any:
    """The content of a YAML file; `what` names it in messages, by default its path.

    Raises:
        InputError: when the file cannot be read, or is not YAML in UTF-8.
    """
    what = what or str(path)
    try:
        if (size := path.stat().st_size) > 4 * MOST_TEXT:  # bytes of a character
            raise InputError(f"{what} has {size} bytes, but must have {MOST_TEXT} characters at most")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{what} is not text in UTF-8: save it as such, or name another file") from None
    return parse_yaml(text, what)
