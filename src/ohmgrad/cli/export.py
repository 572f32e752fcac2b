"""`ohmgrad export` and `ohmgrad read-back`: conductances to real arrays, and what they became."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..errors import InputError
from .console import AsJson, console
from .training import free_folder

__all__ = ["export", "read_back"]

Run = Annotated[Path, typer.Argument(help="A run folder of `ohmgrad train`.")]
Algorithm = Annotated[str | None, typer.Option(help="Of the training, where the run has several.")]
Seed = Annotated[int | None, typer.Option(help="Of the training, where the run has several.")]


def export(
    run: Run,
    g_min: Annotated[float, typer.Option(help="Conductance at the lower end of the range, in siemens.")],
    g_max: Annotated[float, typer.Option(help="Conductance at the upper end of the range, in siemens.")],
    algorithm: Algorithm = None,
    seed: Seed = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Two elements a weight, for a device that has one.")
    ] = False,
    pulses: Annotated[
        bool,
        typer.Option("--pulses", help="Train again, bit for bit, and write the pulses of all updates."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="New folder; default RUN/export.")] = None,
) -> None:
    """Write the target conductance of every element of a training's arrays, and its pulses if asked for."""
    from ..studies.exports import export_run

    folder = out or free_folder(run / "export")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("training again", total=None, visible=pulses)

        def progress(done: int, total: int, loss: float) -> None:
            bars.update(task, completed=done, total=total, description=f"training again, loss {loss:.4f}")

        training = export_run(
            run, folder, algorithm, seed,
            g_min=g_min, g_max=g_max, pairs=pairs, pulses=pulses, progress=progress, note=console.print,
        )  # fmt: skip
    what = "conductances and pulses" if pulses else "conductances"
    console.print(
        f"{what} of {training.algorithm}, seed {training.seed}, after epoch {training.epoch}: {folder}",
        highlight=False,
        soft_wrap=True,
    )


def read_back(
    run: Run,
    readings: Annotated[Path, typer.Argument(help="A folder of `ohmgrad export`, with readings in it.")],
    algorithm: Algorithm = None,
    seed: Seed = None,
    clip: Annotated[
        bool, typer.Option("--clip", help="Put readings beyond an element's range at its bound.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Test accuracy of a training with what its arrays were read to hold, and how far each array is off."""
    from ..studies.exports import read_back as read

    if not readings.is_dir():
        raise InputError(f"there is no folder {readings}: give one of `ohmgrad export`, with readings in it")
    found = read(run, readings, algorithm, seed, clip=clip, note=console.print)
    table = Table(title=f"{readings} in {run.name}", title_justify="left")
    for column in ("array", "weights", "rms off", "at most", "clipped"):
        table.add_column(column, justify="left" if column == "array" else "right")
    for each in found.arrays:
        table.add_row(
            each.array, f"{each.weights}", f"{each.rms:.3g}", f"{each.largest:.3g}", f"{each.clipped}"
        )
    console.print(table)
    console.print(
        f"test accuracy: {100 * found.before:.2f} % as trained, {100 * found.after:.2f} % as read; "
        "differences are in weight units",
        highlight=False,
        soft_wrap=True,
    )
