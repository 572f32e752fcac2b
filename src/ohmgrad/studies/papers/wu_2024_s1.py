"""S1 (Wu et al. 2024, arXiv 2406.12774, Fig. 1): the error of digital SGD falls with the step size, Analog
SGD's does not.

Least squares, 100 equations, 40 unknowns, A and w* normal with standard deviations 1 and 0.45; soft bounds
[-3, 3] with dw_min 1e-4, BL up to 800; gradient noise 0.01/sqrt(40) an entry; 2500 steps from 0; the error
is the mean loss of the last 20.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...devices import Device, SoftBounds
from ...ensemble import AnalogSGD, Digital, grid
from ...errors import InputError
from ...pulses import Pulsing
from ...style import look
from ..settings import at_least_two
from ..study import Claim, Columns, Part, Study, claim, interval
from .least_squares import columns_of, problem, slope, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

#: the error is averaged over so many steps at the end
TAIL_STEPS = 20
#: what is drawn: algorithm, fidelity, and the words for it
RUNS = (
    ("digital", "mean", "digital SGD"),
    ("sgd", "mean", "Analog SGD, dynamics"),
    ("sgd", "pulsed", "Analog SGD, pulses"),
)


def check(settings: dict[str, Any]) -> None:
    at_least_two(settings, "lrs")
    if settings["steps"] < TAIL_STEPS:
        raise InputError(f"steps is {settings['steps']}, but must be at least {TAIL_STEPS}, the averaged end")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(f"{a}-{fidelity}", partial(_run, settings, a, fidelity)) for a, fidelity, _ in RUNS]


def _run(settings: dict[str, Any], algorithm: str, fidelity: Any, tell: Any) -> Columns:
    f = problem(100, 40, 1.0, settings["solution"])
    tau = settings["tau"]
    found = grid(
        f,
        Digital if algorithm == "digital" else AnalogSGD,
        {"lr": list(settings["lrs"]), "sigma": settings["sigma"]},
        seeds=range(settings["seeds"]),
        steps=settings["steps"],
        device=lambda: Device(SoftBounds.symmetric(tau), settings["dw_min"]),
        pulsing=Pulsing(fidelity, max_bl=800),
        tail=TAIL_STEPS,
        progress=lambda done, total: tell(done, total, f"S1, {look(algorithm).label}, {fidelity}"),
    )
    return columns_of(found, algorithm=algorithm, fidelity=fidelity)


def _errors(settings: dict[str, Any], columns: Columns, algorithm: str, fidelity: str) -> np.ndarray:
    """Errors, (step sizes, seeds)."""
    lrs = settings["lrs"]
    return np.array([tails(columns, lr=lr, algorithm=algorithm, fidelity=fidelity) for lr in lrs])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for algorithm, fidelity, label in RUNS:
        errors = _errors(settings, columns, algorithm, fidelity)
        for lr, values in zip(settings["lrs"], errors, strict=True):
            mean, low, high = interval(values)
            rows.append({"runs": label, "lr": lr, "error": mean, "error_low": low, "error_high": high})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    lrs = np.array(settings["lrs"])
    smallest = int(lrs.argmin())
    digital = _errors(settings, columns, "digital", "mean")
    found = [
        claim(
            "the error of digital SGD falls in proportion to the step size",
            "exponent of the error in the step size",
            interval(slope(lrs, digital)),
            "within",
            (0.8, 1.4),
        )
    ]
    for _, fidelity, label in RUNS[1:]:
        errors = _errors(settings, columns, "sgd", fidelity)
        found += [
            claim(
                f"the error of {label} hardly depends on the step size",
                "exponent of the error in the step size",
                interval(slope(lrs, errors)),
                "within",
                (-0.3, 0.3),
            ),
            claim(
                f"at the smallest step size {label} is left with a larger error than digital SGD",
                "ratio of the errors",
                interval(errors[smallest] / digital[smallest]),
                "above",
                2.0,
            ),
        ]
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axis = figure.subplots()
    for algorithm, fidelity, label in RUNS:
        _, colour, _, marker = look(algorithm)
        errors = _errors(settings, columns, algorithm, fidelity)
        dash = "--" if fidelity == "mean" else "-"
        axis.plot(settings["lrs"], errors.mean(1), dash, color=colour, marker=marker, label=label, ms=4)
        low, high = np.quantile(errors, (0.025, 0.975), axis=1)
        axis.fill_between(settings["lrs"], low, high, color=colour, alpha=0.15, lw=0)
    axis.set(xlabel="step size", ylabel="error $f(W) - f^*$", xscale="log", yscale="log")
    axis.legend(frameon=False, fontsize=7)


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
        "seeds": 100,
    },
    quick={"seeds": 10},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(3.6, 2.8),
    check=check,
)
