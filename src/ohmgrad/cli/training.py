"""Trainings as commands run them: bars or lines on the way, then the table and the figures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import InputError
from ..style import style_of
from .console import PAGE, cannot_write, console, drawing, stopped, write_page

if TYPE_CHECKING:
    from ..studies import RunSpec

__all__ = ["free_folder", "report_run", "run_and_report"]


def run_and_report(
    spec: RunSpec, folder: Path, resume: bool, title: str, tensorboard: bool = False, live: bool = False
) -> None:
    """Train and report; a run that is stopped, or whose disk fails, says how it goes on."""
    from ..report import run_page

    board = ["--tensorboard"] if tensorboard else []
    again = shlex.join(["ohmgrad", "train", "--resume", *board, "--out", str(folder)])
    goes_on = f"finished epochs are saved; go on with {again}"
    drawn = " and ".join(shlex.join(["ohmgrad", name, str(folder)]) for name in ("plot", "report"))
    try:
        rows = _train(spec, folder, resume, tensorboard, live)
        with drawing("the training", f"{drawn} make them"):
            report_run(rows, folder, title)
            write_page(run_page(folder), folder / PAGE)
    except KeyboardInterrupt as why:
        if not (folder / "spec.yaml").is_file():
            raise
        stopped(goes_on, why)
    except OSError as error:
        if not (folder / "spec.yaml").is_file():
            raise
        print(f"error: {cannot_write(error)}; {goes_on}", file=sys.stderr)
        raise typer.Exit(1) from None


def _train(spec: RunSpec, folder: Path, resume: bool, tensorboard: bool, live: bool) -> list[dict[str, Any]]:
    """Train, with a bar for each training, and a picture of the one that goes on below them."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    from ..studies import Progress, train
    from .live import Bars

    layout = ("{task.description}", BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[now]}"))
    columns = [c if not isinstance(c, str) else TextColumn(c, markup=False) for c in layout]
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[tuple[str, int], Any] = {}
        kernels = bars.add_task("kernels", total=None, visible=False, now="")

        def step(algorithm: str, seed: int, done: int, total: int, loss: float) -> None:
            key = (algorithm, seed)
            if key not in tasks:
                label = f"{style_of(algorithm).label}, seed {seed}"
                tasks[key] = bars.add_task(label, total=total, now="")
            bars.update(tasks[key], completed=done, now=f"loss {loss:.4f}")
            bars.take(done, loss)

        def epoch(row: dict[str, Any]) -> None:
            key = (row["algorithm"], row["seed"])
            # where there are no bars, about five lines a training show that it goes on
            every = -(-spec.epochs // 5)
            if row["epoch"] == spec.epochs or not (console.is_terminal or row["epoch"] % every):
                console.print(
                    f"{style_of(row['algorithm']).label:12} seed {row['seed']}  "
                    f"epoch {row['epoch']}/{spec.epochs}  training loss {row['train_loss']:.4f}  "
                    f"test accuracy {100 * row['test_accuracy']:.1f} %  "
                    f"{row['seconds']:.1f} s",
                    highlight=False,
                    soft_wrap=True,
                )
            if row["epoch"] == spec.epochs and key in tasks:
                bars.remove_task(tasks.pop(key))

        def preparing(now: bool) -> None:
            bars.update(kernels, visible=now)

        begin = bars.begin if live else lambda _: None
        progress = Progress(step, epoch, console.print, preparing, begin)
        return train(spec, folder, resume=resume, progress=progress, tensorboard=tensorboard)


def report_run(rows: list[dict[str, Any]], folder: Path, title: str) -> None:
    from ..report import monitor_figure, run_figure, run_table, save, summarise, write_summary
    from ..studies import read_monitor

    if not rows:
        raise InputError(f"{folder} has no finished epoch yet: train it, or pass --resume")
    summary = summarise(rows)
    console.print(run_table(summary, title))  # before anything is written: the disk may be full
    write_summary(summary, folder / "summary.csv")
    paths = save(run_figure(rows, title), folder / "figure")
    numbers = f"{folder}/metrics.csv, summary.csv"
    console.print(f"figure: {paths[0]} (also .pdf, .png)\nnumbers: {numbers}", soft_wrap=True)
    watched = read_monitor(folder)
    if watched:
        paths = save(monitor_figure(watched, title), folder / "monitor")
        console.print(f"predicted floor: {paths[0]} (also .pdf, .png), {folder}/monitor.csv", soft_wrap=True)


def free_folder(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3, ... that does not exist."""
    found, number = folder, 1
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found
