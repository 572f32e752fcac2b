"""states: few states, where one array is too coarse and several are not (Li et al. 2025, arXiv 2510.02516).

The digits, a 64-32-10 network, soft bounds [-0.6, 0.6] with so many states, 30 % noise from pulse to pulse
and 5 % spread from element to element. Multi-tile residual learning with several arrays, Residual Learning
with two, and Tiki-Taka, which has two arrays and learns on one. Each algorithm and number of states has the
learning rate of the lowest training loss of a short training with a seed that is not among those reported;
other options are `OPTIONS`, chosen once with that seed and 16 states.

The setting is ours; the paper's own is MT-T1. It reaches as far as a small network, one range and arrays
without warm start, and says nothing of how accuracy grows with more arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...devices import Device, Noise, SoftBounds, Spread
from ...style import style_of
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval, where
from ..tuned import Case, reported, trainings, tunings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OPTIONS", "STUDY"]

#: algorithm -> its options beside lr
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "tiki-taka": {"fast_lr": 0.1, "columns": 16},
    "residual": {"columns": 16},
    "multi-tile": {"tiles": 3, "gamma": 0.15, "columns": 16},
}
TAU = 0.6


def device(states: float) -> Device:
    """The device with so many states."""
    return Device(
        SoftBounds.symmetric(TAU), 2 * TAU / states, Spread(dw_min=0.05, w_max=0.05, w_min=0.05), Noise(0.3)
    )


def cases(settings: dict[str, Any]) -> list[Case]:
    found = []
    for states in settings["states"]:
        for algorithm, own in OPTIONS.items():
            spec = {
                **{name: settings[name] for name in ("data", "images", "model", "batch_size")},
                "algorithms": (algorithm,),
                "lr_gamma": 1.0,
                "device": device(states).to_dict(),
            }
            labels = {"algorithm": algorithm, "states": float(states)}
            what = f"{style_of(algorithm).label}, {states:g} states"
            found.append(Case(labels, what, spec, [{"lr": lr, **own} for lr in settings["rates"]]))
    return found


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return tunings(cases(settings), settings["tuning_epochs"])


def follow(settings: dict[str, Any], columns: Columns) -> list[Part]:
    tuning, epochs, seeds = (settings[name] for name in ("tuning_epochs", "epochs", "seeds"))
    return trainings(cases(settings), columns, tuning, epochs, seeds)


def later(settings: dict[str, Any]) -> list[float]:
    return [float(settings["epochs"])] * (len(settings["states"]) * len(OPTIONS) * settings["seeds"])


def _accuracy(columns: Columns, algorithm: str, states: float) -> np.ndarray:
    return 100 * where(reported(columns), algorithm=algorithm, states=states)["test_accuracy"]


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for states in settings["states"]:
        row: dict[str, Any] = {"states": f"{states:g}"}
        for algorithm in OPTIONS:
            name = f"{style_of(algorithm).label} (%)"
            found = interval(_accuracy(columns, algorithm, states))
            row[name], row[f"{name}_low"], row[f"{name}_high"] = found
        rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    return [
        claim(
            f"{states:g} states: multi-tile residual learning does better than {style_of(other).label}",
            f"test accuracy, {style_of('multi-tile').label} - {style_of(other).label} (points)",
            interval(_accuracy(columns, "multi-tile", states) - _accuracy(columns, other, states)),
            "above",
            0.0,
        )
        for states in settings["states"]
        for other in ("tiki-taka", "residual")
    ]


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axis = figure.subplots()
    for algorithm in OPTIONS:
        label, colour, dash, marker = style_of(algorithm)
        found = [interval(_accuracy(columns, algorithm, s)) for s in settings["states"]]
        axis.errorbar(
            settings["states"], [m for m, *_ in found], yerr=[m - low for m, low, _ in found],
            fmt=f"{marker}{dash}", color=colour, ms=4, lw=1, capsize=2, label=label,
        )  # fmt: skip
    axis.set(xlabel="states of an element", ylabel="test accuracy (%)", xscale="log")
    axis.set_xticks(list(settings["states"]), [f"{s:g}" for s in settings["states"]])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="states",
    title="few states: several arrays learn what one cannot hold",
    source="Li et al. 2025, arXiv 2510.02516",
    settings={
        "data": "digits",
        "model": "mlp",
        "images": None,
        "states": (8.0, 16.0, 32.0, 128.0),
        "rates": (0.05, 0.1, 0.2, 0.5, 1.0),
        "tuning_epochs": 8,
        "epochs": 30,
        "batch_size": 10,
        "seeds": 3,
    },
    quick={"states": (16.0,), "rates": (0.1, 0.5), "epochs": 10, "tuning_epochs": 4},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    follow=follow,
    later=later,
    size=(4.4, 2.9),
)
