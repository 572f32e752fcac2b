"""The pulsed update in Numba: same trains and counts as the reference, same weights to rounding.

One update has two phases. *Trains* (`cpu_trains`): samples in parallel; d-lines first, and x-lines
only where a d-line fires at all. *Rows* (`cpu_rows`): rows of the array in parallel, the samples of a
minibatch in order. Each row takes one of two roads with the same result: the dense road streams whole
rows, the sparse road walks the x-lines that fire, so that its cost follows the coincidences. Noise is
one Gaussian per element that was touched; elements near a bound are replayed pulse by pulse.

Affine elements are served here; tabulated ones share the trains and have rows of their own
(`cpu_table_update`).
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import prange
from torch import Tensor

from ..cells import Cells
from ..checks import raise_not_finite, raise_too_many
from ..pulsing import Pulsing
from ..reference.mean import mean_counts
from .affine_columns import columns_chunk, single_columns
from .affine_counts import add_up, counts_rows
from .affine_rows import rows_chunk
from .math import kernel, threads
from .packing import key_words, number, pack
from .trains import list_live, trains_chunk

__all__ = ["PARALLEL_FROM", "apply_counts_", "pulsed_update_"]

#: cell-samples from which an update is spread over threads; up to so many samples only those on x-lines
#: that are not zero count
PARALLEL_FROM, FEW_SAMPLES = 100_000, 4


@kernel()
def _update(
    w, planes, slopes, kind, std, by_pulse, x, d, lr, dw_min, max_bl, manage, manage_bl, step, key,
    xs, ds, lines, n_lines, on, live, events, chunks,
):  # fmt: skip
    trains_chunk(
        np.int64(0), x.shape[0], x, d, lr, dw_min, max_bl, manage, manage_bl, key, step, xs, ds, lines,
        n_lines, on, events[0],
    )  # fmt: skip
    if events[0, 4]:
        return
    n_live = list_live(n_lines, live)
    if not by_pulse and single_columns(w.shape[1], lines, n_lines, live, n_live):
        columns_chunk(w, planes, slopes, kind, std, xs, ds, lines, live, n_live, step, key)
        return
    rows_chunk(
        np.int64(0), w.shape[0], w, planes, slopes, kind, std, by_pulse, xs, ds, lines, n_lines, on, live,
        n_live, step, key,
    )  # fmt: skip


@kernel(parallel=True)
def _update_parallel(
    w, planes, slopes, kind, std, by_pulse, x, d, lr, dw_min, max_bl, manage, manage_bl, step, key,
    xs, ds, lines, n_lines, on, live, events, chunks,
):  # fmt: skip
    samples, rows = x.shape[0], w.shape[0]
    for u in prange(chunks):
        c = np.int64(u)  # prange counts in uint64, and a product with int64 would be a float
        trains_chunk(
            c * samples // chunks, (c + 1) * samples // chunks, x, d, lr, dw_min, max_bl, manage,
            manage_bl, key, step, xs, ds, lines, n_lines, on, events[c],
        )  # fmt: skip
    if events[:, 4].any():
        return
    n_live = list_live(n_lines, live)
    for u in prange(chunks):
        c = np.int64(u)
        rows_chunk(
            c * rows // chunks, (c + 1) * rows // chunks, w, planes, slopes, kind, std, by_pulse, xs,
            ds, lines, n_lines, on, live, n_live, step, key,
        )  # fmt: skip


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor,
    touched: Tensor | None,
) -> None:  # fmt: skip
    """As `ops.pulsed_update_`."""
    elements = cells.elements[0]
    samples, cols = x.shape
    rows = w.shape[0]
    n_words = pulsing.words
    xs = np.empty((n_words, samples, cols), np.uint32)
    ds = np.empty((n_words, samples, rows), np.uint32)
    lines = np.empty((samples, cols), np.int32)
    n_lines, live = np.empty(samples, np.int64), np.empty(samples, np.int64)
    on = np.empty(samples, np.float64)
    # a transfer between arrays drives one line in a sample: the cells on it are all that there is to do
    workers = 1
    if samples * cols * rows >= PARALLEL_FROM and (workers := threads()) > 1 and samples <= FEW_SAMPLES:
        workers = workers if np.count_nonzero(x.numpy()) * rows >= PARALLEL_FROM else 1
    chunks = 1 if workers == 1 else 4 * workers
    counted = np.zeros((chunks, 5), np.int64)
    if elements.form == "table":
        from . import tables_update as tables  # compiled only where a table is met

        kernel = tables.update if workers == 1 else tables.update_parallel
        packed = tables.pack(elements)
    else:
        kernel, packed = _update if workers == 1 else _update_parallel, pack(elements)
    kernel(
        w.numpy(), *packed, pulsing.fidelity == "pulse-by-pulse", x.numpy(), d.numpy(),
        float(lr), elements.dw_min, pulsing.max_bl, pulsing.update_management, pulsing.bl_management,
        number(step), key_words(cells.keys[0]), xs, ds, lines, n_lines, on, live, counted, chunks,
    )  # fmt: skip
    total = counted[0] if chunks == 1 else counted.sum(0)
    if total[4]:
        raise_not_finite(x, d)
    events.numpy()[:] += total[:4]
    if touched is not None:
        from .counts import mark

        mark(xs, ds, lines, n_lines, touched.numpy())


def apply_counts_(
    w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor, events: Tensor | None, most: int
) -> None:
    """As `ops.apply_counts_`."""
    elements, given = cells.elements[0], counts.contiguous().numpy()
    up, down, low, high = add_up(given)
    if low < -most or high > most:
        raise_too_many(low, high, most)
    if fidelity == "mean":
        w.copy_(mean_counts(w, elements, counts))
    else:
        apply, packed = counts_rows, None
        if elements.form == "table":
            from . import tables_update as tables

            apply, packed = tables.counts_rows, tables.pack(elements)
        apply(
            w.numpy(), *(packed or pack(elements)), fidelity == "pulse-by-pulse", given, number(step),
            key_words(cells.keys[0]),
        )  # fmt: skip
    if events is not None:
        both = events.numpy()
        both[0] += up
        both[1] += down
