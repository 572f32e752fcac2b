"""Where commands print, and how one that was stopped says what is left of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ..report import Page

__all__ = ["PAGE", "console", "stopped", "write_page"]

#: name of the page in a run's or a study's folder
PAGE = "page.html"

console = Console()


def stopped(what: str) -> NoReturn:
    """Say in one line what is left of a command that was stopped; exit code 130, as shells have it."""
    print(f"stopped: {what}", file=sys.stderr)
    raise typer.Exit(130)


def write_page(page: Page, path: Path) -> None:
    """Write a page and say where it is."""
    console.print(f"page: {page.write(path)}", highlight=False, soft_wrap=True)
