"""Where a live picture goes: a terminal, a notebook, or lines of text; and how often it is drawn."""

from __future__ import annotations

import time
from typing import Any, Protocol

from rich.console import Console

from .history import History
from .in_notebook import notebook_picture
from .in_words import line, terminal_picture

__all__ = ["Display", "Lines", "Painter", "display_here"]

#: seconds from one picture to the next, at least; and from one line to the next, where there are no pictures
_PICTURE_EVERY, _LINE_EVERY = 0.5, 15.0
#: of the time, drawing takes at most so much
_SHARE = 0.1


class Display(Protocol):
    """A place for pictures."""

    #: seconds from one to the next, at least
    every: float

    def show(self, history: History) -> None: ...
    def end(self) -> None: ...


class Painter:
    """Looks and draws when it is time to: at most a tenth of the time goes into it."""

    def __init__(self, history: History, display: Display) -> None:
        self.history, self.display = history, display
        self._next = time.perf_counter() + display.every

    def draw_if_due(self) -> None:
        if time.perf_counter() >= self._next:
            self.draw()

    def draw(self) -> None:
        start = time.perf_counter()
        self.history.look()
        self.display.show(self.history)
        now = time.perf_counter()
        self._next = now + max(self.display.every, (now - start) * (1 / _SHARE - 1))


class Lines:
    """A line of text now and then."""

    every = _LINE_EVERY

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, history: History) -> None:
        self._console.print(line(history), highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        """A line needs no end."""


class _Terminal:
    every = _PICTURE_EVERY

    def __init__(self, console: Console) -> None:
        from rich.live import Live as Region

        self._console, self._region = console, Region(console=console, auto_refresh=False)
        self._region.start()

    def show(self, history: History) -> None:
        self._region.update(terminal_picture(history, self._console.width), refresh=True)

    def end(self) -> None:
        self._region.stop()


class _Notebook:
    every = 2 * _PICTURE_EVERY

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html: Any = HTML
        self._handle: Any = display(HTML(""), display_id=True)

    def show(self, history: History) -> None:
        self._handle.update(self._html(notebook_picture(history)))

    def end(self) -> None:
        """The last picture stays."""


def display_here() -> Display:
    """The display of this process's output."""
    console = Console()
    if console.is_jupyter:
        return _Notebook()
    if console.is_terminal and not console.is_dumb_terminal and not console.options.ascii_only:
        return _Terminal(console)
    return Lines(console)
