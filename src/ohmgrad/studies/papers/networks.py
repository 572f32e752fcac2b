"""What the studies on trained networks share: their last epoch, their claims, and a curve with its band."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..study import Claim, Columns, claim, interval, where

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["accuracy_curve", "closes_the_gap", "last_epoch", "last_epochs"]


def last_epoch(columns: Columns, name: str) -> np.ndarray:
    """The values of the last epoch, by seed."""
    mine = where(columns, epoch=int(columns["epoch"].max()))
    return mine[name][np.argsort(mine["seed"])]


def last_epochs(columns: Columns, name: str, count: int) -> np.ndarray:
    """Means of the values of the last epochs, by seed."""
    seeds, last = np.unique(columns["seed"]), int(columns["epoch"].max())
    mine = [where(columns, seed=int(seed)) for seed in seeds]
    return np.array([m[name][m["epoch"] > last - count].mean() for m in mine])


def closes_the_gap(at: str, digital: np.ndarray, sgd: np.ndarray, tiki_taka: np.ndarray) -> list[Claim]:
    """Tiki-Taka is better than Analog SGD and close to digital SGD; test accuracies in points, by seed."""
    return [
        claim(
            f"{at}: Tiki-Taka does better than Analog SGD",
            "test accuracy, Tiki-Taka - Analog SGD (points)",
            interval(tiki_taka - sgd),
            "above",
            0.0,
        ),
        claim(
            f"{at}: Tiki-Taka comes close to digital SGD",
            "test accuracy, digital - Tiki-Taka (points)",
            interval(digital - tiki_taka),
            "below",
            1.0,
        ),
    ]


def accuracy_curve(axis: Axes, columns: Columns, dash: str, colour: str, label: str) -> None:
    """Test accuracy against epochs: mean over seeds, band from lowest to highest."""
    epochs = np.unique(columns["epoch"])
    values = [100 * columns["test_accuracy"][columns["epoch"] == e] for e in epochs]
    axis.plot(epochs, [v.mean() for v in values], dash, color=colour, label=label)
    low, high = [v.min() for v in values], [v.max() for v in values]
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
