"""S4 (Wu et al. 2024, arXiv 2406.12774, Fig. 5): a fully connected and a convolutional network on MNIST.

Soft bounds [-tau, tau] with dw_min 0.001 and the spread and noise of the authors' simulator, noisy
periphery, learned output scales, batches of 10 (FCN) or 8 (CNN), lr 0.05 with StepLR(35, 0.1), 80 epochs.
Tiki-Taka: fast lr 0.01, one column per transfer, a transfer after every minibatch. Digital SGD has lr 0.05,
as in the authors' script; the text says 0.1. The accuracy is the mean over the last epochs, a sixteenth.

What the table of Fig. 5 says: Tiki-Taka comes within a point of digital SGD everywhere. Analog SGD fails on
the FCN at tau 0.70; at 0.78 and 0.80 it gets as far as Tiki-Taka, but later. On the CNN it stays more than
five points behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...style import style_of
from ..engine import Columns, Part
from ..spec import RunSpec
from ..study import Claim, Study, claim, interval, where
from .networks import NetworkTraining, accuracy_curve, last_epochs, shared_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "network_spec", "trainings"]

ALGORITHMS = ("digital", "sgd", "tiki-taka")
BATCH = {"fcn": 10, "cnn": 8}
#: the range up to which Analog SGD fails on the FCN, and the test accuracy that shows who is later beyond it
FAILS, REACHED = 0.7, 0.95


def network_spec(settings: dict[str, Any], net: str, tau: float, algorithm: str, seed: int) -> RunSpec:
    """One training of the study."""
    return RunSpec(
        data=settings["data"],
        images=settings["images"],
        model=net,
        device="paper",
        tau=None if algorithm == "digital" else tau,
        algorithms=(algorithm,),
        options={"fast_lr": settings["fast_lr"]} if algorithm == "tiki-taka" else {},
        periphery=settings["periphery"],
        lr=settings["lr"],
        batch_size=BATCH[net],
        epochs=settings["epochs"][net],
        seeds=(seed,),
    )


def trainings(settings: dict[str, Any], folder: Path) -> Iterator[NetworkTraining]:
    """Every training of the study; S6 looks at the same networks.

    Digital training knows no tau, and is run once for a network and seed, under tau = 0.
    """
    for seed in settings["seeds"]:
        for net, taus in settings["taus"].items():
            for tau, algorithm in [(0.0, "digital"), *((t, a) for t in taus for a in ALGORITHMS[1:])]:
                name = f"{net}-{algorithm}-tau{tau:g}-seed{seed}"
                what = f"{net}, {style_of(algorithm).label}, tau {tau:g}, seed {seed}"
                spec = network_spec(settings, net, tau, algorithm, seed)
                columns = {"net": net, "tau": tau, "algorithm": algorithm, "seed": seed}
                yield NetworkTraining(name, what, spec, columns, shared_folder(folder, spec, name))


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [t.part() for t in trainings(settings, folder)]


def _last(settings: dict[str, Any], columns: Columns, net: str, tau: float, algorithm: str) -> np.ndarray:
    """Test accuracy in per cent, the mean over the last epochs, by seed."""
    mine = where(columns, net=net, algorithm=algorithm, tau=0.0 if algorithm == "digital" else tau)
    return 100 * last_epochs(mine, "test_accuracy", max(1, settings["epochs"][net] // 16))


def _reached(columns: Columns, net: str, tau: float, algorithm: str, accuracy: float) -> np.ndarray:
    """First epoch with this test accuracy, by seed; one more than the last where none has it."""
    mine = where(columns, net=net, algorithm=algorithm, tau=tau)
    found = []
    for seed in np.unique(mine["seed"]):
        own = where(mine, seed=int(seed))
        enough = own["epoch"][own["test_accuracy"] >= accuracy]
        found.append(enough.min() if len(enough) else own["epoch"].max() + 1)
    return np.array(found, dtype=float)


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for net, taus in settings["taus"].items():
        for tau, algorithm in [(0.0, "digital"), *((t, a) for t in taus for a in ALGORITHMS[1:])]:
            row: dict[str, Any] = {"net": net, "algorithm": algorithm, "tau": tau or math.nan}
            mean, low, high = interval(_last(settings, columns, net, tau, algorithm))
            row |= {"test_accuracy": mean, "test_accuracy_low": low, "test_accuracy_high": high}
            mine = where(columns, net=net, algorithm=algorithm, tau=tau)
            for name in ("train_loss", "seconds"):
                mean, low, high = interval(last_epochs(mine, name, 1))
                row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
            rows.append({**row, "epochs": settings["epochs"][net]})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    for net, taus in settings["taus"].items():
        for tau in taus:
            digital, sgd, tt = (_last(settings, columns, net, tau, a) for a in ALGORITHMS)
            at = f"{net.upper()}, tau {tau:g}"
            found.append(
                claim(
                    f"{at}: Tiki-Taka comes within a point of digital SGD",
                    "test accuracy, digital - Tiki-Taka (points)",
                    interval(digital - tt),
                    "below",
                    1.0,
                    full=True,
                )
            )
            if net == "cnn":
                found.append(
                    claim(
                        f"{at}: Analog SGD stays more than five points behind digital SGD",
                        "test accuracy, digital - Analog SGD (points)",
                        interval(digital - sgd),
                        "above",
                        5.0,
                        full=True,
                    )
                )
            elif tau <= FAILS:
                found.append(
                    claim(
                        f"{at}: Analog SGD fails",
                        "test accuracy of Analog SGD (%)",
                        interval(sgd),
                        "below",
                        15.0,
                        full=True,
                    )
                )
            else:
                when = [_reached(columns, net, tau, a, REACHED) for a in ALGORITHMS[1:]]
                found += [
                    claim(
                        f"{at}: Analog SGD gets as far as Tiki-Taka",
                        "test accuracy, Tiki-Taka - Analog SGD (points)",
                        interval(tt - sgd),
                        "within",
                        (-1.0, 1.0),
                        full=True,
                    ),
                    claim(
                        f"{at}: Analog SGD gets there later than Tiki-Taka",
                        f"first epoch with {REACHED:.0%}, Analog SGD / Tiki-Taka",
                        interval(when[0] / when[1]),
                        "above",
                        1.0,
                        full=True,
                    ),
                ]
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["taus"]), squeeze=False)[0]
    for axis, (net, taus) in zip(axes, settings["taus"].items(), strict=True):
        for algorithm in ALGORITHMS:
            label, colour, dash, _ = style_of(algorithm)
            for i, tau in enumerate([0.0] if algorithm == "digital" else taus):
                mine = where(columns, net=net, algorithm=algorithm, tau=tau)
                name = label if algorithm == "digital" else f"{label}, $\\tau$ = {tau:g}"
                style = dash if algorithm == "digital" else ("-", "--", ":")[i % 3]
                accuracy_curve(axis, mine, style, colour, name)
        axis.set(
            xlabel="epoch", ylabel="test accuracy (%)", title=f"{net.upper()} on {settings['data'].upper()}"
        )
        axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="S4",
    title="an FCN and a CNN on MNIST: Tiki-Taka comes close to digital SGD at every range",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 5",
    settings={
        "data": "mnist",
        "images": None,
        "taus": {"fcn": (0.7, 0.78, 0.8), "cnn": (0.6, 0.7, 0.8)},
        "periphery": "noisy",
        "lr": 0.05,
        "fast_lr": 0.01,
        "epochs": {"fcn": 80, "cnn": 80},
        "seeds": (0, 1, 2),
    },
    quick={"taus": {"fcn": (0.7,), "cnn": (0.6,)}, "images": 1000, "epochs": {"fcn": 2, "cnn": 2}},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
)
