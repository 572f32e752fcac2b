"""What the studies on least squares share: the problem, and a batch of runs as columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...ensemble import Grid
from ...theory import Quadratic, least_squares
from ..engine import Columns
from ..study import where

__all__ = ["TAIL", "columns_of", "curve", "problem", "slope", "tails"]

#: the value of column `step` in the rows that hold averages over the end of a run
TAIL = -1


def problem(
    rows: int, cols: int, matrix_scale: float, solution_scale: float, half: bool = False
) -> Quadratic:
    """Least squares with normal entries of A and w*, f = ||A (w - w*)||^2 / rows (or half of it).

    Every row is a sample, and a step pulses them one by one; `.summed()` has one gradient in a step. The
    numbers are torch's of seed 42, the solution drawn first, as in the authors' programs.
    """
    g = torch.Generator().manual_seed(42)
    solution = solution_scale * torch.randn(cols, generator=g)
    matrix = matrix_scale * torch.randn(rows, cols, generator=g)
    return least_squares(matrix / 2**0.5 if half else matrix, solution)


def columns_of(found: Grid, *, unit: float = 1.0, **fixed: Any) -> Columns:
    """The runs of a grid in long form: one row a run and recorded step, and one (step `TAIL`) of averages.

    Columns: the fixed ones, the grid's axes, seed, step, loss (over `unit`), squared_gradient.
    """
    result, seeds = found.result, np.array(found.seeds)
    steps = np.append(result.steps.numpy(), TAIL)
    loss = np.concatenate([result.loss.numpy(), result.tail_loss.numpy()[:, None]], 1)
    square = np.concatenate(
        [result.squared_gradient.numpy(), result.tail_squared_gradient.numpy()[:, None]], 1
    )
    runs = len(loss)
    axes = {
        name: np.repeat([c[name] for c in found.configurations], len(seeds) * len(steps))
        for name in found.configurations[0]
    }
    return {
        **{name: np.full(runs * len(steps), value) for name, value in fixed.items()},
        **axes,
        "seed": np.repeat(np.tile(seeds, len(found.configurations)), len(steps)),
        "step": np.tile(steps, runs),
        "loss": loss.ravel() / unit,
        "squared_gradient": square.ravel(),
    }


def tails(columns: Columns, quantity: str = "loss", **values: Any) -> np.ndarray:
    """The averages over the end of the runs with these values, by seed."""
    mine = where(columns, step=TAIL, **values)
    return mine[quantity][np.argsort(mine["seed"])]


def curve(columns: Columns, quantity: str = "loss", **values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Recorded steps (R,) and the quantity of every run at them, (runs, R)."""
    mine = where(columns, **values)
    mine = {name: column[mine["step"] != TAIL] for name, column in mine.items()}
    steps = np.unique(mine["step"])
    order = np.lexsort((mine["step"], mine["seed"]))
    return steps, mine[quantity][order].reshape(-1, len(steps))


def slope(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Exponent of y ~ x^slope for every run: the least-squares slope of log y on log x.

    Args:
        x: (points,); y: (points, runs).
    """
    centred = np.log(x) - np.log(x).mean()
    return centred @ np.log(y) / (centred @ centred)
