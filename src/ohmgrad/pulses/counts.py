"""Which elements an update pulses and how often, each direction by itself; and numbers drawn by cell.

For what lies around the elements' responses: pairs whose elements go up only, and what is drawn or reset
whenever an element is pulsed. Plain PyTorch here is the specification; `cpu_counts` is the same in Numba.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..devices import Elements
from ..rng import Key, box_muller, gaussians, philox
from . import reference
from .ops import check_factors
from .trains import SLOTS, Pulsing

__all__ = ["Counts", "cell_normals", "normals", "update_counts"]


class Counts(NamedTuple):
    """Pulses of one update: for either direction the cells that have any, and how many each has.

    Cells are flat indices row * cols + col, int64 (k,), ascending; numbers are int64 (k,), >= 1.
    """

    up: Tensor
    n_up: Tensor
    down: Tensor
    n_down: Tensor
    #: pulses up, pulses down, line toggles, slots
    events: list[int]

    @property
    def touched(self) -> Tensor:
        """Flat indices of all cells that are pulsed, each once or twice (once in either direction)."""
        return torch.cat([self.up, self.down])


def update_counts(
    elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int, numba: bool
) -> Counts:
    """The pulses of `ops.pulsed_update_` with the same arguments, summed over the samples.

    Args:
        elements: of the array, for its shape and granularity.
        x: (samples, cols); d: (samples, rows); lr: negative to descend.
        numba: whether the Numba backend serves the array.

    At fidelity "mean", where there are no pulses, an element counts as pulsed once in each direction in
    which a sample asks for a change; events are 0.

    Raises:
        InputError: when shapes do not match or a value is not finite.
    """
    x, d = check_factors(elements, x, d, lr)
    rows, cols = elements.shape
    if not len(x) or lr == 0:
        nothing = torch.empty(0, dtype=torch.int64)
        return Counts(nothing, nothing, nothing, nothing, [0, 0, 0, 0])
    if pulsing.fidelity == "mean":
        both = [torch.zeros(rows, cols), torch.zeros(rows, cols)]
        for a in (1, -1):  # signs of the two lines
            for b in (1, -1):
                both[(a * b * lr) < 0] += ((b * d) > 0).float().t() @ ((a * x) > 0).float()
        ups, downs = ((t > 0).long() for t in both)
        return Counts(*_listed(ups), *_listed(downs), [0, 0, 0, 0])
    if numba:
        from . import cpu_counts  # numba takes half a second to import

        return Counts(*cpu_counts.update_counts(elements, x, d, lr, pulsing, key, step))
    xs, ds, bl = reference.trains(x, d, lr, elements.dw_min, pulsing, key, step)
    counts = reference.coincidences(xs, ds)
    ups, downs = counts.clamp(min=0).sum(0), -counts.clamp(max=0).sum(0)
    lit = (ds != 0).any(2).any(0)
    toggles = sum(int(((train >> slot) & 1).sum()) for train in (xs[:, lit], ds) for slot in range(SLOTS))
    events = [int(ups.sum()), int(downs.sum()), toggles, int(bl.sum())]
    return Counts(*_listed(ups), *_listed(downs), events)


def _listed(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Flat indices of the cells that are not 0, and their values."""
    flat = counts.flatten()
    cells = flat.nonzero().flatten()
    return cells, flat[cells]


def normals(shape: tuple[int, int], step: int, purpose: int, key: Key, numba: bool) -> Tensor:
    """Standard normal numbers, float32 (rows, cols): those of `rng.gaussians`, to rounding."""
    if numba:
        from . import cpu_counts

        return cpu_counts.normals(shape, step, purpose, key)
    return gaussians(shape[1], torch.arange(shape[0]), step, purpose, key).float()


def cell_normals(cells: Tensor, cols: int, step: int, purpose: int, key: Key, numba: bool) -> Tensor:
    """A standard normal number for each cell, float32 (k,): from Philox(col, row, step, purpose).

    Args:
        cells: flat indices row * cols + col, int64 (k,).
        cols: columns of the array.
        step, purpose, key: the rest of the address.
    """
    if numba:
        from . import cpu_counts

        return cpu_counts.cell_normals(cells, cols, step, purpose, key)
    a, b, _, _ = philox(cells % cols, cells // cols, step, purpose, key)
    return box_muller(a, b)[0].float()
