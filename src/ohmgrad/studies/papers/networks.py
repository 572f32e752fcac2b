"""What the studies on trained networks share: a training as a part, their tables, and a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import Columns, Part
from ..features import features
from ..spec import RunSpec
from ..study import interval, where
from ..train import Progress, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NetworkTraining", "accuracy", "accuracy_curve", "accuracy_table", "last_epochs", "shared_folder"]


def shared_folder(study: Path, spec: RunSpec, name: str) -> Path:
    """The run folder of a training that studies share: it lies beside the folders of the studies.

    Trainings of one name are alike but for their data, images and epochs.
    """
    data = f"{Path(spec.data).stem}-{spec.images or 'all'}-{spec.epochs}"
    return study.parent / "networks" / data / name


@dataclass(frozen=True)
class NetworkTraining:
    """One training of one network, as a part of a study; one that was cut off goes on after its last epoch.

    Args:
        name: of the part.
        what: for people.
        spec: of one algorithm and one seed.
        columns: what tells its rows from those of other trainings.
        folder: the run folder.
        features: arguments of `features.features` that make the training's data; None where these are there.
    """

    name: str
    what: str
    spec: RunSpec
    columns: dict[str, Any]
    folder: Path
    features: dict[str, Any] | None = None

    def part(self) -> Part:
        return Part(self.name, self.run)

    def run(self, progress: Any) -> Columns:
        """A row for every epoch; the training is run unless it has been."""

        def step(_: str, __: int, done: int, total: int, loss: float) -> None:
            progress(done, total, f"{self.what}: loss {loss:.4f}")

        if self.features is not None:
            features(progress=progress, **self.features)
        rows = train(self.spec, self.folder, resume=True, progress=Progress(step), wait=True)
        names = ("epoch", "train_loss", "test_accuracy", "pulses_up", "pulses_down", "seconds")
        fixed = {name: np.full(len(rows), value) for name, value in self.columns.items()}
        return {**fixed, **{name: np.array([row[name] for row in rows]) for name in names}}


def accuracy_table(columns: Columns, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A row for all trainings that are alike in `keys`, by their last epoch: test accuracy in per cent,
    training loss and seconds. A key that is 0 does not apply, and becomes nan."""
    n = len(columns["seed"])
    found = {tuple(columns[key][i] for key in keys): None for i in range(n)}
    rows = []
    for values in found:
        mine = where(columns, **dict(zip(keys, values, strict=True)))
        row: dict[str, Any] = {
            key: str(v) if isinstance(v, str) else float(v) or math.nan
            for key, v in zip(keys, values, strict=True)
        }
        for name, factor in (("test_accuracy", 100.0), ("train_loss", 1.0), ("seconds", 1.0)):
            mean, low, high = interval(factor * last_epochs(mine, name, 1))
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def accuracy(columns: Columns, **which: Any) -> np.ndarray:
    """Test accuracy in per cent after the last epoch of the trainings with these values, by seed."""
    return 100 * last_epochs(where(columns, **which), "test_accuracy", 1)


def last_epochs(columns: Columns, name: str, count: int) -> np.ndarray:
    """Means of the values of the last epochs, by seed."""
    seeds, last = np.unique(columns["seed"]), int(columns["epoch"].max())
    mine = [where(columns, seed=int(seed)) for seed in seeds]
    return np.array([m[name][m["epoch"] > last - count].mean() for m in mine])


def accuracy_curve(axis: Axes, columns: Columns, dash: str, colour: str, label: str) -> None:
    """Test accuracy against epochs: mean over seeds, band from lowest to highest."""
    epochs = np.unique(columns["epoch"])
    values = [100 * columns["test_accuracy"][columns["epoch"] == e] for e in epochs]
    axis.plot(epochs, [v.mean() for v in values], dash, color=colour, label=label)
    low, high = [v.min() for v in values], [v.max() for v in values]
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
