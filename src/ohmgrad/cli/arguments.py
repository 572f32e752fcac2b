"""What several commands take as text: names, seeds, devices, settings as name=value; and their examples."""

from __future__ import annotations

import inspect
import re
from typing import Any

from ..errors import InputError, shown
from ..yaml_text import parse_yaml

__all__ = [
    "device_of", "examples", "named_values", "names_of", "paragraphs", "rows_by_columns", "seeds_of",
]  # fmt: skip


def examples(*lines: str) -> str:
    """An epilog with one example a line."""
    return "\n\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


def paragraphs(text: str) -> str:
    """A docstring as help: a paragraph is one line, which the terminal wraps."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def named_values(option: str, pairs: list[str]) -> dict[str, Any]:
    """Pairs such as `lr=0.1` as names and values; values are YAML.

    Raises:
        InputError: when a pair has no equals sign, or a value is not YAML.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{option} {shown(pair)} must be name=value, as in lr=0.1")
        values[name.strip()] = parse_yaml(value, f"{option} {shown(pair)}")
    return values


def names_of(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def rows_by_columns(option: str, text: str) -> tuple[int, int]:
    """Two sizes such as 512x512.

    Raises:
        InputError: when the text is something else.
    """
    size = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    if not size:
        raise InputError(f"{option} is {shown(text)}, but must be rows x columns, as in 512x512")
    return int(size[1]), int(size[2])


def seeds_of(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"seeds is {shown(text)}, but must be integers with commas, as in 0,1,2") from None


def device_of(name: str | None) -> str | dict[str, Any] | None:
    """What a run file says of a device: a preset's name, a mapping, or FILE.py:NAME."""
    if name is None:
        return None
    from ..devices.named import device_written
    from ..devices.presets import PRESETS

    return name if name in PRESETS else device_written(name)
