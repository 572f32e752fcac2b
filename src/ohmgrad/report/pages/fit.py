"""The page of a fit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ...checked import checked
from ...devices.fitting.estimates import Estimate
from ...devices.fitting.fit import Fit
from ...devices.fitting.pulses import ReadOptions
from ...errors import InputError
from ...studies.versions import versions_now
from ..fits import fit_figure, fit_table, ranking_table
from ..page import Block, Page, Picture, Section
from .device import device_blocks
from .words import command, listed

__all__ = ["fit_page"]

#: figures that the verdict names, and how
_TOLD = {
    "states": ("{} states", 1.0),
    "symmetric point": ("a symmetric point at {}", 1.0),
    "cycle-to-cycle noise, of a step": ("cycle-to-cycle noise of {} % of a step", 100.0),
}


@checked
def fit_page(
    fit: Fit,
    files: Sequence[Path],
    device: Path,
    options: ReadOptions | None = None,
    families: Sequence[str] | None = None,
) -> Page:
    """The page of a fit.

    Args:
        fit: what came out.
        files: what was read.
        device: the YAML file that the device was written to.
        options, families: what the user said, for the command.
    """
    if not files:
        raise InputError("files is empty, but must name what was read")
    name = files[0].stem
    blocks: list[Block] = [
        Picture(
            fit_figure(fit, name),
            "Readings with the fitted state and a ramp that the fitted device makes; what is left of the "
            "readings; the fitted steps; how far each family is behind the best.",
        ),
        fit_table(fit),
    ]
    if fit.ranking:
        blocks.append(ranking_table(fit))
    sections = (
        Section("Fit", tuple(blocks)),
        Section("What was read", (_understood(fit), _files(files))),
        Section("Device", tuple(device_blocks(fit.device, device.stem))),
    )
    again = command("fit", map(str, files), "--out", str(device), _flags(options or ReadOptions(), families))
    return Page(f"Fit of {name}", verdict(fit, name), sections, again, versions_now())


def verdict(fit: Fit, name: str) -> str:
    """The family and the main figures with their 90 % intervals, and what the data do not tell."""
    if len(fit.ranking) == 1:
        words = f"{name} was fitted with the family {fit.family}; no other was tried."
    elif fit.ranking:
        tied = [r.name for r in fit.ranking if r.tied and r.name != fit.family]
        words = f"{name} is best described by the family {fit.family}"
        others = listed(tied) if tied else "any other that was tried"
        words += f"; these data {'do not tell' if tied else 'tell'} it from {others}."
    else:
        words = f"{name} is a table of steps, taken as it is ({fit.family})."
    known = {e.name: e for e in fit.estimates}
    told = [text for key, (form, factor) in _TOLD.items() if (text := _figure(known.get(key), form, factor))]
    if told:
        words += f" It has {listed(told)} (90 % intervals)."
    open_ = [e.name for e in fit.estimates if not e.told and "measured distribution" not in e.note]
    if open_:
        words += f" These data do not tell: {'; '.join(open_)}."
    return words


def _figure(e: Estimate | None, form: str, factor: float) -> str:
    if e is None or e.interval is None or not e.told or not math.isfinite(e.interval.value):
        return ""
    value, low, high = (_short(factor * v) for v in (e.interval.value, e.interval.low, e.interval.high))
    return form.format(f"{value} ({low} to {high})")


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _understood(fit: Fit) -> Table:
    table = Table(title="understood of the file")
    table.add_column("what")
    table.add_column("the flag that says otherwise")
    for note in fit.said:
        table.add_row(escape(note.what), escape(note.flag))
    return table


def _files(files: Sequence[Path]) -> Table:
    table = Table(title="files")
    for name in ("name", "SHA-256"):
        table.add_column(name)
    for file in files:
        table.add_row(escape(str(file)), hashlib.sha256(file.read_bytes()).hexdigest())
    return table


def _flags(options: ReadOptions, families: Sequence[str] | None) -> Iterator[str]:
    given: dict[str, Any] = {
        "--family": ",".join(families) if families else None,
        "--layout": options.layout,
        "--unit": options.unit,
        "--read-voltage": options.read_voltage,
        "--pulses": ",".join(map(str, options.pulses)) if options.pulses else None,
        "--sheet": options.sheet,
    }
    for flag, value in given.items():
        if value is not None:
            yield from (flag, str(value))
    for role, names in options.columns.items():
        for name in names.split(","):
            yield from ("--column", f"{role}={name}")
