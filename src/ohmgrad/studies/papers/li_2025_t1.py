"""MT-T1 (Li et al. 2025, arXiv 2510.02516, Table 1): LeNet-5 on elements with few states.

All layers analog on soft bounds, perfect periphery, 100 epochs, lr halved every 30. MNIST: standardised
pixels, 10 states, batches of 8, lr 0.05. Fashion-MNIST (data=[mnist, fashion-mnist]): 4 states, batches of
16, lr 0.2 with multi-tile learning and 0.1 otherwise. Multi-tile: transfers out of array n, the finest
first, every 2 5^n updates with rate 0.1 1.2^n; each array weighs gamma of the one before, 0.5 (Fashion-MNIST
0.2); arrays are switched on at plateaus of the loss. Tiki-Taka: transfers of 0.1 lr, here of the first lr.
TTv2: transfers of lr. Mixed precision: whole pulses every update.

The paper does not say tau, the spread, or the rate of the finest array: here tau is 0.6, spread and noise
are those of the authors' simulator, and the rate is lr.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...devices import Device, Noise, SoftBounds, Spread
from ...errors import InputError, check_choice
from ...style import style_of
from ..engine import Columns, Part
from ..spec import RunSpec
from ..study import Claim, Study, claim, interval, where
from .networks import NetworkTraining, accuracy, accuracy_curve, accuracy_table, shared_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]


class Setting(NamedTuple):
    """What differs between the data sets: lr is (multi-tile, others), fast_lr (TTv1, TTv2)."""

    model: str
    states: int
    batch_size: int
    lr: tuple[float, float]
    fast_lr: tuple[float, float]
    gamma: float


DATA = {
    "mnist": Setting("lenet5", 10, 8, (0.05, 0.05), (0.01, 0.1), 0.5),
    "fashion-mnist": Setting("cnn", 4, 16, (0.2, 0.1), (0.01, 0.05), 0.2),
    # for quick looks: images too small for LeNet-5
    "digits": Setting("mlp", 10, 8, (0.05, 0.05), (0.01, 0.1), 0.5),
}
#: column of the table -> algorithm; those with tiles follow
ALGORITHMS = {"ttv1": "tiki-taka", "ttv2": "ttv2", "mixed-precision": "mixed-precision"}
TRANSFER = 0.1


def check(settings: dict[str, Any]) -> None:
    for data in settings["data"]:
        check_choice("entry of data", data, DATA)
    if min(settings["tiles"]) < 2:
        raise InputError(f"tiles is {list(settings['tiles'])}, but must be 2 or more each")


def _device(tau: float, states: int) -> Device:
    spread = Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3)
    return Device(SoftBounds.symmetric(tau), 2 * tau / states, spread, Noise(0.3, "multiplicative"))


def _columns(settings: dict[str, Any]) -> list[str]:
    """Columns of the table."""
    return [*ALGORITHMS, *(f"{n} tiles" for n in settings["tiles"])]


def _options(data: Setting, column: str) -> dict[str, Any]:
    """Options of the algorithm of a column beside lr."""
    if column == "ttv1":
        return {"fast_lr": data.fast_lr[0], "transfer_lr": TRANSFER * data.lr[1]}
    if column == "ttv2":
        return {"fast_lr": data.fast_lr[1]}
    if column == "mixed-precision":
        return {}
    return {
        "tiles": int(column.split()[0]),
        "gamma": data.gamma,
        "beta": TRANSFER,
        "beta_ratio": 1.2,
        "transfer_every": 2,
        "inner": 5,
        "warm_start": "plateau",
    }


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        _training(settings, folder, name, column, seed).part()
        for seed in settings["seeds"]
        for name in settings["data"]
        for column in _columns(settings)
    ]


def _training(settings: dict[str, Any], folder: Path, name: str, column: str, seed: int) -> NetworkTraining:
    data = DATA[name]
    algorithm = ALGORITHMS.get(column, "multi-tile")
    spec = RunSpec(
        data=name,
        images=settings["images"],
        model=data.model,
        device=_device(settings["tau"], data.states).to_dict(),
        algorithms=(algorithm,),
        options=_options(data, column),
        periphery="perfect",
        lr=data.lr[0 if algorithm == "multi-tile" else 1],
        lr_step=30,
        lr_gamma=0.5,
        batch_size=data.batch_size,
        epochs=settings["epochs"],
        seeds=(seed,),
    )
    columns = {"data": name, "algorithm": column, "seed": seed}
    part = f"mt-{data.model}-{column.replace(' ', '-')}-tau{settings['tau']:g}-seed{seed}"
    home = shared_folder(folder, spec, part)
    return NetworkTraining(part, f"{name}, {column}, seed {seed}", spec, columns, home)


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    return accuracy_table(columns, ("data", "algorithm"))


def _accuracy(columns: Columns, name: str, column: str) -> np.ndarray:
    return accuracy(columns, data=name, algorithm=column)


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found = []
    least, most = (f"{f(settings['tiles'])} tiles" for f in (min, max))
    for name in settings["data"]:
        for worse in ("ttv1", "ttv2", *([] if least == most else [least])):
            found.append(
                claim(
                    f"{name}: {most} do better than {_label(worse)}",
                    f"test accuracy, {most} - {_label(worse)} (points)",
                    interval(_accuracy(columns, name, most) - _accuracy(columns, name, worse)),
                    "above",
                    0.0,
                    full=True,
                )
            )
        found.append(
            claim(
                f"{name}: {most} come within two points of mixed precision",
                f"test accuracy, mixed precision - {most} (points)",
                interval(_accuracy(columns, name, "mixed-precision") - _accuracy(columns, name, most)),
                "below",
                2.0,
                full=True,
            )
        )
    return found


def _label(column: str) -> str:
    return style_of(ALGORITHMS[column]).label if column in ALGORITHMS else column


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["data"]), squeeze=False)[0]
    for axis, name in zip(axes, settings["data"], strict=True):
        for i, column in enumerate(_columns(settings)):
            _, colour, dash, _ = style_of(ALGORITHMS.get(column, "multi-tile"))
            dash = dash if column in ALGORITHMS else (":", "--", "-")[i % 3]
            accuracy_curve(axis, where(columns, data=name, algorithm=column), dash, colour, _label(column))
        axis.set(xlabel="epoch", ylabel="test accuracy (%)", title=f"{name}, {DATA[name].states} states")
        axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="MT-T1",
    title="LeNet-5 on elements with few states: several arrays learn what one or two cannot hold",
    source="Li et al. 2025, arXiv 2510.02516, Table 1",
    settings={
        "data": ("mnist",),
        "images": None,
        "tau": 0.6,
        "tiles": (3, 4, 6),
        "epochs": 100,
        "seeds": (0, 1, 2),
    },
    quick={"images": 500, "tiles": (3, 6), "epochs": 1},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(4.6, 3.0),
    check=check,
)
