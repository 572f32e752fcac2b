"""Summaries over seeds, and tables for the terminal."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..checked import checked
from ..devices import Device, describe, draw
from ..devices.presets import PRESETS
from ..errors import InputError
from ..rng import Key
from ..studies.rows import write_rows
from ..style import style_of

__all__ = ["device_table", "run_table", "summarise", "table_as_data", "write_summary"]

_QUANTITIES: dict[str, Callable[[dict[str, Any]], float]] = {
    "train_loss": lambda row: row["train_loss"],
    "test_accuracy": lambda row: row["test_accuracy"],
    "pulses": lambda row: row["pulses_up"] + row["pulses_down"],
    "seconds": lambda row: row["seconds"],
}


@checked
def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over seeds of every algorithm's last common epoch.

    Returns:
        One dictionary an algorithm: algorithm, epoch, seeds, and for train_loss, test_accuracy, pulses
        and seconds the mean and, under `..._sd`, the standard deviation (NaN for one seed).
    """
    out = []
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        mine = [row for row in rows if row["algorithm"] == algorithm]
        seeds = {row["seed"] for row in mine}
        epoch = min(max(r["epoch"] for r in mine if r["seed"] == s) for s in seeds)
        last = [row for row in mine if row["epoch"] == epoch]
        line: dict[str, Any] = {"algorithm": algorithm, "epoch": epoch, "seeds": len(last)}
        for name, quantity in _QUANTITIES.items():
            values = [quantity(row) for row in last]
            line[name] = mean(values)
            line[f"{name}_sd"] = stdev(values) if len(values) > 1 else math.nan
        out.append(line)
    return out


@checked
def write_summary(summary: list[dict[str, Any]], path: Path) -> None:
    """Write what `summarise` returned as CSV."""
    _check_summary(summary)
    write_rows(path, summary, tuple(summary[0]))


@checked
def run_table(summary: list[dict[str, Any]], title: str) -> Table:
    """The final table of a run."""
    _check_summary(summary)
    table = Table(title=escape(title), title_justify="left")
    table.add_column("algorithm")
    for column in ("test accuracy %", "training loss (nats)", "pulses (millions)", "time (s)"):
        table.add_column(column, justify="right")
    for line in summary:
        table.add_row(
            style_of(line["algorithm"]).label,
            _pm(line, "test_accuracy", 100, 1),
            _pm(line, "train_loss", 1, 4),
            _pm(line, "pulses", 1e-6, 2) if line["pulses"] else "-",
            _pm(line, "seconds", 1, 1),
        )
    seeds = summary[0]["seeds"]
    spread = "mean ± standard deviation over" if seeds > 1 else "of"
    table.caption = f"{spread} {seeds} seed{'s' if seeds > 1 else ''}, after epoch {summary[0]['epoch']}"
    table.caption_justify = "left"
    return table


def _check_summary(summary: list[dict[str, Any]]) -> None:
    if not summary:
        raise InputError("summary is empty, but must have a line: summarise() makes one an algorithm")


def _pm(line: dict[str, Any], name: str, factor: float, digits: int) -> str:
    value, spread = line[name] * factor, line[f"{name}_sd"] * factor
    if math.isnan(spread):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ± {spread:.{digits}f}"


def table_as_data(table: Table) -> dict[str, Any]:
    """A table for programs: title, note, and a row as a mapping of column names to numbers and texts.

    What is a number alone is one; "-" is None; what has more in a cell, as in 97.2 ± 0.3, stays a text.
    """
    names = [_plain(column.header) or f"column {i}" for i, column in enumerate(table.columns, 1)]
    cells = zip(*([_value(_plain(cell)) for cell in column.cells] for column in table.columns), strict=True)
    data: dict[str, Any] = {"title": _plain(table.title or "")}
    if table.caption:
        data["note"] = _plain(table.caption)
    return {**data, "rows": [dict(zip(names, row, strict=True)) for row in cells]}


def _plain(cell: Any) -> str:
    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)


def _value(text: str) -> Any:
    if text == "-":
        return None
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            value = kind(text.replace(",", ""))
            return value if math.isfinite(value) else text
    return text


def point_in_words(device: Device) -> str:
    """Symmetric point of the nominal element; says so where it is a bound."""
    element = draw(device.nominal, (1, 1), Key(0, 0))
    point = element.symmetric_point()
    inside = bool((element.lower < point) & (point < element.upper))
    return f"{float(point):.3g}" + ("" if inside else " (bound)")


def device_table() -> Table:
    """All presets with what matters of them."""
    table = Table(title="devices", title_justify="left")
    for column in ("name", "elements", "symmetric point", "stands for", "source"):
        table.add_column(column, overflow="fold")
    for name, entry in PRESETS.items():
        try:
            device = entry.device
        except InputError:
            table.add_row(name, "measured tables; files needed", "-", entry.note, entry.source)
            continue
        table.add_row(name, describe(device), point_in_words(device), entry.note, entry.source)
    return table
