"""S5 (Wu et al. 2024, arXiv 2406.12774, Table 2): a pretrained network on CIFAR-10, its last layer analog.

Only the last fully connected layer is analog, on soft bounds with tau 0.8, dw_min = tau/600 and the spread
and noise of the authors' simulator, with noisy periphery; all others are digital and start from ImageNet
weights. Batches of 128, 100 epochs, StepLR(50, 0.1), images of 224 x 224 with flips either way; lr 0.15
(digital) or 0.075 (analog) for the last layer, a tenth of it for all others; fast lr 0.01, one column per
transfer. (The text gives one rate for all. The authors' program gives the full rate to the last parameter
in the list, which is a bias or an output scale.)

The paper's networks are torchvision's: models=[torchvision:resnet18, ...] and layers=all, for days of a CPU.
The default is EfficientNet-Lite0, whose weights a package has, and features once; see `last_layer`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...style import style_of
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval, where
from .last_layer import QUICK, SETTINGS, check, part, short
from .networks import accuracy, accuracy_curve, accuracy_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

ALGORITHMS = ("digital", "sgd", "tiki-taka")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        _part(settings, folder, model, algorithm, seed)
        for seed in settings["seeds"]
        for model in settings["models"]
        for algorithm in ALGORITHMS
    ]


def _part(settings: dict[str, Any], folder: Path, model: str, algorithm: str, seed: int) -> Part:
    options = {"fast_lr": settings["fast_lr"], "columns": settings["columns"]}
    return part(
        settings, folder, settings["data"], model, algorithm, seed,
        algorithms=(algorithm,),
        options=options if algorithm == "tiki-taka" else {},
        device="paper",
        tau=settings["tau"],
        dw_min=settings["tau"] / 600,
        lr=settings["lrs"]["digital" if algorithm == "digital" else "analog"],
    )  # fmt: skip


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    return accuracy_table(columns, ("model", "algorithm"))


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for model in map(short, settings["models"]):
        digital = accuracy(columns, model=model, algorithm="digital")
        for algorithm, text in (
            ("sgd", "Analog SGD loses no point to digital SGD"),
            ("tiki-taka", "Tiki-Taka comes within a point of digital SGD"),
        ):
            lost = interval(digital - accuracy(columns, model=model, algorithm=algorithm))
            quantity = f"test accuracy, digital - {style_of(algorithm).label} (points)"
            found.append(claim(f"{model}: {text}", quantity, lost, "below", 1.0, full=True))
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["models"]), squeeze=False)[0]
    for axis, model in zip(axes, map(short, settings["models"]), strict=True):
        for algorithm in ALGORITHMS:
            label, colour, dash, _ = style_of(algorithm)
            accuracy_curve(axis, where(columns, model=model, algorithm=algorithm), dash, colour, label)
        axis.set(xlabel="epoch", ylabel="test accuracy (%)", title=f"{model}, last layer analog")
        axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="S5",
    title="a pretrained network on CIFAR-10, its last layer analog",
    source="Wu et al. 2024, arXiv 2406.12774, Table 2",
    settings={
        "data": "cifar10",
        **SETTINGS,
        "tau": 0.8,
        "lrs": {"digital": 0.15, "analog": 0.075},
        "others": 0.1,
        "fast_lr": 0.01,
        "columns": 1,
    },
    quick=QUICK,
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(3.4, 2.7),
    check=check,
)
