"""S2 (Wu et al. 2024, arXiv 2406.12774, Fig. 3): the analog dynamics predicts the pulses.

Least squares, 100 equations, 40 unknowns, A and w* normal with standard deviations 1/2 and 0.3, lr 0.03,
gradient noise 0.1 an entry, 2500 steps from 0; soft bounds [-tau, tau] with dw_min = tau/300, BL up to 5000.
All get the same gradient noise. The dynamics leaves out the noise of the pulses themselves, a variance of
about lr E|g| dw_min a step, so that pulses with a hundred times as many states are run, too. The error is the
mean loss of the last 500 steps.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...devices import SoftBounds
from ...ensemble import AnalogSGD, Digital, grid, soft_bounds
from ...errors import InputError
from ...pulses import Pulsing
from ...style import BLACK, BLUE, ORANGE, RED
from ...theory import GradientNoise, analog_sgd
from ..study import Claim, Columns, Part, Study, claim, interval
from .least_squares import columns_of, curve, problem, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RUNS", "STUDY", "batch", "check", "predicted"]

#: how many times as many states the runs called "fine" have
FINER = 100
#: algorithm, fidelity, words, colour
RUNS = (
    ("digital", "mean", "digital SGD", BLACK),
    ("sgd", "mean", "analog dynamics", ORANGE),
    ("sgd", "pulsed", "pulses", RED),
    ("sgd", "fine", f"pulses, {FINER} times the states", BLUE),
)


def check(settings: dict[str, Any]) -> None:
    """The end over which errors are averaged is a part of the run."""
    steps, tail = settings["steps"], settings["tail"]
    if tail > steps:
        raise InputError(f"tail is {tail}, but must be at most steps, {steps}")


def predicted(settings: dict[str, Any], changed: str, value: float, fidelity: str) -> float:
    """The loss that `ohmgrad.theory` predicts for the dynamics, or with the noise of the pulses.

    Args:
        changed, value: the one setting (tau, sigma, solution, start) that differs from `settings`.
    """
    now = {"tau": settings.get("tau"), "sigma": settings["sigma"], "solution": settings["solution"]}
    now[changed] = value
    states = settings["states"] if fidelity == "pulsed" else None
    return _predicted(settings["matrix"], now["solution"], now["tau"], now["sigma"], settings["lr"], states)


@cache
def _predicted(
    matrix: float, solution: float, tau: float, sigma: float, lr: float, states: int | None
) -> float:
    f, noise = problem(100, 40, matrix, solution), GradientNoise(sigma)
    dw_min = 2 * tau / states if states else None
    return analog_sgd(f, SoftBounds.symmetric(tau), noise, lr, dw_min=dw_min, max_bl=5000).loss


def batch(
    settings: dict[str, Any], algorithm: str, fidelity: str, axes: dict[str, Any], tell: Any
) -> Columns:
    """All combinations of the axes with every seed; `states` is range / granularity."""
    states = settings["states"] * (FINER if fidelity == "fine" else 1)
    common = {"lr": settings["lr"], "sigma": settings["sigma"], "states": states}
    wanted = {**common, **axes}
    if algorithm == "digital":
        wanted = {k: v for k, v in wanted.items() if k != "states"}
    found = grid(
        problem(100, 40, settings["matrix"], settings["solution"]),
        Digital if algorithm == "digital" else AnalogSGD,
        wanted,
        device=soft_bounds,
        seeds=range(settings["seeds"]),
        steps=settings["steps"],
        pulsing=Pulsing("mean" if fidelity == "mean" else "pulsed", max_bl=5000),
        tail=settings["tail"],
        progress=lambda done, total: tell(done, total, f"{algorithm}, {fidelity}"),
    )
    return columns_of(found, algorithm=algorithm, fidelity=fidelity)


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    taus = {"tau": list(settings["taus"])}
    return [Part(f"{a}-{f}", partial(batch, settings, a, f, taus)) for a, f, *_ in RUNS]


def band(settings: dict[str, Any], columns: Columns, tau: float, fidelity: str) -> tuple[float, float]:
    """The 95 % band of single runs of Analog SGD over their mean, averaged over the tail of the curves."""
    steps, loss = curve(columns, tau=tau, algorithm="sgd", fidelity=fidelity)
    end = loss[:, steps > settings["steps"] - settings["tail"]]
    low, high = np.quantile(end, (0.025, 0.975), axis=0) / end.mean(0)
    return float(low.mean()), float(high.mean())


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for tau in settings["taus"]:
        row: dict[str, Any] = {"tau": tau}
        for algorithm, fidelity, label, _ in RUNS:
            mean, low, high = interval(tails(columns, tau=tau, algorithm=algorithm, fidelity=fidelity))
            row |= {label: mean, f"{label}_low": low, f"{label}_high": high}
        rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for tau in settings["taus"]:
        ends = {f: tails(columns, tau=tau, algorithm="sgd", fidelity=f) for f in ("mean", "pulsed")}
        ends["fine"] = tails(columns, tau=tau, algorithm="sgd", fidelity="fine")
        found.append(
            claim(
                f"tau {tau:g}: with {FINER} times the states the pulses do what the analog dynamics does",
                "ratio of the errors, pulses / analog dynamics",
                interval(ends["fine"] / ends["mean"]),
                "within",
                (0.95, 1.05),
            )
        )
        for one, other, words in (
            ("pulsed", "mean", "the pulses stay within the 95 % band of the analog dynamics"),
            ("mean", "pulsed", "the analog dynamics stays within the 95 % band of the pulses"),
        ):
            found.append(
                claim(
                    f"tau {tau:g}: {words}",
                    "ratio of the errors; the band is that of single runs over their mean",
                    interval(ends[one] / ends[other].mean()),
                    "within",
                    band(settings, columns, tau, other),
                )
            )
        theory = predicted(settings, "tau", tau, "pulsed")
        found.append(
            claim(
                f"tau {tau:g}: the theory with the pulses' own noise predicts the pulses",
                "error / theory - 1",
                interval(ends["pulsed"] / theory - 1),
                "within",
                (-0.05, 0.05),
            )
        )
        digital = tails(columns, tau=tau, algorithm="digital", fidelity="mean")
        found.append(
            claim(
                f"tau {tau:g}: digital SGD does not predict the pulses",
                "ratio of the errors, pulses / digital SGD",
                interval(ends["pulsed"] / digital),
                "above",
                1.5,
            )
        )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["taus"]), sharey=True, squeeze=False)[0]
    for axis, tau in zip(axes, settings["taus"], strict=True):
        for algorithm, fidelity, label, colour in RUNS:
            steps, loss = curve(columns, tau=tau, algorithm=algorithm, fidelity=fidelity)
            dynamics = algorithm == "sgd" and fidelity == "mean"  # on top, so that both can be seen
            dash = "--" if fidelity == "mean" else "-"
            width, order = (1.6, 5) if dynamics else (1, 3)
            axis.plot(steps, loss.mean(0), dash, color=colour, label=label, lw=width, zorder=order)
            low, high = np.quantile(loss, (0.025, 0.975), axis=0)
            axis.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
        axis.set(xlabel="step", yscale="log", title=f"$\\tau$ = {tau:g}")
    axes[0].set_ylabel("loss $f(W) - f^*$")
    axes[0].legend(frameon=False, fontsize=7)


STUDY = Study(
    name="S2",
    title="pulses, the analog dynamics and digital SGD, curve by curve",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 3",
    settings={
        "taus": (1.0, 1.5, 2.0, 2.5),
        "matrix": 0.5,
        "solution": 0.3,
        "sigma": 0.1,
        "lr": 0.03,
        "states": 600,
        "steps": 2500,
        "tail": 500,
        "seeds": 100,
    },
    quick={"seeds": 20},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(8.5, 2.5),
    check=check,
)
