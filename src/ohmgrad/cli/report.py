"""`ohmgrad report`: the page of a run again, or one page that compares several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import PAGE, console, write_page

__all__ = ["report"]


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="Folders that train, compare or reproduce wrote; one or several.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The page; default page.html in the folder, or report.html for several."),
    ] = None,
) -> None:
    """Write one HTML page of a run, or one that compares runs: verdict, plots, tables, what differs.

    The page needs no network and nothing beside it: mail it, or open it on a phone. Plots can be zoomed where
    plotly is installed (pip install 'ohmgrad\\[pages]').
    """
    from ..report import page_of, runs_page

    path = out or (runs[0] / PAGE if len(runs) == 1 else Path("report.html"))
    page = page_of(runs[0]) if len(runs) == 1 else runs_page(runs, path)
    console.print(page.verdict, highlight=False, markup=False)
    write_page(page, path)
