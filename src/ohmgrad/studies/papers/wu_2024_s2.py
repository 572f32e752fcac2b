"""S2 (Wu et al. 2024, arXiv 2406.12774, Fig. 3): the analog dynamics predicts the pulses, digital SGD does
not.

Least squares, 100 equations, 40 unknowns, A and w* normal with standard deviations 1/2 and 0.3, loss
||A (W - W*)||^2 / 200, recorded over 40; lr 0.03, 2500 steps from 0; soft bounds [-tau, tau] with
dw_min = tau/300, BL up to 5000. The error is the mean loss of the last 500 steps. This is the authors'
program; their text has dw_min = 2 tau/300 and BL up to 300.

First as the authors do it. Digital SGD (eq. 2) and the dynamics (eq. 3) take one gradient a step with noise
0.1 an entry; the pulses are sent sample by sample, and have weight noise 0.1/s_A instead, s_A the mean
singular value of A. Noise and drift then both differ, so that the curves agree in order of magnitude only:
digital SGD with this weight noise ends more than a hundred times lower than with that gradient noise.

Then, as our own, all three sample by sample with that weight noise. What is left between dynamics and pulses
is the pulses' own noise, a variance of about lr |g| dw_min a sample, so that pulses with a hundred times as
many states are run, too.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ...devices import SoftBounds
from ...ensemble import AnalogSGD, Digital, grid, soft_bounds
from ...errors import InputError
from ...kernels import Pulsing
from ...style import BLACK, BLUE, ORANGE, RED
from ...theory import GradientNoise, Quadratic, WeightNoise, analog_sgd
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval
from .least_squares import columns_of, curve, problem, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RUNS", "STUDY", "check", "predicted"]

#: how many times as many states the runs called "fine" have
FINER = 100
MAX_BL = 5000
UNKNOWNS = 40


class Run(NamedTuple):
    """What is run: words for it, fidelity ("" for digital), whether sample by sample with weight noise,
    how many times the states, colour."""

    label: str
    fidelity: Any
    samples: bool
    finer: int
    colour: str


RUNS = {
    "digital": Run("digital SGD", "", False, 1, BLACK),
    "dynamics": Run("analog dynamics", "mean", False, 1, ORANGE),
    "pulses": Run("pulses", "pulsed", True, 1, RED),
    "same-digital": Run("ours: digital SGD, same noise", "", True, 1, BLACK),
    "same-dynamics": Run("ours: analog dynamics, same noise", "mean", True, 1, ORANGE),
    "fine": Run(f"ours: pulses, {FINER} times the states", "pulsed", True, FINER, BLUE),
}
#: the rows of the figure: the paper's, and ours
PANELS = (("digital", "dynamics", "pulses"), ("same-digital", "fine", "pulses", "same-dynamics"))


def check(settings: dict[str, Any]) -> None:
    """The end over which errors are averaged is a part of the run."""
    steps, tail = settings["steps"], settings["tail"]
    if tail > steps:
        raise InputError(f"tail is {tail}, but must be at most steps, {steps}")


def _problem(settings: dict[str, Any]) -> Quadratic:
    return problem(100, UNKNOWNS, settings["matrix"], settings["solution"], half=True)


def _weight_noise(settings: dict[str, Any]) -> float:
    """The authors' noise of the weights: that of the gradient over the mean singular value of A."""
    lines = _problem(settings).lines
    assert lines is not None
    return settings["sigma"] / float(torch.linalg.svdvals(len(lines) ** 0.5 * lines).mean())


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(name, partial(_run, settings, name)) for name in RUNS]


def _run(settings: dict[str, Any], name: str, progress: Any) -> Columns:
    run, f = RUNS[name], _problem(settings)
    noise = {"weight_noise": _weight_noise(settings)} if run.samples else {"sigma": settings["sigma"]}
    device = {"tau": list(settings["taus"]), "states": settings["states"] * run.finer}
    found = grid(
        f if run.samples else f.summed(),
        AnalogSGD if run.fidelity else Digital,
        {"lr": settings["lr"], **noise, **(device if run.fidelity else {})},
        device=soft_bounds if run.fidelity else None,
        seeds=range(settings["seeds"]),
        steps=settings["steps"],
        pulsing=Pulsing(run.fidelity or "mean", max_bl=MAX_BL),
        tail=settings["tail"],
        progress=lambda done, total: progress(done, total, f"S2, {run.label}"),
    )
    columns = columns_of(found, unit=UNKNOWNS, run=name)
    columns.setdefault("tau", np.zeros(len(columns["step"])))  # digital SGD knows no range
    return {key: columns[key] for key in ("run", "tau", "seed", "step", "loss", "squared_gradient")}


