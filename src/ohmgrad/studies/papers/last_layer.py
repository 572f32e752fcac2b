"""The experiment of the fine-tuning tables: a pretrained network whose last layer alone is analog.

The papers fine-tune the whole network. Where only its last layer is trained ("layers": "last"), what the
others make of the images is computed once, without flips, and kept beside the studies in features/: the same
experiment on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import check_choice
from ...models import last_layer
from ...style import look
from ...vision import PREFIX
from ..features import features
from ..spec import RunSpec
from ..study import Columns, Part, interval, where
from ..train import Progress, train
from .networks import last_epoch

__all__ = ["SETTINGS", "accuracy", "check", "part", "short", "table_row"]

#: settings that the studies share, as the papers have them but for the network and what of it is trained
SETTINGS: dict[str, Any] = {
    "models": ("efficientnet-lite0",),
    "pretrained": "imagenet",
    "layers": "last",
    "images": None,
    "resize": 224,
    "epochs": 100,
    "seeds": (0, 1, 2),
}
NAMES = ("epoch", "train_loss", "test_accuracy", "pulses_up", "pulses_down", "seconds")


def check(settings: Mapping[str, Any]) -> None:
    """Check that `layers` says which layers are trained.

    Raises:
        InputError: when it is neither "last" nor "all".
    """
    check_choice("layers", settings["layers"], ("last", "all"))


def short(model: str) -> str:
    """A network's name in tables, figures and file names."""
    return model.removeprefix(PREFIX)


class Training(NamedTuple):
    """One training of such a study; `features` are arguments of `features.features`, None to train all."""

    fixed: dict[str, Any]
    spec: RunSpec
    folder: Path
    features: dict[str, Any] | None


def part(
    settings: Mapping[str, Any], folder: Path, data: str, model: str, column: str, seed: int, **entries: Any
) -> Part:
    """The training of one cell of a table with one seed.

    Args:
        settings: of the study, with `SETTINGS`; with `others`, the learning rate of all layers but the last
            as a share of its, where all are trained.
        folder: of the study.
        data, model: of the cell.
        column: name of the algorithm in the table.
        seed: of the training.
        entries: further ones of its `RunSpec`.
    """
    name = f"{Path(data).stem}-{short(model)}-{column}-seed{seed}"
    fixed = {"data": Path(data).stem, "model": short(model), "algorithm": column, "seed": seed}
    images = {
        "images": settings["images"],
        "resize": settings["resize"],
        "pretrained": settings["pretrained"],
    }
    entries |= {"periphery": "noisy", "lr_step": 50, "batch_size": 128, "epochs": settings["epochs"]}
    if settings["layers"] == "last":
        kind = f"{short(model)}-{Path(data).stem}-{settings['resize']}-{settings['images'] or 'all'}"
        file = folder.parent / "features" / f"{kind}.npz"
        spec = RunSpec(data=str(file), model="linear", seeds=(seed,), **entries)
        once = {"file": file, "data": data, "model": model, **images}
    else:
        last, once = last_layer(model), None
        spec = RunSpec(
            data=data,
            model=model,
            augment=("flip", "vertical-flip"),
            include=(last,),
            lr_factors={last: 1.0, "*": settings["others"]},
            seeds=(seed,),
            **images,
            **entries,
        )
    return Part(name, partial(_train, Training(fixed, spec, folder / "networks" / name, once)))


def _train(training: Training, tell: Any) -> Columns:
    model, column, seed = (training.fixed[name] for name in ("model", "algorithm", "seed"))

    def step(_: str, __: int, done: int, total: int, loss: float) -> None:
        tell(done, total, f"{model}, {look(column).label}, seed {seed}: loss {loss:.4f}")

    if training.features is not None:
        features(tell=tell, **training.features)
    rows = train(training.spec, training.folder, resume=True, progress=Progress(step))
    columns = {name: np.array([row[name] for row in rows]) for name in NAMES}
    return {**{name: np.full(len(rows), value) for name, value in training.fixed.items()}, **columns}


def accuracy(columns: Columns, **cell: Any) -> np.ndarray:
    """Test accuracy in per cent after the last epoch, by seed."""
    return 100 * last_epoch(where(columns, **cell), "test_accuracy")


def table_row(columns: Columns, **cell: Any) -> dict[str, Any]:
    """A cell of a paper's table as a row: mean and 95 % interval of accuracy (%), loss and seconds."""
    row, mine = dict(cell), where(columns, **cell)
    for name in ("test_accuracy", "train_loss", "seconds"):
        values = accuracy(columns, **cell) if name == "test_accuracy" else last_epoch(mine, name)
        mean, low, high = interval(values)
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return row
