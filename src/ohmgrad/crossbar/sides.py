"""One element of each weight, besides its response: where it is stuck, and what time does to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..devices import PLANES, Device, Elements, Retention, draw
from ..kernels import Cells, ops
from ..kernels.counts import Pulses
from ..rng import Key, Purpose, gaussians, words

__all__ = ["Side", "draw_side", "drive", "few", "minus_side", "pass_time", "refresh_key"]

#: array numbers of the second elements of pairs are apart from all tiles' own, and those that address the
#: noise of a refresh apart from both
MINUS, REFRESH = 2**31, 2**30
#: columns of the small arrays in which listed cells are pulsed
WIDTH = 512


@dataclass(frozen=True)
class Side:
    """The elements of one array as drawn from the device: all follows from the key, nothing is state."""

    #: name of the plane in the tile's memory that holds their weights
    name: str
    cells: Cells
    #: lowest weight, (rows, cols) or (1, 1): the lower bound, or 0 where elements go up only
    floor: Tensor
    #: flat indices of stuck cells, int64 (k,), and where they stand, float32 (k,)
    stuck: Tensor
    stands: Tensor
    #: share of a weight that a step of time leaves, 1 - 1/T, and drift exponent nu; float32, as `floor`
    keep: Tensor | None
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

    def pinned(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each of `cells` (flat indices, (k,)) is stuck, and where those stand that are, float32."""
        if not len(self.stuck):
            return torch.zeros(len(cells), dtype=torch.bool), torch.zeros(len(cells))
        at = torch.searchsorted(self.stuck, cells).clamp(max=len(self.stuck) - 1)
        return self.stuck[at] == cells, self.stands[at]

    def pin(self, w: Tensor) -> None:
        """Put stuck elements of `w` (rows, cols) back where they stand."""
        if len(self.stuck):
            w.view(-1)[self.stuck] = self.stands


def draw_side(device: Device, name: str, cells: Cells) -> Side:
    """What is drawn for elements besides their responses; laws: see `Stuck` and `Retention`."""
    elements, key = cells.elements[0], cells.keys[0]
    rows, cols = elements.shape
    floor = torch.zeros(1, 1) if device.pair is not None else elements.lower
    stuck, stands = torch.empty(0, dtype=torch.int64), torch.empty(0)
    if device.stuck is not None and device.stuck.fraction:
        row, at = torch.arange(rows), device.stuck.at
        hit = words(cols, row, 0, Purpose.STUCK, key) < round(device.stuck.fraction * 2**32)
        stuck = hit.flatten().nonzero().flatten()
        low, high = floor.double(), elements.upper.double()
        share = (words(cols, row, 0, Purpose.STUCK_AT, key).double() + 0.5) * 2.0**-32
        where = low + (high - low) * share if at is None else torch.full((rows, cols), float(at))
        where = torch.minimum(torch.maximum(where, low), high)
        stands = where.float().flatten()[stuck]
    keep = nu = None
    retention = device.retention or Retention()
    if retention.lifetime is not None:
        z = _normal(retention.lifetime_spread, elements.shape, Purpose.LIFETIME, key)
        keep = (1 - 1 / (retention.lifetime * (1 + z).abs()).clamp(min=1)).float()
    if retention.drift:
        z = _normal(retention.drift_spread, elements.shape, Purpose.DRIFT, key)
        nu = (retention.drift * (1 + z).clamp(min=0)).float()
    return Side(name, cells, floor, stuck, stands, keep, nu)


def minus_side(device: Device, plus: Cells) -> Side:
    """The second elements of one-sided pairs, with elements of their own."""
    key = plus.keys[0]
    own = Key(key.seed, (key.array + MINUS) % 2**32)
    return draw_side(device, "minus", Cells.of(draw(device, plus.shape, own), own, plus.backend))


def refresh_key(key: Key) -> Key:
    """Address of the noise of refreshes, which have a counter of their own."""
    return Key(key.seed, (key.array + REFRESH) % 2**32)


def _normal(std: float, shape: tuple[int, int], purpose: int, key: Key) -> Tensor:
    if not std:
        return torch.zeros(1, 1, dtype=torch.float64)
    return std * gaussians(shape[1], torch.arange(shape[0]), 0, purpose, key)


def drive(side: Side, w: Tensor, pulses: Pulses, fidelity: str, step: Tensor) -> None:
    """Pulses up on one-sided elements; where cells are listed, noise is addressed by place in the list.

    Args:
        w: their weights (rows, cols), changed in place.
        step: number of the update, of the noise's address.
    """
    cells, n = pulses
    if cells is None:
        ops.apply_counts_(w, side.cells, n, fidelity, step)
        w.clamp_(min=0.0)
        return
    if not len(cells):
        return
    elements, flat = few([side.elements], cells), w.view(-1)
    some, counts = torch.zeros(elements.shape), torch.zeros(elements.shape, dtype=torch.int64)
    k = len(cells)
    some.view(-1)[:k], counts.view(-1)[:k] = flat[cells], n
    cells_of_list = Cells.of(elements, side.key, side.cells.backend)
    ops.apply_counts_(some, cells_of_list, counts, fidelity, step)
    flat.index_copy_(0, cells, some.clamp_(min=0.0).view(-1)[:k])


def few(arrays: Sequence[Elements], cells: Tensor) -> Elements:
    """The listed cells of all `arrays`, which are of one device and shape, as a small array, row by row.

    Rows, as kernels keep some planes of a row at hand; what the cells leave of the last one are others.

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


def pass_time(side: Side, w: Tensor, age: Tensor | None, steps: int, clock: Tensor, device: Device) -> None:
    """`steps` steps of time for the weights `w` (rows, cols), in place; see `Retention`.

    Exact in law where drift comes alone, or decay and diffusion without drift; otherwise `steps` is 1.

    Args:
        age: steps since each element was last pulsed, int32 (rows, cols), advanced; None without drift.
        clock: number of calls before, which addresses the diffusion.
    """
    retention = device.retention
    assert retention is not None
    if side.nu is not None and age is not None:
        before = age + retention.drift_start
        w.mul_(((before + steps) / before).pow_(-side.nu))
        age += steps
    several = torch.ones(1, 1)
    if side.keep is not None:
        left = side.keep**steps
        w.sub_(retention.rest).mul_(left).add_(retention.rest)
        several = (1 - left * left) / (1 - side.keep * side.keep)
    elif steps > 1:
        several = torch.full((1, 1), float(steps))
    if retention.diffusion:
        std = retention.diffusion * device.dw_min * several.sqrt()
        w.addcmul_(ops.normals_(torch.empty(side.cells.shape), side.cells, clock, Purpose.DIFFUSION), std)
    w.copy_(side.clip(w))
