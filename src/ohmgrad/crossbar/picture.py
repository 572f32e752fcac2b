"""Tiles as text and in a notebook: the weights as a histogram against the symmetric points, size, device and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..devices import describe
from ..inline import INK, block, chart, table
from ..style import BLUE, ORANGE
from .events import EVENTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Spots", "Weights", "draw_weights", "spots_of", "tile_html", "tile_text", "weights_of"]

_BINS = 40
#: elements of a tile whose symmetric points are looked at, about: they take longer than weights
_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Spots:
    """Symmetric points of some elements, evenly taken, or of all where these are alike.

    Args:
        points: in weight units, (n,); none of one-sided pairs.
        alike: whether all are the same.
        low, high: range of the device.
    """

    points: Tensor
    alike: bool
    low: float
    high: float


@dataclass(frozen=True)
class Weights:
    """Weights and symmetric points in the same bins.

    Args:
        edges: of the bins, (bins + 1,).
        weights: share of the weights in each bin, (bins,); those that are not finite are in none.
        points: of the symmetric points; None where all are alike, or there are none.
        point: the symmetric point where all are alike.
    """

    edges: list[float]
    weights: list[float]
    points: list[float] | None
    point: float | None


def spots_of(tiles: Sequence[Any]) -> Spots:
    """Where the weights of tiles of one device would be driven; the tiles import this file."""
    response = tiles[0].device.response
    found = [_points(tile) for tile in tiles] if tiles[0].device.pair is None else [torch.zeros(0)]
    points = torch.cat(found)
    alike = len(points) > 0 and bool((points == points[0]).all())
    return Spots(points[:1] if alike else points, alike, response.w_min, response.w_max)


def _points(tile: Any) -> Tensor:
    """Symmetric points of about `_LOOKED_AT` elements, less the reference that is subtracted from them."""
    elements, cols = tile.elements, tile.shape[1]
    at = torch.arange(0, tile.weight.numel(), 1 + tile.weight.numel() // _LOOKED_AT)
    some = elements if elements.up.numel() == 1 else elements.at(at // cols, at % cols)
    reference = torch.as_tensor(tile.memory.get("reference", 0.0)).detach()
    if reference.numel() > 1:
        reference = reference.flatten().cpu()[at]
    return (some.symmetric_point().flatten().cpu() - reference.cpu()).float().flatten()


def weights_of(weight: Tensor, spots: Spots) -> Weights:
    """Weights of any shape as they are now, beside their symmetric points."""
    w = weight.detach().flatten().cpu()
    w = w[w.isfinite()]
    seen = torch.cat([w, spots.points, torch.tensor([spots.low, spots.high])])
    low, high = float(seen.min()), float(seen.max())
    counts = w.histc(_BINS, low, high) / max(len(w), 1)
    points = None
    if not spots.alike and len(spots.points):
        points = (spots.points.histc(_BINS, low, high) / len(spots.points)).tolist()
    edges = torch.linspace(low, high, _BINS + 1).tolist()
    return Weights(edges, counts.tolist(), points, float(spots.points[0]) if spots.alike else None)


def draw_weights(axes: Axes, found: Weights) -> None:
    """Bars for the weights, and a line for the symmetric points."""
    axes.stairs([100 * x for x in found.weights], found.edges, fill=True, color=BLUE, label="weights")
    if found.points is not None:
        axes.stairs([100 * x for x in found.points], found.edges, color=ORANGE, label="symmetric points")
    if found.point is not None:
        axes.axvline(found.point, color=INK, lw=1, ls=":", label="symmetric point")
    axes.set(xlabel="weight w (weight units)", ylabel="elements (%)", ylim=(0, None))
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0), borderpad=0)


def tile_text(tile: Any) -> str:
    """A `Tile` in a line."""
    rows, cols = tile.shape
    return f"Tile({rows} x {cols}, {describe(tile.device)}, {tile.pulsing.fidelity})"


def tile_html(tile: Any) -> str:
    """HTML of a `Tile`, which imports this file. It reads weights and counts as they are, and changes none."""
    rows, cols = tile.shape
    lines = [
        ("size", f"{rows} x {cols}, {rows * cols:,} elements"),
        ("device", describe(tile.device)),
        ("pulses", tile.pulsing.fidelity),
        ("periphery", "perfect" if tile.periphery.perfect else "noisy"),
        ("array, seed", f"{tile.key.array}, {tile.key.seed}"),
    ]
    if tile.owner.device.type != "cpu":
        lines.append(("place", str(tile.owner.device)))
    pictures = []
    if tile.owner.device.type != "meta":
        found = weights_of(tile.weight, spots_of([tile]))
        pictures = [chart(lambda axes: draw_weights(axes, found), "weights and symmetric points")]
        counts = zip(EVENTS, tile.events.tolist(), strict=True)
        lines += [(name.replace("_", " "), f"{count:,}") for name, count in counts if count]
    return block(f"Tile: {rows} x {cols}", pictures, table(lines))
