"""RL-T6 (Wu et al. 2025, arXiv 2502.06309, Table 6): an FCN on MNIST over responses and ranges.

Power and exponential responses, gamma_res 0.5 to 2, tau 0.6 to 0.8; other settings are in `wu_2025_mnist`.
The table says: Tiki-Taka is close to digital SGD everywhere; Analog SGD fails unless the asymmetry is mild,
that is power 0.5, and exponential 0.5 at tau 0.8.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...style import style_of
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval
from .networks import accuracy_table
from .wu_2025_mnist import (
    ALGORITHMS,
    KEYS,
    SETTINGS,
    SIGMA_C,
    Case,
    comes_close,
    reached,
    trainings,
    with_digital,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

#: (response, gamma_res) -> the range from which on Analog SGD works, where it does at all
WORKS_FROM = {("power", 0.5): 0.0, ("exponential", 0.5): 0.75}


def _pairs(settings: dict[str, Any]) -> list[tuple[Case, Case]]:
    """Analog SGD and Tiki-Taka on every device."""
    return [
        (
            Case("fcn", response, gamma, tau, SIGMA_C, "sgd"),
            Case("fcn", response, gamma, tau, SIGMA_C, "tiki-taka"),
        )
        for response, gammas in settings["gammas"].items()
        for gamma in gammas
        for tau in settings["taus"]
    ]


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    cases = [case for pair in _pairs(settings) for case in pair]
    return [t.part() for t in trainings(settings, folder, with_digital(["fcn"], cases))]


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    return accuracy_table(columns, KEYS)


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for sgd, tt in _pairs(settings):
        at = f"{sgd.response} {sgd.gamma_res:g}, tau {sgd.tau:g}"
        works = sgd.tau > WORKS_FROM.get((sgd.response, sgd.gamma_res), float("inf"))
        found += [
            comes_close(at, columns, tt, 2.0),
            claim(
                f"{at}: Analog SGD {'works' if works else 'fails'}",
                "test accuracy of Analog SGD (%)",
                interval(reached(columns, sgd)),
                "above" if works else "below",
                90.0 if works else 15.0,
                full=True,
            ),
        ]
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["gammas"]), sharey=True, squeeze=False)[0]
    for axis, (response, gammas) in zip(axes, settings["gammas"].items(), strict=True):
        for algorithm in ALGORITHMS[1:]:
            label, colour, _, marker = style_of(algorithm)
            for i, gamma in enumerate(gammas):
                cases = [Case("fcn", response, gamma, tau, SIGMA_C, algorithm) for tau in settings["taus"]]
                found = [interval(reached(columns, case)) for case in cases]
                axis.errorbar(
                    settings["taus"], [m for m, *_ in found], yerr=[m - low for m, low, _ in found],
                    fmt=marker + ("-", "--", ":")[i % 3], color=colour, ms=4, lw=1, capsize=2,
                    label=f"{label}, $\\gamma$ = {gamma:g}",
                )  # fmt: skip
        axis.set(xlabel=r"$\tau$", title=response)
        axis.legend(frameon=False, fontsize=6)
    axes[0].set_ylabel("test accuracy (%)")


STUDY = Study(
    name="RL-T6",
    title="an FCN on MNIST over responses and ranges: Tiki-Taka learns on all, Analog SGD on the mildest",
    source="Wu et al. 2025, arXiv 2502.06309, Table 6",
    settings={
        **SETTINGS,
        "taus": (0.6, 0.7, 0.8),
        "gammas": {"power": (0.5, 1.0, 2.0), "exponential": (0.5, 1.0, 2.0)},
    },
    quick={
        "taus": (0.6,),
        "gammas": {"power": (0.5, 2.0), "exponential": (2.0,)},
        "images": 500,
        "epochs": 1,
    },
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
)
