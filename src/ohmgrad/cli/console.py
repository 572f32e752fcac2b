"""Where commands print, as text or as JSON, and how one that was stopped says what is left of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ..report import Page

__all__ = ["PAGE", "AsJson", "Screen", "console", "stopped", "write_page"]

#: name of the page in a run's or a study's folder
PAGE = "page.html"


class Screen(Console):
    """Standard output; as JSON when a command is asked for it: tables alone, and all else on standard error.

    Colours are rich's: none where the output is no terminal, or where NO_COLOR is set.
    """

    #: tables that were printed, as data; None where they are printed as text
    kept: list[dict[str, Any]] | None = None

    def print(self, *objects: Any, **settings: Any) -> None:
        if self.kept is None:
            super().print(*objects, **settings)
            return
        from ..report.tables import table_as_data

        for one in objects:
            table = one if isinstance(one, Table) else getattr(one, "__rich__", lambda: None)()
            if isinstance(table, Table):
                self.kept.append(table_as_data(table))
            else:
                Console(stderr=True).print(one, **settings)

    @property
    def is_terminal(self) -> bool:
        """Whether bars may be drawn."""
        return self.kept is None and super().is_terminal

    def end(self) -> None:
        """Print the tables that were kept, as one list in JSON; print text again."""
        if self.kept is not None:
            print(json.dumps(self.kept, indent=2, ensure_ascii=False))
        self.kept = None


console = Screen()


def _ask_for_json(asked: bool) -> bool:
    if asked:
        console.kept = []
    return asked


#: the option of every command that prints a table
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_ask_for_json,
        help="Print the tables as a list in JSON, for programs; all else goes to standard error.",
    ),
]


def stopped(what: str) -> NoReturn:
    """Say in one line what is left of a command that was stopped; exit code 130, as shells have it."""
    print(f"stopped: {what}", file=sys.stderr)
    raise typer.Exit(130)


def write_page(page: Page, path: Path) -> None:
    """Write a page and say where it is."""
    console.print(f"page: {page.write(path)}", highlight=False, soft_wrap=True)
