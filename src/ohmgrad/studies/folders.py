"""Run folders: what may be written where, and the numbers of a run from disk and to it."""

from __future__ import annotations

import csv
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..cost.counts import ArrayEvents
from ..crossbar import EVENTS
from ..errors import InputError, naming, shown
from ..monitor import COLUMNS as MONITOR_COLUMNS
from .spec import RunSpec

__all__ = ["COLUMNS", "WATCHED", "EpochEvents", "Row", "check_folder", "events_file", "file_name",
           "make_folder", "read_events", "read_metrics", "read_monitor", "read_spec", "write_events",
           "write_rows"]  # fmt: skip

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
_WHOLE = ("seed", "step", *_PLACES, *EVENTS)
Row = dict[str, Any]


@dataclass(frozen=True)
class EpochEvents:
    """What the arrays counted in one epoch of a training, in its steps alone: not in evaluations.

    Args:
        epoch: from 1.
        images: that the epoch saw.
        steps: of the optimizer.
        arrays: events of each array.
    """

    epoch: int
    images: int
    steps: int
    arrays: list[ArrayEvents]


def read_spec(folder: Path) -> RunSpec:
    """The specification of the run in a folder.

    Raises:
        InputError: when there is no folder, no run in it, or spec.yaml is damaged.
    """
    file = folder / "spec.yaml"
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {folder}, so no run to resume: correct --out, or leave --resume out"
        )
    if not file.is_file():
        raise InputError(f"{folder} has no spec.yaml, so there is no run to resume: choose another --out")
    entries = RunSpec.read(file)
    with naming(file):
        return RunSpec.from_dict(entries)


def check_folder(folder: Path, spec: RunSpec, resume: bool) -> None:
    """Check that a run may be written into a folder; nothing is made or changed.

    Raises:
        InputError: when the folder has files and `resume` is false, cannot be written to, or holds
            another run; one with fewer epochs is the same run.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: choose another folder with --out")
        if folder.is_dir() and any(folder.iterdir()):
            if not resume:
                raise InputError(f"{folder} exists and is not empty: choose another --out, or pass --resume")
            _check_same(folder, read_spec(folder).to_dict(), spec.to_dict())
        place = folder
        while not place.exists():
            place = place.parent
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None


def _check_same(folder: Path, old: Row, new: Row) -> None:
    for name in new:
        more = name == "epochs" and new[name] > old[name]
        # of patterns the first counts, so that their order is a setting, too
        other = old[name] != new[name] or (name == "lr_factors" and list(old[name]) != list(new[name]))
        if other and not more:
            raise InputError(
                f"{folder} holds a run with {name} = {shown(old[name])}, not {shown(new[name])}: use the "
                "same settings to resume (epochs may be raised), or choose another --out"
            )


def make_folder(folder: Path, spec: RunSpec) -> None:
    """Make a run folder that `check_folder` has passed, with the specification in it.

    Raises:
        InputError: when it cannot be written to.
    """
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        whole = folder / "spec.tmp"
        whole.write_text(yaml.safe_dump(spec.to_dict(), sort_keys=False), encoding="utf-8")
        os.replace(whole, folder / "spec.yaml")
    except OSError as error:
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(f"cannot write to {folder} ({error.strerror}): choose another --out")


def read_metrics(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv.

    Raises:
        InputError: when there is none, or it is damaged.
    """
    return _read(folder / "metrics.csv", COLUMNS)


def read_monitor(folder: Path) -> list[Row]:
    """The rows of a run's monitor.csv: algorithm, seed, and what `ohmgrad.Monitor` has in a row.

    Returns:
        All rows; none when the run had no monitor.

    Raises:
        InputError: when the file is damaged.
    """
    path = folder / "monitor.csv"
    return _read(path, WATCHED) if path.is_file() else []


def file_name(algorithm: str) -> str:
    """An algorithm's name in those of files, also where it is a path."""
    return re.sub(r"[^\w.-]+", "-", algorithm)


def events_file(folder: Path, algorithm: str, seed: int) -> Path:
    """Where a run has the events of one training."""
    return folder / "events" / f"{file_name(algorithm)}-{seed}.csv"


def write_events(path: Path, epochs: list[EpochEvents]) -> None:
    """Write the events of a training; nothing of a digital one."""
    rows = [
        {
            "epoch": each.epoch, "images": each.images, "steps": each.steps,
            "layer": array.layer, "tile": array.tile, "array": array.array,
            "rows": array.rows, "cols": array.cols, "seen": int(array.seen), **array.events,
        }
        for each in epochs
        for array in each.arrays
    ]  # fmt: skip
    if rows:
        path.parent.mkdir(exist_ok=True)
        write_rows(path, rows, COUNTED)


def read_events(path: Path) -> list[EpochEvents]:
    """What `write_events` wrote; nothing where there is no file.

    Raises:
        InputError: when the file is damaged.
    """
    epochs: dict[int, EpochEvents] = {}
    again = "train again, into another folder"
    for row in _read(path, COUNTED, again) if path.is_file() else []:
        each = epochs.setdefault(row["epoch"], EpochEvents(row["epoch"], row["images"], row["steps"], []))
        place = (row["layer"], row["tile"], row["array"], row["rows"], row["cols"], bool(row["seen"]))
        each.arrays.append(ArrayEvents(*place, {name: row[name] for name in EVENTS}))
    return list(epochs.values())


def _read(path: Path, columns: tuple[str, ...], again: str = "") -> list[Row]:
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
    whole = path.with_suffix(".tmp")
    with whole.open("w", newline="") as file:
        writer = csv.DictWriter(file, list[str](columns))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(whole, path)
