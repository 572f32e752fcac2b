"""The figure and the tables of a fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.table import Table

from ..checked import checked
from ..devices.fitting.fit import Fit
from ..devices.fitting.intervals import Interval
from ..devices.fitting.model import Fitted
from ..rng import Key, Purpose, gaussians
from ..style import BLACK, BLUE, GREEN, ORANGE, RC, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["fit_figure", "fit_table", "ranking_table"]

#: ramps of a direction that are drawn
_RAMPS = 4


@checked
def fit_table(fit: Fit) -> Table:
    """The figures of a fit with their 90 % intervals, and what the data do not tell."""
    table = Table(title=f"device: {fit.family}", title_justify="left")
    table.add_column("", overflow="fold")
    table.add_column("value", justify="right")
    table.add_column("90 % interval", justify="right")
    table.add_column("", overflow="fold")
    half = fit.pulses.half if fit.pulses is not None else 1.0
    unit = fit.pulses.unit if fit.pulses is not None else ""
    for e in fit.estimates:
        words = [e.unit, e.note]
        if e.interval is None:
            table.add_row(e.name, "-", "", f"not told: {e.note or 'nothing in the data shows it'}")
            continue
        steps = ("step", "granularity", "read noise", "slow")
        if unit and e.name.startswith(steps) and e.unit == "weight":
            words[0] = f"weight, {e.interval.value * half:.3g} {unit}"
        value = _number(e.interval.value) if e.told or not math.isfinite(e.interval.low) else "-"
        table.add_row(e.name, value, _ends(e.interval), "; ".join(w for w in words if w))
    table.caption = f"{fit.chosen}\n{fit.noise}"
    table.caption_justify = "left"
    return table


def _number(value: float) -> str:
    return "-" if not math.isfinite(value) else f"{value:.4g}"


def _ends(i: Interval) -> str:
    if not (math.isfinite(i.low) and math.isfinite(i.high)):
        return ""
    if i.open_low and i.open_high:
        return "not told"
    if i.open_low:
        return f"at most {i.high:.3g}"
    return f"at least {i.low:.3g}" if i.open_high else f"{i.low:.3g} to {i.high:.3g}"


@checked
def ranking_table(fit: Fit) -> Table:
    """Families from the best to the worst by readings that were held out."""
    table = Table(title=f"families, by readings held out {fit.held_out}", title_justify="left")
    for name in ("family", "parameters", "log likelihood a reading", "behind the best", "90 % interval"):
        table.add_column(name, justify="left" if name == "family" else "right")
    for rank in fit.ranking:
        mark = " (chosen)" if rank.name == fit.family else ""
        behind = "" if rank.behind == 0 else f"{rank.behind:.1f}"
        ends = "" if rank.behind == 0 else f"{rank.low:.1f} to {rank.high:.1f}"
        table.add_row(rank.name + mark, str(rank.parameters or "-"), f"{rank.score:.4f}", behind, ends)
    table.caption = "an interval that reaches 0: these data do not tell the family from the best"
    table.caption_justify = "left"
    return table


@checked
def fit_figure(fit: Fit, name: str) -> Figure:
    """Readings with the fitted state and a simulated ramp, residuals, steps by weight, and the ranking.

    A table of steps has no readings: its mean steps stand for them.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        (a, b), (c, d) = figure.subplots(2, 2)
        if fit.best is not None:
            _readings(a, fit.best)
            _residuals(b, fit.best)
        else:
            _measured_steps(a, fit)
            b.set_axis_off()
            b.text(
                0.5, 0.5, "a table of steps has no readings,\nand so no residuals", ha="center", va="center"
            )
        _steps(c, fit)
        _ranking(d, fit)
        figure.suptitle(f"{name}: {fit.family}", fontsize=9)
    return figure


def _readings(axis: Axes, fit: Fitted) -> None:
    data, p = fit.data, fit.p
    fit.model.evaluate(p, data)
    state = data.buffers[1].copy()
    drawn = {True: 0, False: 0}
    for k, ramp in enumerate(data.ramps):
        drawn[ramp.up] += 1
        if drawn[ramp.up] > _RAMPS:
            continue
        part = slice(data.offsets[k], data.offsets[k + 1])
        n = np.arange(ramp.readings.size)
        first = drawn[ramp.up] == 1
        colour, word = (BLUE, "up") if ramp.up else (RED, "down")
        axis.plot(
            n, data.y[part], ".", ms=2, color=colour, alpha=0.35, label=f"read, {word}" if first else None
        )
        if first:
            w = _simulated(fit, ramp.up, float(state[part][0]), n.size)
            axis.plot(n, w, color=GREEN, lw=0.6, alpha=0.7, label="simulated" if ramp.up else None)
        axis.plot(n, state[part], color=BLACK, lw=0.9, label="fitted state" if first and ramp.up else None)
    axis.set(xlabel="pulse number", ylabel="weight $w$")
    axis.legend(frameon=False, fontsize=7)


