"""Which elements an update pulses and how often, each direction by itself; and numbers drawn by cell.

For what lies around the elements' responses: pairs whose elements go up only, and what is drawn or reset
whenever an element is pulsed. Plain PyTorch here is the specification; `cpu_counts` is the same in Numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..devices import Elements
from ..rng import Key, gaussians
from .ops import asked_for, check_factors
from .pulsing import SLOTS, Pulsing
from .reference import pulses as reference

__all__ = ["Counts", "Pulses", "dense", "listed", "normals", "renew_normals_", "update_counts"]


class Pulses(NamedTuple):
    """Pulses of one direction: a list of the cells that have any, or numbers for all cells."""

    #: flat indices row * cols + col, int64 (k,), ascending; None if `n` is of all cells
    cells: Tensor | None
    #: pulses of each, int64 (k,), >= 1; or (rows, cols), >= 0
    n: Tensor

    def touched(self, shape: tuple[int, int]) -> Tensor:
        """Which cells are pulsed, bool (rows, cols)."""
        if self.cells is None:
            return self.n > 0
        found = torch.zeros(shape, dtype=torch.bool)
        found.view(-1)[self.cells] = True
        return found


class Counts(NamedTuple):
    """Pulses of one update."""

    up: Pulses
    down: Pulses
    #: pulses up, pulses down, line toggles, slots
    events: list[int]


def dense(events: Sequence[int], shape: tuple[int, int]) -> bool:
    """Whether pulses are given for all cells: from one pulse a cell on lists cost more than planes."""
    return events[0] + events[1] >= shape[0] * shape[1]


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
    if not len(x) or lr == 0:
        nothing = torch.empty(0, dtype=torch.int64)
        return Counts(Pulses(nothing, nothing), Pulses(nothing, nothing), [0, 0, 0, 0])
    if pulsing.fidelity == "mean":
        ups, downs = asked_for(x, d, lr)
        return Counts(listed(ups.long()), listed(downs.long()), [0, 0, 0, 0])
    if numba:
        from .cpu import counts as cpu_counts  # numba takes half a second to import

        up, down, events = cpu_counts.update_counts(elements, x, d, lr, pulsing, key, step)
        return Counts(Pulses(*up), Pulses(*down), events)
    xs, ds, bl = reference.trains(x, d, lr, elements.dw_min, pulsing, key, step)
    counts = reference.coincidences(xs, ds)
    ups, downs = counts.clamp(min=0).sum(0), -counts.clamp(max=0).sum(0)
    lit = (ds != 0).any(2).any(0)
    toggles = sum(int(((train >> slot) & 1).sum()) for train in (xs[:, lit], ds) for slot in range(SLOTS))
    events = [int(ups.sum()), int(downs.sum()), toggles, int(bl.sum())]
    if dense(events, elements.shape):
        return Counts(Pulses(None, ups), Pulses(None, downs), events)
    return Counts(listed(ups), listed(downs), events)


def listed(counts: Tensor) -> Pulses:
    """Pulses of the cells whose counts, int64 (rows, cols), are above 0."""
    flat = counts.flatten()
    cells = (flat > 0).nonzero().flatten()
    return Pulses(cells, flat[cells])


def normals(shape: tuple[int, int], step: int, purpose: int, key: Key, numba: bool) -> Tensor:
    """Standard normal numbers, float32 (rows, cols): those of `rng.gaussians`, to rounding."""
    if numba:
        from .cpu import counts as cpu_counts

        return cpu_counts.normals(shape, step, purpose, key)
    return gaussians(shape[1], torch.arange(shape[0]), step, purpose, key).float()


def renew_normals_(
    out: Tensor, touched: Tensor, std: float, step: int, purpose: int, key: Key, numba: bool
) -> None:
    """Put std times the standard normal number of `normals` where `touched` is True; the rest stays.

    Args:
        out: float32 (rows, cols), contiguous, changed in place; touched: bool (rows, cols).
        step, purpose, key: address of the numbers.
    """
    if numba:
        from .cpu import counts as cpu_counts

        cpu_counts.renew_normals(out, touched, std, step, purpose, key)
        return
    z = normals((out.shape[0], out.shape[1]), step, purpose, key, False)
    out.copy_(torch.where(touched, z.mul_(std), out))
