"""Auxiliary arrays: those that an algorithm has besides the array of the weights, kept in its state."""

from __future__ import annotations

from typing import Any

from ..crossbar import Tile
from ..crossbar.card import card
from .states import check_kept

__all__ = ["AuxiliaryArrays"]


class AuxiliaryArrays:
    """The auxiliary arrays of an optimizer's tiles, made from the state that holds them.

    A state has, under the name of an array, its weights, event counts, what its elements hold besides the
    weights, and the card of its elements, so that checkpoints have them. Its elements follow from the tile's
    seed.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[int, str], Tile] = {}

    def all(self) -> list[Tile]:
        """All that were made so far."""
        return list(self._arrays.values())

    def of(self, tile: Tile) -> dict[str, Tile]:
        """Those of a tile that were made so far, by name."""
        return {name: array for (key, name), array in self._arrays.items() if key == id(tile)}

    def get(self, tile: Tile, state: dict[str, Any], name: str, role: int) -> Tile:
        """The array `name` of a tile, see `AnalogOptimizer.array`."""
        kept = state.setdefault(name, {})
        weight, events = kept.get("weight"), kept.get("events")
        array = self._arrays.get((id(tile), name))
        number = (tile.key.array + role) % 2**32
        if (
            array is None
            or array.owner is not weight
            or weight.device != tile.owner.device
            or array.events is not events
            or array.key.array != number
            or (array.board is None) != (tile.board is None)
        ):
            if weight is not None:
                check_kept(tile, {name: kept})
                weight = weight.to(tile.owner.device).contiguous()
            array = tile.sibling(role, weight, kept.get("memory"))
            if events is not None:
                array.counters.load(events)
            kept.update(weight=array.owner, events=array.events, card=card([tile]))
            self._arrays[id(tile), name] = array
        kept["memory"] = array.memory  # others may have copied the dictionaries of the state
        return array

    def put_back_memories(self, tile: Tile, state: dict[str, Any]) -> None:
        """Have the state hold what arrays hold, where others have copied its dictionaries, or boards do."""
        for name, kept in state.items():
            array = self._arrays.get((id(tile), name))
            if array is not None and array.owner is kept["weight"]:
                array.contents.reread(array.counters)
                kept["memory"] = array.memory
