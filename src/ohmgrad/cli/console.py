"""Where commands print, and how one that was stopped says what is left of it."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console

__all__ = ["console", "stopped"]

console = Console()


def stopped(what: str) -> NoReturn:
    """Say in one line what is left of a command that was stopped; exit code 130, as shells have it."""
    print(f"stopped: {what}", file=sys.stderr)
    raise typer.Exit(130)
