"""One-sided pairs: two elements for each weight, which only go up, and a refresh that makes room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import Device, draw
from ..kernels import Cells, Pulsing, ops
from ..kernels.checks import check_counts, raise_too_many
from ..kernels.counts import Pulses, listed
from ..kernels.reference.digital import most_counts
from ..rng import Key
from .cell_state import pulses_towards
from .events import Counters
from .planes import StateWithPlanes
from .sub_array import SubArray, draw_sub_array, gather_cells

__all__ = ["PairState", "ResetPairs"]

#: array numbers of the second elements of pairs are apart from all tiles' own, and those that address the
#: noise of a refresh apart from both
MINUS, REFRESH = 2**31, 2**30
#: rounds of write-verify in a refresh
ROUNDS = 20


class PairState(StateWithPlanes):
    """The weights are differences of the planes "plus" and "minus"; see `StateWithPlanes`."""

    def __init__(self, device: Device, cells: Cells, memory: dict[str, Any]) -> None:
        assert device.pair is not None
        self.pair, (key,), (elements,) = device.pair, cells.keys, cells.elements
        minus, refresh = (Key(key.seed, (key.array + apart) % 2**32) for apart in (MINUS, REFRESH))
        second = Cells.of(draw(device, cells.shape, minus).to(elements.up.device), minus, cells.backend)
        arrays = [draw_sub_array(device, one) for one in (cells, second)]
        super().__init__(device, arrays, memory, ["plus", "minus", "refreshes"])
        #: the elements with the random numbers of refreshes
        self._refresh_cells = Cells.of(elements, refresh, cells.backend)

    def check_status(self) -> None:
        """As `CellState.check_status`."""
        for cells in (*(array.cells for array in self.arrays), self._refresh_cells):
            ops.check_status(cells)

    def held(self, w: Tensor) -> Tensor:
        return self.memory["plus"] - self.memory["minus"]

    def planes(self, w: Tensor) -> Sequence[Tensor]:
        return [self.memory["plus"], self.memory["minus"]]

    def nearest(self, w: Tensor, calibrated: bool = True) -> Tensor:
        plus, minus = (array.elements.upper for array in self.arrays)
        return torch.minimum(torch.maximum(w, -minus), plus)

    def _write(self, w: Tensor, values: Tensor) -> None:
        for sign, array, plane in zip((1, -1), self.arrays, self.planes(w), strict=True):
            array.put(plane, sign * values)

    def _noiseless(self, memory: Mapping[str, Any]) -> Tensor | None:
        return memory["plus"] - memory["minus"]

    def check(self, planes: Mapping[str, Any]) -> None:
        # versions up to 0.5.0 saved a plane "persistent", which nothing reads, where there is write noise
        self._check(planes, {*self.memory} - {"fixed", "persistent"}, ("fixed", "persistent"))

    def pulse(self, w: Tensor, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, counters: Counters) -> None:
        """As `ops.pulsed_update_`, but the pulses of all samples are summed for each element."""
        step = counters.updates
        counts = ops.count_pulses(self.cells, x, d, lr, pulsing, step, counters.pulses)
        if pulsing.fidelity == "mean":
            self._apply_mean(x.double(), d.double(), lr)
            self._refresh_pulsed(w, counts, step)
        else:
            self._drive(w, counts, pulsing.fidelity, step)

    def apply_counts(self, w: Tensor, n: Tensor, fidelity: str, counters: Counters) -> None:
        """As `ops.apply_counts_`; pulses down go up on the second element."""
        check_counts(self.cells, n)
        most = most_counts(self.cells.elements[0])
        low, high = n.aminmax()  # a list of cells waits for values anyhow
        if max(-int(low), int(high)) > most:
            raise_too_many(int(low), int(high), most)
        counts = listed(n), listed(-n)
        self._drive(w, counts, fidelity, counters.updates)
        counters.add(pulses_up=counts[0].n.sum(), pulses_down=counts[1].n.sum())

    def _drive(self, w: Tensor, counts: Sequence[Pulses], fidelity: str, step: Tensor) -> None:
        for array, plane, pulses in zip(self.arrays, self.planes(w), counts, strict=True):
            _drive_up(array, plane, pulses, fidelity, step)
        self._refresh_pulsed(w, counts, step)

    def _refresh_pulsed(self, w: Tensor, counts: Sequence[Pulses], step: Tensor) -> None:
        pulsed = [pulses.touched(self.cells.shape) for pulses in counts] if self._marks else []
        self.refresh_weights(w, pulsed, self.cells, step)

    def _apply_mean(self, x: Tensor, d: Tensor, lr: float) -> None:
        """The discrete-time dynamics: g' = g + |dw| q+(g), of G+ where dw > 0 and of G- where dw < 0."""
        for sign, array, name in zip((1, -1), self.arrays, ("plus", "minus"), strict=True):
            g = self.memory[name].double()
            for xb, db in zip(x, d, strict=True):
                dw = (sign * lr * torch.outer(db, xb)).clamp(min=0)
                g = array.clip(g + dw * array.elements.q_plus(g))
            self.memory[name].copy_(g)

    # --- closed loops, which wait for values -------------------------------------------------------

    def program(self, w: Tensor, target: Tensor, rounds: int, fidelity: str, counters: Counters) -> None:
        cells = torch.arange(target.numel(), device=target.device)
        self._rewrite(w, cells, self.nearest(target).flatten(), rounds, fidelity, counters)

    def refresh(self, w: Tensor, fidelity: str, counters: Counters) -> None:
        """After every `refresh_every` updates reset saturated pairs and program their differences back.

        See `OneSided`. Counts: every column of both arrays is read once, and in each round the difference of
        every column that has a cell to write; a reset is a pulse on each element and a slot for each column
        that has any; pulses up and down are those on G+ and G-.
        """
        if int(counters.updates) % self.pair.refresh_every:
            return
        counters.add_reads(2 * w.shape[1], verify=True)
        cells = self.saturated_pairs()
        if len(cells):
            self._rewrite(w, cells, self.held(w).view(-1)[cells], ROUNDS, fidelity, counters)

    def saturated_pairs(self) -> Tensor:
        """Flat indices of the pairs that a refresh resets, see `OneSided`."""
        plus, minus, top = self.memory["plus"], self.memory["minus"], self.pair.refresh_at
        upper = [array.elements.upper for array in self.arrays]
        beyond = (plus > top * upper[0]) | (minus > top * upper[1])
        return (beyond & (torch.minimum(plus, minus) > self.device.dw_min)).flatten().nonzero().flatten()

    def _rewrite(
        self, w: Tensor, cells: Tensor, goal: Tensor, rounds: int, fidelity: str, counters: Counters
    ) -> None:
        """Reset pairs, then rounds of write-verify, column by column, until no element needs a pulse.

        Args:
            cells: flat indices, int64 (k,), each once, k >= 1.
            goal: their weights, (k,).
        """
        columns, refreshes, one = cells % w.shape[1], self.memory["refreshes"], torch.ones_like(cells)
        pairs = ResetPairs(self.arrays, self._refresh_cells, cells)
        counters.add_selected(columns, one, one)
        selected = len(columns.unique())
        for _ in range(rounds):
            n = pairs.missing(goal)
            counters.add_reads(selected, verify=True)
            if not bool(n.any()):
                break
            pairs.send(n, fidelity, refreshes)
            refreshes.add_(1)
            counters.add_selected(columns, n.clamp(min=0), (-n).clamp(min=0))
        for plane, g in zip(self.planes(w), pairs.g, strict=True):
            plane.view(-1)[cells] = g
        refreshes.add_(1)
        pulsed = torch.zeros(self.cells.shape, dtype=torch.bool, device=w.device)
        pulsed.view(-1)[cells] = True
        self.refresh_weights(w, [pulsed, pulsed], self._refresh_cells, refreshes)


