"""A training that goes on, in a terminal: rows of numbers and small pictures made of blocks; or one line."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .history import History, LayerNow

__all__ = ["blocks", "headline", "line", "terminal_picture"]

_EIGHTHS = " ▁▂▃▄▅▆▇█"
#: columns of a picture, at most; of names, newest values and ranges, with what is between
_WIDE, _BESIDE = 60, 17 + 9 + 20 + 3 * 2


def headline(history: History) -> str:
    """How far the training is."""
    speed = "" if math.isnan(history.speed) else f", {history.speed:,.4g} updates a second"
    return f"update {history.update:,} after {history.seconds:,.0f} s{speed}"


def line(history: History) -> str:
    """All of it in a line, for logs."""
    words = [headline(history), f"loss {history.loss.last:.4g}"]
    if history.gradient.y:
        words.append(f"squared gradient {history.gradient.last:.3g} (floor {history.floor.last:.3g})")
    if history.pulses.y:
        words.append(f"{history.pulses.last:.3g} pulses a second")
    return ", ".join(words)


def terminal_picture(history: History, width: int) -> Group:
    """Loss, squared gradient beside the predicted floor, pulses a second, weights, in `width` columns."""
    wide = min(_WIDE, max(width - _BESIDE, 10))
    table = Table.grid(padding=(0, 2))
    for style, most in (("", 17), ("bold", 9), ("", wide), ("dim", 20)):
        table.add_column(style=style, no_wrap=True, max_width=most)
    _curve(table, "loss", history.loss.y, wide, 3)
    if history.gradient.y:
        # where noise makes the estimate of the gradient negative, its curve has a gap
        together = [y for y in (*history.gradient.y, *history.floor.y) if y > 0]
        _curve(table, "squared gradient", history.gradient.y, wide, 2, together)
        if not math.isnan(history.floor.last):
            _curve(table, "predicted floor", history.floor.y, wide, 2, together)
    if history.pulses.y:
        _curve(table, "pulses a second", history.pulses.y, wide, 1)
    for layer in history.layers:
        _weights(table, layer, wide)
    if history.hidden:
        table.add_row(f"{history.hidden} smaller layers")
    return Group(Text(headline(history)), table)


def _curve(
    table: Table, name: str, values: Sequence[float], wide: int, high: int, scale: Sequence[float] = ()
) -> None:
    """A row with the newest value and the curve; logarithmic where all values are positive."""
    known = [v for v in scale or values if math.isfinite(v)]
    if not known:
        table.add_row(name, "nan")
        return
    low, top = min(known), max(known)
    log = low > 0
    heights = [_height(v, low, top, log) for v in _resampled(values, wide)]
    table.add_row(name, f"{values[-1]:.4g}", Text(blocks(heights, high), "blue"), f"{low:.3g} to {top:.3g}")


def _weights(table: Table, layer: LayerNow, wide: int) -> None:
    """A row with the histogram of the weights, and a mark under the symmetric points."""
    if layer.now is None:
        return
    bars, edges, spots = _resampled(layer.now.shares, wide), layer.now.edges, layer.now.spots
    top = max(bars) or 1.0
    ends = f"{edges[0]:.3g} to {edges[-1]:.3g}"
    name = Text(f"weights, {layer.name}" if layer.name else "weights")
    table.add_row(name, "", Text(blocks([b / top for b in bars], 2), "blue"), ends)
    if spots.points is not None:
        low, middle, high = (
            min(int((p - edges[0]) / (edges[-1] - edges[0]) * len(bars)), len(bars) - 1) for p in spots.points
        )
        marks = " " * low + "─" * (middle - low) + "▲" + "─" * (high - middle)
        table.add_row("symmetric point", "", Text(marks, "yellow"), f"median {spots.points[1]:.3g}")


def blocks(heights: Sequence[float], rows: int) -> str:
    """Columns of block characters, `rows` lines high; heights in [0, 1], and NaN for a gap."""
    filled = [0 if math.isnan(h) else max(1 if h > 0 else 0, round(8 * rows * h)) for h in heights]
    lines = ("".join(_EIGHTHS[min(max(n - 8 * row, 0), 8)] for n in filled) for row in reversed(range(rows)))
    return "\n".join(lines)


def _height(value: float, low: float, top: float, log: bool) -> float:
    """Where a value is between low, which is drawn as a little, and top."""
    if not math.isfinite(value) or (log and value <= 0):
        return math.nan
    if top == low:
        return 0.5
    share = math.log(value / low) / math.log(top / low) if log else (value - low) / (top - low)
    return 0.05 + 0.95 * min(max(share, 0.0), 1.0)


def _resampled(values: Sequence[float], most: int) -> list[float]:
    """At most so many means of neighbours; NaN where one of them is."""
    if len(values) <= most:
        return list(values)
    cuts = [round(i * len(values) / most) for i in range(most + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
