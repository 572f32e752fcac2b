"""How far a study is: a bar with counts and the time left; a line now and then where there is no terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, TextColumn

from .console import console

__all__ = ["study_progress"]

#: seconds from one line to the next, where there is no terminal for a bar
LINE_EVERY = 60.0


@contextlib.contextmanager
def study_progress(name: str) -> Iterator[Callable[[int, int, str], None]]:
    """What `run_study` calls with (done, total, what)."""
    layout = (TextColumn(name), BarColumn(20), TextColumn("{task.description}"))
    with Progress(*layout, console=console, transient=True, disable=not console.is_terminal) as bars:
        task, told = bars.add_task("", total=None), time.monotonic()

        def progress(done: int, total: int, what: str) -> None:
            nonlocal told
            bars.update(task, completed=done, total=total, description=what.replace("[", "\\["))
            if not console.is_terminal and time.monotonic() - told >= LINE_EVERY:
                console.print(f"{name}: {what}", highlight=False, markup=False, soft_wrap=True)
                told = time.monotonic()

        yield progress
