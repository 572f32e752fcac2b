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
from ..reference.groups import bound_of
from ..stacks import check_finite
from .affine import far_bound
from .affine_columns import single_columns
from .affine_counts import counts_rows
from .affine_group_rows import group_scratch, rows_in_groups
from .affine_groups import Groups, pack_words, plan
from .affine_rows import apply_row
from .affine_scratch import scratch_of
from .compiling import kernel, no_refcount
from .math import top
from .packing import FLAT, Address, Affine, How, how_of, key_words, noise_kind, number
from .trains import (
    Trains,
    bit_length,
    empty_trains,
    train_scratch,
    trains_chunk,
)

__all__ = ["apply_counts_", "apply_mean_", "pulsed_update_"]

u32, f32 = np.uint32, np.float32


class Stack(NamedTuple):
    """Elements of T arrays of (rows, cols), as the kernels take them."""

    #: up, down, lower, upper, float32 (4, T, rows * cols), or (4, T, 1)
    planes: np.ndarray
    #: bool (T,): arrays whose elements are alike, of which the first values hold for all
    alike: np.ndarray
    #: float64 (T, 2); int64 (T,); float32 (T,); float64 (T,); uint32 (T, 2)
    slopes: np.ndarray
    noise_kind: np.ndarray
    noise_std: np.ndarray
    dw_min: np.ndarray
    #: float64 (T, 2): limit and steepness, as in `Affine`
    bound: np.ndarray
    keys: np.ndarray


def _pack(cells: Cells) -> tuple:
    """The parts of `Stack`, kept with the cells."""
    if "numba" not in cells.packed:
        elements = cells.elements
        bounds = {id(e): bound_of(e) for e in {id(e): e for e in elements}.values()}
        cells.packed["numba"] = tuple(
            Stack(
                planes=cells.planes.flatten(2).numpy(),
                alike=np.array([e.up.numel() == 1 for e in elements]),
                slopes=np.array([(e.slope_up, e.slope_down) for e in elements], np.float64),
                noise_kind=np.array([noise_kind(e) for e in elements], np.int64),
                noise_std=np.array([e.noise_std for e in elements], np.float32),
                dw_min=cells.dw_min.numpy(),
                bound=np.array([bounds[id(e)] for e in elements], np.float64),
                keys=np.array([key_words(key) for key in cells.keys], np.uint32),
            )
        )
    return cells.packed["numba"]


@njit(inline="always")
def _slope(slope):
    """A slope that the collapse can divide by."""
    return f32(slope if abs(slope) >= FLAT else FLAT)


@njit(inline="always")
def _array(stack, t, rows, cols):
    """The elements of one array."""
    shape = (1, 1) if stack.alike[t] else (rows, cols)
    size = shape[0] * shape[1]
    return Affine(
        stack.planes[0, t, :size].reshape(shape), stack.planes[1, t, :size].reshape(shape),
        stack.planes[2, t, :size].reshape(shape), stack.planes[3, t, :size].reshape(shape),
        _slope(stack.slopes[t, 0]), _slope(stack.slopes[t, 1]), stack.noise_kind[t], stack.noise_std[t],
        stack.bound[t, 0], f32(stack.bound[t, 1]),
    )  # fmt: skip


