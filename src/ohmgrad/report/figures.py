"""Figures: vector output, colour-blind safe colours, units on the axes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..crossbar import Tile
from ..devices import Device, draw
from ..errors import InputError
from ..pulses import Pulsing
from ..rng import Key
from .tables import LABELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["device_figure", "run_figure", "save"]

#: Okabe & Ito's colours
BLACK, ORANGE, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
_STYLE = {"digital": (BLACK, "--"), "sgd": (RED, "-"), "tiki-taka": (BLUE, "-")}


def _figure(columns: int) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}
    )
    return pyplot.subplots(1, columns, figsize=(3.4 * columns, 2.7), layout="constrained")


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


def run_figure(rows: list[dict[str, Any]], title: str = "") -> Figure:
    """Training loss and test accuracy against epochs: mean over seeds, band from lowest to highest."""
    figure, (left, right) = _figure(2)
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        colour, dash = _STYLE.get(algorithm, (GREEN, "-"))
        mine = [row for row in rows if row["algorithm"] == algorithm]
        epochs = sorted({row["epoch"] for row in mine})
        for axis, name, factor in ((left, "train_loss", 1), (right, "test_accuracy", 100)):
            values = [[factor * r[name] for r in mine if r["epoch"] == e] for e in epochs]
            label = LABELS.get(algorithm, algorithm)
            middle = [sum(v) / len(v) for v in values]
            marker = "o" if len(epochs) == 1 else None
            axis.plot(epochs, middle, dash, color=colour, label=label, marker=marker)
            axis.fill_between(
                epochs, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.2, lw=0
            )
    left.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
    right.set(xlabel="epoch", ylabel="test accuracy (%)")
    left.legend(frameon=False)
    figure.suptitle(title, fontsize=9)
    return figure


def device_figure(device: Device, name: str, pulses: int | None = None, seed: int = 0) -> Figure:
    """Response functions with the symmetric point, and pulse trains of a few drawn elements.

    Args:
        device: the specification.
        name: for the title.
        pulses: number of pulses up, then down; by default as many as the device has states.
        seed: of the drawn elements.
    """
    figure, (left, right) = _figure(2)
    response = device.response
    w = torch.linspace(response.w_min, response.w_max, 201, dtype=torch.float64)
    if not device.spread.uniform:
        cells = draw(device, (1, 30), Key(seed, 0))
        for plane, colour in ((cells.q_plus, BLUE), (cells.q_minus, RED)):
            grid = w.unsqueeze(1).expand(-1, 30)
            lines = plane(grid).where((grid >= cells.lower) & (grid <= cells.upper), torch.nan)
            left.plot(w, lines, color=colour, alpha=0.12, lw=0.7)
    left.plot(w, response.q_plus(w), color=BLUE, label="pulse up, $q_+$")
    left.plot(w, response.q_minus(w), color=RED, ls="--", label="pulse down, $q_-$")
    point = response.symmetric_point()
    left.axvline(point, color=BLACK, lw=0.8, ls=":")
    left.annotate(
        f"symmetric point {point:.3g}", (point, 0.02), xycoords=("data", "axes fraction"), fontsize=7,
        xytext=(3, 0), textcoords="offset points",
    )  # fmt: skip
    left.set(xlabel="weight $w$ (conductance units)", ylabel="step (units of dw_min)")
    left.legend(frameon=False, fontsize=7)
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
    right.legend(frameon=False, fontsize=7)
    figure.suptitle(name, fontsize=9)
    return figure
