"""A live picture of a training, in a terminal or a notebook; lines where there is neither."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..checked import checked
from ..errors import InputError, is_number
from ..nn import analog_layers
from ..optim import AnalogOptimizer
from ..type_words import kind_of
from .displays import Painter, display_here
from .history import History
from .monitor import Monitor

__all__ = ["Live", "monitor_for"]


@checked
class Live:
    """A picture of a training while it goes on: loss, predicted floor, weights, pulses a second.

    In a terminal it is drawn in place, in a notebook below the cell. Where there is neither, as in a log, a
    line is printed every quarter of a minute. Drawing takes at most a tenth of the time, and a look of the
    monitor somewhat more than an update, see `Monitor`. Numbers of the training do not change.

    Args:
        model: a converted model, or a digital one, of which only the loss is drawn.
        optimizer: that trains it.
        monitor: that predicts the floor; by default one is made, where the optimizer and devices allow it.

    Raises:
        InputError: when one of them is of another kind.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = ohmgrad.AnalogSGD(model.parameters(), lr=0.1)
        >>> with Live(model, optimizer) as live:
        ...     for _ in range(4):
        ...         loss = model(torch.ones(1, 3)).square().sum()
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         optimizer.step()
        ...         live.update(loss)  # doctest: +ELLIPSIS
        update 4 after 0 s, ... updates a second, loss ..., ... pulses a second
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, *, monitor: Monitor | None = None
    ) -> None:
        self._own = None if monitor is not None else monitor_for(model, optimizer)
        self.history = History(model, optimizer, monitor or self._own)
        self._painter: Painter | None = None
        self._end: Callable[[], Any] | None = None

    @property
    def monitor(self) -> Monitor | None:
        """What predicts the floor; None where nothing does."""
        return self.history.monitor

    def update(self, loss: Tensor | float) -> None:
        """Take the loss of an update that was made, and draw if it is time to.

        Args:
            loss: one value; a tensor on a card is asked for when a picture is drawn, and not before.

        Raises:
            InputError: when it is anything else.
        """
        one = loss.numel() == 1 and not loss.is_complex() if isinstance(loss, Tensor) else is_number(loss)
        if not one and not isinstance(loss, float):  # a training that diverges is drawn to its end
            raise InputError(f"loss is {kind_of(loss)}, but must be one number: give its mean")
        self.history.add(self.history.update + 1, loss)
        if self._painter is None:
            self._painter = Painter(self.history, display_here())
            # gives back a terminal, whatever happens
            self._end = weakref.finalize(self, self._painter.display.end)
        self._painter.draw_if_due()

    def close(self) -> None:
        """Draw once more, and look no more; the picture stays."""
        if self._painter is not None:
            self._painter.draw()
        self._stop()

    def _stop(self) -> None:
        if self._own is not None:
            self._own.close()
        if self._end is not None:
            self._end()  # once: a finalizer does nothing the second time
        self._painter = None

    def __enter__(self) -> Live:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an error nothing is looked at, which might fail as well."""
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.close()
        else:
            self._stop()


def monitor_for(model: nn.Module, optimizer: torch.optim.Optimizer) -> Monitor | None:
    """A monitor, where it can predict floors: not of digital SGD or one-sided pairs."""
    if not isinstance(optimizer, AnalogOptimizer):
        return None
    trained = [tile for group in optimizer.param_groups for tile, _ in optimizer.tiles_in(group)]
    own = {id(tile) for _, layer in analog_layers(model) for tile in layer.tiles}
    single = [tile for tile in trained if id(tile) in own and tile.device.pair is None]
    return Monitor(model, optimizer) if single and len(single) == len(trained) else None
