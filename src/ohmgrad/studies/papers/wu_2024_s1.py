"""S1 (Wu et al. 2024, arXiv 2406.12774, Fig. 1): the error of digital SGD falls with the step size, Analog
SGD's does not.

Least squares, 100 equations, 40 unknowns, A and w* normal with standard deviations 1 and 0.45; soft bounds
[-3, 3] with dw_min 1e-4, BL up to 800; 2500 steps from 0 with all 100 equations, pulsed one by one. Arrays
are read with weight noise 0.01/sqrt(40); digital SGD has gradient noise 0.01/sqrt(40) an entry. The loss is
the mean squared residual over 40, as the authors record it, and the error its mean over the last 20 steps.

Where the text differs from the authors' program, the program is followed: the text takes half of
||A W - b||^2 (eq. 141) for the loss. The program's layer has a digital bias that starts at its solution, 0:
left out. It records Analog SGD's loss as the noisy array gives it, 2.5e-6 more than ours of the weights.

Our own beside it: the dynamics of Analog SGD with one gradient in a step, that of digital SGD. At the
solution this sum is nothing but noise, so that hardly any floor is left: S1's comes from the samples.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...devices import Device, SoftBounds
from ...ensemble import AnalogSGD, Digital, grid
from ...errors import InputError
from ...kernels import Pulsing
from ...style import BLACK, BLUE, GREEN, ORANGE, RED
from ...theory import GradientNoise, WeightNoise, analog_sgd, digital_sgd
from ..engine import Columns, Part
from ..settings import at_least_two
from ..study import Claim, Study, claim, interval
from .least_squares import columns_of, curve, problem, slope, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RUNS", "STUDY", "predicted"]

#: the error is averaged over so many steps at the end
TAIL_STEPS = 20
MAX_BL = 800
UNKNOWNS = 40


class Run(NamedTuple):
    """What is run: words for it, fidelity ("" for digital), whether sample by sample, colour and marker."""

    label: str
    fidelity: Any
    samples: bool
    colour: str
    marker: str


RUNS = {
    "digital": Run("digital SGD", "", False, BLACK, "s"),
    "dynamics": Run("Analog SGD, dynamics", "mean", True, ORANGE, "^"),
    "pulses": Run("Analog SGD, pulses", "pulsed", True, RED, "o"),
    "summed": Run("ours: dynamics, one gradient a step", "mean", False, BLUE, "D"),
}


def check(settings: dict[str, Any]) -> None:
    at_least_two(settings, "lrs")
    if settings["steps"] < TAIL_STEPS:
        raise InputError(f"steps is {settings['steps']}, but must be at least {TAIL_STEPS}, the averaged end")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(run, partial(_run, settings, run)) for run in RUNS]


def _run(settings: dict[str, Any], name: str, progress: Any) -> Columns:
    run, f = RUNS[name], problem(100, UNKNOWNS, 1.0, settings["solution"])
    noise = "weight_noise" if run.samples else "sigma"
    found = grid(
        f if run.samples else f.summed(),
        AnalogSGD if run.fidelity else Digital,
        {"lr": list(settings["lrs"]), noise: settings["sigma"]},
        seeds=range(settings["seeds"]),
        steps=settings["steps"],
        device=lambda: Device(SoftBounds.symmetric(settings["tau"]), settings["dw_min"]),
        pulsing=Pulsing(run.fidelity or "mean", max_bl=MAX_BL),
        tail=TAIL_STEPS,
        progress=lambda done, total: progress(done, total, f"S1, {run.label}"),
    )
    columns = columns_of(found, unit=UNKNOWNS, run=name)
    return {key: columns[key] for key in ("run", "lr", "seed", "step", "loss", "squared_gradient")}


def predicted(settings: dict[str, Any], name: str, lr: float) -> tuple[float, float]:
    """The theory's error of a run, and its limit as the step size goes to 0."""
    return _predicted(name, lr, *(settings[key] for key in ("solution", "sigma", "tau", "dw_min")))


@cache
def _predicted(
    name: str, lr: float, solution: float, sigma: float, tau: float, dw_min: float
) -> tuple[float, float]:
    run, f = RUNS[name], problem(100, UNKNOWNS, 1.0, solution)
    f, noise = (f, WeightNoise(sigma)) if run.samples else (f.summed(), GradientNoise(sigma))
    if not run.fidelity:
        return digital_sgd(f, noise, lr).loss / UNKNOWNS, 0.0
    pulses: Any = {"dw_min": dw_min, "max_bl": MAX_BL} if run.fidelity == "pulsed" else {}
    found = analog_sgd(f, SoftBounds.symmetric(tau), noise, lr, **pulses)
    return found.loss / UNKNOWNS, float(f.loss(found.limit_mean)) / UNKNOWNS


