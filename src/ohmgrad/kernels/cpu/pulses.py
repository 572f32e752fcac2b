"""The pulsed update in Numba: same trains and counts as the reference, same weights to rounding.

An update has two phases. *Trains* (`trains`): samples in parallel; d-lines first, and x-lines only where a
d-line fires at all. *Rows* (`affine_rows`, `tables_rows`): rows of the array in parallel, the samples of a
minibatch in groups (`affine_group_rows`) or in order. Samples that each drive one column of their own, as
transfers send them, take only the cells on it (`affine_columns`). Noise is one Gaussian for each element that
got pulses; elements near a bound are computed pulse by pulse.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import prange, types
from torch import Tensor

from ..cells import Cells
from ..checks import raise_not_finite, raise_too_many
from ..pulsing import SLOTS, Pulsing
from ..reference.mean import mean_counts
from .affine_columns import single_columns, write_columns
from .affine_counts import apply_counts as apply_counts_affine
from .affine_group_rows import affine_chunk
from .affine_groups import Groups, pack_words, plan
from .compiling import PARALLEL_FROM, carve, chunks_for, kernel, part
from .counts import mark
from .late import late_kernel
from .packing import AFFINE, Address, Affine, How, Tables, address_of, how_of, pack
from .tables_counts import apply_counts as apply_counts_tables
from .tables_rows import tables_chunk
from .trains import empty_trains, list_active_samples, train_scratch, trains_chunk

__all__ = ["apply_counts_", "pulsed_update_"]

#: samples up to which only the cells on x-lines that are not zero count as work
FEW_SAMPLES = 4
NOWHERE = np.empty((0, 0), np.bool_)


@part()
def _no_events(chunks):
    """Events of each chunk, as `trains_chunk` counts them: the fifth becomes 1 if a value is not finite."""
    events = carve(np.empty(40 * chunks, np.uint8), 0, (chunks, 5), np.int64)
    events[:] = 0
    return events


@part()
def _add_events(counted, events):
    """Add up the events of all chunks; whether all values were finite."""
    for c in range(counted.shape[0]):
        if counted[c, 4]:
            return False
    for c in range(counted.shape[0]):
        for i in range(4):
            events[i] += counted[c, i]
    return True


@late_kernel(types.void, parallel=True)
def _draw_on_threads(chunks, x, d, how, address, trains, counted):
    for u in prange(chunks):
        c, samples = np.int64(u), x.shape[0]  # prange counts in uint64: a product with int64 would be a float
        begin, end = c * samples // chunks, (c + 1) * samples // chunks
        scratch = train_scratch(max(x.shape[1], d.shape[1]), how.max_bl, end - begin)
        trains_chunk(begin, end, x, d, how, address, trains, counted[c], scratch)


@late_kernel(types.void, parallel=True)
def _pack_on_threads(chunks, trains, groups):
    for u in prange(chunks):
        c, words = np.int64(u), groups.of_word.shape[0] - 1
        pack_words(c * words // chunks, (c + 1) * words // chunks, trains, groups)


@late_kernel(types.void)
def _apply(begin, end, w, elements, trains, groups, by_pulse, address):
    """The trains on rows begin ... end-1; elements: parts of `Affine` or `Tables`."""
    if len(elements) == AFFINE:
        affine_chunk(begin, end, w, Affine(*elements), trains, groups, by_pulse, address)
    else:
        tables_chunk(begin, end, w, Tables(*elements), trains, by_pulse, address)


@late_kernel(types.void, parallel=True)
def _apply_on_threads(chunks, w, elements, trains, groups, by_pulse, address):
    for u in prange(chunks):
        c, rows = np.int64(u), w.shape[0]
        begin, end = c * rows // chunks, (c + 1) * rows // chunks
        _apply(begin, end, w, elements, trains, groups, by_pulse, address)


@kernel()
def _update(w, elements, x, d, how, address, events, touched):
    """One update; returns whether all values are finite, without which it changes nothing.

    Args:
        elements: parts of `Affine` or `Tables`; how, address: parts of `How` and `Address`.
        events: int64 (4,), to which those of this update are added.
        touched: bool (rows, cols), where elements that get pulses are marked; empty for no marks.
    """
    settings, address = How(*how), Address(*address)
    chunks, samples, rows = settings.chunks, x.shape[0], w.shape[0]
    all_trains = empty_trains((settings.max_bl + SLOTS - 1) // SLOTS, samples, rows, x.shape[1])
    counted = _no_events(chunks)
    if chunks > 1:
        _draw_on_threads(chunks, x, d, settings, address, all_trains, counted)
    else:
        scratch = train_scratch(max(x.shape[1], d.shape[1]), settings.max_bl, samples)
        trains_chunk(0, samples, x, d, settings, address, all_trains, counted[0], scratch)
    if not _add_events(counted, events):
        return False
    trains = list_active_samples(all_trains)
    if touched.shape[0] > 0:
        mark(trains, touched)
    limit = 0.0
    if len(elements) == AFFINE:
        columns = not settings.by_pulse and single_columns(w.shape[1], trains)
        if columns and chunks == 1:
            write_columns(w, Affine(*elements), trains, address)
            return True
        limit = 0.0 if columns or settings.by_pulse or settings.strict else Affine(*elements).limit
    pulses = np.int64(0)
    for c in range(chunks):
        pulses += counted[c, 0] + counted[c, 1]
    groups = Groups(*plan(trains, pulses, rows, limit))
    if groups.size > 1:
        if chunks > 1:
            _pack_on_threads(chunks, trains, groups)
        else:
            pack_words(0, groups.of_word.shape[0] - 1, trains, groups)
    if chunks > 1:
        _apply_on_threads(chunks, w, elements, trains, groups, settings.by_pulse, address)
    else:
        _apply(0, rows, w, elements, trains, groups, settings.by_pulse, address)
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
    finite = _update(
        weights, pack(cells.elements[0]), lines, d.numpy(), how_of(pulsing, lr, cells, chunks),
        address_of(cells, step), events.numpy(), NOWHERE if touched is None else touched.numpy(),
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
        apply(w.numpy(), pack(elements), fidelity == "pulse-by-pulse", given, address_of(cells, step))
    if events is not None:
        both = events.numpy()
        both[0] += up
        both[1] += down
