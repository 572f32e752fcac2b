"""What a training has shown so far: loss, gradient and floor, pulses a second, weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..crossbar.picture import Spots, Weights, spots_of, weights_of
from ..nn import AnalogLayer, analog_layers
from ..optim import AnalogOptimizer
from .monitor import Monitor

__all__ = ["MOST_LAYERS", "History", "LayerNow", "Series"]

#: layers whose weights are drawn, the largest ones
MOST_LAYERS = 3
#: losses that wait on their device to be asked for together
_WAITING = 1000
#: seconds over which pulses are counted, at least
_LEAST = 0.2


class Series:
    """Values by update, at most `most` of them: when they are more, neighbours become their mean.

    Args:
        most: even.
    """

    def __init__(self, most: int = 240) -> None:
        self.most, self.x, self.y = most, [], []
        self._each, self._open = 1, []

    def add(self, x: float, y: float) -> None:
        self._open.append((x, y))
        if len(self._open) < self._each:
            return
        self.x.append(sum(x for x, _ in self._open) / self._each)
        self.y.append(sum(y for _, y in self._open) / self._each)
        self._open.clear()
        if len(self.x) == self.most:
            self.x, self.y = _halved(self.x), _halved(self.y)
            self._each *= 2

    @property
    def last(self) -> float:
        """The newest value that is kept; NaN before the first."""
        return self.y[-1] if self.y else math.nan


def _halved(values: list[float]) -> list[float]:
    return [(a + b) / 2 for a, b in zip(values[::2], values[1::2], strict=True)]


@dataclass
class LayerNow:
    """An analog layer (of no name, if it is the model), and its weights when they were last looked at."""

    name: str
    layer: AnalogLayer
    spots: Spots | None = None
    now: Weights | None = None


class History:
    """Collects while a training goes on, at little cost; `look` asks for all that takes longer.

    Args:
        model: what is trained.
        optimizer: that trains it; pulses are counted if it is an analog one.
        monitor: whose rows have the squared gradient and the floor; None where nothing predicts them.
        clock: seconds.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        monitor: Monitor | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.optimizer, self.monitor, self._clock = optimizer, monitor, clock
        #: each by update: the loss; squared gradient norm and floor, summed over layers; pulses a second
        self.loss, self.gradient, self.floor, self.pulses = (Series() for _ in range(4))
        found = analog_layers(model)
        self.hidden = max(0, len(found) - MOST_LAYERS)
        largest = sorted(found, key=lambda pair: -pair[1].weight.numel())[:MOST_LAYERS]
        #: the largest layers, in order
        self.layers = [LayerNow(name, layer) for name, layer in found if (name, layer) in largest]
        self.update, self.seconds, self.per_update, self.speed = 0, 0.0, math.nan, math.nan
        self._waiting: list[tuple[int, Tensor | float]] = []
        self._rows, self._begun = 0 if monitor is None else len(monitor.rows), None
        self._last: tuple[float, int, int] | None = None

    def add(self, update: int, loss: Tensor | float) -> None:
        """The loss of an update; a tensor of one value is left on its device until `look`."""
        if self._last is None:
            self._begun = self._clock()
            self._last = (self._begun, update, self._counted())
        self.update = update
        self._waiting.append((update, loss.detach() if isinstance(loss, Tensor) else float(loss)))
        if len(self._waiting) == _WAITING:
            self._take_losses()

    @torch.no_grad()
    def look(self) -> None:
        """Ask for losses, counts, rows of the monitor and weights as they are now."""
        self._take_losses()
        self._take_rows()
        self._take_pulses()
        for each in self.layers:
            each.spots = each.spots or spots_of(each.layer.tiles)
            each.now = weights_of(each.layer.weight, each.spots)

    def _take_losses(self) -> None:
        waiting, self._waiting = self._waiting, []
        tensors = [loss.float().reshape(()) for _, loss in waiting if isinstance(loss, Tensor)]
        values = iter(torch.stack(tensors).tolist() if tensors else [])
        for update, loss in waiting:
            self.loss.add(update, next(values) if isinstance(loss, Tensor) else loss)

    def _take_rows(self) -> None:
        """Rows of the monitor that are new; those of an update are there together."""
        new = [] if self.monitor is None else self.monitor.rows[self._rows :]
        self._rows += len(new)
        for step in dict.fromkeys(row["step"] for row in new):
            rows = [row for row in new if row["step"] == step]
            self.gradient.add(step, sum(row["gradient_sq"] for row in rows))
            self.floor.add(step, sum(row["floor"] for row in rows))

    def _take_pulses(self) -> None:
        if self._last is None:
            return
        now, (then, update, pulses) = self._clock(), self._last
        self.seconds = now - (self._begun or now)
        if self.update == update or now - then < _LEAST:  # which would be mostly noise
            return
        counted = self._counted()
        self.speed = (self.update - update) / (now - then)
        if isinstance(self.optimizer, AnalogOptimizer):
            self.pulses.add(self.update, (counted - pulses) / (now - then))
            self.per_update = (counted - pulses) / (self.update - update)
        self._last = (now, self.update, counted)

    def _counted(self) -> int:
        """Pulses of all arrays so far."""
        if not isinstance(self.optimizer, AnalogOptimizer):
            return 0
        events = self.optimizer.events()
        return events["pulses_up"] + events["pulses_down"]
