"""S5 (Wu et al. 2024, arXiv 2406.12774, Table 2): residual networks on CIFAR-10, all layers analog.

The paper fine-tunes ResNet-18, 34 and 50 from ImageNet weights for 100 epochs at tau 0.8, dw_min = tau/600,
batch 128, lr 0.15 with StepLR(50, 0.1), a tenth of it outside the last layer. Here the networks start from
torch's initial weights with one lr for all layers, and the size of the network, of the data and the number
of epochs are settings: `resnet8` and a few epochs fit a CPU, the paper's networks want a GPU.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...style import look
from ..spec import RunSpec
from ..study import Claim, Columns, Part, Study, interval, where
from ..train import Progress, train
from .networks import accuracy_curve, closes_the_gap, last_epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

ALGORITHMS = ("digital", "sgd", "tiki-taka")
NAMES = ("epoch", "train_loss", "test_accuracy", "pulses_up", "pulses_down", "seconds")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    found = []
    for seed in settings["seeds"]:
        for model in settings["models"]:
            for algorithm in ALGORITHMS:
                name = f"{model}-{algorithm}-seed{seed}"
                spec = _spec(settings, model, algorithm, seed)
                found.append(Part(name, partial(_train, spec, folder / "networks" / name)))
    return found


def _spec(settings: dict[str, Any], model: str, algorithm: str, seed: int) -> RunSpec:
    options = {"fast_lr": settings["fast_lr"], "columns": settings["columns"]}
    return RunSpec(
        data="cifar10",
        images=settings["images"],
        model=model,
        device="paper",
        tau=settings["tau"],
        dw_min=settings["tau"] / 600,
        algorithms=(algorithm,),
        options=options if algorithm == "tiki-taka" else {},
        lr=settings["lr"],
        lr_step=50,
        batch_size=128,
        epochs=settings["epochs"],
        seeds=(seed,),
    )


def _train(spec: RunSpec, place: Path, tell: Any) -> Columns:
    model, algorithm, seed = spec.model, spec.algorithms[0], spec.seeds[0]

    def step(_: str, __: int, done: int, total: int, loss: float) -> None:
        tell(done, total, f"{model}, {look(algorithm).label}, seed {seed}: loss {loss:.4f}")

    rows = train(spec, place, resume=True, progress=Progress(step))
    fixed = {"model": model, "algorithm": algorithm, "seed": seed}
    columns = {name: np.array([row[name] for row in rows]) for name in NAMES}
    return {**{name: np.full(len(rows), value) for name, value in fixed.items()}, **columns}


def _last(columns: Columns, model: str, algorithm: str, name: str) -> np.ndarray:
    return last_epoch(where(columns, model=model, algorithm=algorithm), name)


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for model in settings["models"]:
        for algorithm in ALGORITHMS:
            row: dict[str, Any] = {"model": model, "algorithm": algorithm}
            for name in ("test_accuracy", "train_loss", "seconds"):
                mean, low, high = interval(_last(columns, model, algorithm, name))
                row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for model in settings["models"]:
        digital, sgd, tt = (100 * _last(columns, model, a, "test_accuracy") for a in ALGORITHMS)
        found += closes_the_gap(model, digital, sgd, tt)
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["models"]), squeeze=False)[0]
    for axis, model in zip(axes, settings["models"], strict=True):
        for algorithm in ALGORITHMS:
            label, colour, dash, _ = look(algorithm)
            accuracy_curve(axis, where(columns, model=model, algorithm=algorithm), dash, colour, label)
        axis.set(xlabel="epoch", ylabel="test accuracy (%)", title=f"{model} on CIFAR-10")
        axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="S5",
    title="residual networks on CIFAR-10, all layers analog",
    source="Wu et al. 2024, arXiv 2406.12774, Table 2",
    settings={
        "models": ("resnet18", "resnet34", "resnet50"),
        "images": None,
        "tau": 0.8,
        "lr": 0.15,
        "fast_lr": 0.01,
        "columns": 1,
        "epochs": 100,
        "seeds": (0, 1, 2),
    },
    quick={
        "models": ("resnet8",),
        "images": 1024,
        "epochs": 3,
        "seeds": (0, 1),
    },
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(3.4, 2.7),
)
