"""What checkpoints hold of an analog layer, and how a layer takes it back: wholly, or not at all.

Besides `weight`, `out_scale` and `bias` the state of a layer has tensors below `analog.`:

    card               device, seed and arrays, see `crossbar/card.py`
    events             counts of every tile, (tiles, len(EVENTS)), which address the random numbers
    memory.<i>.<name>  what the elements of tile i hold beside the weights, see `crossbar/planes.py`
    beside.<i>         what products of tile i see beside W, of arrays that an optimizer keeps

Files of Hugging Face's models have the digital weight as `weight`; theirs are `analog.weight` and
`analog.out_scale` too. A weight without output scales is that of a digital layer, and is mapped anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..crossbar import EVENTS, Tile
from ..crossbar.card import arrays_of, card, check_card
from ..crossbar.effective_weight import Numbers, weighted_sum
from ..errors import InputError

__all__ = ["BELOW", "Below", "Found", "found", "restore", "saved"]

#: what the names of a layer's own tensors begin with
BELOW = "analog."


class Layer(Protocol):
    """What is needed of an analog layer, see `functional.AnalogLayer`."""

    weight: nn.Parameter
    out_scale: nn.Parameter
    tiles: list[Tile]
    numbered_freely: bool

    @property
    def digital_shape(self) -> tuple[int, ...]: ...
    def map_digital(self, weight: Tensor) -> tuple[Tensor, Tensor]: ...
    def renumber(self, arrays: Sequence[int]) -> None: ...
    def _bound_tiles(self) -> list[Tile]: ...
    def _bind(self) -> None: ...


def saved(layer: Layer) -> dict[str, Tensor]:
    """What a checkpoint holds of a layer below `analog.`."""
    for tile in layer.tiles:
        tile.check_status()
    state = {"card": card(layer.tiles), "events": torch.stack([tile.events for tile in layer.tiles])}
    for i, tile in enumerate(layer.tiles):
        state.update({f"memory.{i}.{name}": plane for name, plane in tile.memory.items()})
        if tile.companions:
            state[f"beside.{i}"] = weighted_sum(torch.zeros_like(tile.weight), tile.companions)
    return state


class Below:
    """The tensors of `saved` as attributes, `memory.0.age`: torch's distributed checkpoints look for them."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state

    def __getattr__(self, name: str) -> Any:
        below = {key[len(name) + 1 :]: v for key, v in self._state.items() if key.startswith(f"{name}.")}
        if not below and name not in self._state:
            raise AttributeError(f"there is no {name!r}: choose one of {', '.join(self._state)}")
        return Below(below) if below else self._state[name]


@dataclass
class Found:
    """What a state has of a layer, checked."""

    #: analog weight in the layer's shape, and output scales; None where the state has none
    weight: Tensor | None
    scale: Tensor | None
    #: whether the weight was a digital one
    mapped: bool
    #: of every tile; None where the state is of weights alone
    events: Tensor | None
    memory: list[dict[str, Any]]
    beside: dict[int, Tensor]
    #: numbers of arrays that a layer with free ones takes over
    arrays: list[int] | None