@kernel()
def _pulse(w, elements, x, d, lr, how, step, events):
    """Whether all values are finite; nothing is changed if not. elements, how: parts of `Stack` and `How`."""
    if not (_finite(x) and _finite(d) and _finite(lr)):
        return False
    stack, settings = Stack(*elements), How(*how)
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
            need = np.float64(top_x) * np.float64(top_d) * abs(lr[t]) / stack.dw_min[t]
            if need > 0.0:
                slots[t] = max(slots[t], bit_length(need, settings.max_bl, settings.bl_management))
        longest = max(longest, slots[t])
    trains = empty_trains((longest + SLOTS - 1) // SLOTS, samples, rows, cols)
    scratch = (train_scratch(max(rows, cols), longest, samples), scratch_of(cols, samples))
    _pulse_arrays(w, stack, (x, d, lr, slots), settings, step, events, trains, scratch)
    return True


@kernel()
def _pulse_arrays(w, stack, given, how, step, events, trains, scratch):
    """given: x, d, learning rate and slots of each array; scratch: of trains, and of a row."""
    w, stack, held = no_refcount((w, stack, trains))
    (x, d, lr, slots), (of_trains, of_row) = no_refcount((given, scratch))
    counted = np.empty(5, np.int64)
    for t in range(w.shape[0]):
        if slots[t] == 0:
            continue
        wt, xt, dt = w[t], x[t if x.shape[0] > 1 else 0], d[t]
        # words that all trains of the array have; results do not depend on it
        q = (slots[t] + SLOTS - 1) // SLOTS
        all_trains = Trains(
            held.xs[:q], held.ds[:q], held.lines, held.n_lines, held.mean_active_lines, held.slots,
            held.pairs, held.active_samples,
        )  # fmt: skip
        settings = How(
            lr[t], stack.dw_min[t], how.max_bl, how.update_management, how.bl_management, how.by_pulse,
            how.strict, 1,
        )  # fmt: skip
        address = Address(step, stack.keys[t, 0], stack.keys[t, 1])
        n, counted[:] = np.int64(0), 0
        trains_chunk(0, dt.shape[0], xt, dt, settings, address, all_trains, counted, of_trains)
        for i in range(4):
            events[t, i] += counted[i]
        for b in range(dt.shape[0]):
            if held.n_lines[b] > 0:  # listed here, as arrays that a call returns count references
                held.active_samples[n] = b
                n += 1
        if n == 0:
            continue
        own = Trains(
            held.xs[:q], held.ds[:q], held.lines, held.n_lines, held.mean_active_lines, held.slots,
            held.pairs, held.active_samples[:n],
        )  # fmt: skip
        affine = no_refcount(_array(stack, t, wt.shape[0], wt.shape[1]))
        in_order = how.by_pulse or how.strict or single_columns(wt.shape[1], own)
        groups = Groups(*plan(own, counted[0] + counted[1], wt.shape[0], 0.0 if in_order else affine.limit))
        if groups.size > 1:
            pack_words(0, groups.first[groups.first.shape[0] - 1], own, groups)
            of_groups = group_scratch(wt.shape[1], n, groups.parts.shape[0])
            rows_in_groups(0, wt.shape[0], wt, affine, own, groups, address, of_groups)
        else:
            for row in range(wt.shape[0]):
                apply_row(np.int64(row), wt, affine, own, how.by_pulse, address, of_row)


@kernel()
def _count(w, elements, counts, by_pulse, step):
    stack, scratch = Stack(*elements), scratch_of(w.shape[2], 1)
    for t in range(w.shape[0]):
        given = counts[t if counts.shape[0] > 1 else 0]
        address = Address(step, stack.keys[t, 0], stack.keys[t, 1])
        counts_rows(w[t], _array(stack, t, w.shape[1], w.shape[2]), by_pulse, given, address, scratch)


@kernel()
def _finite(values):
    flat, finite = values.ravel(), True
    for i in range(flat.size):
        finite &= abs(flat[i]) < np.inf  # false for NaN, too
    return finite


@kernel()
def _change(w, elements, x, d, lr):
    """Whether all values are finite; nothing is changed if not."""
    if not (_finite(x) and _finite(d) and _finite(lr)):
        return False
    e = Stack(*elements)
    w, x, planes, n = no_refcount(w), no_refcount(x), no_refcount(e.planes), w.shape[2]
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
    how = how_of(pulsing, 0.0, cells)  # arrays have their own rate and granularity
    finite = _pulse(
        w.numpy(), _pack(cells), x.numpy(), d.numpy(), lr.numpy(), how, number(step), events.numpy()
    )
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
