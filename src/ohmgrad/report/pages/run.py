"""The page of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...checked import checked
from ...cost.hardware import hardware
from ...errors import InputError
from ...studies.costs import costs_of_run
from ...studies.folders import read_metrics, read_monitor, read_spec
from ...studies.rows import Row
from ...studies.spec import RunSpec
from ...studies.versions import read_versions
from ...studies.wear import read_wear
from ...style import style_of
from ..costs import cost_caption, cost_tables
from ..figures import monitor_figure, run_figure
from ..page import Block, Code, Page, Picture, Section
from ..tables import run_table, summarise
from ..wear import wear_figure, wear_table
from .device import device_blocks
from .words import Values, accuracy, as_yaml, command, gap, listed

__all__ = ["accuracies", "device_name", "run_page"]

#: hardware description that pages have costs of
HARDWARE = "rasch-li"
#: settings that every page shows; others where they are not the default
_MAIN = (
    "data",
    "model",
    "algorithms",
    "lr",
    "options",
    "batch_size",
    "epochs",
    "seeds",
    "fidelity",
    "periphery",
)


@checked
def run_page(folder: Path) -> Page:
    """The page of a run folder, also of one that is not finished.

    Raises:
        InputError: when it is none, is damaged, or no epoch is finished.
    """
    spec, rows = read_spec(folder), read_metrics(folder)
    if not rows:
        raise InputError(f"{folder} has no finished epoch yet: train it, or pass --resume")
    name = device_name(spec)
    title = f"Training: {Path(spec.data).stem}, {spec.model.rpartition(':')[2]}, {name}"
    curves: list[Block] = [
        Picture(run_figure(rows), _caption(rows)),
        run_table(summarise(rows), ""),
    ]
    watched = read_monitor(folder)
    if watched:
        curves.append(
            Picture(
                monitor_figure(watched),
                "Squared gradient norm beside the floor that the theory predicts, and the drift of weights "
                "to the symmetric point.",
            )
        )
    sections = [Section("Accuracy and loss", tuple(curves))]
    if (folder / "events").is_dir():
        sections.append(Section("Cost", tuple(_costs(folder, rows))))
    if any(a != "digital" for a in spec.algorithms):
        sections.append(Section("Device", tuple(device_blocks(spec.built_device(), name))))
    kept = "All of them; saved as spec.yaml, they are what the command below takes:"
    sections.append(Section("Settings", (_settings(spec), Code(as_yaml(spec.to_dict()), kept))))
    again = command("train", "--config", "spec.yaml")
    versions = read_versions(folder) or {"versions": "were not noted in this folder"}
    return Page(title, verdict(spec, rows), tuple(sections), again, versions)


def _costs(folder: Path, rows: list[Row]) -> Iterator[Block]:
    """What the trainings cost at equal accuracy; and the wear of elements, where it was counted."""
    best: dict[tuple[str, int], float] = {}
    for row in rows:
        key = row["algorithm"], row["seed"]
        best[key] = max(best.get(key, 0.0), row["test_accuracy"])
    hw, accuracy = hardware(HARDWARE), min(best.values())
    try:
        found = costs_of_run(folder, hw, accuracy)
    except InputError as error:  # an earlier version trained the first epochs
        yield str(error)
        return
    yield (
        f"On {hw.name}, up to the first epoch with {100 * accuracy:.1f} % test accuracy, the highest that "
        "all trainings reach. ohmgrad cost tells more: other hardware, another accuracy, layers and phases, "
        "and the wear of every element."
    )
    yield from cost_tables(found, "energy and time", cost_caption(hw))[:2]
    wear = read_wear(folder)
    if wear:
        yield Picture(
            wear_figure(wear), "Share of the elements of a layer that got more than so many pulses."
        )
        yield wear_table(wear)


def device_name(spec: RunSpec) -> str:
    """A preset's name, or that the device is the user's own; with what was changed of it."""
    name = spec.device if isinstance(spec.device, str) else "own device"
    changes = {"tau": spec.tau, "dw_min": spec.dw_min}
    return ", ".join([name, *(f"{k} {v:g}" for k, v in changes.items() if v is not None)])


def _caption(rows: list[Row]) -> str:
    count = len({row["seed"] for row in rows})
    if count == 1:
        return "One seed."
    return f"Lines are means over {count} seeds, bands reach from the lowest to the highest."


def accuracies(rows: list[Row]) -> dict[str, tuple[int, Values]]:
    """By algorithm: the last epoch that all its seeds have, and test accuracies (%) by seed there."""
    out: dict[str, tuple[int, Values]] = {}
    for line in summarise(rows):
        name, epoch = line["algorithm"], line["epoch"]
        mine = [row for row in rows if row["algorithm"] == name and row["epoch"] == epoch]
        out[name] = epoch, {row["seed"]: 100 * row["test_accuracy"] for row in mine}
    return out


def verdict(spec: RunSpec, rows: list[Row]) -> str:
    """What came out: the best algorithm, its gap to digital SGD, and the others."""
    found = accuracies(rows)
    analog = sorted((a for a in found if a != "digital"), key=lambda a: -_mean(found[a][1]))
    best = analog[0] if analog else "digital"
    epoch, values = found[best]
    label = style_of(best).label
    words = f"After {epoch} epoch{'s' * (epoch > 1)} {label} reaches {accuracy(values)}"
    if analog and "digital" in found and found["digital"][0] == epoch:
        words += f", {gap(values, found['digital'][1], 'digital SGD')}"
    words += "."
    others = analog[1:]
    if others:
        words += f" {listed([_behind(found, other, best) for other in others])}."
    done = sum(row["epoch"] == spec.epochs for row in rows)
    wanted = len(spec.algorithms) * len(spec.seeds)
    if done < wanted:
        words += f" The run is not finished: {done} of {wanted} trainings have all {spec.epochs} epochs."
    return words


def _behind(found: Mapping[str, tuple[int, Values]], name: str, best: str) -> str:
    epoch, values = found[name]
    label = style_of(name).label
    if epoch != found[best][0]:
        return f"{label} reaches {accuracy(values)} after epoch {epoch}"
    return f"{label} is {gap(values, found[best][1], style_of(best).label)}"


def _mean(values: Values) -> float:
    return sum(values.values()) / len(values)


def _settings(spec: RunSpec) -> dict[str, Any]:
    default = RunSpec()
    others = [f.name for f in fields(spec) if f.name not in (*_MAIN, "device")]
    changed = [name for name in others if getattr(spec, name) != getattr(default, name)]
    return {name.replace("_", " "): getattr(spec, name) for name in (*_MAIN, *changed)}
