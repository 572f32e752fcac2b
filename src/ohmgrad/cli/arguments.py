"""What several commands take as text: names, seeds, devices, settings as name=value; and their examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import InputError, check_choice, shown
from ..yaml_text import parse_yaml

__all__ = ["device_of", "examples", "named_values", "names_of", "rows_by_columns", "seeds_of"]


def examples(*lines: str) -> str:
    """An epilog with one example a line."""
    return "\n\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


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
    """A preset's name, or the content of a device's YAML file."""
    if name is None or not name.endswith((".yaml", ".yml")):
        if name is not None:
            from ..devices.presets import PRESETS

            if Path(name).suffix:
                raise InputError(f"{name} is no device: give a preset, or a YAML file (.yaml, .yml)")

            check_choice("device", name, PRESETS)
        return name
    from ..devices import Device

    return Device.from_yaml(Path(name)).to_dict()
