"""What the arrays of a training counted in each epoch, in its checkpoint and as a CSV file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..cost.counts import ArrayEvents
from ..crossbar import EVENTS
from ..errors import InputError, check_integer, shown
from .folders import file_name
from .rows import COUNTED, check_names, read_rows, write_rows

__all__ = ["EpochEvents", "events_file", "packed_events", "read_events", "unpacked_events", "write_events"]


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
    for row in read_rows(path, COUNTED, again) if path.is_file() else []:
        each = epochs.setdefault(row["epoch"], EpochEvents(row["epoch"], row["images"], row["steps"], []))
        place = (row["layer"], row["tile"], row["array"], row["rows"], row["cols"], bool(row["seen"]))
        each.arrays.append(ArrayEvents(*place, {name: row[name] for name in EVENTS}))
    return list(epochs.values())


def packed_events(epochs: list[EpochEvents]) -> list[dict[str, Any]]:
    """Events as a checkpoint has them."""
    return [asdict(each) for each in epochs]


def unpacked_events(kept: Any) -> list[EpochEvents]:
    """Inverse of `packed_events`.

    Raises:
        InputError: when they are not those of the first epochs of a training.
    """
    if not isinstance(kept, list):
        raise InputError(f"its events are {shown(kept)}")
    epochs = []
    for number, each in enumerate(kept, 1):
        check_names("events", each, ("epoch", "images", "steps", "arrays"))
        check_integer("epoch of its events", each["epoch"], number, number)
        for name in ("images", "steps"):
            check_integer(f"{name} of its events", each[name], 1)
        if not isinstance(each["arrays"], list):
            raise InputError(f"arrays of its events are {shown(each['arrays'])}")
        for array in each["arrays"]:
            check_names("events of an array", array, [field.name for field in fields(ArrayEvents)])
            check_names("events of an array", array["events"], EVENTS)
            sizes = {name: array[name] for name in ("tile", "rows", "cols")}
            for name, value in {**sizes, **array["events"]}.items():
                check_integer(f"{name} of its events", value, 0, 2**63 - 1)
            if [type(array[name]) for name in ("layer", "array", "seen")] != [str, str, bool]:
                raise InputError(f"its events are of {shown(array['layer'])}, {shown(array['array'])}")
        arrays = [ArrayEvents(**array) for array in each["arrays"]]
        epochs.append(EpochEvents(each["epoch"], each["images"], each["steps"], arrays))
    return epochs
