"""S6 (Wu et al. 2024, arXiv 2406.12774, Fig. 7): where the weights of S4's FCN end.

Left: the weights of all layers. Analog SGD crowds them towards the symmetric point, 0 on these devices;
digital SGD and Tiki-Taka leave them where the data put them. Right: their saturation |w|/tau. Under Analog
SGD it ends near 0.2, under Tiki-Taka it does not. tau is 0.7, as in the authors' script.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import InputError, check_choice
from ...style import style_of
from ..checkpoint import read_checkpoint
from ..engine import Columns, Part
from ..folders import checkpoint_file
from ..study import Claim, Study, claim, interval, where
from .networks import NetworkTraining
from .wu_2024_s4 import ALGORITHMS, trainings
from .wu_2024_s4 import STUDY as S4

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

BINS = np.linspace(-1.0, 1.0, 201)
#: the saturation near which the paper sees Analog SGD end, and the share of weights that counts as all
NEAR, WITHIN = 0.2, 0.999
#: the saturation that is still near it
END = 0.3


def check(settings: dict[str, Any]) -> None:
    taus = settings["taus"][check_choice("net of S6", settings["net"], settings["taus"])]
    if settings["tau"] not in taus:
        allowed = ", ".join(f"{tau:g}" for tau in taus)
        raise InputError(f"tau is {settings['tau']:g}, but must be one of the taus of the net: {allowed}")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(t.name, partial(_weights, t))
        for t in trainings(settings, folder)
        if t.columns["net"] == settings["net"] and t.columns["tau"] in (0.0, settings["tau"])
    ]


def _weights(training: NetworkTraining, progress: Any) -> Columns:
    """Histogram, root mean square and high quantile of the weights, from the last checkpoint."""
    training.run(progress)  # nothing is left to do when S4 has run
    algorithm, seed = training.columns["algorithm"], training.columns["seed"]
    kept = read_checkpoint(checkpoint_file(training.folder, algorithm, seed)).content["model"]
    weights = [v.double().ravel() for name, v in kept.items() if name.endswith("weight") and v.dim() > 1]
    w = torch.cat(weights).numpy()
    counts, _ = np.histogram(w, BINS, density=True)
    reach = float(np.quantile(np.abs(w), WITHIN))
    fixed = {"algorithm": algorithm, "seed": seed, "rms": float(np.sqrt((w**2).mean())), "reach": reach}
    columns = {key: np.full(len(counts), value) for key, value in fixed.items()}
    return {**columns, "weight": (BINS[1:] + BINS[:-1]) / 2, "density": counts}


def _of_seeds(columns: Columns, algorithm: str, name: str) -> np.ndarray:
    mine = where(columns, algorithm=algorithm)
    return np.array([mine[name][mine["seed"] == s][0] for s in np.unique(mine["seed"])])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for algorithm in ALGORITHMS:
        row: dict[str, Any] = {"algorithm": algorithm}
        for name, of in (("rms", 1.0), ("reach", settings["tau"])):
            mean, low, high = interval(_of_seeds(columns, algorithm, name) / of)
            label = "rms" if name == "rms" else "saturation"
            row |= {label: mean, f"{label}_low": low, f"{label}_high": high}
        rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    rms = {a: _of_seeds(columns, a, "rms") for a in ALGORITHMS}
    found = [
        claim(
            f"Analog SGD keeps the weights nearer to 0 than {style_of(other).label}",
            f"ratio of the weights' root mean squares, Analog SGD / {style_of(other).label}",
            interval(rms["sgd"] / rms[other]),
            "below",
            1.0,
        )
        for other in ("digital", "tiki-taka")
    ]
    reach = {a: interval(_of_seeds(columns, a, "reach") / settings["tau"]) for a in ALGORITHMS}
    what = f"{WITHIN:.1%} quantile of |w|/tau"
    return [
        *found,
        claim(
            f"the saturation of Analog SGD ends near {NEAR:g}", what, reach["sgd"], "below", END, full=True
        ),
        claim(f"Tiki-Taka's goes beyond {NEAR:g}", what, reach["tiki-taka"], "above", END, full=True),
    ]


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    left, right = figure.subplots(1, 2)
    for algorithm in ALGORITHMS:
        label, colour, dash, _ = style_of(algorithm)
        mine = where(columns, algorithm=algorithm)
        density = mine["density"].reshape(-1, len(BINS) - 1).mean(0)
        centres = mine["weight"][: len(BINS) - 1]
        left.plot(centres, density, dash, color=colour, label=label)
        if algorithm != "digital":
            half = len(centres) // 2
            both = density[half:] + density[:half][::-1]
            right.plot(
                centres[half:] / settings["tau"], both * settings["tau"], dash, color=colour, label=label
            )
    left.set(xlabel="weight (conductance units)", ylabel="density", yscale="log")
    right.set(xlabel="saturation $|w|/\\tau$", ylabel="density", yscale="log", xlim=(0, 1.2))
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="S6",
    title="where the weights of S4's FCN end",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 7",
    settings={**S4.settings, "net": "fcn", "tau": 0.7},
    quick=S4.quick,
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    check=check,
)
