"""Figures: vector output, colour-blind safe colours, units on the axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import torch

from ..checked import checked
from ..crossbar import Tile
from ..devices import Device, draw
from ..errors import InputError
from ..kernels import Pulsing
from ..ranges import COUNT, SEED
from ..rng import Key
from ..style import BLACK, BLUE, GREEN, ORANGE, RC, RED, style_of
from .tables import point_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["device_figure", "monitor_figure", "run_figure", "save", "styled"]


@contextmanager
def styled() -> Iterator[None]:
    """Everything that is drawn or written inside has the house's style; no setting outside changes."""
    import matplotlib

    with matplotlib.rc_context(RC):
        yield


def _figure(columns: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * columns, 2.7), layout="constrained")
    return figure, list(figure.subplots(1, columns))


def _plain_log(axis: Axes) -> None:
    """A logarithmic y axis with plain numbers, 0.05 or 2.25, also where it spans less than a decade."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: Any = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""  # which ticks have room stays as it is

    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(Plain())
    axis.yaxis.set_minor_formatter(Plain(minor_thresholds=(2, 0.4)))


def _whole_ticks(axis: Axes) -> None:
    """Ticks of the x axis at integers only."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


@styled()
@checked
def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure; without an ending, as SVG, PDF and PNG.

    Raises:
        InputError: when the format is unknown or the place cannot be written to.
    """
    paths = [path] if path.suffix else [path.with_suffix(end) for end in (".svg", ".pdf", ".png")]
    for p in paths:
        try:
            figure.savefig(p, dpi=200, metadata={"Date": None} if p.suffix == ".svg" else None)
        except OSError as error:
            raise InputError(f"cannot write {p} ({error.strerror}): choose another --out") from None
        except ValueError:
            raise InputError(f"cannot write {p}: use the ending .svg, .pdf or .png") from None
    return paths


@styled()
@checked
def run_figure(rows: list[dict[str, Any]], title: str = "") -> Figure:
    """Training loss and test accuracy against epochs: mean over seeds, band from lowest to highest."""
    figure, (left, right) = _figure(2)
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        label, colour, dash, marker = style_of(algorithm)
        mine = [row for row in rows if row["algorithm"] == algorithm]
        epochs = sorted({row["epoch"] for row in mine})
        for axis, name, factor in ((left, "train_loss", 1), (right, "test_accuracy", 100)):
            values = [[factor * r[name] for r in mine if r["epoch"] == e] for e in epochs]
            middle = [sum(v) / len(v) for v in values]
            at = marker if len(epochs) == 1 else None
            axis.plot(epochs, middle, dash, color=colour, label=label, marker=at)
            axis.fill_between(
                epochs, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.2, lw=0
            )
    _plain_log(left)
    for axis in (left, right):
        _whole_ticks(axis)
    left.set(xlabel="epoch", ylabel="training loss (nats)")
    right.set(xlabel="epoch", ylabel="test accuracy (%)")
    left.legend(frameon=False)
    figure.suptitle(title, fontsize=9)
    return figure


@styled()
@checked
def monitor_figure(rows: list[dict[str, Any]], title: str = "") -> Figure:
    """Squared gradient norm beside the predicted floor, and the drift towards the symmetric point.

    Left: sums over layers; mean over seeds, and a band from the lowest to the highest for the measured
    norm. Where noise makes the estimate negative, the line has a gap. Right: the drift of every layer's
    weights per update, mean over seeds.

    Args:
        rows: of monitor.csv.
        title: of the figure.
    """
    figure, (left, right) = _figure(2)
    layers, floors = list(dict.fromkeys(row["layer"] for row in rows)), []
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        label, colour, *_ = style_of(algorithm)
        mine = [row for row in rows if row["algorithm"] == algorithm]
        steps = sorted({row["step"] for row in mine})

        def over_seeds(name: str, layer: str | None = None, mine: Any = mine, steps: Any = steps) -> Any:
            """Values of all seeds at each step: of one layer, or summed over layers."""
            found: dict[int, dict[int, float]] = {step: {} for step in steps}
            for row in mine:
                if layer in (None, row["layer"]):
                    at = found[row["step"]]
                    at[row["seed"]] = at.get(row["seed"], 0.0) + row[name]
            return [list(at.values()) for at in found.values()]

        measured, floor = over_seeds("gradient_sq"), [mean(v) for v in over_seeds("floor")]
        known = [mean(v) if mean(v) > 0 else math.nan for v in measured]
        low, high = [min(v) for v in measured], [max(v) for v in measured]
        left.plot(steps, known, ".-", color=colour, lw=1.2, ms=3, label=f"{label}, measured")
        left.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
        left.plot(steps, floor, "--", color=colour, lw=1.2, label=f"{label}, floor")
        floors += [v for v in floor if v > 0]
        for layer, dash in zip(layers, itertools.cycle(("-", "--", ":", "-."))):
            drift = [mean(v) if v else math.nan for v in over_seeds("drift", layer)]
            right.plot(steps, drift, dash, color=colour, lw=1.2, label=f"{label}, layer {layer}")
    left.set(xlabel="update", ylabel=r"squared gradient norm $\|\nabla f\|^2$", yscale="log")
    right.set(xlabel="update", ylabel="drift to the symmetric point\n(weight units per update)", yscale="log")
    if floors:  # far below them the measured norm is noise about zero
        left.set_ylim(bottom=min(floors) / 5)
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=7)
    figure.suptitle(title, fontsize=9)
    return figure


@styled()
@checked(pulses=COUNT, seed=SEED)
def device_figure(device: Device, name: str, pulses: int | None = None, seed: int = 0) -> Figure:
    """Response functions with the symmetric point, their parts F and G, and drawn elements under pulses.

    Strong lines and the symmetric point are those of the nominal element (no spread, means kept).

    Args:
        device: the specification.
        name: for the title.
        pulses: number of pulses up, then down; by default as many as the device has states.
        seed: of the drawn elements.
    """
    figure, (left, middle, right) = _figure(3)
    response = device.response
    w = torch.linspace(response.w_min, response.w_max, 201, dtype=torch.float64)
    if not device.spread.uniform:
        cells = draw(device, (1, 30), Key(seed, 0))
        for plane, colour in ((cells.q_plus, BLUE), (cells.q_minus, RED)):
            grid = w.unsqueeze(1).expand(-1, 30)
            lines = plane(grid).where((grid >= cells.lower) & (grid <= cells.upper), torch.nan)
            left.plot(w, lines, color=colour, alpha=0.12, lw=0.7)
    nominal = draw(device.nominal, (1, 1), Key(seed, 0))
    column = w.unsqueeze(1)
    plus, minus = nominal.q_plus(column), nominal.q_minus(column)
    left.plot(w, plus, color=BLUE, label="pulse up, $q_+$")
    left.plot(w, minus, color=RED, ls="--", label="pulse down, $q_-$")
    middle.plot(w, (minus + plus) / 2, color=GREEN, label="symmetric part, $F$")
    middle.plot(w, (minus - plus) / 2, color=ORANGE, ls="--", label="asymmetry, $G$")
    middle.axhline(0, color=BLACK, lw=0.5)
    point = float(nominal.symmetric_point())
    for axis in (left, middle):
        axis.axvline(point, color=BLACK, lw=0.8, ls=":")
    beyond = point > (response.w_min + response.w_max) / 2  # the words go where there is more room
    left.annotate(
        f"symmetric point {point_in_words(device)}", (point, 0.98), fontsize=7,
        xycoords=("data", "axes fraction"), xytext=(-3 if beyond else 3, 0), textcoords="offset points",
        va="top", ha="right" if beyond else "left",
    )  # fmt: skip
    left.set(xlabel="weight $w$ (conductance units)", ylabel="step (units of dw_min)")
    middle.set(xlabel="weight $w$ (conductance units)", ylabel="part of a step (units of dw_min)")
    count = pulses or min(round(device.states), 5000)
    tile = Tile((1, 3), device, pulsing=Pulsing(fidelity="pulse-by-pulse"), seed=seed)
    one, trace = torch.ones(1, 3, dtype=torch.int64), [tile.weight.clone()]
    for k in range(2 * count):
        tile.pulse_counts(one if k < count else -one)
        trace.append(tile.weight.clone())
    curves = torch.cat(trace)
    for i, colour in enumerate((BLUE, GREEN, ORANGE)):
        right.plot(range(2 * count + 1), curves[:, i], color=colour, lw=0.9, label=f"element {i + 1}")
    right.set(xlabel=f"pulse number ({count} up, then {count} down)", ylabel="weight $w$ (conductance units)")
    _whole_ticks(right)
    for axis in (left, middle, right):  # above the axes, where no line runs
        axis.legend(
            frameon=False, fontsize=7, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0),
            columnspacing=1.2, handlelength=1.5,
        )  # fmt: skip
    figure.suptitle(name, fontsize=9)
    return figure
