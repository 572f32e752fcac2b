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

from types import ModuleType

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...devices import Elements
from ...rng import Key
from ..pulsing import Pulsing
from .affine import ADDITIVE, FLAT, MULTIPLICATIVE, QUIET, far_bound
from .affine_columns import columns_chunk, single_columns
from .affine_counts import counts_rows
from .affine_rows import rows_chunk
from .math import kernel, threads
from .trains import trains_chunk

__all__ = ["apply_counts", "change", "list_live", "pulsed_update", "trains"]

u32, f32 = np.uint32, np.float32

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


@kernel()
def list_live(n_lines, live):
    n = 0
    for b in range(n_lines.shape[0]):
        live[n] = b
        n += 1 if n_lines[b] > 0 else 0
    return n


@kernel()
def _change(w, planes, slopes, x, d, lr, dw_min):
    for r in range(w.shape[0]):
        _change_row(r, w, planes, slopes, x, d, lr, dw_min)


@kernel(parallel=True)
def _change_parallel(w, planes, slopes, x, d, lr, dw_min):
    for u in prange(w.shape[0]):
        _change_row(np.int64(u), w, planes, slopes, x, d, lr, dw_min)


@kernel()
def _change_row(r, w, planes, slopes, x, d, lr, dw_min):
    n = w.shape[1]
    uniform = planes[0].size == 1
    up, down = np.empty(n, np.float32), np.empty(n, np.float32)
    tilt_up, tilt_down = np.empty(n, np.float32), np.empty(n, np.float32)
    lower, upper = np.empty(n, np.float32), np.empty(n, np.float32)
    row = 0 if uniform else r
    lower[:], upper[:] = planes[2][row], planes[3][row]
    for j in range(n):
        q = 0 if uniform else j
        up[j], down[j] = planes[0][row, q] / f32(dw_min), planes[1][row, q] / f32(dw_min)
        s, t = f32(slopes[0]), f32(slopes[1])
        tilt_up[j] = -up[j] * s / far_bound(planes[0][row, q], upper[j], s)
        tilt_down[j] = down[j] * t / far_bound(planes[1][row, q], -lower[j], t)
    for b in range(x.shape[0]):
        g = f32(lr) * d[b, r]
        if g != f32(0):
            for j in range(n):
                dw, wj = g * x[b, j], w[r, j]
                a, c = up[j] + tilt_up[j] * wj, down[j] + tilt_down[j] * wj
                w[r, j] = min(max(wj + dw * (a if dw >= f32(0) else c), lower[j]), upper[j])


def _pack(elements: Elements) -> tuple:
    """Planes, slopes, kind of noise and its strength, as the kernels take them; kept with the elements."""
    if "numba" not in elements.packed:
        planes = (elements.up, elements.down, elements.lower, elements.upper)
        slopes = (elements.slope_up, elements.slope_down)
        kind = ADDITIVE if elements.noise == "additive" else MULTIPLICATIVE
        elements.packed["numba"] = (
            tuple(plane.numpy() for plane in planes),
            tuple(s if abs(s) >= FLAT else FLAT for s in slopes),
            kind if elements.noise_std else QUIET,
            f32(elements.noise_std),
        )
    return elements.packed["numba"]


def _tables() -> ModuleType:
    from . import tables_update as cpu_table_update  # compiled only where a table is met

    return cpu_table_update


def _key(key: Key) -> tuple[np.uint32, np.uint32]:
    return u32(key.seed & 0xFFFFFFFF), u32(key.array & 0xFFFFFFFF)


def pulsed_update(
    w: Tensor, elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int,
    touched: Tensor | None = None,
) -> list[int]:  # fmt: skip
    """As `reference.pulsed_update`, in place on a contiguous float32 `w`; `touched`: see `pulsed_update_`.

    Returns the events, and one number more: not 0 if x or d had a value that is not finite, in which
    case the weights are as before.
    """
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
    events = np.zeros((chunks, 5), np.int64)
    if elements.form == "table":
        tables = _tables()
        kernel = tables.update if workers == 1 else tables.update_parallel
        packed = tables.pack(elements)
    else:
        kernel, packed = _update if workers == 1 else _update_parallel, _pack(elements)
    kernel(
        w.numpy(), *packed, pulsing.fidelity == "pulse-by-pulse", x.numpy(), d.numpy(),
        float(lr), elements.dw_min, pulsing.max_bl, pulsing.update_management, pulsing.bl_management,
        u32(step & 0xFFFFFFFF), _key(key), xs, ds, lines, n_lines, on, live, events, chunks,
    )  # fmt: skip
    total = (events[0] if chunks == 1 else events.sum(0)).tolist()
    if touched is not None and not total[-1]:
        from .counts import mark

        mark(xs, ds, lines, n_lines, touched.numpy())
    return total


def trains(
    x: Tensor, d: Tensor, lr: float, dw_min: float, pulsing: Pulsing, key: Key, step: int
) -> tuple[Tensor, Tensor]:
    """The words that an update draws, as int64 tensors; x-lines of a sample without d-fires are 0."""
    n_words, samples = pulsing.words, x.shape[0]
    xs = np.zeros((n_words, samples, x.shape[1]), np.uint32)
    ds = np.zeros((n_words, samples, d.shape[1]), np.uint32)
    trains_chunk(
        0, samples, x.numpy(), d.numpy(), float(lr), dw_min, pulsing.max_bl,
        pulsing.update_management, pulsing.bl_management, _key(key), u32(step), xs, ds,
        np.empty(x.shape, np.int32), np.empty(samples, np.int64), np.empty(samples), np.zeros(5, np.int64),
    )  # fmt: skip
    return torch.from_numpy(xs.astype(np.int64)), torch.from_numpy(ds.astype(np.int64))


def apply_counts(w: Tensor, elements: Elements, counts: Tensor, fidelity: str, key: Key, step: int) -> None:
    """As `reference.apply_counts` for one sample, counts int64 (rows, cols); in place."""
    apply, packed = counts_rows, None
    if elements.form == "table":
        apply, packed = _tables().counts_rows, _tables().pack(elements)
    apply(
        w.numpy(), *(packed or _pack(elements)), fidelity == "pulse-by-pulse", counts.contiguous().numpy(),
        u32(step & 0xFFFFFFFF), _key(key),
    )  # fmt: skip


def change(w: Tensor, elements: Elements, x: Tensor, d: Tensor, lr: float) -> None:
    """As `reference.change`, in place on a contiguous float32 `w`."""
    spread = x.numel() * w.shape[0] >= PARALLEL_FROM and threads() > 1
    if elements.form == "table":
        tables = _tables()
        change_table = tables.change_parallel if spread else tables.change
        packed = tables.pack(elements)[0]
        change_table(w.numpy(), packed, x.numpy(), d.numpy(), float(lr), elements.dw_min)
        return
    planes, slopes, _, _ = _pack(elements)
    change_rows = _change_parallel if spread else _change
    change_rows(w.numpy(), planes, slopes, x.numpy(), d.numpy(), float(lr), elements.dw_min)
