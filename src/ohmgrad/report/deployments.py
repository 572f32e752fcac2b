"""Accuracy of deployed models against time since programming: a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.table import Table
from torch import Tensor

from ..ensemble.grid import interval
from ..studies.deployments import DeployedTraining
from ..style import BLUE, GREEN, ORANGE, PURPLE, RC, RED, SKY, style_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["deployment_figure", "deployment_table", "time_in_words"]

_UNITS = (("y", 365 * 86400.0), ("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
#: ticks of the time axis
_TICKS = (1.0, 20.0, 60.0, 600.0, 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0, 365 * 86400.0)


def time_in_words(seconds: float) -> str:
    """A time in the largest unit that it has one of: 86400 is 1 d."""
    unit, size = next(((u, s) for u, s in _UNITS if seconds >= s), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


class _Curve(NamedTuple):
    """A network over time, in per cent."""

    run: str
    algorithm: str
    times: tuple[float, ...]
    mean: Tensor
    low: Tensor
    high: Tensor
    worst: Tensor
    digital: float


def _curves(found: Sequence[DeployedTraining]) -> list[_Curve]:
    """Of each algorithm of each run: means over its seeds, with intervals over the programmings."""
    curves = []
    for run, algorithm in dict.fromkeys((each.run, each.algorithm) for each in found):
        mine = [each.found for each in found if (each.run, each.algorithm) == (run, algorithm)]
        chips = 100 * torch.stack([each.accuracies for each in mine])  # seeds, programmings, times
        mean, low, high = interval(chips.mean(0).T)
        digital = 100 * sum(each.digital for each in mine) / len(mine)
        worst = chips.flatten(0, 1).amin(0)
        curves.append(_Curve(run, algorithm, mine[0].times, mean, low, high, worst, digital))
    return curves


def deployment_table(found: Sequence[DeployedTraining], title: str) -> Table:
    """Mean accuracy with its interval, and that of the worst chip, a row for every time."""
    curves = _curves(found)
    several = len({curve.run for curve in curves}) > 1
    table = Table(title=title, title_justify="left")
    table.add_column("time", justify="right")
    for curve in curves:
        table.add_column(_name(curve, several), justify="right", overflow="fold")
    table.add_row("digital", *(f"{curve.digital:.1f}" for curve in curves), end_section=True)
    for i, seconds in enumerate(curves[0].times):
        table.add_row(time_in_words(seconds), *(_cell(curve, i) for curve in curves))
    chips = len(found[0].found.accuracies)
    seeds = max(sum(each.run == c.run and each.algorithm == c.algorithm for each in found) for c in curves)
    of = f"the means of {seeds} trainings" if seeds > 1 else "one training"
    table.caption = (
        f"test accuracy in %: mean ± half of its 95 % interval over {chips} programmings of {of}; lowest"
    )
    table.caption_justify = "left"
    return table


def _cell(curve: _Curve, i: int) -> str:
    mean, low, high, worst = (float(values[i]) for values in curve[3:7])
    return f"{mean:.1f}" + (f" ± {(high - low) / 2:.1f}; {worst:.1f}" if high == high else "")


def deployment_figure(found: Sequence[DeployedTraining], title: str = "") -> Figure:
    """Accuracy against time since programming: means, 95 % intervals as bands, digital accuracy dotted."""
    import matplotlib
    from matplotlib.figure import Figure

    curves = _curves(found)
    several = len({curve.run for curve in curves}) > 1
    colours = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axis = figure.subplots()
        for number, curve in enumerate(curves):
            _, colour, dash, marker = style_of(curve.algorithm)
            if several:
                colour, marker = colours[number % 6], "osD^vP"[number % 6]
                dash = ("-", "--", ":")[number // 6 % 3]
            name = _name(curve, several)
            axis.plot(curve.times, curve.mean, dash, color=colour, marker=marker, ms=3, lw=1.2, label=name)
            axis.fill_between(curve.times, curve.low, curve.high, color=colour, alpha=0.2, lw=0)
            axis.axhline(curve.digital, color=colour, lw=0.8, ls=":")
        axis.set_xscale("log")
        first, last = curves[0].times[0], curves[0].times[-1]
        ticks = [t for t in _TICKS if first <= t <= last] or [first]
        axis.set_xticks(ticks, [time_in_words(t) for t in ticks], rotation=45)
        axis.set_xticks([], minor=True)
        axis.set(xlabel="time since programming", ylabel="test accuracy (%); dotted: digital")
        axis.legend(frameon=False, fontsize=7)
        figure.suptitle(title, fontsize=9)
    return figure


def _name(curve: _Curve, several: bool) -> str:
    label = style_of(curve.algorithm).label
    return f"{curve.run}, {label}" if several else label
