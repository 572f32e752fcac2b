"""The pulsed update in Numba: same trains and counts as the reference, same weights to rounding.

An update has two phases. *Trains* (`trains`): samples in parallel; d-lines first, and x-lines only where a
d-line fires at all. *Rows* (`affine_rows`, `tables_rows`): rows of the array in parallel, the samples of a
minibatch in groups (`affine_groups`) or in order. Noise is one Gaussian for each element that got pulses;
elements near a bound are computed pulse by pulse.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import prange
from torch import Tensor

from ..cells import Cells
from ..checks import raise_not_finite, raise_too_many
from ..pulsing import SLOTS, Pulsing
from ..reference.mean import mean_counts
from .affine_columns import columns_chunk, single_columns
from .affine_counts import apply_counts as apply_counts_affine
from .affine_group_rows import rows_chunk as affine_chunk
from .affine_groups import Groups, pack_words, plan
from .compiling import PARALLEL_FROM, chunks_for, kernel, serial_and_parallel
from .counts import mark
from .packing import AFFINE, Address, Affine, How, Tables, address, how_of, pack
from .tables_counts import apply_counts as apply_counts_tables
from .tables_rows import rows_chunk as tables_chunk
from .trains import Trains, active_samples, empty_trains, trains_chunk

__all__ = ["apply_counts_", "pulsed_update_"]

#: samples up to which only the cells on x-lines that are not zero count as work
FEW_SAMPLES = 4
NOWHERE = np.empty((0, 0), np.bool_)


@kernel()
def _no_events(chunks):
    return np.zeros((chunks, 5), np.int64)


@kernel()
def _add_events(counted, events):
    """Add up the events of all chunks; whether all values were finite."""
    for c in range(counted.shape[0]):
        if counted[c, 4]:
            return False
    for c in range(counted.shape[0]):
        for i in range(4):
            events[i] += counted[c, i]
    return True


@serial_and_parallel
def _update(w, elements, x, d, how, address, events, touched):
    """One update; returns whether all values are finite, without which it changes nothing.

    Args:
        elements: parts of `Affine` or `Tables`; how, address: parts of `How` and `Address`.
        events: int64 (4,), to which those of this update are added.
        touched: bool (rows, cols), where elements that get pulses are marked; empty for no marks.
    """
    settings, key = How(*how), Address(*address)  # threads take named tuples that are made here
    chunks, samples, rows = settings.chunks, x.shape[0], w.shape[0]
    all_trains = Trains(*empty_trains((settings.max_bl + SLOTS - 1) // SLOTS, samples, rows, x.shape[1]))
    counted = _no_events(chunks)
    for u in prange(chunks):
        c = np.int64(u)  # prange counts in uint64, and a product with int64 would be a float
        begin, end = c * samples // chunks, (c + 1) * samples // chunks
        trains_chunk(begin, end, x, d, settings, key, all_trains, counted[c])
    if not _add_events(counted, events):
        return False
    trains = Trains(*active_samples(all_trains))
    if touched.shape[0] > 0:
        mark(trains, touched)
    limit = 0.0
    if len(elements) == AFFINE:
        columns = not settings.by_pulse and single_columns(w.shape[1], trains)
        if columns and chunks == 1:
            columns_chunk(w, Affine(*elements), trains, key)
            return True
        limit = 0.0 if columns or settings.by_pulse or settings.strict else Affine(*elements).limit
    pulses = counted[:, 0].sum() + counted[:, 1].sum()
    groups = Groups(*plan(trains, pulses, rows, limit))
    words = groups.first[groups.first.shape[0] - 1]
    if groups.size > 1:
        for u in prange(chunks):
            c = np.int64(u)
            pack_words(c * words // chunks, (c + 1) * words // chunks, trains, groups)
    for u in prange(chunks):
        c = np.int64(u)
        begin, end = c * rows // chunks, (c + 1) * rows // chunks
        if len(elements) == AFFINE:
            affine_chunk(begin, end, w, Affine(*elements), trains, groups, settings.by_pulse, key)
        else:
            tables_chunk(begin, end, w, Tables(*elements), trains, settings.by_pulse, key)
    return True


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor,
    touched: Tensor | None,
) -> None:  # fmt: skip
    """As `ops.pulsed_update_`."""
    weights, lines, work = w.numpy(), x.numpy(), x.numel() * w.shape[0]
    if work >= PARALLEL_FROM and x.shape[0] <= FEW_SAMPLES:
        # a transfer between arrays drives one line in a sample: the cells on it are all that there is to do
        work = np.count_nonzero(lines) * w.shape[0]
    chunks = chunks_for(work)
    update = _update.serial if chunks == 1 else _update.parallel
    finite = update(
        weights, pack(cells.elements[0]), lines, d.numpy(), how_of(pulsing, lr, cells, chunks),
        address(cells, step), events.numpy(), NOWHERE if touched is None else touched.numpy(),
    )  # fmt: skip
    if not finite:
        raise_not_finite(x, d)


@kernel()
def _add_up(counts):
    """Pulses up and down, and the lowest and the highest count, of int64 (rows, cols)."""
    up, down, low, high = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for r in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            n = counts[r, j]
            up += max(n, np.int64(0))
            down -= min(n, np.int64(0))
            low, high = min(low, n), max(high, n)
    return up, down, low, high


def apply_counts_(
    w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor, events: Tensor | None, most: int
) -> None:
    """As `ops.apply_counts_`."""
    elements, given = cells.elements[0], counts.contiguous().numpy()
    up, down, low, high = _add_up(given)
    if low < -most or high > most:
        raise_too_many(low, high, most)
    if fidelity == "mean":
        w.copy_(mean_counts(w, elements, counts))
    else:
        apply = apply_counts_tables if elements.form == "table" else apply_counts_affine
        apply(w.numpy(), pack(elements), fidelity == "pulse-by-pulse", given, address(cells, step))
    if events is not None:
        both = events.numpy()
        both[0] += up
        both[1] += down
