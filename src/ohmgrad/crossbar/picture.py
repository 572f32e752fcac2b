"""Tiles as text and in a notebook: weights as a histogram against the symmetric points, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..devices import describe
from ..inline import INK, block, chart, legend_above, table
from ..style import BLUE, ORANGE
from .events import EVENTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Spots", "Weights", "draw_weights", "spots_of", "tile_html", "tile_text", "weights_of"]

#: bins of few weights, and of many
_FEWEST, _MOST = 12, 60
#: elements of all tiles together whose symmetric points are looked at, about: they take longer than weights
_LOOKED_AT = 20_000
_QUANTILES = torch.tensor([0.05, 0.5, 0.95])


@dataclass(frozen=True)
class Spots:
    """Where the symmetric points of elements lie.

    Args:
        points: of 5 %, 50 % and 95 % of the elements it is below, in weight units; None of one-sided pairs.
        low, high: range of the device.
    """

    points: tuple[float, float, float] | None
    low: float
    high: float


@dataclass(frozen=True)
class Weights:
    """Weights as they are at one moment.

    Args:
        edges: of the bins, (bins + 1,), over the range of the device and all weights.
        shares: of the weights in each bin, (bins,); those that are not finite are in none.
        spots: of their elements.
    """

    edges: list[float]
    shares: list[float]
    spots: Spots


def spots_of(tiles: Sequence[Any]) -> Spots:
    """The symmetric points of tiles of one device; the tiles import this file."""
    response, found = tiles[0].device.response, None
    if tiles[0].device.pair is None:
        low, middle, high = (
            torch.cat([_points(tile, 1 + _LOOKED_AT // len(tiles)) for tile in tiles])
            .quantile(_QUANTILES)
            .tolist()
        )
        found = (low, middle, high)
    return Spots(found, response.w_min, response.w_max)


def _points(tile: Any, most: int) -> Tensor:
    """Symmetric points of at most so many elements, less the reference that is subtracted from them."""
    elements, cols = tile.elements, tile.shape[1]
    at = torch.arange(0, tile.weight.numel(), 1 + tile.weight.numel() // most)
    some = elements if elements.up.numel() == 1 else elements.at(at // cols, at % cols)
    reference = torch.as_tensor(tile.memory.get("reference", 0.0)).detach()
    if reference.numel() > 1:
        reference = reference.flatten().cpu()[at]
    return (some.symmetric_point().flatten().cpu() - reference.cpu()).float().flatten()


def weights_of(weight: Tensor, spots: Spots) -> Weights:
    """Weights of any shape as they are now."""
    w = weight.detach().flatten().cpu()
    w = w[w.isfinite()]
    low, high = (float(m) for m in torch.cat([w, torch.tensor([spots.low, spots.high])]).aminmax())
    bins = min(max(round(2 * len(w) ** 0.5), _FEWEST), _MOST)
    counts = w.histc(bins, low, high) / max(len(w), 1)
    return Weights(torch.linspace(low, high, bins + 1).tolist(), counts.tolist(), spots)


def draw_weights(axes: Axes, found: Weights, of: str = "") -> None:
    """Bars for the weights, and a line and a band for the symmetric points; `of` says whose they are."""
    axes.stairs([100 * share for share in found.shares], found.edges, fill=True, color=BLUE, label="weights")
    if found.spots.points is not None:
        low, middle, high = found.spots.points
        axes.axvline(middle, color=INK, lw=1, ls=":", label="symmetric point")
        if low < high:
            axes.axvspan(low, high, color=ORANGE, alpha=0.45, lw=0, label="90 % of them")
    axes.set(xlabel=f"weight w{of} (weight units)", ylabel="elements (%)", ylim=(0, None))
    legend_above(axes)


def tile_text(tile: Any) -> str:
    """A `Tile` in a line."""
    rows, cols = tile.shape
    return f"Tile({rows} x {cols}, {describe(tile.device)}, {tile.pulsing.fidelity})"


def tile_html(tile: Any) -> str:
    """HTML of a `Tile`, which imports this file; of weights and counts as they are, nothing changes."""
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
