"""What trainings cost at equal accuracy, as figures: energy, time and pulses, and the wear of every layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..cost.counts import WEIGHTS
from ..studies.compared_costs import COSTS, Curve
from ..style import BLACK, Look
from .figures import styled
from .page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Compared", "cost_figure", "cost_pictures", "layer_wear_figure"]

_LABELS = {
    "energy": "energy of the training",
    "time": "time of the training",
    "pulses": "pulses by element, mean",
}


@dataclass(frozen=True)
class Compared:
    """Trainings that are compared, a row of panels.

    Args:
        title: of the row.
        curves: by their looks.
        accuracy: test accuracy (%) at which costs are compared.
    """

    title: str
    curves: Mapping[Look, Curve]
    accuracy: float


def cost_pictures(compared: Sequence[Compared], hardware: str) -> Iterator[Picture]:
    """Both figures, for a page; the second where elements wear."""
    yield Picture(
        cost_figure(compared),
        f"Test accuracy against energy and time of the training on {hardware}, which are estimates, and "
        "against pulses by element, epoch by epoch, means over seeds. Dotted: the accuracy at which costs "
        "are compared; marks: the first epoch that reaches it. Digital SGD has no pulses.",
    )
    if any(_worn(each) for each in compared):
        yield Picture(
            layer_wear_figure(compared),
            "Pulses by element of every array up to that epoch, layer by layer: filled marks are the "
            "weights, open ones auxiliary arrays. Those that do not reach the accuracy have no mark.",
        )


@styled()
def cost_figure(compared: Sequence[Compared]) -> Figure:
    """Test accuracy against energy, time and pulses, epoch by epoch: a row for each that is compared.

    Means over seeds. Where a curve first reaches the accuracy, a dotted line, it has a mark.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.4, 0.8 + 2.3 * len(compared)), layout="constrained")
    axes = figure.subplots(len(compared), len(COSTS), squeeze=False, sharey="row")
    lines = {}
    for row, each in zip(axes, compared, strict=True):
        for (quantity, unit), axis in zip(COSTS.items(), row, strict=True):
            axis.axhline(each.accuracy, color=BLACK, ls=":", lw=0.8)
            for look, curve in each.curves.items():
                spent, at = getattr(curve, quantity).mean(0), curve.reached(each.accuracy)
                if not (np.isfinite(spent).all() and spent.all()):
                    continue
                (line,) = axis.plot(spent, curve.accuracy, look.dash, color=look.colour, lw=1.2)
                lines[look.label] = line
                if at is not None:
                    axis.plot(spent[at], curve.accuracy[at], look.marker, color=look.colour, ms=5)
            axis.set_xscale("log")
            axis.set_xlabel(_LABELS[quantity])
            _ticks(axis, "" if unit == "1" else unit)
        row[0].set_ylabel("test accuracy (%)")
        row[1].set_title(each.title)
    where = "outside lower center"
    figure.legend([*lines.values()], [*lines], frameon=False, fontsize=7, loc=where, ncols=4)
    return figure


def _ticks(axis: Axes, unit: str) -> None:
    """Ticks with SI prefixes on a logarithmic axis, several in a decade where it has few."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axis.get_xlim()
    subs = (1, 2, 5) if high < 30 * low else (1, 3) if high < 300 * low else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs))
    axis.xaxis.set_major_formatter(EngFormatter(unit))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", labelsize=7)


def _worn(each: Compared) -> dict[Look, tuple[Curve, int]]:
    """Curves with wear that reach the accuracy, and the first epoch that does."""
    found = {look: (curve, curve.reached(each.accuracy)) for look, curve in each.curves.items() if curve.wear}
    return {look: (curve, at) for look, (curve, at) in found.items() if at is not None}


@styled()
def layer_wear_figure(compared: Sequence[Compared]) -> Figure:
    """Pulses by element of every array at equal accuracy: a panel for each layer."""
    from matplotlib.figure import Figure

    rows = [(each, worn) for each in compared if (worn := _worn(each))]
    layers = list(dict.fromkeys(p[0] for _, worn in rows for curve, _ in worn.values() for p in curve.wear))
    heights = [0.75 + 0.2 * len(worn) for _, worn in rows]
    size = (2.2 + 1.9 * len(layers), 0.3 + sum(heights))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        len(rows), len(layers), squeeze=False, sharey="row", sharex=True, height_ratios=heights
    )
    for row, (each, worn) in zip(axes, rows, strict=True):
        for axis, layer in zip(row, layers, strict=True):
            for y, (look, (curve, at)) in enumerate(worn.items()):
                for (own, array), pulses in curve.wear.items():
                    if own == layer and pulses[at] > 0:
                        fill = look.colour if array == WEIGHTS else "none"
                        axis.plot(pulses[at], y, look.marker, color=look.colour, mfc=fill, ms=5)
            axis.set(xscale="log", xlabel="pulses by element", ylim=(len(worn) - 0.5, -0.5))
            axis.set_title(f"{each.title}, layer {layer}", fontsize=8)
            axis.grid(axis="x", lw=0.3)
    for axis in axes[0]:  # of all rows
        _ticks(axis, "")
    for (first, *_), (_, worn) in zip(axes, rows, strict=True):
        first.set_yticks(range(len(worn)), [look.label for look in worn], fontsize=7)
    return figure
