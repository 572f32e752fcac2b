"""The monitor: looks at every n-th update of a training from outside, and keeps rows of numbers."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..checked import checked
from ..crossbar import Tile
from ..errors import InputError, check_integer
from ..nn import analog_layers
from ..optim import AnalogOptimizer
from ..optim.base import TransferModel
from .averages import Averages
from .balance import asymmetry, balance, planes, ratio

__all__ = ["COLUMNS", "Monitor", "Writer"]

#: what a row has, see `Monitor`
COLUMNS = (
    "step",
    "layer",
    "gradient_sq",
    "floor",
    "drift",
    "signal",
    "noise",
    "saturation_max",
    "saturation_rms",
    "asymmetry",
)


@runtime_checkable
class Writer(Protocol):
    """What `Monitor.log_to` needs, such as torch.utils.tensorboard.SummaryWriter."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, /) -> Any: ...


class _Watched(NamedTuple):
    name: str
    tile: Tile
    averages: Averages
    scratch: dict[str, Tensor]


class Monitor:
    """Gradient noise, saturation, drift and the predicted floor of every analog layer, during training.

    It reads what passes and changes nothing: weights are those of the same training without it. Every
    `every`-th update it takes the mean gradient and Sigma = sum_b |d_b| |x_b|^T of the minibatch
    into running averages (`Averages`), and after every tenth of the time constant adds a row for each
    tile to `rows`:

    - `step`: updates done;  `layer`: its name in the model, with [i] for the i-th of several tiles;
    - `gradient_sq`: squared norm of the mean gradient of the loss with respect to the tile's weights,
      unbiased (so that it can be negative);
    - `floor`: what the theory says it cannot come to rest below, with these weights (`balance`);
    - `drift`, `signal`: norms of the mean change of the weights per update that asymmetry and gradient
      cause; at the floor they are equal;
    - `noise`: variance of the minibatch gradient, summed over elements;
    - `saturation_max`, `saturation_rms`: of |w| relative to the element's bound ahead;
    - `asymmetry`: root mean square of G/F at the weights.

    floor, drift and signal are NaN for an algorithm without a `transfer_model`. A look costs somewhat more
    than an update: at `every` = 10 about a fifth of the step time of Analog SGD on a 784-256-128-10 network
    with minibatches of 10. It takes four to five planes the size of the weights, and three more at work.

    Args:
        model: a converted model.
        optimizer: an analog optimizer that trains it.
        every: updates from one look to the next (>= 1).
        memory: time constant of the averages, in looks (>= 2).

    Raises:
        InputError: when an argument is wrong, or the optimizer trains no analog layer of the model.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = ohmgrad.AnalogSGD(model.parameters(), lr=0.1)
        >>> monitor = Monitor(model, optimizer, every=1, memory=20)
        >>> for _ in range(4):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(1, 3)).sum().backward()
        ...     optimizer.step()
        >>> [row["step"] for row in monitor.rows]
        [2, 4]
    """

    @checked
    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, *, every: int = 10, memory: int = 100
    ) -> None:
        for name, value, low in (("every", every, 1), ("memory", memory, 2)):
            check_integer(name, value, low)
        if not isinstance(optimizer, AnalogOptimizer):
            raise InputError(
                f"optimizer is {type(optimizer).__name__}, but a monitor needs an analog one: digital SGD "
                "has no floor to predict"
            )
        self.optimizer, self.every, self.memory = optimizer, every, memory
        self.rows: list[dict[str, Any]] = []
        self.step = 0
        self._log: tuple[Writer, str] | None = None
        trained = {id(t) for group in optimizer.param_groups for t, _ in optimizer.tiles_in(group)}
        self._watched: dict[int, _Watched] = {}
        for name, layer in analog_layers(model):
            for i, tile in enumerate(layer.tiles):
                if id(tile) in trained and tile.device.pair is not None:
                    raise InputError(
                        f"layer {name!r} has one-sided pairs, but a monitor predicts single elements only: "
                        "train it without a monitor"
                    )
                if id(tile) in trained:
                    label = (name or "layer") + (f"[{i}]" if len(layer.tiles) > 1 else "")
                    self._watched[id(tile)] = _Watched(label, tile, Averages(memory), {})
        if not self._watched:
            raise InputError(
                "the optimizer trains no analog layer of this model: give the monitor the converted model "
                "whose parameters the optimizer has"
            )
        self._models: dict[int, TransferModel | None] = {}
        self._hooks = [
            optimizer.register_update_hook(self._look),
            optimizer.register_step_post_hook(self._after_step),
        ]

    def close(self) -> None:
        """Look no more; the rows stay."""
        for hook in self._hooks:
            hook.remove()

    @checked
    def log_to(self, writer: Writer, prefix: str = "") -> None:
        """Give the numbers of every later row to a TensorBoard writer as well.

        Args:
            writer: anything with `add_scalar(tag, value, step)`.
            prefix: put before the tags, which are QUANTITY/LAYER.
        """
        self._log = (writer, prefix)

    @property
    def first_row(self) -> int:
        """The update after which the first row is there."""
        return self.every * max(self.memory // 10, 1)

    def state_dict(self) -> dict[str, Any]:
        """Averages, step and rows, for checkpoints; a monitor that loads it goes on as if uncut."""
        tiles = {w.name: w.averages.state_dict() for w in self._watched.values()}
        settings = {"every": self.every, "memory": self.memory}
        return {"step": self.step, "rows": list(self.rows), "tiles": tiles, **settings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            InputError: when it is of a model with other layers, or of a monitor with other settings.
        """
        mine = [w.name for w in self._watched.values()]
        if sorted(mine) != sorted(state["tiles"]):
            raise InputError(
                f"the monitor's state is of layers {', '.join(state['tiles'])}, but this one watches "
                f"{', '.join(mine)}: load it into a monitor of the same model"
            )
        for name in ("every", "memory"):
            if state[name] != getattr(self, name):
                raise InputError(
                    f"the monitor's state is of {name} = {state[name]}, not {getattr(self, name)}: make the "
                    "monitor with the same settings"
                )
        self.step, self.rows = state["step"], list(state["rows"])
        for w in self._watched.values():
            w.averages.load_state_dict(state["tiles"][w.name])

    def kept(self) -> dict[str, tuple[tuple[int, int], list[str]]]:
        """Shape and names of the averages of each layer, once an update was looked at."""
        found = {}
        for group in self.optimizer.param_groups:
            for tile, state in self.optimizer.tiles_in(group):
                if (watched := self._watched.get(id(tile))) is not None:
                    model = self.optimizer.transfer_model(tile, group, state)
                    names = ["mean", "absolute", "own", *(["pull"] if model is not None else [])]
                    names += ["fast"] if model is not None and model.array is not tile else []
                    found[watched.name] = (tile.shape, names)
        return found

    def _look(self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """Before an update: its gradient, Sigma and the fast array into the averages."""
        watched = self._watched.get(id(tile))
        if watched is None or (self.step + 1) % self.every:
            return
        model = self._models[id(tile)] = self.optimizer.transfer_model(tile, group, state)
        watched.averages.add(**planes(tile, model, x, d, watched.scratch))

    @torch.no_grad()
    def _after_step(self, *_: Any) -> None:
        self.step += 1
        looks, rest = divmod(self.step, self.every)
        if rest or looks % max(self.memory // 10, 1):
            return
        for at, watched in self._watched.items():
            if at in self._models and watched.averages.count > 1:
                self._add_row(watched, self._models[at])
        self._models.clear()

    def _add_row(self, watched: _Watched, model: TransferModel | None) -> None:
        name, tile, averages, _ = watched
        w, e = tile.held, tile.elements
        g, f = asymmetry(e, w)
        drift, signal, floor = (math.nan,) * 3 if model is None else balance(tile, model, averages, f)
        share = torch.maximum(w / e.upper, w / e.lower)  # of the bound ahead: lower < 0 < upper
        values = {
            "gradient_sq": averages.squared_mean(),
            "floor": floor,
            "drift": drift,
            "signal": signal,
            "noise": averages.variance(),
            "saturation_max": float(share.max()),
            "saturation_rms": _rms(share),
            "asymmetry": _rms(ratio(g, f)),
        }
        self.rows.append({"step": self.step, "layer": name, **values})
        if self._log is not None:
            writer, prefix = self._log
            for quantity, value in values.items():
                if not math.isnan(value):
                    writer.add_scalar(f"{prefix}{quantity}/{name}", value, self.step)


def _rms(t: Tensor) -> float:
    return float(torch.linalg.vector_norm(t)) / math.sqrt(t.numel())
