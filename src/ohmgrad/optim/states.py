"""Whether the state of an analog optimizer fits its tiles, to be seen before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from ..crossbar.card import arrays_of, check_card
from ..errors import InputError

__all__ = ["AsItIs", "by_tile", "check_kept", "check_plane"]


class AsItIs:
    """A part of a state that torch's load_state_dict leaves as it is: it would make counts floats."""

    def __init__(self, value: Any) -> None:
        self.value = value


def by_tile(tiles: list[Tile], state: dict[Any, Any]) -> Iterator[tuple[Tile, dict[str, Any]]]:
    """The tiles of a parameter, each with its part of the parameter's state.

    Raises:
        InputError: when the state is of another number of tiles.
    """
    if not all(isinstance(number, int) for number in state):
        raise InputError(
            "the state is of an optimizer to which an analog weight was digital: load that of the same "
            "algorithm on analog layers"
        )
    if state and {*state} != {*range(len(tiles))}:
        raise InputError(
            f"a layer in the state has {len(state)} tiles, but here {len(tiles)}: load the state of an "
            "optimizer of the same layers, cut by the same max_tile"
        )
    return iter([(tile, state[i]) for i, tile in enumerate(tiles)] if state else [])


def check_kept(tile: Tile, state: dict[str, Any]) -> None:
    """Raise InputError unless planes and arrays of a tile's state are of its shape and its elements."""
    for name, kept in state.items():
        if isinstance(kept, Tensor) and kept.dim() == 2 and tuple(kept.shape) != tile.shape[::-1]:
            check_plane(tile, name, kept)  # buffers are transposed
        elif isinstance(kept, dict):
            if missing := {"weight", "memory"} - {*kept}:
                raise InputError(f"array {name!r} in the state has no {min(missing)!r}: the state is damaged")
            check_plane(tile, f"array {name!r}", kept["weight"])
            if "card" in kept:
                arrays = arrays_of(kept["card"], [tile]) if tile.numbered_freely else None
                check_card(f"array {name!r}", kept["card"], [tile], arrays)
            for plane, value in kept["memory"].items():
                if isinstance(value, Tensor) and value.dim():
                    check_plane(tile, f"{plane!r} of array {name!r}", value)


def check_plane(tile: Tile, name: str, kept: Tensor) -> None:
    """Raise InputError unless `kept`, from a tile's state, is of its shape: kernels do not look again."""
    if tuple(kept.shape) != tile.shape:
        raise InputError(
            f"{name} in the state is {tuple(kept.shape)}, but its tile is {tile.shape}: load the state of "
            "an optimizer of the same layers"
        )
