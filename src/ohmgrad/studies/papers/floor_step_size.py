"""Floor against step size: Analog SGD's floor is flat, Tiki-Taka's falls linearly, until the pulses are felt.

Least squares, 400 equations, 40 unknowns, A and w* normal with standard deviations 1/2 and 0.3, gradient
noise 0.5 an entry, soft bounds [-1, 1]; Tiki-Taka with transfer lr = fast lr/20. The error is E||grad f||^2
over the second half of runs long enough to forget their start (their length is a multiple of 1/lr). Lines
are `ohmgrad.theory`'s predictions. At pulse fidelity the granularity adds a floor of its own. A step has one
gradient, the sum over the equations, as the theorems have it; S1 to S3 are pulsed equation by equation.
"""

from __future__ import annotations

import math
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...devices import SoftBounds
from ...ensemble import AnalogSGD, TikiTaka, grid, soft_bounds
from ...errors import InputError
from ...kernels import Pulsing
from ...style import style_of
from ...theory import GradientNoise, Prediction, analog_sgd, tiki_taka
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval
from .least_squares import columns_of, problem, slope, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

ALGORITHMS = ("sgd", "tiki-taka")
#: long enough that no line is clipped
MAX_BL = 2000
#: the claims are about step sizes up to this one
SMALL = 0.03


def _levels(settings: dict[str, Any]) -> list[tuple[str, int]]:
    """Fidelity and states: the dynamics, which know no states (0), and pulses with few and with many."""
    return [("mean", 0), *(("pulsed", states) for states in settings["states"])]


def check(settings: dict[str, Any]) -> None:
    lrs, states = list(settings["lrs"]), list(settings["states"])
    if sum(lr <= SMALL for lr in lrs) < 2:
        raise InputError(f"lrs is {lrs}, but must have at least two values up to {SMALL:g} to compare")
    if len(states) != 2:
        raise InputError(f"states is {states}, but must be two numbers of states, few and many")
    for name, times in settings["times"].items():
        if times < 2 * max(lrs):
            raise InputError(
                f"times of {name} is {times:g}, but must be at least twice the largest step size"
            )


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(f"{algorithm}-{fidelity}{states or ''}-lr{lr:g}", partial(_run, settings, algorithm, states, lr))
        for lr in settings["lrs"]
        for fidelity, states in _levels(settings)
        for algorithm in ALGORITHMS
    ]


def _run(settings: dict[str, Any], algorithm: str, states: int, lr: float, progress: Any) -> Columns:
    fast = algorithm == "tiki-taka"
    rate = "fast_lr" if fast else "lr"
    axes = {"tau": settings["tau"], "sigma": settings["sigma"], rate: lr, "states": states or 1200}
    steps = math.ceil(settings["times"][algorithm] / lr)
    found = grid(
        problem(400, 40, 0.5, settings["solution"]).summed(),
        TikiTaka if fast else AnalogSGD,
        {**axes, "transfer_lr": lr * settings["ratio"]} if fast else axes,
        device=soft_bounds,
        seeds=range(settings["seeds"]),
        steps=steps,
        pulsing=Pulsing("pulsed" if states else "mean", max_bl=MAX_BL),
        record=steps,
        tail=steps // 2,
        progress=lambda done, total: progress(
            done, total, f"{style_of(algorithm).label}, lr {lr:g}, {states} states"
        ),
    )
    # the rate that is drawn has one name for both algorithms
    columns = {"lr" if k == rate else k: v for k, v in columns_of(found, algorithm=algorithm).items()}
    columns["states"] = np.full(len(columns["lr"]), states)
    columns.pop("transfer_lr", None)
    return columns


def _theory(settings: dict[str, Any], algorithm: str, lr: float, states: int = 0) -> Prediction:
    numbers = (settings[name] for name in ("solution", "tau", "sigma", "ratio"))
    return _prediction(algorithm, float(lr), states, *numbers)


@cache
def _prediction(
    algorithm: str, lr: float, states: int, solution: float, tau: float, sigma: float, ratio: float
) -> Prediction:
    f, noise = problem(400, 40, 0.5, solution).summed(), GradientNoise(sigma)
    response = SoftBounds.symmetric(tau)
    pulses: dict[str, Any] = {"dw_min": 2 * tau / states if states else None, "max_bl": MAX_BL}
    if algorithm == "sgd":
        return analog_sgd(f, response, noise, lr, **pulses)
    return tiki_taka(f, response, noise, lr, lr * ratio, **pulses)


