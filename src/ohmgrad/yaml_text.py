"""YAML as people write it: numbers such as 1e-3 are numbers, and what cannot be read is one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, said

__all__ = ["parse_yaml", "read_yaml"]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the exponents of YAML 1.2: 1e-3 has no dot, and is a float."""


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
        InputError: when it is not YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise InputError(f"{what} is not valid YAML: {said(error)}") from None


def read_yaml(path: Path, what: str = "") -> Any:
    """The content of a YAML file; `what` names it in messages, by default its path.

    Raises:
        InputError: when the file cannot be read, or is not YAML in UTF-8.
    """
    what = what or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{what} is not text in UTF-8: save it as such, or name another file") from None
    return parse_yaml(text, what)
