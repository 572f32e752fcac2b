"""One array of elements, besides their responses: where they are stuck, and what time does to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..devices import PLANES, Device, Elements, Retention
from ..kernels import Cells, ops
from ..rng import Key, Purpose, gaussians, words

__all__ = ["SubArray", "draw_sub_array", "gather_cells"]

#: columns of the small arrays in which listed cells are pulsed
WIDTH = 512


@dataclass(frozen=True)
class SubArray:
    """The elements of one array as drawn from the device; a pair has two arrays. All follows from the key."""

    cells: Cells
    #: lowest weight, (rows, cols) or (1, 1): the lower bound, or 0 where elements go up only
    floor: Tensor
    #: flat indices of stuck cells, int64 (k,), and their weights, float32 (k,)
    stuck: Tensor
    stuck_value: Tensor
    #: share of a weight that a step of time leaves, 1 - 1/T, and drift exponent nu; float32, as `floor`
    decay: Tensor | None
    nu: Tensor | None

    @property
    def elements(self) -> Elements:
        """The drawn elements."""
        return self.cells.elements[0]

    @property
    def key(self) -> Key:
        """Address of their random numbers."""
        return self.cells.keys[0]

    def clip(self, w: Tensor) -> Tensor:
        """`w` (rows, cols) kept inside what the elements can hold."""
        return torch.minimum(torch.maximum(w, self.floor), self.elements.upper)

    def stuck_among(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each of `cells` (flat indices, (k,)) is stuck, bool, and its weight if it is, float32."""
        if not len(self.stuck):
            none = torch.zeros(len(cells), device=cells.device)
            return none.bool(), none
        at = torch.searchsorted(self.stuck, cells).clamp(max=len(self.stuck) - 1)
        return self.stuck[at] == cells, self.stuck_value[at]

    def apply_stuck(self, w: Tensor) -> None:
        """Give stuck elements of `w` (rows, cols) their weights again."""
        if len(self.stuck):
            w.view(-1)[self.stuck] = self.stuck_value

    def put(self, w: Tensor, values: Tensor) -> None:
        """Put elements of `w` at `values`, (rows, cols), or their nearest bound; not where NaN."""
        w.copy_(torch.where(values.isnan(), w, self.clip(values)))

    def wait(self, w: Tensor, age: Tensor | None, steps: int, clock: Tensor, retention: Retention) -> None:
        """`steps` steps of time for the weights `w` (rows, cols), in place; see `Retention`.

        Args:
            age: steps since each element was last pulsed, int32 (rows, cols), advanced; None without drift.
        """
        if self.nu is not None and age is not None:
            before = age + retention.drift_start
            w.mul_(((before + steps) / before).pow_(-self.nu))
            age += steps
        several = torch.ones(1, 1, device=w.device)
        if self.decay is not None:
            left = self.decay**steps
            w.sub_(retention.rest).mul_(left).add_(retention.rest)
            several = (1 - left * left) / (1 - self.decay * self.decay)
        elif steps > 1:
            several = torch.full((1, 1), float(steps), device=w.device)
        if retention.diffusion:
            std = retention.diffusion * self.elements.dw_min * several.sqrt()
            xi = ops.normals_(
                torch.empty(self.cells.shape, device=w.device), self.cells, clock, Purpose.DIFFUSION
            )
            w.addcmul_(xi, std)
        w.copy_(self.clip(w))


def draw_sub_array(device: Device, cells: Cells) -> SubArray:
    """What is drawn for elements besides their responses; laws: see `Stuck` and `Retention`.

    Drawn on the host, where numbers are the same for all devices.
    """
    place, key = cells.elements[0].up.device, cells.keys[0]
    elements = cells.elements[0].to(torch.device("cpu"))
    rows, cols = elements.shape
    floor = torch.zeros(1, 1) if device.pair is not None else elements.lower
    stuck, stuck_value = torch.empty(0, dtype=torch.int64), torch.empty(0)
    if device.stuck is not None and device.stuck.fraction:
        row, at = torch.arange(rows), device.stuck.at
        hit = words(cols, row, 0, Purpose.STUCK, key) < round(device.stuck.fraction * 2**32)
        stuck = hit.flatten().nonzero().flatten()
        low, high = floor.double(), elements.upper.double()
        share = (words(cols, row, 0, Purpose.STUCK_AT, key).double() + 0.5) * 2.0**-32
        value = low + (high - low) * share if at is None else torch.full((rows, cols), float(at))
        value = torch.minimum(torch.maximum(value, low), high)
        stuck_value = value.float().flatten()[stuck]
    decay = nu = None
    retention = device.retention or Retention()
    if retention.lifetime is not None:
        z = _normal(retention.lifetime_spread, elements.shape, Purpose.LIFETIME, key)
        decay = (1 - 1 / (retention.lifetime * (1 + z).abs()).clamp(min=1)).float()
    if retention.drift:
        z = _normal(retention.drift_spread, elements.shape, Purpose.DRIFT, key)
        nu = (retention.drift * (1 + z).clamp(min=0)).float()
    there = [None if t is None else t.to(place) for t in (decay, nu)]
    return SubArray(cells, floor.to(place), stuck.to(place), stuck_value.to(place), *there)


def _normal(std: float, shape: tuple[int, int], purpose: int, key: Key) -> Tensor:
    if not std:
        return torch.zeros(1, 1, dtype=torch.float64)
    return std * gaussians(shape[1], torch.arange(shape[0]), 0, purpose, key)


def gather_cells(arrays: Sequence[Elements], cells: Tensor) -> Elements:
    """The listed cells of all `arrays`, which are of one device and shape, as a small array, row by row.

    It has several rows, as kernels keep some planes of a row at hand. Cell 0 fills the last row up.

    Args:
        cells: flat indices, int64 (k,), k >= 1.
    """
    total = len(arrays) * len(cells)
    cols = min(total, WIDTH)
    rows = -(-total // cols)
    fill = cells.new_zeros(rows * cols - total)

    def gathered(name: str) -> Tensor:
        planes: list[Tensor] = [getattr(elements, name) for elements in arrays]
        if planes[0].numel() == 1:
            return planes[0]
        parts = [plane.view(-1).index_select(0, cells) for plane in planes]
        return torch.cat([*parts, planes[0].view(-1).index_select(0, fill)]).view(rows, cols)

    planes = {name: gathered(name) for name in PLANES}
    return replace(arrays[0], shape=(rows, cols), packed={}, **planes)
