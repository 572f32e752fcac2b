"""The operations of `ohmgrad.kernels.ops` on single arrays, with counters as plain numbers, for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmgrad.devices import Device, Elements, SoftBounds, draw
from ohmgrad.kernels import Cells, Periphery, Pulsing, ops
from ohmgrad.kernels.counts import Counts
from ohmgrad.rng import Key

__all__ = [
    "apply_counts_",
    "draw_trains",
    "normals",
    "product",
    "pulsed_update_",
    "renew_normals_",
    "update_counts",
]


def pulsed_update_(
    w: Tensor, elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int,
    backend: str = "auto", touched: Tensor | None = None,
) -> list[int]:  # fmt: skip
    """Change `w`; returns pulses up and down, line toggles, slots."""
    events = torch.zeros(4, dtype=torch.int64)
    cells = Cells.of(elements, key, backend)
    ops.pulsed_update_(w, cells, x, d, lr, pulsing, torch.tensor(step), events, touched)
    return events.tolist()


def apply_counts_(
    w: Tensor, elements: Elements, counts: Tensor, fidelity: str, key: Key, step: int, backend: str = "auto"
) -> None:
    """Change `w` by signed pulse counts."""
    ops.apply_counts_(w, Cells.of(elements, key, backend), counts, fidelity, torch.tensor(step))


def update_counts(
    elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int, backend: str
) -> tuple[Counts, list[int]]:
    """The pulses of an update, and its events."""
    events = torch.zeros(4, dtype=torch.int64)
    cells = Cells.of(elements, key, backend)
    return ops.count_pulses(cells, x, d, lr, pulsing, torch.tensor(step), events), events.tolist()


def draw_trains(
    x: Tensor,
    d: Tensor,
    lr: float,
    dw_min: float,
    pulsing: Pulsing,
    key: Key,
    step: int,
    backend: str = "numba",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The trains of an update of an array with this granularity."""
    device = Device(SoftBounds.symmetric(max(1.0, 2 * dw_min)), dw_min=dw_min)
    elements = draw(device, (d.shape[1], x.shape[1]), key)
    return ops.draw_trains(x, d, lr, Cells.of(elements, key, backend), pulsing, torch.tensor(step))


def normals(shape: tuple[int, int], step: int, purpose: int, key: Key, backend: str) -> Tensor:
    """A standard normal number for each cell."""
    return ops.normals_(torch.empty(shape), _cells(shape, key, backend), torch.tensor(step), purpose)


def renew_normals_(
    out: Tensor, touched: Tensor, std: float, step: int, purpose: int, key: Key, backend: str
) -> None:
    """Draw the numbers of the touched cells anew."""
    cells = _cells((out.shape[0], out.shape[1]), key, backend)
    ops.normals_(out, cells, torch.tensor(step), purpose, std, touched)


def product(
    x: Tensor,
    matrix: Tensor,
    periphery: Periphery,
    purpose: int,
    key: Key,
    first: int,
    backend: str = "numba",
) -> tuple[Tensor, int]:  # fmt: skip
    """An analog product, and how many vectors were driven again."""
    if periphery.perfect:
        return x @ matrix, 0
    out, again = ops.analog_product(x, matrix, periphery, purpose, key, torch.tensor(first), backend)
    return out, int(again)


def _cells(shape: tuple[int, int], key: Key, backend: str) -> Cells:
    return Cells.of(draw(Device(SoftBounds.symmetric(1.0)), shape, key), key, backend)
