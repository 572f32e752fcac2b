"""Where commands print, as text or as JSON, and how one that was stopped says what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from ..errors import InputError

if TYPE_CHECKING:
    from ..report import Page

__all__ = [
    "AGAIN", "PAGE", "AsJson", "Screen", "StoppedError", "cannot_write", "console", "drawing", "stopped",
    "stops", "write_page",
]  # fmt: skip

#: name of the page in a run's or a study's folder
PAGE = "page.html"
#: what makes the figures of a study again
AGAIN = "the same command makes them, and trains nothing again"


class StoppedError(KeyboardInterrupt):
    """A signal that asks a command to stop, or that nobody reads what it prints."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Screen(Console):
    """Standard output: text as it is, since what users name may look like markup, as in runs/a[/b].

    As JSON, when a command is asked for it: tables alone, and all else on standard error. Colours are rich's:
    none where the output is no terminal, or where NO_COLOR is set.
    """

    #: tables that were printed, as data; None where they are printed as text
    kept: list[dict[str, Any]] | None = None

    def print(self, *objects: Any, markup: bool | None = False, **how: Any) -> None:
        if self.kept is None:
            super().print(*objects, markup=markup, **how)
            return
        from ..report.tables import table_as_data

        for one in objects:
            table = one if isinstance(one, Table) else getattr(one, "__rich__", lambda: None)()
            if isinstance(table, Table):
                self.kept.append(table_as_data(table))
            else:
                Console(stderr=True).print(one, markup=markup, **how)

    @property
    def is_terminal(self) -> bool:
        """Whether bars may be drawn."""
        return self.kept is None and super().is_terminal

    def end(self) -> None:
        """Print the tables that were kept, as one list in JSON; print text again."""
        if self.kept is not None:
            print(json.dumps(self.kept, indent=2, ensure_ascii=False))
        self.kept = None

    def on_broken_pipe(self) -> None:
        """Where the reader has gone, as `head` does: what is printed from now on goes nowhere."""
        _print_nowhere()
        raise StoppedError(getattr(signal, "SIGPIPE", 13))


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


def _print_nowhere() -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def stops() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM raise `StoppedError`, once: the next one ends the process there and then."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped(what: str, why: BaseException | None = None) -> NoReturn:
    """Say in one line what is left of a command that was stopped.

    The exit code is 128 and the signal's number, as shells have it: 130 after Ctrl-C.
    """
    number = why.number if isinstance(why, StoppedError) else signal.SIGINT
    print(f"stopped: {what}", file=sys.stderr)
    raise typer.Exit(128 + number)


def cannot_write(error: OSError) -> str:
    """An error of the system, such as a full disk, in a line."""
    return f"cannot use {error.filename} ({error.strerror})" if error.filename else str(error.strerror)


@contextlib.contextmanager
def drawing(finished: str, again: str) -> Iterator[None]:
    """Draw what is finished. Where that cannot be written, as on a full disk, a line says that it is whole.

    Args:
        finished: what is, such as "the training".
        again: what makes figures and page again.
    """
    try:
        yield
    except (InputError, OSError) as error:
        if isinstance(error, OSError):
            what = cannot_write(error)
        elif isinstance(error.__context__, OSError):
            what = str(error).removesuffix(": choose another --out")
        else:
            raise
        print(
            f"error: {what}; {finished} is finished and whole, only figures or the page are missing: make "
            f"room, then {again}",
            file=sys.stderr,
        )
        raise typer.Exit(1) from None


def write_page(page: Page, path: Path) -> None:
    """Write a page and say where it is."""
    console.print(f"page: {page.write(path)}", highlight=False, soft_wrap=True)
