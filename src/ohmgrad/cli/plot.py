"""`ohmgrad plot`: the figure and the table of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson
from .training import report_run

__all__ = ["plot"]


def plot(run: Annotated[Path, typer.Argument(help="A run folder.")], as_json: AsJson = False) -> None:
    """Draw the figure and the table of a run again, from its saved numbers."""
    from ..studies import read_metrics

    report_run(read_metrics(run), run, title=str(run))
