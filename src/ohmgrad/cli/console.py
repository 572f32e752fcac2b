"""Where commands print, and how one that was stopped says what is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from ..report import Page

__all__ = ["PAGE", "StoppedError", "cannot_write", "console", "stopped", "stops", "write_page"]

#: name of the page in a run's or a study's folder
PAGE = "page.html"


class StoppedError(KeyboardInterrupt):
    """A signal that asks a command to stop, or that nobody reads what it prints."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Console(Console):
    """Prints text as it is: what users name may look like markup, as in runs/a[/b]."""

    def print(self, *objects: Any, markup: bool | None = False, **how: Any) -> None:
        super().print(*objects, markup=markup, **how)

    def on_broken_pipe(self) -> None:
        """Where the reader has gone, as `head` does: what is printed from now on goes nowhere."""
        _print_nowhere()
        raise StoppedError(getattr(signal, "SIGPIPE", 13))


console = _Console()


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


def write_page(page: Page, path: Path) -> None:
    """Write a page and say where it is."""
    console.print(f"page: {page.write(path)}", highlight=False, soft_wrap=True)
