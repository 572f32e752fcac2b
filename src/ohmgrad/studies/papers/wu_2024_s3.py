"""S3 (Wu et al. 2024, arXiv 2406.12774, Fig. 4): what the floor of Analog SGD depends on.

The least squares of S2, at pulse fidelity and as dynamics. One setting is changed at a time: the range tau,
the gradient noise sigma, the scale of the solution, and the start. The floor is the mean loss of the last 500
steps; the theory's value (`ohmgrad.theory.analog_sgd`) is drawn beside it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...style import GREEN, RED
from ..settings import at_least_two
from ..study import Claim, Columns, Part, Study, claim, interval
from .least_squares import slope, tails
from .wu_2024_s2 import STUDY as S2
from .wu_2024_s2 import batch, predicted
from .wu_2024_s2 import check as check_tail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

#: ablation: the setting that it changes, and how the axis is called
ABLATIONS = {
    "tau": "range $\\tau$",
    "sigma": "gradient noise $\\sigma$",
    "solution": "scale of the solution",
    "start": "start $W_0$",
}
FIDELITIES = (("mean", "analog dynamics", GREEN, "s"), ("pulsed", "pulses", RED, "o"))


def check(settings: dict[str, Any]) -> None:
    check_tail(settings)
    names = [f"{ablation}s" for ablation in ABLATIONS]
    at_least_two(settings, *names)
    for name in names:  # the claims speak of what grows
        if list(settings[name]) != sorted(settings[name]):
            raise InputError(f"{name} is {list(settings[name])}, but must be in ascending order")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(f"{name}-{fidelity}", partial(_run, settings, name, fidelity))
        for name in ABLATIONS
        for fidelity, *_ in FIDELITIES
    ]


def _run(settings: dict[str, Any], ablation: str, fidelity: str, tell: Any) -> Columns:
    """Columns of one ablation: its values in column `value`."""
    pieces = []
    base = {"tau": settings["tau"], "start": 0.0, "sigma": settings["sigma"]}
    for value in settings[f"{ablation}s"]:
        mine = {**settings, "solution": value} if ablation == "solution" else settings
        axes = base if ablation == "solution" else {**base, ablation: value}
        columns = batch(mine, "sgd", fidelity, axes, tell)
        rows = len(columns["step"])
        kept = {name: columns[name] for name in ("fidelity", "seed", "step", "loss", "squared_gradient")}
        pieces.append({"ablation": np.full(rows, ablation), "value": np.full(rows, float(value)), **kept})
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _floors(settings: dict[str, Any], columns: Columns, ablation: str, fidelity: str) -> np.ndarray:
    """Floors, (values, seeds)."""
    values = settings[f"{ablation}s"]
    return np.array([tails(columns, ablation=ablation, fidelity=fidelity, value=float(v)) for v in values])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for ablation in ABLATIONS:
        floors = {f: _floors(settings, columns, ablation, f) for f, *_ in FIDELITIES}
        for i, value in enumerate(settings[f"{ablation}s"]):
            row: dict[str, Any] = {"changed": ablation, "value": float(value)}
            for fidelity, label, *_ in FIDELITIES:
                mean, low, high = interval(floors[fidelity][i])
                row |= {label: mean, f"{label}_low": low, f"{label}_high": high}
                row[f"theory of the {label}"] = predicted(settings, ablation, value, fidelity)
            rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for fidelity, label, *_ in FIDELITIES:
        for ablation, words in (
            ("tau", "shrinks as the range tau grows"),
            ("sigma", "grows with the gradient noise"),
            ("solution", "grows with the distance of the solution from the symmetric point"),
        ):
            values = np.array(settings[f"{ablation}s"], dtype=float)
            floors = _floors(settings, columns, ablation, fidelity)
            steps = floors[:-1] - floors[1:] if ablation == "tau" else floors[1:] - floors[:-1]
            worst = min((interval(step / floors[0].mean()) for step in steps), key=lambda t: t[1])
            found.append(
                claim(
                    f"{label}: the floor {words}",
                    "smallest change from one value to the next, over the first floor",
                    worst,
                    "above",
                    0.0,
                )
            )
            theory = slope(values, np.array([[predicted(settings, ablation, v, fidelity)] for v in values]))[
                0
            ]
            found.append(
                claim(
                    f"{label}: with the theory's exponent ({theory:.2f}) in {ablation}",
                    "exponent of the floor - the theory's",
                    interval(slope(values, floors) - theory),
                    "within",
                    (-0.1, 0.1),
                )
            )
        starts = _floors(settings, columns, "start", fidelity)
        gaps = [interval(s / starts[0] - 1) for s in starts[1:]]
        found.append(
            claim(
                f"{label}: the start does not matter",
                "largest relative change of the floor from one start to another",
                max(gaps, key=lambda t: max(abs(t[1]), abs(t[2]))),
                "within",
                (-0.05, 0.05),
            )
        )
        errors = [
            interval(floors / predicted(settings, ablation, value, fidelity) - 1)
            for ablation in ABLATIONS
            for value, floors in zip(
                settings[f"{ablation}s"], _floors(settings, columns, ablation, fidelity), strict=True
            )
        ]
        found.append(
            claim(
                f"{label}: the theory predicts the floor in every setting",
                "floor / theory - 1 where it is largest",
                max(errors, key=lambda t: abs(t[0])),
                "within",
                (-0.05, 0.05),
            )
        )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(ABLATIONS), sharey=True)
    for axis, (ablation, words) in zip(axes, ABLATIONS.items(), strict=True):
        values = np.array(settings[f"{ablation}s"], dtype=float)
        for fidelity, label, colour, marker in FIDELITIES:
            floors = _floors(settings, columns, ablation, fidelity)
            low, high = np.quantile(floors, (0.025, 0.975), axis=1)
            middle = floors.mean(1)
            axis.errorbar(
                values,
                middle,
                (middle - low, high - middle),
                fmt=marker,
                color=colour,
                label=label,
                ms=4,
                lw=1,
            )
            theory = [predicted(settings, ablation, v, fidelity) for v in values]
            axis.plot(values, theory, "--", color=colour, lw=1, label=f"theory of the {label}")
        axis.set(xlabel=words, yscale="log")
        if ablation != "start":
            axis.set_xscale("log")
            axis.set_xticks([], minor=True)
        axis.set_xticks(values, [f"{v:g}" for v in values])
    axes[0].set_ylabel("floor, $f(W) - f^*$")
    axes[0].legend(frameon=False, fontsize=7)


STUDY = Study(
    name="S3",
    title="the floor of Analog SGD against range, noise, solution and start",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 4",
    settings={
        **S2.settings,
        "tau": 2.0,
        "sigmas": (0.03, 0.1, 0.3, 1.0),
        "solutions": (0.1, 0.2, 0.3, 0.4),
        "starts": (-0.5, 0.0, 0.5, 1.0),
    },
    quick={"seeds": 20},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(8.5, 2.6),
    check=check,
)
