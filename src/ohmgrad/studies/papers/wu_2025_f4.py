"""RL-F4 (Wu et al. 2025, arXiv 2502.06309, Fig. 4): an FCN and a CNN on MNIST with the power response.

gamma_res 0.5, tau 0.5 to 0.7 on the FCN and 0.6 to 0.8 on the CNN; other settings are in `wu_2025_mnist`.
The text says: Tiki-Taka is within a point of digital SGD; Analog SGD takes longer on the FCN, and is stuck
at about 80 % on the CNN.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...style import style_of
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval, where
from .networks import accuracy_curve, accuracy_table
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


def _case(settings: dict[str, Any], net: str, tau: float, algorithm: str) -> Case:
    return Case(net, "power", settings["gamma_res"], tau, SIGMA_C, algorithm)


def _cases(settings: dict[str, Any]) -> list[Case]:
    nets = settings["taus"]
    pairs = ((net, tau, a) for net, taus in nets.items() for tau in taus for a in ALGORITHMS[1:])
    return with_digital(nets, [_case(settings, *pair) for pair in pairs])


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [t.part() for t in trainings(settings, folder, _cases(settings))]


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    return accuracy_table(columns, KEYS)


def _on_the_way(columns: Columns, case: Case) -> np.ndarray:
    """Test accuracy in per cent, the mean over all epochs, by seed."""
    mine = where(columns, **case._asdict())
    return np.array([100 * mine["test_accuracy"][mine["seed"] == s].mean() for s in np.unique(mine["seed"])])


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for net, taus in settings["taus"].items():
        for tau in taus:
            at = f"{net.upper()}, tau {tau:g}"
            sgd, tt = (_case(settings, net, tau, a) for a in ALGORITHMS[1:])
            found.append(comes_close(at, columns, tt, 1.0))
            if net == "fcn":
                found.append(
                    claim(
                        f"{at}: Analog SGD takes longer than Tiki-Taka",
                        "test accuracy, mean over epochs, Tiki-Taka - Analog SGD (points)",
                        interval(_on_the_way(columns, tt) - _on_the_way(columns, sgd)),
                        "above",
                        0.0,
                        full=True,
                    )
                )
            else:
                found.append(
                    claim(
                        f"{at}: Analog SGD stays more than five points behind Tiki-Taka",
                        "test accuracy, Tiki-Taka - Analog SGD (points)",
                        interval(reached(columns, tt) - reached(columns, sgd)),
                        "above",
                        5.0,
                        full=True,
                    )
                )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["taus"]), squeeze=False)[0]
    for axis, (net, taus) in zip(axes, settings["taus"].items(), strict=True):
        for case in _cases(settings):
            if case.net == net:
                label, colour, dash, _ = style_of(case.algorithm)
                if case.tau:
                    dash, label = (
                        ("-", "--", ":")[taus.index(case.tau) % 3],
                        f"{label}, $\\tau$ = {case.tau:g}",
                    )
                accuracy_curve(axis, where(columns, **case._asdict()), dash, colour, label)
        axis.set(xlabel="epoch", ylabel="test accuracy (%)", title=net.upper())
        axis.legend(frameon=False, fontsize=6)


STUDY = Study(
    name="RL-F4",
    title="an FCN and a CNN on MNIST, power response: Tiki-Taka comes close to digital SGD",
    source="Wu et al. 2025, arXiv 2502.06309, Fig. 4",
    settings={**SETTINGS, "taus": {"fcn": (0.5, 0.6, 0.7), "cnn": (0.6, 0.7, 0.8)}, "gamma_res": 0.5},
    quick={"taus": {"fcn": (0.6,), "cnn": (0.6,)}, "images": 500, "epochs": 1},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
)