def found(layer: Layer, state: Mapping[str, Any], prefix: str) -> Found:
    """What `state` has of a layer under the name `prefix`, without changing anything.

    Raises:
        InputError: when it does not fit the layer.
    """
    what = f"layer {prefix[:-1]!r}" if prefix else "the layer"
    below = prefix + BELOW
    own = {key[len(below) :]: value for key, value in state.items() if key.startswith(below)}
    own.update(_of_version_0_3(state.get(f"{prefix}_extra_state")))
    weight = own.get("weight", state.get(f"{prefix}weight"))
    scale = own.get("out_scale", state.get(f"{prefix}out_scale"))
    arrays = None
    if "card" in own:
        if layer.numbered_freely:
            arrays = arrays_of(own["card"], layer.tiles)
        check_card(what, own["card"], layer.tiles, arrays)
    events, number = own.get("events"), len(layer.tiles)
    for key, value in own.items():
        if not isinstance(value, (Tensor, int, float)):
            raise InputError(f"{key!r} of {what} in the state is a {type(value).__name__}, not a tensor")
    if events is not None and (events.dim() != 2 or len(events) != number or events.shape[1] > len(EVENTS)):
        raise InputError(
            f"events of {what} in the state are {tuple(events.shape)}, but it has {number} tiles that count "
            f"{len(EVENTS)} events: convert with the max_tile that it was saved with"
        )
    if events is None and ("card" in own or any(key.startswith("memory.") for key in own)):
        raise InputError(f"the state has no events of {what}, but its elements: leave out both or none")
    mapped = weight is not None and scale is None
    if mapped and events is not None:
        raise InputError(f"the state has no out_scale of {what}, but its events: leave out both or none")
    if mapped:
        weight, scale = layer.map_digital(_of_shape(what, weight, layer.digital_shape))
    memory: list[dict[str, Any]] = [{} for _ in layer.tiles]
    for key, plane in own.items():
        if key.startswith("memory."):
            _, i, name = (*key.split(".", 2), "", "")[:3]
            memory[_tile_number(what, key, i, number)][name] = plane
    if weight is not None:
        weight = _of_shape(what, weight, layer.weight.shape).float().contiguous()
        scale = _of_shape(f"out_scale of {what}", scale, layer.out_scale.shape)
        with _numbered(layer, arrays):
            for tile, planes in zip(layer.tiles, memory, strict=True):
                if events is None:
                    tile.contents.check_fits(tile.part_of(weight))
                else:
                    tile.contents.check_state(tile.part_of(weight), planes)
    beside = {
        _tile_number(what, key, key[7:], number): plane
        for key, plane in own.items()
        if key.startswith("beside.")
    }
    for i, plane in beside.items():
        _of_shape(f"beside.{i} of {what}", plane, layer.tiles[i].shape)
    return Found(weight, scale, mapped, events, memory, beside, arrays)


@contextlib.contextmanager
def _numbered(layer: Layer, arrays: Sequence[int] | None) -> Iterator[None]:
    """The layer with the elements of other arrays, for a while."""
    before = [tile.key.array for tile in layer.tiles]
    try:
        layer.renumber(arrays or before)
        yield
    finally:
        layer.renumber(before)


def restore(layer: Layer, state: Found) -> None:
    """Have the tiles take over what `found` gave, where the layer has its weights already."""
    if state.arrays is not None:
        layer.renumber(state.arrays)
    if state.mapped:
        _see_beside(layer, {})
    if state.events is None:
        if state.weight is not None:
            layer._bound_tiles()
        return
    if layer.tiles[0].owner is not layer.weight:
        layer._bind()
    each = list(zip(layer.tiles, state.memory, strict=True))
    # tiles with a memory come last: they note that the weights, as all tiles left them, go with it
    for tile, planes in sorted(each, key=lambda pair: bool(pair[1])):
        tile.contents.restore(planes)
    for tile, events in zip(layer.tiles, state.events, strict=True):
        tile.counters.load(events)
    _see_beside(layer, state.beside)


def _see_beside(layer: Layer, beside: Mapping[int, Tensor]) -> None:
    """Have products see these planes beside the weights, until an optimizer puts its arrays there."""
    for i, tile in enumerate(layer.tiles):
        now = weighted_sum(torch.zeros_like(tile.weight), tile.companions)
        if i not in beside:
            tile.companions = []
        elif not torch.allclose(now, beside[i].to(now), atol=1e-6):  # else its arrays are restored already
            tile.companions = [(1.0, Numbers(beside[i].to(now, copy=True)))]


def _tile_number(what: str, key: str, text: str, number: int) -> int:
    if not text.isdecimal() or int(text) >= number:
        raise InputError(f"the state has {key!r} of {what}, which has tiles 0 to {number - 1}")
    return int(text)


def _of_shape(what: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, Tensor) or tuple(value.shape) != tuple(shape):
        got = tuple(value.shape) if isinstance(value, Tensor) else repr(value)
        raise InputError(f"{what} in the state is {got}, but this model needs {tuple(shape)}")
    return value.detach()


def _of_version_0_3(extra: Any) -> dict[str, Any]:
    """The state of a layer as versions up to 0.3.1 wrote it, one dictionary."""
    if not isinstance(extra, Mapping):
        return {}
    own: dict[str, Any] = {"events": torch.tensor(extra["events"])}
    for i, planes in enumerate(extra.get("memory", ())):
        own.update({f"memory.{i}.{name}": plane for name, plane in planes.items()})
    return own
