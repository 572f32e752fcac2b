"""Operations on a stack of T arrays of affine elements in Numba, each array with its own elements and key.

An array is to the bit what the operation does to it alone: the same kernels are called with its planes, its
granularity and its key. They hold no lock, so that blocks of a stack can go to threads.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from torch import Tensor

from ..cells import Cells
from ..pulsing import SLOTS, Pulsing
from ..stacks import check_finite
from .affine import ADDITIVE, FLAT, LOW31, MULTIPLICATIVE, QUIET, far_bound
from .affine_counts import counts_rows
from .affine_rows import apply_row, lend_scratch, row_scratch, sparse_cost
from .math import kernel, lent, popcount
from .packing import key_words, number
from .trains import bit_length, sample_trains, top

__all__ = ["apply_counts_", "apply_mean_", "pulsed_update_"]

u32, f32 = np.uint32, np.float32


class Packed(NamedTuple):
    """Elements of T arrays of (rows, cols), as the kernels take them.

    planes: up, down, lower, upper, float32 (4, T, rows * cols), or (4, T, 1). alike: bool (T,), arrays whose
    elements are alike, of which the first values hold for all. slopes: float64 (T, 2). kind: int64 (T,);
    std: float32 (T,); dw_min: float64 (T,); keys: uint32 (T, 2).
    """

    planes: np.ndarray
    alike: np.ndarray
    slopes: np.ndarray
    kind: np.ndarray
    std: np.ndarray
    dw_min: np.ndarray
    keys: np.ndarray


def _pack(cells: Cells) -> Packed:
    """The elements, kept with the cells."""
    if "numba" not in cells.packed:
        elements = cells.elements
        kinds = {"additive": ADDITIVE, "multiplicative": MULTIPLICATIVE}
        cells.packed["numba"] = Packed(
            planes=cells.planes.flatten(2).numpy(),
            alike=np.array([e.up.numel() == 1 for e in elements]),
            slopes=np.array([(e.slope_up, e.slope_down) for e in elements], np.float64),
            kind=np.array([kinds[e.noise] if e.noise_std else QUIET for e in elements], np.int64),
            std=np.array([e.noise_std for e in elements], np.float32),
            dw_min=cells.dw_min.numpy(),
            keys=np.array([key_words(key) for key in cells.keys], np.uint32),
        )
    return cells.packed["numba"]


@njit(inline="always")
def _planes_of(planes, alike, t, rows, cols):
    """The four planes of one array, (rows, cols) or (1, 1)."""
    shape = (1, 1) if alike[t] else (rows, cols)
    size = shape[0] * shape[1]
    return (
        planes[0, t, :size].reshape(shape),
        planes[1, t, :size].reshape(shape),
        planes[2, t, :size].reshape(shape),
        planes[3, t, :size].reshape(shape),
    )


@njit(inline="always")
def _slope(slope):
    """A slope that the collapse can divide by."""
    return slope if abs(slope) >= FLAT else FLAT


@kernel()
def _pulse(w, e, x, d, lr, by_pulse, max_bl, manage, manage_bl, step, events):
    """Whether all values are finite; nothing is changed if not."""
    if not (_finite(x) and _finite(d) and _finite(lr)):
        return False
    arrays, rows, cols = w.shape
    samples = d.shape[1]
    tops = np.empty((x.shape[0], samples), np.float32)
    for i in range(x.shape[0]):
        for b in range(samples):
            tops[i, b] = top(x[i, b])
    slots = np.zeros(arrays, np.int64)  # that the longest train of each array takes
    longest = np.int64(1)
    for t in range(arrays):
        for b in range(samples):
            top_d = f32(0)
            for r in range(rows):
                top_d = max(top_d, abs(d[t, b, r]))
            top_x = tops[t if x.shape[0] > 1 else 0, b]
            need = np.float64(top_x) * np.float64(top_d) * abs(lr[t]) / e.dw_min[t]
            if need > 0.0:
                slots[t] = max(slots[t], bit_length(need, max_bl, manage_bl))
        longest = max(longest, slots[t])
    words, lines = (longest + SLOTS - 1) // SLOTS, max(rows, cols)
    trains = (np.empty((words, samples, cols), np.uint32), np.empty((words, samples, rows), np.uint32))
    lists = (np.empty((samples, cols), np.int32), np.zeros(samples, np.int64), np.empty(samples, np.int64))
    work, count = np.empty((4, 4 * ((lines + 3) // 4)), np.uint32), np.empty((4, longest), np.int64)
    _pulse_arrays(
        w, e, x, d, lr, slots, by_pulse, max_bl, manage, manage_bl, step, events, trains, lists,
        np.zeros(samples, np.float64), work, count, row_scratch(cols, samples),
    )  # fmt: skip
    return True


@kernel()
def _pulse_arrays(
    w, e, x, d, lr, slots, by_pulse, max_bl, manage, manage_bl, step, events, trains, lists,
    mean_active_lines, work, count, scratch,
):  # fmt: skip
    zero = np.int64(0)
    w, x, d, work, count = lent(w), lent(x), lent(d), lent(work), lent(count)
    lines, n_lines, active_samples = lent(lists[0]), lent(lists[1]), lent(lists[2])
    mean_active_lines, scratch_of_row = lent(mean_active_lines), lend_scratch(scratch, w.shape[2])
    row_samples = scratch_of_row[11]
    planes, alike, slopes = lent(e.planes), lent(e.alike), lent(e.slopes)
    kind, std, dw_min, keys = lent(e.kind), lent(e.std), lent(e.dw_min), lent(e.keys)
    all_xs, all_ds = lent(trains[0]), lent(trains[1])
    for t in range(w.shape[0]):
        if slots[t] == 0:
            continue
        wt, xt, dt = w[t], x[t if x.shape[0] > 1 else 0], d[t]
        # words that all trains of the array have; results do not depend on it
        q = (slots[t] + SLOTS - 1) // SLOTS
        xs, ds = all_xs[:q], all_ds[:q]
        key = (keys[t, 0], keys[t, 1])
        n_active = zero
        for b in range(dt.shape[0]):
            up, down, toggles, bl = sample_trains(
                b, xt, dt, lr[t], dw_min[t], max_bl, manage, manage_bl, key, step, xs, ds, lines, n_lines,
                mean_active_lines, work, count,
            )  # fmt: skip
            events[t, 0] += up
            events[t, 1] += down
            events[t, 2] += toggles
            events[t, 3] += bl
            if n_lines[b] > 0:
                active_samples[n_active] = b
                n_active += 1
        if n_active == 0:
            continue
        own = _planes_of(planes, alike, t, wt.shape[0], wt.shape[1])
        slope = (_slope(slopes[t, 0]), _slope(slopes[t, 1]))
        for row in range(wt.shape[0]):
            r, n_samples, sparse = np.int64(row), zero, 0.0
            for i in range(n_active):
                b, fires = active_samples[i], zero
                for k in range(q):
                    fires += np.int64(popcount(u32(ds[k, b, r] & LOW31)))
                if fires > 0:
                    row_samples[n_samples] = b
                    n_samples += 1
                    sparse += sparse_cost(b, fires, n_lines, mean_active_lines)
            if n_samples > 0:
                apply_row(
                    r, wt, own, slope, kind[t], std[t], by_pulse, xs, ds, lines, n_lines, n_samples, sparse,
                    step, key[0], key[1], scratch_of_row,
                )  # fmt: skip


@kernel()
def _count(w, e, counts, by_pulse, step):
    for t in range(w.shape[0]):
        own = _planes_of(e.planes, e.alike, t, w.shape[1], w.shape[2])
        slope = (_slope(e.slopes[t, 0]), _slope(e.slopes[t, 1]))
        given = counts[t if counts.shape[0] > 1 else 0]
        key = (e.keys[t, 0], e.keys[t, 1])
        counts_rows(w[t], own, slope, e.kind[t], e.std[t], by_pulse, given, step, key)


@kernel()
def _finite(values):
    flat, finite = values.ravel(), True
    for i in range(flat.size):
        finite &= abs(flat[i]) < np.inf  # false for NaN, too
    return finite


@kernel()
def _change(w, e, x, d, lr):
    """Whether all values are finite; nothing is changed if not."""
    if not (_finite(x) and _finite(d) and _finite(lr)):
        return False
    w, x, planes, n = lent(w), lent(x), lent(e.planes), w.shape[2]
    rows = np.empty((2, n), np.float64)  # steps up and down at w = 0, in units of dw_min
    ends = np.empty((4, n), np.float64)  # bounds that the slopes refer to, and those that clip
    up, down, high, low, lower, upper = rows[0], rows[1], ends[0], ends[1], ends[2], ends[3]
    for t in range(w.shape[0]):
        slope_up, slope_down, unit = e.slopes[t, 0], e.slopes[t, 1], 1.0 / e.dw_min[t]
        lines, alike = x[t if x.shape[0] > 1 else 0], e.alike[t]
        ups, downs, lowers, uppers = planes[0, t], planes[1, t], planes[2, t], planes[3, t]
        for r in range(w.shape[1]):
            for j in range(n):
                i = 0 if alike else r * n + j
                plus, minus, bottom, ceiling = ups[i], downs[i], lowers[i], uppers[i]
                up[j], down[j], lower[j], upper[j] = plus * unit, minus * unit, bottom, ceiling
                high[j] = far_bound(plus, ceiling, f32(slope_up))
                low[j] = far_bound(minus, -bottom, f32(slope_down))
            row = w[t, r]
            for b in range(d.shape[1]):
                rate = lr[t] * d[t, b, r]
                for j in range(n):
                    dw, wj = rate * lines[b, j], row[j]
                    rising = up[j] * (1.0 - slope_up * wj / high[j])
                    falling = down[j] * (1.0 + slope_down * wj / low[j])
                    new = wj + dw * (rising if dw >= 0.0 else falling)
                    row[j] = min(max(new, lower[j]), upper[j])
    return True


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: Tensor, pulsing: Pulsing, step: Tensor, events: Tensor
) -> None:
    """As `ops.pulsed_update_` of a stack.

    Args:
        w: float32 (T, rows, cols); lr: float64 (T,); events: int64 (T, 4).
        x: float32 (1 or T, samples, cols); d: float32 (T, samples, rows).
    """
    finite = _pulse(
        w.numpy(), _pack(cells), x.numpy(), d.numpy(), lr.numpy(), pulsing.fidelity == "pulse-by-pulse",
        pulsing.max_bl, pulsing.update_management, pulsing.bl_management, number(step), events.numpy(),
    )  # fmt: skip
    if not finite:
        check_finite(x, d, lr)


def apply_counts_(w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor) -> None:
    """As `ops.apply_counts_` of a stack, without its events; counts: int64 (1 or T, rows, cols)."""
    by_pulse = fidelity == "pulse-by-pulse"
    _count(w.numpy(), _pack(cells), counts.contiguous().numpy(), by_pulse, number(step))


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: Tensor) -> None:
    """As `ops.apply_mean_` of a stack.

    Args:
        w: float64 (T, rows, cols); lr: float64 (T,).
        x: float64 (1 or T, samples, cols); d: float64 (T, samples, rows).
    """
    if not _change(w.numpy(), _pack(cells), x.numpy(), d.numpy(), lr.numpy()):
        check_finite(x, d, lr)
