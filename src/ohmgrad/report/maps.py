"""The map of a device: tables, figure, and what it says in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from ..checked import checked
from ..devices.properties import PROPERTIES, present, scaled
from ..studies.map import DeviceMap, Plane
from ..style import BLACK, BLUE, ORANGE, RC, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["improvement_table", "map_figure", "map_words", "share_table"]

#: factors with a tick on an axis of a map
_TICKS = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0)


@checked
def share_table(found: DeviceMap) -> Table:
    """What every property costs, the algorithm itself first; intervals at 90 %."""
    label = style_of(found.settings.algorithm).label
    table = Table(title=f"{found.name}: what costs accuracy, {label}", title_justify="left")
    for name in ("", "of the device"):
        table.add_column(name, overflow="fold")
    for name in ("costs (points)", "90 % interval", "training loss (nats)", "accuracy if it alone is ideal"):
        table.add_column(name, justify="right")
    rest = found.digital - found.ideal[0]
    table.add_row("the algorithm, on the ideal device", "", f"{rest:.1f}", "", "", "")
    for share in found.shares:
        value, low, high = share.lost
        ends = f"{low:.1f} to {high:.1f}" if math.isfinite(low) else "-"
        alone = f"{share.alone:.1f} %" if math.isfinite(share.alone) else "-"
        entry = PROPERTIES[share.name]
        has = entry.write(found.device)
        table.add_row(entry.label, has, f"{value:.1f}", ends, f"{share.loss:.3f}", alone)
    table.add_row(
        "together", "", f"{found.digital - found.own[0]:.1f}", "", "", "", style="bold", end_section=True
    )
    table.caption = (
        f"digital SGD {found.digital:.1f} %, this device {found.own[0]:.1f} %, the ideal one "
        f"{found.ideal[0]:.1f} % (test accuracy on {found.settings.data}, learning rate {found.lr:g}); costs "
        f"are Shapley values of {found.pairs} pair{'s' if found.pairs > 1 else ''} of orders"
        + ("" if found.pairs > 1 else ", too few for intervals: give more --trainings")
    )
    table.caption_justify = "left"
    return table


@checked
def improvement_table(found: DeviceMap) -> Table:
    """The least change of each property with which the target is reached, the least first."""
    table = Table(title=f"what reaches {found.target:.1f} % by itself", title_justify="left")
    table.add_column("property")
    for name in ("times better", "90 % interval"):
        table.add_column(name, justify="right")
    for name in ("from", "to"):
        table.add_column(name, overflow="fold")
    for i in found.improvements:
        times, low, high = i.times
        if not i.reached:
            known = not math.isnan(times)
            why = f"at most {i.alone:.1f} %" if math.isfinite(i.alone) else ""
            said = "not by this alone" if known else "not looked for"
            table.add_row(PROPERTIES[i.name].label, said, "", i.before, why)
            continue
        ends = f"{low:.2g} to {high:.2g}" if math.isfinite(high) else f"{low:.2g} or more, if at all"
        table.add_row(PROPERTIES[i.name].label, f"{times:.2g}", ends, i.before, i.after)
    table.caption = "least first, by how many times better on the property's own scale; a price is not known"
    if not found.improvements:
        table.caption = f"nothing must improve: the device reaches {found.own[0]:.1f} %"
    table.caption_justify = "left"
    return table


@checked
def map_words(found: DeviceMap) -> str:
    """The verdict: what costs most, how sure that is, and the cheapest improvement."""
    gap = found.digital - found.own[0]
    text = f"{found.name} reaches {found.own[0]:.1f} % where digital SGD reaches {found.digital:.1f} %"
    if gap < 0.5:
        return f"{text}: there is nothing to gain on this task."
    first = found.shares[0]
    value, low, high = first.lost
    ends = f" ({low:.1f} to {high:.1f})" if math.isfinite(low) else ""
    text += f". Of the {gap:.1f} points {PROPERTIES[first.name].label} costs {value:.1f}{ends}"
    sure = [s for s in found.shares[1:] if s.lost[1] > 0]
    if sure:
        text += ", " + ", ".join(f"{PROPERTIES[s.name].label} {s.lost[0]:.1f}" for s in sure)
    rest = found.digital - found.ideal[0]
    if rest > 0.25 * gap and rest > 1:
        label = style_of(found.settings.algorithm).label
        text += f"; {rest:.1f} are {label}'s own, on an ideal device"
    if not (low > 0):
        text += "; these trainings are too few to be sure"
    best = found.improvements[0] if found.improvements else None
    if found.own[0] >= found.target:
        return f"{text}. The target of {found.target:.1f} % is reached."
    if best is None or not best.reached:
        found_none = all(not math.isnan(i.times[0]) for i in found.improvements)
        more = "" if found_none else " that was tried"
        return f"{text}. No single property{more} reaches {found.target:.1f} % by itself."
    _, low, high = best.times
    ends = f"{low:.2g} to {high:.2g}" if math.isfinite(high) else f"{low:.2g} or more, if at all"
    label = PROPERTIES[best.name].label
    return (
        f"{text}. Cheapest way to {found.target:.1f} %: {label} {best.times[0]:.2g} times better ({ends}), "
        f"from {best.before} to {best.after}."
    )


@checked
def map_figure(found: DeviceMap) -> Figure:
    """What each property costs, and the maps."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        panels = 1 + len(found.planes)
        figure = Figure(figsize=(3.7 * panels, 3.1), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        _bars(axes[0], found)
        for axis, plane in zip(axes[1:], found.planes, strict=True):
            _plane(axis, plane, found)
        label = style_of(found.settings.algorithm).label
        figure.suptitle(f"{found.name}, {label} on {found.settings.data}", fontsize=9)
        return figure


def _bars(axis: Axes, found: DeviceMap) -> None:
    """Shares as bars, the largest on top."""
    names = [PROPERTIES[s.name].label for s in found.shares] + ["the algorithm itself"]
    values = np.array([*(s.lost for s in found.shares), (found.digital - found.ideal[0], math.nan, math.nan)])
    at = np.arange(len(names))
    axis.barh(at, values[:, 0], color=[BLUE] * len(found.shares) + ["#999999"], height=0.6)
    for y, (value, low, high) in zip(at, values, strict=True):
        if math.isfinite(low):
            axis.errorbar(value, y, xerr=[[value - low], [high - value]], color=BLACK, lw=1, capsize=2)
    axis.axvline(0, color=BLACK, lw=0.6)
    axis.set_yticks(at, names, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("test accuracy lost (percent points)")


def _plane(axis: Axes, plane: Plane, found: DeviceMap) -> None:
    """Contours of the accuracy, hatched where it is hardly known; the trainings, and the user's device."""
    from matplotlib.ticker import MaxNLocator

    low, high = float(plane.accuracy.min()), float(plane.accuracy.max())
    image = axis.contourf(
        plane.x, plane.y, plane.accuracy, MaxNLocator(12).tick_values(low, max(high, low + 1)), cmap="cividis"
    )
    if low < found.target < high:
        lines = axis.contour(plane.x, plane.y, plane.accuracy, [found.target], colors="white", linewidths=1.2)
        axis.clabel(lines, fmt=f"{found.target:.1f} %%", fontsize=7)
    unsure = 3 * max(plane.error, 1.0)
    if plane.sd.max() > unsure:
        axis.contourf(plane.x, plane.y, plane.sd, [unsure, 100], colors="none", hatches=["////"])
    axis.plot(plane.points[:, 0], plane.points[:, 1], "o", color="white", mec=BLACK, ms=3.5, mew=0.6)
    has = present(found.device)
    own = [0.0 if n in has else ends[0] for n, ends in zip(plane.axes, (plane.x, plane.y), strict=True)]
    axis.plot(
        *own, "*", color=ORANGE, mec=BLACK, ms=13, mew=0.7, label="this device", clip_on=False, zorder=5
    )
    axis.legend(frameon=True, fontsize=7, loc="best")
    for name, ends, ticks, word in (
        (plane.axes[0], plane.x, axis.set_xticks, axis.set_xlabel),
        (plane.axes[1], plane.y, axis.set_yticks, axis.set_ylabel),
    ):
        factors = [f for f in _TICKS if ends[0] - 1e-9 <= math.log10(f) <= ends[-1] + 1e-9]
        entry = PROPERTIES[name]
        amounts = [entry.number.format(entry.amount(scaled(found.device, {name: f}))) for f in factors]
        ticks([math.log10(f) for f in factors], amounts, fontsize=7)
        word(f"{entry.label} ({entry.unit})" if entry.unit else entry.label, fontsize=8)
    bar = axis.figure.colorbar(image, ax=axis, label="test accuracy (%)")  # pyright: ignore
    bar.ax.tick_params(labelsize=7)
    axis.set_title(f"cross-validated error ± {plane.error:.1f} points", fontsize=7)