class ResetPairs:
    """Some pairs of an array as a small array of their own, all elements at 0 but stuck ones.

    A refresh concerns few cells and takes many rounds: on whole planes a round would cost as much as an
    update. G+ of all cells come first in the small array, then G-: a round is one call of the kernels.

    Args:
        arrays: those of G+ and of G-.
        numbers: cells whose random numbers, and whose back end, the pulses have.
        cells: flat indices, int64 (k,), each once, k >= 1.
    """

    def __init__(self, arrays: Sequence[SubArray], numbers: Cells, cells: Tensor) -> None:
        self._elements = gather_cells([array.elements for array in arrays], cells)
        self._cells = Cells.of(self._elements, numbers.keys[0], numbers.backend)
        #: weights of all elements of the small array
        self._w = torch.zeros(self._elements.shape, device=cells.device)
        #: those of G+ and of G-, (2, k), sharing memory
        self.g = self._w.view(-1)[: 2 * len(cells)].view(2, -1)
        stuck = [array.stuck_among(cells) for array in arrays]
        self._stuck, self._stuck_value = (torch.stack(both) for both in zip(*stuck, strict=True))
        self._apply_stuck()

    def _apply_stuck(self) -> None:
        self.g.copy_(torch.where(self._stuck, self._stuck_value, self.g))

    def missing(self, goal: Tensor) -> Tensor:
        """Pulses that the differences to `goal` (k,) ask for, int64 (k,): positive on G+, negative on G-."""
        left = goal - (self.g[0] - self.g[1])
        q = self._elements.q_plus(self._w).view(-1)[: 2 * len(goal)].view(2, -1)
        return pulses_towards(left, torch.where(left >= 0, q[0], q[1]), self._elements.dw_min)

    def send(self, n: Tensor, fidelity: str, step: Tensor) -> None:
        """Send pulses, int64 (k,); `step`, int64 (0-d), addresses their noise."""
        counts = torch.zeros(self._w.shape, dtype=torch.int64, device=n.device)
        counts.view(-1)[: 2 * len(n)] = torch.cat([n.clamp(min=0), (-n).clamp(min=0)])
        ops.apply_counts_(self._w, self._cells, counts, fidelity, step)
        self._w.clamp_(min=0.0)
        self._apply_stuck()


def _drive_up(array: SubArray, w: Tensor, pulses: Pulses, fidelity: str, step: Tensor) -> None:
    """Pulses up on one-sided elements; where cells are listed, noise is addressed by place in the list.

    Args:
        w: their weights (rows, cols), changed in place.
        step: number of the update, of the noise's address.
    """
    cells, n = pulses
    if cells is None:
        ops.apply_counts_(w, array.cells, n, fidelity, step)
        w.clamp_(min=0.0)
        return
    k = len(cells)
    if not k:
        return
    elements, flat = gather_cells([array.elements], cells), w.view(-1)
    some = torch.zeros(elements.shape, device=w.device)
    counts = torch.zeros(elements.shape, dtype=torch.int64, device=w.device)
    some.view(-1)[:k], counts.view(-1)[:k] = flat[cells], n
    ops.apply_counts_(some, Cells.of(elements, array.key, array.cells.backend), counts, fidelity, step)
    flat.index_copy_(0, cells, some.clamp_(min=0.0).view(-1)[:k])
