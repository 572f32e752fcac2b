"""What a checkpoint says of the elements that it is about, so that a state of others is not loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..devices import AbstractResponse, Device
from ..errors import InputError
from .tile import Tile

__all__ = ["arrays_of", "card", "check_card"]

#: relative difference of numbers that counts as none: responses are computed, on other machines too
SAME = 1e-5


def card(tiles: Sequence[Tile]) -> Tensor:
    """Device, seed, numbers and blocks of arrays that share them, as bytes of JSON: uint8 (n,).

    A tensor, as some files of checkpoints hold nothing else.
    """
    return torch.from_numpy(np.frombuffer(json.dumps(_described(tiles)).encode(), np.uint8).copy())


def arrays_of(kept: Tensor, tiles: Sequence[Tile]) -> list[int] | None:
    """Numbers of the arrays on a card, one for each of `tiles`; None where it has others, or none."""
    arrays = _read(kept).get("arrays")
    if not isinstance(arrays, list) or len(arrays) != len(tiles):
        return None
    return arrays if all(isinstance(a, int) and 0 <= a < 2**32 for a in arrays) else None


def check_card(what: str, kept: Tensor, tiles: Sequence[Tile], arrays: Sequence[int] | None = None) -> None:
    """Raise InputError unless `kept`, the card in the state of `what`, is that of `tiles`.

    Args:
        arrays: numbers that the tiles would take; their own by default.
    """
    theirs, here = _read(kept), _described(tiles)
    if not theirs:
        raise InputError(f"the card of {what} in the state cannot be read: the file is damaged")
    if arrays is not None:
        here["arrays"] = list(arrays)
    differs = _difference(theirs, here)
    if differs is not None:
        name, there, here = differs
        raise InputError(
            f"the state of {what} is of other elements ({name} {there}, here {here}): convert as it was "
            "saved, or leave out its 'analog.' entries and load with strict=False, to write its weights here"
        )


def _read(kept: Tensor) -> dict[str, Any]:
    """What a card says; nothing where it cannot be read."""
    try:
        said = json.loads(kept.to("cpu", torch.uint8).numpy().tobytes())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _described(tiles: Sequence[Tile]) -> dict[str, Any]:
    first = tiles[0]
    blocks = [tile.block or (slice(0, tile.shape[0]), slice(0, tile.shape[1])) for tile in tiles]
    return {
        "tiles": [" x ".join(f"{lines.start}:{lines.stop}" for lines in block) for block in blocks],
        "device": _device(first.device),
        "seed": first.key.seed,
        "arrays": [tile.key.array for tile in tiles],
    }


def _device(device: Device) -> dict[str, Any]:
    """A device as JSON has it, made once: callables cost time, and measured tables are long."""
    known = vars(device).get("_described")
    if known is None:
        object.__setattr__(device, "_described", known := _plain(device))
    return known


def _plain(value: Any) -> Any:
    """A specification as JSON has it; responses by their steps, tensors by their bytes."""
    if isinstance(value, AbstractResponse):
        w = torch.linspace(value.w_min, value.w_max, 9, dtype=torch.float64)
        steps = {"up": value.q_plus(w), "down": value.q_minus(w)}
        spread = getattr(value, "relative_std", 0.0)
        numbers = {name: [float(f"{q:.6g}") for q in qs.tolist()] for name, qs in steps.items()}
        return {"w_min": value.w_min, "w_max": value.w_max, **numbers, "relative_std": float(spread)}
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (Tensor, np.ndarray)):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _difference(there: Any, here: Any, name: str = "") -> tuple[str, str, str] | None:
    """Name and both values of the first difference."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        both = {key: (there.get(key), here.get(key)) for key in {**here, **there}}
        # an entry that another version did not have yet is no difference where it is 0 or None
        known = [key for key, ends in both.items() if (key in there and key in here) or any(ends)]
        pairs = [(f"{name}.{key}".lstrip("."), *both[key]) for key in known]
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        pairs = [(name, a, b) for a, b in zip(there, here, strict=True)]
    else:
        same = there == here
        if isinstance(there, float) and isinstance(here, float):
            same = math.isclose(there, here, rel_tol=SAME, abs_tol=1e-9)
        return None if same else (name, _short(there), _short(here))
    return next((found for n, a, b in pairs if (found := _difference(a, b, n)) is not None), None)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
