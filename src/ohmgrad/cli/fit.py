"""`ohmgrad fit`: measured pulses to a device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError, shown
from .arguments import names_of
from .console import AsJson, console, drawing, write_page

__all__ = ["fit"]

#: seconds after which a bar is shown
_BAR_AFTER = 2.0


def fit(
    files: Annotated[
        list[Path], typer.Argument(help="CSV, TSV, Excel, Parquet or .npz; several are several devices.")
    ],
    out: Annotated[Path | None, typer.Option(help="The device's YAML file; default NAME.yaml.")] = None,
    family: Annotated[
        str | None, typer.Option(help="Only these families, with commas; default all, and the data choose.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="ROLE=NUMBER or ROLE=NAME, may be repeated. Roles: up, down, conductance, pulse, time, "
            "cycle, device, polarity, amplitude, step, probability, none."
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="How the file lies: wide (a ramp a column), long (a row a reading), steps (sizes of steps)."
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the readings: S, A or ohm, as in uS or nA; or none.")
    ] = None,
    read_voltage: Annotated[float | None, typer.Option(help="Volts at which currents were read.")] = None,
    pulses: Annotated[
        str | None, typer.Option(help="Pulses UP,DOWN of a cycle, where cycles stand below each other.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of an Excel file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit a device to measured pulses: what was understood, every family ranked, figures with intervals.

    Writes the device with a card of its fit as YAML, which `train` and `compare` take, a figure, and a page.
    """
    from ..devices.fitting import fit_read
    from ..devices.fitting.card import write
    from ..devices.fitting.laws import LAWS
    from ..devices.fitting.pulses import ReadOptions
    from ..devices.fitting.reading import read
    from ..errors import check_choice
    from ..report import fit_figure, fit_page, fit_table, ranking_table, save

    options = ReadOptions(
        layout=layout, unit=unit, read_voltage=read_voltage, columns=_columns(column or []),  # pyright: ignore
        pulses=_pair(pulses), sheet=sheet,
    )  # fmt: skip
    families = names_of(family)
    for name in families or ():
        check_choice("family", name, LAWS)
    path = out or Path(f"{files[0].name.split('.')[0]}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"--out is {path}, but must be a YAML file: give it the ending .yaml")
    found = read(files, options)
    console.print("understood (and the flag that says otherwise):", highlight=False)
    for note in found.said:
        flag = f"  [dim]({note.flag})[/dim]" if note.flag else ""
        text = f"  {note.what}".replace("[", "\\[") + flag
        console.print(text, markup=True, highlight=False, soft_wrap=True)
    with _bar() as progress:
        result = fit_read(found, families, progress)
    console.print(fit_table(result))
    if result.ranking:
        console.print(ranking_table(result))
    written = write(result, path, files, options)
    with drawing(f"the device in {path}", "the same command makes them"):
        figures = save(fit_figure(result, files[0].stem), path.with_suffix(".svg"))
        named = ", ".join(str(p) for p in [*written, *figures])
        console.print(
            f"device: {named}\nnext: ohmgrad train --device {path}", highlight=False, soft_wrap=True
        )
        write_page(fit_page(result, files, path, options, families), path.with_suffix(".html"))


def _columns(pairs: list[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for pair in pairs:
        role, equals, name = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--column {shown(pair)} must be ROLE=NUMBER or ROLE=NAME, as in up=2")
        role = role.strip()
        out[role] = f"{out[role]},{name.strip()}" if role in out else name.strip()
    return out


def _pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        up, down = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--pulses is {shown(text)}, but must be two numbers with a comma, as in 50,50"
        ) from None
    return up, down


class _bar:  # noqa: N801 - a context manager, used as a function
    """How far the fit is, as a bar that is shown after some seconds and goes away."""

    def __init__(self) -> None:
        layout = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        self.bars = Progress(*layout, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bars.add_task("", total=None)
        self.began, self.shown = time.monotonic(), False

    def __enter__(self) -> Any:
        return self.progress

    def __exit__(self, *_: object) -> None:
        if self.shown:
            self.bars.stop()

    def progress(self, done: int, total: int, what: str) -> None:
        self.bars.update(self.task, completed=done, total=total, description=what)
        if not self.shown and time.monotonic() - self.began > _BAR_AFTER:
            self.bars.start()
            self.shown = True