def predicted(settings: dict[str, Any], name: str, tau: float) -> float:
    """The loss over 40 that `ohmgrad.theory` predicts for an analog run."""
    kept = ("matrix", "solution", "sigma", "lr", "states")
    return _predicted(name, tau, *((key, settings[key]) for key in kept))


@cache
def _predicted(name: str, tau: float, *kept: tuple[str, float]) -> float:
    settings, run = dict(kept), RUNS[name]
    f = _problem(settings)
    f, noise = (f, WeightNoise(_weight_noise(settings))) if run.samples else (
        f.summed(), GradientNoise(settings["sigma"]))  # fmt: skip
    dw_min = 2 * tau / (settings["states"] * run.finer) if run.fidelity == "pulsed" else None
    found = analog_sgd(f, SoftBounds.symmetric(tau), noise, settings["lr"], dw_min=dw_min, max_bl=MAX_BL)
    return found.loss / UNKNOWNS


def _granularity(settings: dict[str, Any], tau: float) -> float:
    """The theory's loss of the pulses less that of the dynamics with the same noise.

    Runs of 2500 steps have not settled where A is narrowest; in the difference what is left of that cancels.
    """
    return predicted(settings, "pulses", tau) - predicted(settings, "same-dynamics", tau)


def _tau(name: str, tau: float) -> float:
    """The value of column tau in the rows of a run."""
    return tau if RUNS[name].fidelity else 0.0


def _ends(columns: Columns, name: str, tau: float) -> np.ndarray:
    """Errors by seed."""
    return tails(columns, run=name, tau=_tau(name, tau))


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for tau in settings["taus"]:
        row: dict[str, Any] = {"tau": tau}
        for name, run in RUNS.items():
            mean, low, high = interval(_ends(columns, name, tau))
            row |= {run.label: mean, f"{run.label}_low": low, f"{run.label}_high": high}
            if run.fidelity:
                row[f"{run.label}, theory"] = predicted(settings, name, tau)
        rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for tau in settings["taus"]:
        ends = {name: _ends(columns, name, tau) for name in RUNS}
        middle = (ends["dynamics"].mean() * ends["digital"].mean()) ** 0.5
        added = ends["same-dynamics"].mean() + _granularity(settings, tau)
        found += [
            claim(
                f"tau {tau:g}: the pulses end nearer to the analog dynamics than to digital SGD",
                "ratio of the errors, pulses / the geometric mean of the two",
                interval(ends["pulses"] / middle),
                "above",
                1.0,
            ),
            claim(
                f"tau {tau:g}: ours: with the same noise, {FINER} times the states and the same samples, the "
                "pulses do what the dynamics does",
                "ratio of the errors, pulses / dynamics",
                interval(ends["fine"] / ends["same-dynamics"]),
                "within",
                (0.95, 1.05),
            ),
            claim(
                f"tau {tau:g}: ours: the theory predicts what {settings['states']} states add to the error",
                "error of the pulses over that of the dynamics, same noise, plus the theory's difference - 1",
                interval(ends["pulses"] / added - 1),
                "within",
                (-0.1, 0.1),
            ),
            claim(
                f"tau {tau:g}: ours: with the same noise, digital SGD does not predict the pulses",
                "ratio of the errors, pulses / digital SGD",
                interval(ends["pulses"] / ends["same-digital"]),
                "above",
                1.5,
            ),
        ]
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(2, len(settings["taus"]), sharex=True, sharey=True, squeeze=False)
    for row, names in zip(axes, PANELS, strict=True):
        for axis, tau in zip(row, settings["taus"], strict=True):
            for name in names:
                label, fidelity, _, _, colour = RUNS[name]
                steps, loss = curve(columns, run=name, tau=_tau(name, tau))
                dash = "-" if fidelity == "pulsed" else "--"
                axis.plot(steps, loss.mean(0), dash, color=colour, label=label, lw=1.2)
                low, high = np.quantile(loss, (0.025, 0.975), axis=0)
                axis.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
            axis.set(yscale="log")
        row[0].set_ylabel("$(f(W_k) - f^*)$ / 40\n(weight units$^2$)")
        row[-1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axis, tau in zip(axes[0], settings["taus"], strict=True):
        axis.set_title(f"$\\tau$ = {tau:g}")
    for axis in axes[1]:
        axis.set_xlabel("step $k$")


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
        "seeds": 40,
    },
    quick={"seeds": 3},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(9.5, 4.0),
    check=check,
)