def _errors(settings: dict[str, Any], columns: Columns, name: str) -> np.ndarray:
    """Errors, (step sizes, seeds)."""
    return np.array([tails(columns, lr=lr, run=name) for lr in settings["lrs"]])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for name, run in RUNS.items():
        for lr, values in zip(settings["lrs"], _errors(settings, columns, name), strict=True):
            mean, low, high = interval(values)
            theory, limit = predicted(settings, name, lr)
            row = {"runs": run.label, "lr": lr, "error": mean, "error_low": low, "error_high": high}
            rows.append({**row, "theory": theory, "theory, step size 0": limit})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    lrs = np.array(settings["lrs"])
    smallest = int(lrs.argmin())
    errors = {name: _errors(settings, columns, name) for name in RUNS}
    exponent = "exponent of the error in the step size"
    found = [
        claim(
            "the error of digital SGD falls in proportion to the step size",
            exponent,
            interval(slope(lrs, errors["digital"])),
            "within",
            (0.9, 1.2),
        )
    ]
    for name in ("dynamics", "pulses"):
        label = RUNS[name].label
        found += [
            claim(
                f"the error of {label} does not depend on the step size",
                exponent,
                interval(slope(lrs, errors[name])),
                "within",
                (-0.15, 0.15),
            ),
            claim(
                f"at the smallest step size {label} is left with a much larger error than digital SGD",
                "ratio of the errors",
                interval(errors[name][smallest] / errors["digital"][smallest]),
                "above",
                10.0,
            ),
        ]
    for name in ("dynamics", "pulses"):
        theory = np.array([[predicted(settings, name, lr)[0]] for lr in settings["lrs"]])
        found.append(
            claim(
                f"ours: the theory predicts the error of {RUNS[name].label} at every step size",
                "error / theory - 1 where it is largest",
                max((interval(row) for row in errors[name] / theory - 1), key=lambda t: abs(t[0])),
                "within",
                (-0.05, 0.05),
            )
        )
    found.append(
        claim(
            "ours: with one gradient a step the error of the dynamics falls with the step size",
            exponent,
            interval(slope(lrs, errors["summed"])),
            "above",
            0.5,
        )
    )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    left, right = figure.subplots(1, 2)
    for name, (label, _, samples, colour, marker) in RUNS.items():
        errors = _errors(settings, columns, name)
        dash = "-" if samples or name == "digital" else ":"
        left.plot(settings["lrs"], errors.mean(1), dash, color=colour, marker=marker, label=label, ms=4, lw=1)
        low, high = np.quantile(errors, (0.025, 0.975), axis=1)
        left.fill_between(settings["lrs"], low, high, color=colour, alpha=0.15, lw=0)
    floor = predicted(settings, "dynamics", min(settings["lrs"]))[1]
    left.axhline(floor, color=GREEN, lw=1, ls="--", label="theory, step size 0")
    left.set(xlabel=r"step size $\alpha$", ylabel="error, loss / 40 (weight units$^2$)")
    left.set(xscale="log", yscale="log")
    left.set_xticks(settings["lrs"], [f"{lr:g}" for lr in settings["lrs"]])
    left.set_xticks([], minor=True)
    left.legend(frameon=False, fontsize=6.5, loc="center left", bbox_to_anchor=(0, 0.42))
    for name, dash in (("digital", "--"), ("pulses", "-")):
        for lr, colour in zip(settings["lrs"], (BLUE, RED, GREEN, ORANGE), strict=False):
            steps, loss = curve(columns, run=name, lr=lr)
            label = f"{RUNS[name].label}, {lr:g}"
            right.plot(steps, loss.mean(0), dash, color=colour, lw=1, label=label)
    right.set(xlabel="step $k$", ylabel="$(f(W_k) - f^*)$ / 40 (weight units$^2$)", yscale="log")
    right.legend(frameon=False, fontsize=6.5, title=r"step size $\alpha$", title_fontsize=6.5)


STUDY = Study(
    name="S1",
    title="the error against the step size, digital and analog",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 1",
    settings={
        "lrs": (0.2, 0.1, 0.05, 0.03),
        "solution": 0.45,
        "tau": 3.0,
        "dw_min": 1e-4,
        "sigma": 0.01 / 40**0.5,
        "steps": 2500,
        "seeds": 50,
    },
    quick={"seeds": 4},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(7.2, 2.9),
    check=check,
)
