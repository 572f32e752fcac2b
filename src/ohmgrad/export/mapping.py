"""From weights to siemens and back: what elements hold, and the conductances that stand for it.

With v what an element holds, in weight units, [low, high] its nominal range and s siemens a weight unit,

    s = (g_max - g_min) / (high - low)          G = g_min + s (v - low)

Elements by the device, see `ohmgrad.devices`:

    element             one for each weight, w = (G - G(0)) / s, with G(0) the conductance of v = 0
    element, reference  the device has a reference, or the array was calibrated: w = (G - G_reference) / s
    plus, minus         one-sided pairs, [low, high] = [0, w_max]: w = (G+ - G-) / s. Of devices with one
                        element a weight if asked for: G+ = g_min + s max(w, 0), G- = g_min + s max(-w, 0),
                        [low, high] = [0, max(w_max, -w_min)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..crossbar import Tile
from ..crossbar.pair_state import PairState
from ..errors import InputError

__all__ = ["Siemens", "bounds", "held", "siemens_for", "take_back"]

#: share of the range by which a value may lie beyond an element's bound and be meant as that: rounding
SLACK = 1e-6
#: planes of a tile's memory, where elements in the mapping are called otherwise
PLANES = {"element": "persistent"}


@dataclass(frozen=True)
class Siemens:
    """How the elements of one array stand for its weights; frozen, as files have it.

    Args:
        elements: their names, one or two for each weight.
        per_weight: s, siemens a weight unit.
        at_zero: conductance of an element that holds 0, in siemens.
    """

    elements: tuple[str, ...]
    per_weight: float
    at_zero: float

    def conductances(self, v: Tensor) -> Tensor:
        """Siemens of elements that hold `v`, float64."""
        return self.at_zero + self.per_weight * v.double()

    def values(self, g: Tensor) -> Tensor:
        """What elements of `g` siemens hold, float64."""
        return (g.double() - self.at_zero) / self.per_weight


def siemens_for(tile: Tile, g_min: float, g_max: float, pairs: bool) -> Siemens:
    """The mapping of an array.

    Args:
        g_min, g_max: siemens at the ends of the nominal range.
        pairs: whether a device with one element a weight is written as two.

    Raises:
        InputError: when pairs are asked for and the elements have a reference.
    """
    low, high = tile.device.response.w_min, tile.device.response.w_max
    names: tuple[str, ...] = ("plus", "minus") if tile.device.pair is not None or pairs else ("element",)
    if "reference" in tile.memory:
        if pairs:
            raise InputError(
                "pairs is True, but each element has a reference already, which is subtracted: leave it out"
            )
        names = ("element", "reference")
    if names[0] == "plus":
        low, high = 0.0, max(-low, high)
    s = (g_max - g_min) / (high - low)
    return Siemens(names, s, g_min - s * low)


def held(tile: Tile, elements: tuple[str, ...]) -> dict[str, Tensor]:
    """What the elements of an array hold, (rows, cols) each, by their names in the mapping.

    Noise of writing and reading is no part of it.
    """
    if tile.device.pair is not None:
        return {name: tile.memory[name] for name in elements}
    v = tile.held
    if elements == ("plus", "minus"):
        return {"plus": v.clamp(min=0), "minus": (-v).clamp(min=0)}
    return {"element": v, **({"reference": tile.memory["reference"]} if len(elements) > 1 else {})}


def bounds(tile: Tile, elements: tuple[str, ...]) -> dict[str, tuple[Tensor, Tensor]]:
    """Least and largest value of every element, float64: the nominal range, or own bounds beyond it."""
    response, drawn = tile.device.response, [tile.elements] * 2
    state = tile.contents.cell_state
    if isinstance(state, PairState):
        drawn = [array.elements for array in state.arrays]
    low, high = response.w_min, response.w_max
    found = {}
    for name, each in zip(elements, drawn, strict=False):
        least, most = each.lower.double().clamp(max=low), each.upper.double().clamp(min=high)
        if elements == ("plus", "minus"):
            # of one element a weight that is written as two: its lower bound, the other way round
            most = most if name == "plus" or tile.device.pair is not None else -least
            least = torch.zeros_like(most)
        found[name] = least.expand(tile.shape), most.expand(tile.shape)
    return found


def take_back(tile: Tile, values: Mapping[str, Tensor]) -> None:
    """Have the elements of an array hold `values`, float64 (rows, cols) each, or their nearest bound.

    Noise of writing and reading, and ages, start anew; held weights are held where they are now.
    """
    first, *second = values.values()
    if tile.device.pair is None and "reference" not in tile.memory:
        tile.weight.copy_(first - second[0] if second else first)
        tile.contents.load_weights()
        return
    planes = {PLANES.get(name, name): v.float().to(tile.weight.device) for name, v in values.items()}
    plus, minus = planes.values()
    seen, memory = plus - minus, {**tile.memory, **planes}
    for name in ("noise", "slow", "age", "age_minus"):
        if name in memory:
            memory[name] = torch.zeros_like(memory[name])
    if "fixed" in memory:
        memory["fixed"] = torch.where(memory["fixed"].isnan(), memory["fixed"], seen)
    tile.contents.restore(memory)
