"""Bars of trainings, and below them a picture of the one that goes on; lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich import progress
from rich.console import RenderableType

from ..style import style_of

if TYPE_CHECKING:
    from ..monitor.displays import Painter
    from ..monitor.history import History
    from ..studies.training import Training

__all__ = ["Bars"]


class Bars(progress.Progress):
    """rich's bars, with a picture of a training once `begin` was called."""

    #: seconds from one picture to the next, at least
    every = 0.5
    _painter: Painter | None = None
    _picture: tuple[RenderableType, ...] = ()

    def begin(self, training: Training) -> None:
        """Draw this training from now on."""
        from ..monitor.displays import Lines, Painter
        from ..monitor.history import History
        from ..monitor.live import monitor_for

        monitor = training.monitor or monitor_for(training.model, training.optimizer)
        history = History(training.model, training.optimizer, monitor)
        self._title = f"\n{style_of(training.algorithm).label}, seed {training.seed}"
        self._painter = Painter(history, self if self.console.is_terminal else Lines(self.console))

    def take(self, update: int, loss: float) -> None:
        """The running loss of an update."""
        if self._painter is not None:
            self._painter.history.add(update, loss)
            self._painter.draw_if_due()

    def show(self, history: History) -> None:
        from ..monitor.in_words import terminal_picture

        self._picture = (self._title, terminal_picture(history, self.console.width))

    def end(self) -> None:
        """The bars end by themselves."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield from self._picture
