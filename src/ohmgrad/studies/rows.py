"""The numbers of a training, a row for each epoch: what they may be, and as a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..crossbar import EVENTS
from ..errors import InputError, check_integer, check_number, shown
from ..monitor import COLUMNS as MONITOR_COLUMNS
from .files import write_whole

__all__ = ["COLUMNS", "COUNTED", "WATCHED", "WORN", "Row", "check_names", "check_rows", "diverged",
           "read_rows", "watched_rows", "write_rows"]  # fmt: skip

#: columns of metrics.csv; train_loss is over the first 10,000 images of the training set, after the epoch
COLUMNS = (
    "algorithm",
    "seed",
    "epoch",
    "running_loss",
    "train_loss",
    "test_accuracy",
    "pulses_up",
    "pulses_down",
    "seconds",
)
#: columns of monitor.csv
WATCHED = ("algorithm", "seed", *MONITOR_COLUMNS)
_NAMES = ("algorithm", "layer", "array")
_PLACES = ("epoch", "images", "steps", "tile", "rows", "cols", "seen")
#: columns of a file in events/, a row for every epoch and array
COUNTED = ("layer", "array", *_PLACES, *EVENTS)
#: columns of a file in wear/: of so many epochs, elements of an array that got so many pulses
WORN = ("epoch", "layer", "tile", "array", "pulses", "elements")
_WHOLE = ("seed", "step", *_PLACES, *EVENTS, "pulses", "elements")
Row = dict[str, Any]


def check_names(what: str, value: Any, names: Iterable[str]) -> None:
    """Raise InputError unless `value` is a dictionary with just these names."""
    if not isinstance(value, dict) or {*value} != {*names}:
        found = ", ".join(map(str, value)) if isinstance(value, dict) else value
        raise InputError(f"{what} has {shown(found)}, but must have {', '.join(names)}")


def check_rows(rows: Any, algorithm: str, seed: int) -> list[Row]:
    """Return `rows` if they are those of `folders.COLUMNS` of a training after its first epochs.

    Raises:
        InputError: naming the first that is not.
    """
    if not isinstance(rows, list) or not rows:
        raise InputError("it has no rows")
    before: Row = {"pulses_up": 0, "pulses_down": 0, "seconds": 0.0}
    for epoch, row in enumerate(rows, 1):
        what = f"row {epoch}"
        check_names(what, row, COLUMNS)
        of = [row[name] for name in COLUMNS[:3]]
        if of != [algorithm, seed, epoch] or [*map(type, of)] != [str, int, int]:
            raise InputError(f"{what} is of {shown(of)}")
        for name in ("running_loss", "train_loss", "test_accuracy", "seconds"):
            if type(row[name]) is not float or row[name] < 0:  # a loss is nan where it diverged
                raise InputError(f"{name} of {what} is {shown(row[name])}")
        check_number(f"test_accuracy of {what}", row["test_accuracy"], low=0, high=1)
        check_number(f"seconds of {what}", row["seconds"], low=before["seconds"])
        for name in ("pulses_up", "pulses_down"):
            check_integer(f"{name} of {what}", row[name], before[name], 2**63 - 1)
        before = row
    return rows


def watched_rows(monitor: Any, algorithm: str, seed: int) -> list[Row]:
    """The rows of monitor.csv in the state of a training's monitor, or in None.

    Raises:
        InputError: when they are none.
    """
    rows = [] if monitor is None else monitor.get("rows") if isinstance(monitor, dict) else None
    if not isinstance(rows, list):
        raise InputError("its monitor has no rows")
    last = 0
    for row in rows:
        check_names("a row of its monitor", row, MONITOR_COLUMNS)
        last = check_integer("step of its monitor", row["step"], max(last, 1))
        numbers = [value for name, value in row.items() if name not in ("step", "layer")]
        if type(row["layer"]) is not str or not all(type(v) is float for v in numbers):
            raise InputError(f"a row of its monitor is {shown(row)}")
    return [{"algorithm": algorithm, "seed": seed, **row} for row in rows]


def diverged(row: Row) -> bool:
    """Whether a training lost its way by the end of an epoch, so that its numbers need not be finite."""
    return not all(math.isfinite(row[name]) for name in ("running_loss", "train_loss"))


def read_rows(path: Path, columns: tuple[str, ...], again: str = "") -> list[Row]:
    """Rows of a CSV file: columns in `_WHOLE` are integers, all others but names are floats."""
    again = again or f"`ohmgrad train --resume --out {path.parent}` writes it again"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {missing[0]}: {again}")
            rows: list[Row] = []
            for row in reader:
                try:
                    rows.append({name: _value(name, row[name]) for name in columns})
                except (TypeError, ValueError):  # None in a row that is cut off; text that is no number
                    raise InputError(f"{path}, line {reader.line_num}, is damaged: {again}") from None
            return rows
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): is this a run folder?") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} is no CSV text: {again}") from None


def _value(name: str, text: str) -> Any:
    if name in _NAMES:
        return text
    return int(text) if name in _WHOLE else float(text)


def write_rows(path: Path, rows: list[Row], columns: tuple[str, ...]) -> None:
    """Write a CSV file; one that is cut off leaves the old one whole."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list[str](columns))
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, out.getvalue())