def _errors(settings: dict[str, Any], columns: Columns, algorithm: str, states: int) -> np.ndarray:
    """E||grad f||^2, (step sizes, seeds)."""
    lrs = settings["lrs"]
    return np.array(
        [tails(columns, "squared_gradient", algorithm=algorithm, states=states, lr=lr) for lr in lrs]
    )


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for algorithm in ALGORITHMS:
        errors = {s: _errors(settings, columns, algorithm, s) for _, s in _levels(settings)}
        for i, lr in enumerate(settings["lrs"]):
            row: dict[str, Any] = {"algorithm": algorithm, "lr": lr}
            for states, values in errors.items():
                label = f"{states} states" if states else "dynamics"
                mean, low, high = interval(values[i])
                row |= {label: mean, f"{label}_low": low, f"{label}_high": high}
                row[f"{label}, theory"] = _theory(settings, algorithm, lr, states).error
            rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    lrs = np.array(settings["lrs"])
    small = lrs <= SMALL
    found = []
    for algorithm, words, ends in (
        ("sgd", "Analog SGD's floor is flat in the step size", (-0.1, 0.1)),
        ("tiki-taka", "Tiki-Taka's error falls linearly with the step size", (0.8, 1.2)),
    ):
        for fidelity, states in _levels(settings):
            errors = _errors(settings, columns, algorithm, states)[small]
            at = "dynamics" if fidelity == "mean" else f"pulses, {states} states"
            found.append(
                claim(
                    f"{at}: {words}",
                    "exponent of E||grad f||^2 in the step size, up to 0.03",
                    interval(slope(lrs[small], errors)),
                    "within",
                    ends,
                )
            )
            theory = np.array([[_theory(settings, algorithm, lr, states).error] for lr in lrs[small]])
            found.append(
                claim(
                    f"{at}: the theory predicts {style_of(algorithm).label}'s error",
                    "error / theory - 1 where it is largest, step sizes up to 0.03",
                    max((interval(row) for row in errors / theory - 1), key=lambda t: abs(t[0])),
                    "within",
                    (-0.05, 0.05),
                )
            )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, 2, sharey=True)
    lrs = np.array(settings["lrs"])
    fine = np.geomspace(lrs.min(), lrs.max(), 9)
    for algorithm in ALGORITHMS:
        label, colour, _, marker = style_of(algorithm)
        errors = _errors(settings, columns, algorithm, 0)
        axes[0].plot(lrs, errors.mean(1), marker, color=colour, ms=5, label=label)
        theory = [_theory(settings, algorithm, lr).error for lr in fine]
        axes[0].plot(fine, theory, "-", color=colour, lw=1, label=f"{label}, theory")
        if algorithm == "sgd":
            floor = _theory(settings, "sgd", float(lrs.min())).limit_error
            axes[0].axhline(floor, color=colour, lw=0.8, ls=":", label="floor as the step size goes to 0")
        for (_, states), dash, fill in zip(_levels(settings)[1:], ("--", "-"), ("none", colour), strict=True):
            values = _errors(settings, columns, algorithm, states).mean(1)
            axes[1].plot(lrs, values, marker, color=colour, ms=5, mfc=fill, label=f"{label}, {states} states")
            theory = [_theory(settings, algorithm, lr, states).error for lr in fine]
            axes[1].plot(fine, theory, dash, color=colour, lw=1)
    for axis, title in zip(axes, ("analog dynamics", "pulses"), strict=True):
        axis.set(xlabel="step size", xscale="log", yscale="log", title=title)
        axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(0, 0.6))
    axes[0].set_ylabel(r"E$\|\nabla f(W)\|^2$")


STUDY = Study(
    name="floor",
    title="floor against step size: Analog SGD's is flat, Tiki-Taka's falls linearly",
    source="our own; Theorems 2 to 4 of Wu et al. 2024, arXiv v1 of 2406.12774",
    settings={
        "lrs": (0.1, 0.03, 0.01, 0.003, 0.001),
        "tau": 1.0,
        "solution": 0.3,
        "sigma": 0.5,
        "ratio": 0.05,
        "states": (600, 12000),
        "times": {"sgd": 100.0, "tiki-taka": 600.0},
        "seeds": 20,
    },
    quick={"lrs": (0.1, 0.03, 0.01, 0.003), "seeds": 10},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    check=check,
)
