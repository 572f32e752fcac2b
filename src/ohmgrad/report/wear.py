"""Wear, element by element: a table, and histograms by layer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from rich.table import Table

from ..cost.wear import Histogram, pooled
from ..studies.wear import Wear
from ..style import style_of
from .figures import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["wear_figure", "wear_table"]

#: line styles of the arrays of a layer, that of the weights first
_DASHES = ("-", "--", ":", "-.")


def _by_array(wear: Wear) -> Iterator[tuple[str, Histogram]]:
    """Algorithm and histogram of every array of a layer, tiles and seeds together."""
    found: dict[tuple[str, str, str], list[Histogram]] = {}
    for (algorithm, _), several in wear.items():
        for each in several:
            found.setdefault((algorithm, each.layer, each.array), []).append(each)
    for (algorithm, layer, array), several in found.items():
        yield algorithm, pooled(several, layer, array)


def wear_table(wear: Wear) -> Table:
    """Pulses by element of every array: mean, median, 99 % of the elements, and the largest."""
    table = Table(title="wear: pulses by element", title_justify="left", caption_justify="left")
    for name in ("algorithm", "layer", "array"):
        table.add_column(name, overflow="fold")
    for name in ("mean", "median", "99 %", "largest", "largest/mean"):
        table.add_column(name, justify="right")
    before = ""
    for algorithm, each in _by_array(wear):
        label = style_of(algorithm).label
        if before not in ("", label):
            table.add_section()
        numbers = f"{each.mean:,.1f}", *(f"{n:,}" for n in (each.quantile(0.5), each.quantile(0.99)))
        share = f"{each.largest / each.mean:.2g}" if each.mean else "-"
        name = "" if label == before else label
        table.add_row(name, each.layer, each.array, *numbers, f"{each.largest:,}", share)
        before = label
    table.caption = (
        "both directions, tiles and seeds together, in updates and transfers of the whole trainings; resets "
        "and refreshes are not among them. 99 %: so many pulses or fewer got 99 % of the elements"
    )
    return table


@styled()
def wear_figure(wear: Wear) -> Figure:
    """The share of elements that got more than so many pulses: a panel for each layer."""
    from matplotlib.figure import Figure

    arrays = list(_by_array(wear))
    layers = list(dict.fromkeys(each.layer for _, each in arrays))
    figure = Figure(figsize=(0.6 + 2.9 * len(layers), 2.9), layout="constrained")
    axes = dict(zip(layers, figure.subplots(1, len(layers), squeeze=False, sharey=True)[0], strict=True))
    for layer, axis in axes.items():
        axis.set(title=f"layer {layer}", xlabel="pulses by element", xscale="log", yscale="log")
        seen: dict[str, int] = {}
        for algorithm, each in arrays:
            if each.layer != layer or not each.largest:
                continue
            look, numbers = style_of(algorithm), sorted(each.elements)
            all_of = sum(each.elements.values())
            above = [1 - n / all_of for n in accumulate(each.elements[n] for n in numbers)]
            x, y = zip(*((max(n, 0.5), s) for n, s in zip(numbers, above, strict=True) if s > 0), strict=True)
            dash = _DASHES[seen.get(algorithm, 0) % len(_DASHES)]
            seen[algorithm] = seen.get(algorithm, 0) + 1
            axis.step([*x, each.largest], [*y, y[-1]], dash, where="post", color=look.colour, lw=1.2,
                      label=f"{look.label}, {each.array}")  # fmt: skip
            axis.plot(each.largest, y[-1], look.marker, color=look.colour, ms=4)
    first = axes[layers[0]]
    first.set_ylabel("share of elements with more pulses")
    lines = {str(line.get_label()): line for axis in axes.values() for line in axis.get_lines()}
    lines = {label: line for label, line in lines.items() if not label.startswith("_")}
    figure.legend([*lines.values()], [*lines], frameon=False, fontsize=7, loc="outside lower center", ncols=3)
    return figure
