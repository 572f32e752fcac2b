"""S6 (Wu et al. 2024, arXiv 2406.12774, Fig. 7): where the weights end.

The networks of S4. Analog SGD crowds the weights towards the symmetric point, 0 on these devices; Tiki-Taka
leaves them where the data puts them. The first analog layer of the FCN is drawn, as conductances.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import InputError, check_choice
from ...style import look
from ..study import Claim, Columns, Part, Study, claim, interval, where
from .wu_2024_s4 import ALGORITHMS, Training, trained, trainings
from .wu_2024_s4 import STUDY as S4

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

BINS = np.linspace(-1.0, 1.0, 201)


def check(settings: dict[str, Any]) -> None:
    taus = settings["taus"][check_choice("net of S6", settings["net"], settings["taus"])]
    if settings["tau"] not in taus:
        allowed = ", ".join(f"{tau:g}" for tau in taus)
        raise InputError(f"tau is {settings['tau']:g}, but must be one of the taus of the net: {allowed}")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(t.name, partial(_weights, t))
        for t in trainings(settings, folder)
        if t.net == settings["net"] and (t.algorithm == "digital" or t.tau == settings["tau"])
    ]


def _weights(training: Training, tell: Any) -> Columns:
    """Histogram and root mean square of the weights of every linear layer, from the last checkpoint."""
    trained(training, tell)  # nothing is left to do when S4 has run
    algorithm, seed = training.algorithm, training.seed
    file = training.folder / "checkpoints" / f"{algorithm}-{seed}.pt"
    kept = torch.load(file, weights_only=True)["model"]
    names = [name for name in kept if name.endswith("weight") and kept[name].dim() > 1]
    found: list[Columns] = []
    for layer, name in enumerate(names):
        w = kept[name].double().numpy().ravel()
        counts, _ = np.histogram(w, BINS, density=True)
        fixed = {"algorithm": algorithm, "seed": seed, "layer": layer, "rms": float(np.sqrt((w**2).mean()))}
        found.append(
            {
                **{key: np.full(len(counts), value) for key, value in fixed.items()},
                "weight": (BINS[1:] + BINS[:-1]) / 2,
                "density": counts,
            }
        )
    return {key: np.concatenate([c[key] for c in found]) for key in found[0]}


def _rms(columns: Columns, algorithm: str, layer: int) -> np.ndarray:
    mine = where(columns, algorithm=algorithm, layer=layer)
    return np.array([mine["rms"][mine["seed"] == s][0] for s in np.unique(mine["seed"])])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for layer in np.unique(columns["layer"]):
        for algorithm in ALGORITHMS:
            mean, low, high = interval(_rms(columns, algorithm, layer))
            rows.append({"layer": int(layer), "algorithm": algorithm, "rms": mean, "low": low, "high": high})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for layer in np.unique(columns["layer"]):
        sgd = _rms(columns, "sgd", layer)
        for other in ("digital", "tiki-taka"):
            found.append(
                claim(
                    f"layer {layer + 1}: Analog SGD keeps the weights nearer to 0 than {look(other).label}",
                    f"ratio of the weights' root mean squares, Analog SGD / {look(other).label}",
                    interval(sgd / _rms(columns, other, layer)),
                    "below",
                    1.0,
                )
            )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(ALGORITHMS), sharey=True)
    for axis, algorithm in zip(axes, ALGORITHMS, strict=True):
        label, colour, _, _ = look(algorithm)
        for layer, dash in zip(np.unique(columns["layer"]), ("-", "--", ":"), strict=False):
            mine = where(columns, algorithm=algorithm, layer=layer)
            centres = np.unique(mine["weight"])
            density = mine["density"].reshape(-1, len(centres)).mean(0)
            axis.plot(centres, density, dash, color=colour, label=f"layer {layer + 1}")
        axis.set(xlabel="weight (conductance units)", title=label, yscale="log")
        axis.legend(frameon=False, fontsize=7)
    axes[0].set_ylabel("density")


STUDY = Study(
    name="S6",
    title="where the weights of S4's networks end",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 7",
    settings={**S4.settings, "net": "fcn", "tau": 0.6},
    quick=S4.quick,
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    check=check,
)
