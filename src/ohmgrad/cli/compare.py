"""`ohmgrad compare`: algorithms against devices in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .arguments import named_values, names_of
from .console import PAGE, console, write_page

__all__ = ["compare"]


def compare(
    algorithms: Annotated[
        str | None, typer.Option(help="Names with commas, as in sgd,ttv2; or all. digital is SGD in floats.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option(help="Presets or YAML files of devices, with commas; default: a selection.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each pair (at least 2).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short trainings and few learning rates.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another setting as name=value in YAML, as in --set 'rates=[0.1, 0.5]'."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default runs/compare or ...-quick.")] = None,
) -> None:
    """Train a small network with every algorithm on every device: accuracies with intervals, and pulses.

    Each pair has its own learning rate, chosen by a short training with another seed. A comparison that was
    cut off goes on where it stopped; one that is finished is printed and drawn again from its numbers.
    """
    from ..report import compare_page, compare_table, study_figure
    from ..studies.compare import COMPARE, all_algorithms
    from ..studies.study import run_study

    changes: dict[str, Any] = named_values("--set", change or [])
    if algorithms is not None:
        changes["algorithms"] = all_algorithms() if algorithms == "all" else names_of(algorithms)
    if devices is not None:
        changes["devices"] = names_of(devices)
    changes |= {name: value for name, value in (("seeds", seeds), ("epochs", epochs)) if value is not None}
    folder = out or Path("runs") / ("compare-quick" if quick else "compare")
    layout = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*layout, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("compare", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bars.update(task, completed=done, total=total, description=what)

        outcome = run_study(COMPARE, folder, quick=quick, changes=changes, progress=progress)
    figures = study_figure(outcome)
    console.print(compare_table(outcome))
    console.print(
        f"figure: {figures[0]} (also .pdf, .png); numbers: {folder}/table.csv, raw/", soft_wrap=True
    )
    write_page(compare_page(outcome), folder / PAGE)
