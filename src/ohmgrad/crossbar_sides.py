"""One element of each weight, besides its response: where it is stuck, and what time does to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .devices import Device, Elements, Retention, draw
from .pulses import apply_counts_
from .pulses.counts import Pulses, normals
from .rng import Key, Purpose, gaussians, words

__all__ = ["Side", "draw_side", "drive", "minus_side", "pass_time", "refresh_key"]

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
    elements: Elements
    key: Key
    #: lowest weight, (rows, cols) or (1, 1): the lower bound, or 0 where elements go up only
    floor: Tensor
    #: flat indices of stuck cells, int64 (k,), and where they stand, float32 (k,)
    stuck: Tensor
    stands: Tensor
    #: share of a weight that a step of time leaves, 1 - 1/T, and drift exponent nu; float32, as `floor`
    keep: Tensor | None
    nu: Tensor | None

    def clip(self, w: Tensor) -> Tensor:
        """`w` (rows, cols) kept inside what the elements can hold."""
        return torch.minimum(torch.maximum(w, self.floor), self.elements.upper)

    def pin(self, w: Tensor) -> None:
        """Put stuck elements of `w` (rows, cols) back where they stand."""
        if len(self.stuck):
            w.view(-1)[self.stuck] = self.stands


def draw_side(device: Device, name: str, elements: Elements, key: Key) -> Side:
    """What is drawn for elements besides their responses; laws: see `Stuck` and `Retention`."""
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
    return Side(name, elements, key, floor, stuck, stands, keep, nu)


def minus_side(device: Device, shape: tuple[int, int], key: Key) -> Side:
    """The second elements of one-sided pairs, with elements of their own."""
    own = Key(key.seed, (key.array + MINUS) % 2**32)
    return draw_side(device, "minus", draw(device, shape, own), own)


def refresh_key(key: Key) -> Key:
    """Address of the noise of refreshes, which have a counter of their own."""
    return Key(key.seed, (key.array + REFRESH) % 2**32)


def _normal(std: float, shape: tuple[int, int], purpose: int, key: Key) -> Tensor:
    if not std:
        return torch.zeros(1, 1, dtype=torch.float64)
    return std * gaussians(shape[1], torch.arange(shape[0]), 0, purpose, key)


def drive(
    side: Side, w: Tensor, pulses: Pulses, fidelity: str, step: int, backend: str, refresh: bool = False
) -> None:
    """Pulses up on one-sided elements; where cells are listed, noise is addressed by place in the list.

    Args:
        w: their weights (rows, cols), changed in place.
        step: of the noise's address; `refresh` is whether it counts rounds of refreshes, not updates.
    """
    key = refresh_key(side.key) if refresh else side.key
    cells, n = pulses
    if cells is None:
        apply_counts_(w, side.elements, n, fidelity, key, step, backend)
        w.clamp_(min=0.0)
        return
    if not len(cells):
        return
    # as rows of a small array: kernels keep some planes of a row at hand. The last row is filled with cells
    # that get no pulse
    k, cols = len(cells), min(len(cells), WIDTH)
    rows = -(-k // cols)
    if rows * cols > k:
        none = torch.zeros(rows * cols - k, dtype=torch.int64)
        n, cells = torch.cat([n, none]), torch.cat([cells, none])
    elements = side.elements.map(
        lambda p: p if p.numel() == 1 else p.view(-1).index_select(0, cells).view(rows, cols)
    )
    flat = w.view(-1)
    some = flat.index_select(0, cells).view(rows, cols)
    elements = replace(elements, shape=(rows, cols))
    apply_counts_(some, elements, n.view(rows, cols), fidelity, key, step, backend)
    flat.index_copy_(0, cells[:k], some.clamp_(min=0.0).view(-1)[:k])


def pass_time(
    side: Side, w: Tensor, age: Tensor | None, steps: int, clock: int, device: Device, numba: bool
) -> None:
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
        w.addcmul_(normals(side.elements.shape, clock, Purpose.DIFFUSION, side.key, numba), std)
    w.copy_(side.clip(w))