def _simulated(fit: Fitted, up: bool, w: float, count: int) -> np.ndarray:
    """A ramp of readings that the fitted model makes."""
    model, p, scale = fit.model, fit.p, fit.data.scale
    k = 2 * len(model.law.parameters)
    std, fast = math.exp(p[k]), math.exp(p[k + 1])
    slow, phi = (math.exp(p[k + 3]), 1 / (1 + math.exp(-p[k + 4]))) if model.slow else (0.0, 0.0)
    row, sign, r, out = (0, 1, 0.0, []) if up else (1, -1, 0.0, [])
    lower, upper = model.bounds(p)
    size = model.law.size(p, scale)[row]
    noise = gaussians(3, torch.arange(count), 3, Purpose.FIT, Key(0, row)).numpy()
    for z in noise:
        out.append(w + r + fast * z[0])
        at = np.array([w])
        q = model.law.steps(p, at, scale)[row, 0]
        own = model.law.own_noise(p, at, scale)
        c = own[row, 0] if own is not None else std * (q if model.kind == "multiplicative" else size)
        w = min(max(w + sign * q + c * z[1], lower), upper)
        r = phi * r + math.sqrt(1 - phi * phi) * slow * z[2]
    return np.array(out)


def _residuals(axis: Axes, fit: Fitted) -> None:
    data = fit.data
    fit.model.evaluate(fit.p, data)
    rest = data.y - data.buffers[1]
    drawn = {True: 0, False: 0}
    for k, ramp in enumerate(data.ramps):
        drawn[ramp.up] += 1
        if drawn[ramp.up] <= _RAMPS:
            part = slice(data.offsets[k], data.offsets[k + 1])
            axis.plot(rest[part], ".", ms=2, color=BLUE if ramp.up else RED, alpha=0.5)
    axis.axhline(0, color=BLACK, lw=0.8)
    axis.set(xlabel="pulse number", ylabel="reading - fitted state (weight)")


def _measured_steps(axis: Axes, fit: Fit) -> None:
    table = fit.table
    assert table is not None
    if table.measured is None:
        assert table.even is not None
        w = np.linspace(-1, 1, table.even.shape[1])
        rows = [(w, table.even[0], BLUE, "up"), (w, table.even[1], RED, "down")]
        for x, y, colour, word in rows:
            axis.plot(x, y, "o-", ms=3, color=colour, label=f"table, {word}")
    else:
        m = table.measured
        w = np.linspace(-1, 1, m.mean.shape[-1])
        for side, colour, word in ((0, BLUE, "up"), (1, RED, "down")):
            lines = (m.mean[:, side] * m.dw_min).numpy()
            for n, line in enumerate(lines[:40]):
                axis.plot(w, line, color=colour, lw=0.6, alpha=0.5, label=f"mean, {word}" if n == 0 else None)
    axis.set(xlabel="weight $w$", ylabel="step in its direction (weight)")
    axis.legend(frameon=False, fontsize=7)


def _steps(axis: Axes, fit: Fit) -> None:
    response, unit = fit.device.response, fit.device.dw_min
    w = torch.linspace(response.w_min, response.w_max, 201, dtype=torch.float64)
    for q, colour, dash, word in (
        (response.q_plus, BLUE, "-", "up, $q_+$"),
        (response.q_minus, RED, "--", "down, $q_-$"),
    ):
        axis.plot(w, q(w) * unit, dash, color=colour, label=word)
    point = response.symmetric_point()
    if response.w_min < point < response.w_max:
        axis.axvline(point, color=BLACK, lw=0.8, ls=":", label="symmetric point")
    axis.set(xlabel="weight $w$", ylabel="fitted step (weight)", ylim=(0, None))
    axis.legend(frameon=False, fontsize=7)


def _ranking(axis: Axes, fit: Fit) -> None:
    if not fit.ranking:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "sizes of steps as they are:\nnothing to rank", ha="center", va="center")
        return
    rows = fit.ranking[::-1]
    for k, rank in enumerate(rows):
        colour = ORANGE if rank.name == fit.family else BLACK
        axis.plot([rank.low, rank.high], [k, k], color=colour, lw=1.2)
        axis.plot([rank.behind], [k], "o", ms=4, color=colour)
    axis.axvline(0, color=BLACK, lw=0.8, ls=":")
    axis.set_yticks(range(len(rows)), [rank.name for rank in rows], fontsize=7)
    axis.set(xlabel="log likelihood behind the best\n(held-out readings, 90 % interval)")
