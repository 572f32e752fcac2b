"""Rows of cells as columns of numbers: where the table begins, its names, its units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError, shown
from .cells import MISSING, SEPARATORS, Grid, number

__all__ = ["Columns", "columns_of", "complaint", "unit_of"]

#: units of conductance (siemens), current (ampere), resistance (ohm), and none
_UNITS = {
    **dict.fromkeys(("s", "siemens"), "S"),
    **dict.fromkeys(("a", "amp", "amps", "ampere"), "A"),
    **dict.fromkeys(("ohm", "ohms", "ω"), "ohm"),
    **dict.fromkeys(
        ("a.u.", "au", "arb.u.", "arb. units", "1", "norm", "norm.", "normalized", "normalised"), ""
    ),
    **{"v": "V", "sec": "s", "%": "%", "#": "#", "pulses": "#"},
}
_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3,
             "k": 1e3, "M": 1e6, "G": 1e9}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """Columns of one length: numbers (NaN where missing), or text where most cells are text.

    - `names`: of the header, or "" where there is none; `units`: as written, or "";
    - `values`: float64 (rows,) or a list of text; `lines`: number of each row in the file.
    """

    source: str
    names: list[str]
    units: list[str]
    values: list[Any]
    lines: np.ndarray
    said: list[str]

    def label(self, column: int) -> str:
        """A column for people: its number from 1, and its name."""
        name = self.names[column]
        return f"column {column + 1}" + (f" ({name})" if name else "")

    def numeric(self, column: int) -> bool:
        return isinstance(self.values[column], np.ndarray)


def unit_of(text: str) -> tuple[str, float] | None:
    """Base unit (S, A, ohm, V, s, % or "") and factor of a unit as people write it; None for other text."""
    text = text.strip().strip("[]()").strip()
    if text.lower() in _UNITS:
        return ("s" if text == "s" else _UNITS[text.lower()]), 1.0  # siemens is a capital S
    for prefix, factor in _PREFIXES.items():
        rest = text.removeprefix(prefix)
        if rest != text and (rest == "s" or _UNITS.get(rest.lower()) in ("S", "A", "ohm", "V")):
            return ("s" if rest == "s" else _UNITS[rest.lower()]), factor
    return None


def columns_of(grid: Grid) -> Columns:
    """Columns of a grid.

    Raises:
        InputError: naming row and column of a cell that is no number among numbers, or is infinite.
    """
    width = max(len(row) for row in grid.rows)
    rows = [row + [None] * (width - len(row)) for row in grid.rows]
    numeric = _numeric(rows, width)
    if not any(numeric):
        raise InputError(f"{grid.source} has no numbers: name a file of measured pulses")
    start = next((i for i, row in enumerate(rows) if _is_data(row, numeric)), None)
    if start is None:
        raise InputError(f"{grid.source} has no row of numbers: name a file of measured pulses")
    names, units, said = _header(rows[:start], width)
    body, lines = rows[start:], grid.lines[start:]
    body, lines = _without_footer(body, lines, numeric)
    values: list[Any] = []
    for c in range(width):
        if not numeric[c]:
            values.append(["" if row[c] is None else str(row[c]).strip() for row in body])
            continue
        array = np.empty(len(body))
        for i, row in enumerate(body):
            value = number(row[c])
            if value is None or np.isinf(value):
                where = f"row {lines[i]}, column {c + 1}" + (f" ({names[c]})" if names[c] else "")
                raise InputError(f"{grid.source} {where}: {complaint(row[c], value)}")
            array[i] = value
        values.append(array)
    keep = [c for c in range(width) if not numeric[c] or not np.isnan(values[c]).all()]
    at = np.array(lines)
    return Columns(
        grid.source, [names[c] for c in keep], [units[c] for c in keep], [values[c] for c in keep], at,
        [grid.said, *said],
    )  # fmt: skip


def complaint(cell: Any, value: float | None) -> str:
    """What is wrong with a cell that has no number (`value` None) or a too large one, and what to do."""
    if value is not None:
        return f"{shown(cell)} is too large for a number: leave the cell empty where nothing was measured"
    text = str(cell).strip()
    match = re.match(r"([-+−]?[\d.]+(?:[eE][-+]?\d+)?)\s*([^\d\s.,;]+)$", text)
    if match and unit_of(match[2]) is not None:
        return f"{shown(text)} has its unit in the cell: write the unit in the header, and numbers below"
    for separator, name in SEPARATORS.items():
        parts = text.split(separator)
        if len(parts) > 1 and all(p.strip() and number(p) is not None for p in parts):
            return f"{shown(text)} are several numbers, with {name} between them: give each a cell of its own"
    return f"{shown(cell)} is no number: correct it, or leave the cell empty where nothing was measured"


def _numeric(rows: list[list[Any]], width: int) -> list[bool]:
    """Columns in which most cells that are there are numbers."""
    step = max(1, len(rows) // 1000)
    sample = rows[::step]
    out = []
    for c in range(width):
        there = [
            row[c] for row in sample if row[c] is not None and str(row[c]).strip().lower() not in MISSING
        ]
        numbers = sum(number(cell) is not None for cell in there)
        out.append(bool(there) and numbers > len(there) / 2)
    return out


def _is_data(row: list[Any], numeric: list[bool]) -> bool:
    values = [number(cell) for cell, is_numeric in zip(row, numeric, strict=True) if is_numeric]
    return all(v is not None for v in values) and any(v is not None and not np.isnan(v) for v in values)


def _header(rows: list[list[Any]], width: int) -> tuple[list[str], list[str], list[str]]:
    """Names and units from the rows above the numbers."""
    text = [["" if cell is None else str(cell).strip() for cell in row] for row in rows]
    units, said = [""] * width, []
    if text and any(text[-1]) and all(not c or unit_of(c) is not None for c in text[-1]) and len(text) > 1:
        units = [c.strip("[]()") for c in text.pop()]
        said.append("a row of units")
    names = [""] * width
    if text:
        names = text[-1]
        said.append("a header" + (f", {len(text) - 1} lines above it skipped" if len(text) > 1 else ""))
    else:
        said.append("no header")
    for c, name in enumerate(names):
        found = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]", name) or re.search(r"[_/ ]([^_/ ]+)$", name)
        if found and not units[c] and unit_of(found[1]) is not None:
            units[c] = found[1].strip()
    return names, units, said


def _without_footer(
    body: list[list[Any]], lines: list[int], numeric: list[bool]
) -> tuple[list[list[Any]], list[int]]:
    """Without rows at the end that are all text, as instruments add them."""
    end = len(body)
    while (
        end > 1
        and all(
            not is_numeric or cell is None or (number(cell) is None or np.isnan(number(cell) or 0.0))
            for cell, is_numeric in zip(body[end - 1], numeric, strict=True)
        )
        and any(number(cell) is None for cell in body[end - 1])
    ):
        end -= 1
    return body[:end], lines[:end]
