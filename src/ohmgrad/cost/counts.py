"""What every array of a training counted: the events that costs are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..checked import checked
from ..crossbar import EVENTS
from ..errors import check_choice
from ..nn.convert import analog_layers
from ..optim import AnalogOptimizer
from ..ranges import COUNT, FROM_ZERO, WHOLE

__all__ = ["WEIGHTS", "ArrayEvents", "added", "array_events", "since"]

#: name of the array that holds the weights of a tile
WEIGHTS = "weights"


@checked(tile=WHOLE, rows=COUNT, cols=COUNT, events=FROM_ZERO)
@dataclass(frozen=True)
class ArrayEvents:
    """Events of one array.

    Args:
        layer: name in the model.
        tile: number among the tiles of the layer; the auxiliary arrays of a tile have its number.
        array: `WEIGHTS`, or the name of an auxiliary array.
        rows, cols: shape.
        seen: whether products see the array.
        events: how often each of `ohmgrad.crossbar.EVENTS` happened; those left out did not.
    """

    layer: str
    tile: int
    array: str
    rows: int
    cols: int
    seen: bool
    events: Mapping[str, float]

    @property
    def cells(self) -> int:
        return self.rows * self.cols

    @checked
    def count(self, name: str) -> float:
        return self.events.get(check_choice("event", name, EVENTS), 0)

    @checked
    def with_events(self, events: Mapping[str, float]) -> ArrayEvents:
        return replace(self, events=events)

    @property
    def key(self) -> tuple[str, int, str]:
        return self.layer, self.tile, self.array


@checked
def array_events(model: nn.Module, optimizer: AnalogOptimizer) -> list[ArrayEvents]:
    """The events so far of all arrays of a model: those of the weights, each before its auxiliary ones.

    Raises:
        InputError: as `ohmgrad.kernels.ops.check_status`.
    """
    optimizer.events()  # which raises where kernels have found an error
    states = {
        id(tile): state for group in optimizer.param_groups for tile, state in optimizer.tiles_in(group)
    }
    found: list[ArrayEvents] = []
    for layer, module in analog_layers(model):
        for number, tile in enumerate(module.tiles):
            found.append(_of(layer, number, WEIGHTS, tile.shape, True, tile.events))
            seen = [id(getattr(other, "events", None)) for _, other in tile.companions]
            for name, kept in states.get(id(tile), {}).items():
                if isinstance(kept, dict) and "events" in kept:
                    events = kept["events"]
                    found.append(_of(layer, number, name, tile.shape, id(events) in seen, events))
    return found


def _of(layer: str, tile: int, array: str, shape: tuple[int, int], seen: bool, events: Any) -> ArrayEvents:
    counts: dict[str, float] = dict(zip(EVENTS, events.tolist(), strict=True))
    return ArrayEvents(layer, tile, array, *shape, seen, counts)


@checked
def since(before: Sequence[ArrayEvents], after: Iterable[ArrayEvents]) -> list[ArrayEvents]:
    """What was counted between two moments; an array that is new has counted all."""
    old = {each.key: each for each in before}
    return [
        each.with_events({name: n - old[each.key].count(name) for name, n in each.events.items()})
        if each.key in old
        else each
        for each in after
    ]


def added(several: Iterable[ArrayEvents]) -> list[ArrayEvents]:
    """Events of the same array, of several epochs for instance, added up."""
    total: dict[tuple[str, int, str], ArrayEvents] = {}
    for each in several:
        have = total.get(each.key)
        if have is not None:
            each = each.with_events({name: n + have.count(name) for name, n in each.events.items()})
        total[each.key] = each
    return list(total.values())
