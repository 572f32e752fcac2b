"""Pulses of every element: counted on request, since an update that is recorded draws its pulses twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..crossbar import Tile
from ..errors import InputError
from ..kernels.counts import Counts
from ..nn.convert import analog_layers
from ..optim import AnalogOptimizer
from .counts import WEIGHTS

__all__ = ["ElementWear", "Histogram", "pooled", "record_wear"]


@dataclass(frozen=True)
class Histogram:
    """How many elements of an array got how many pulses.

    Args:
        layer, tile, array: which array, as in `ArrayEvents`.
        elements: by the number of pulses; numbers that no element got are left out.
    """

    layer: str
    tile: int
    array: str
    elements: dict[int, int]

    @property
    def pulses(self) -> int:
        """Pulses of all elements."""
        return sum(n * many for n, many in self.elements.items())

    @property
    def mean(self) -> float:
        """Pulses by element."""
        return self.pulses / sum(self.elements.values())

    @property
    def largest(self) -> int:
        """Pulses of the element that got the most."""
        return max(self.elements)

    def quantile(self, share: float) -> int:
        """The least number of pulses that at least this share of the elements, in (0, 1], did not exceed."""
        wanted, found = share * sum(self.elements.values()), 0
        for n in sorted(self.elements):
            found += self.elements[n]
            if found >= wanted * (1 - 1e-12):
                return n
        return self.largest


def pooled(several: Sequence[Histogram], layer: str, array: str) -> Histogram:
    """Elements of all tiles and trainings together."""
    total: dict[int, int] = {}
    for each in several:
        for n, many in each.elements.items():
            total[n] = total.get(n, 0) + many
    return Histogram(layer, 0, array, total)


@dataclass(frozen=True)
class ElementWear:
    """Pulses of every element of an array since recording began, both directions added up.

    Args:
        layer, tile, array: which array, as in `ArrayEvents`.
        pulses: int64 (rows, cols); the two elements of a pair together.
    """

    layer: str
    tile: int
    array: str
    pulses: Tensor

    @property
    def histogram(self) -> Histogram:
        numbers, elements = self.pulses.unique(return_counts=True)
        found = dict(zip(numbers.tolist(), elements.tolist(), strict=True))
        return Histogram(self.layer, self.tile, self.array, found)

    def add(self, step: Tensor, counts: Counts) -> None:
        """Take the pulses of an update."""
        for cells, n in counts:
            if cells is None:
                self.pulses.add_(n)
            else:
                self.pulses.view(-1).index_add_(0, cells, n.to(self.pulses.dtype))


@contextlib.contextmanager
def record_wear(model: nn.Module, optimizer: AnalogOptimizer) -> Iterator[list[ElementWear]]:
    """Count the pulses of every element inside the block.

    A recorded update takes longer, as its pulses are drawn twice; weights are the same bit for bit. Resets
    and the refresh of one-sided pairs are no updates, and not recorded: they are `rewrite_pulses` of the
    events of an array.

    Args:
        model: whose arrays are meant.
        optimizer: whose auxiliary arrays are meant, too.

    Raises:
        InputError: when pulses are not known: at fidelity "mean", or on a board.
    """
    found: list[tuple[ElementWear, Tile]] = []
    for layer, module in analog_layers(model):
        for number, tile in enumerate(module.tiles):
            for name, array in {WEIGHTS: tile, **optimizer.arrays_of(tile)}.items():
                if array.pulsing.fidelity == "mean" or array.board is not None:
                    why = "is on a board" if array.board is not None else "is pulsed at fidelity 'mean'"
                    raise InputError(f"the {name} of layer {layer!r} {why}, so that its pulses are not known")
                pulses = torch.zeros(array.shape, dtype=torch.int64, device=array.events.device)
                found.append((ElementWear(layer, number, name, pulses), array))
    try:
        for wear, array in found:
            array.counters.recorder = partial(ElementWear.add, wear)
        yield [wear for wear, _ in found]
    finally:
        for _, array in found:
            array.counters.recorder = None
