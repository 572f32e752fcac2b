"""One update of many arrays of one row each in Numba: runs, every one with its own device and key.

A run is to the bit what `cpu.pulsed_update` does to an array of one row with d = 1: the same kernels are
called, with the planes, the granularity and the key of the run. They hold no lock, so that whole batches
of runs can go to threads.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .cpu_dense import ADDITIVE, LOW31, MULTIPLICATIVE, QUIET, far_bound
from .cpu_given import counts_rows
from .cpu_math import kernel, lent, popcount
from .cpu_rows import apply_row, lend_scratch, row_scratch, sparse_cost
from .cpu_trains import bit_length, sample_trains, top
from .trains import SLOTS, Pulsing

__all__ = ["ADDITIVE", "MULTIPLICATIVE", "QUIET", "Packed", "change_runs", "count_runs", "pulse_runs"]

u32, f32 = np.uint32, np.float32


class Packed(NamedTuple):
    """Elements of T arrays of one row, as the kernels take them.

    planes: up, down, lower, upper, float32 (4, N): run t has `width[t]` values from `first[t]` on, n of
    them or 1 if its elements are alike. slopes: float64 (T, 2), none nearer zero than `FLAT`.
    kind: int64 (T,); std: float32 (T,); dw_min: float64 (T,); seed, array: uint32 (T,).
    """

    planes: np.ndarray
    first: np.ndarray
    width: np.ndarray
    slopes: np.ndarray
    kind: np.ndarray
    std: np.ndarray
    dw_min: np.ndarray
    seed: np.ndarray
    array: np.ndarray


@njit(inline="always")
def _row(plane, first, width):
    return plane[first : first + width].reshape((1, width))


@njit(inline="always")
def _rows(planes, first, width):
    return (
        _row(planes[0], first, width),
        _row(planes[1], first, width),
        _row(planes[2], first, width),
        _row(planes[3], first, width),
    )


@kernel()
def _pulse(w, e, x, lr, by_pulse, max_bl, manage, manage_bl, step, events):
    n, one = w.shape[1], np.int64(1)
    need = np.empty(w.shape[0], np.float64)
    most = one  # slots that any run takes; results do not depend on it
    for t in range(w.shape[0]):
        need[t] = np.float64(top(x[t])) * abs(lr[t]) / e.dw_min[t]
        if need[t] > 0.0:
            most = max(most, bit_length(need[t], max_bl, manage_bl))
    words = (most + SLOTS - 1) // SLOTS
    trains = (np.empty((words, 1, n), np.uint32), np.empty((words, 1, 1), np.uint32))
    lists = (
        np.empty((1, n), np.int32),
        np.zeros(1, np.int64),
        np.zeros(1, np.float64),
        np.zeros(1, np.int64),
    )
    work, count = np.empty((4, 4 * ((n + 3) // 4)), np.uint32), np.empty((4, most), np.int64)
    _pulse_each(
        w, e, x, np.ones((1, 1), np.float32), lr, need, by_pulse, max_bl, manage, manage_bl, step, events,
        trains, lists, work, count, row_scratch(n, one),
    )  # fmt: skip


@kernel()
def _pulse_each(
    w, e, x, d, lr, need, by_pulse, max_bl, manage, manage_bl, step, events, trains, lists, work, count,
    scratch,
):  # fmt: skip
    zero, one = np.int64(0), np.int64(1)
    w, x, d, work, count = lent(w), lent(x), lent(d), lent(work), lent(count)
    xs, ds = lent(trains[0]), lent(trains[1])
    lines, n_lines, on = lent(lists[0]), lent(lists[1]), lent(lists[2])
    own = lend_scratch(scratch, w.shape[1])
    own[11][0] = zero  # the one sample
    planes, first, width, slopes = lent(e.planes), lent(e.first), lent(e.width), lent(e.slopes)
    kind, std, dw_min = lent(e.kind), lent(e.std), lent(e.dw_min)
    seed, array = lent(e.seed), lent(e.array)
    for t in range(w.shape[0]):
        if need[t] == 0.0:
            continue
        xt, wt = x[t : t + 1], w[t : t + 1]
        q = (bit_length(need[t], max_bl, manage_bl) + SLOTS - 1) // SLOTS
        key = (seed[t], array[t])
        up, down, toggles, slots = sample_trains(
            zero, xt, d, lr[t], dw_min[t], max_bl, manage, manage_bl, key, step, xs[:q], ds[:q], lines,
            n_lines, on, work, count,
        )  # fmt: skip
        events[t, 0] += up
        events[t, 1] += down
        events[t, 2] += toggles
        events[t, 3] += slots
        if n_lines[0] == 0:
            continue
        fires = zero
        for i in range(q):
            fires += np.int64(popcount(u32(ds[i, 0, 0] & LOW31)))
        if fires > 0:
            apply_row(
                zero, wt, _rows(planes, first[t], width[t]), (slopes[t, 0], slopes[t, 1]), kind[t], std[t],
                by_pulse, xs[:q], ds[:q], lines, n_lines, one, sparse_cost(zero, fires, n_lines, on),
                step, key[0], key[1], own,
            )  # fmt: skip


@kernel()
def _count(w, e, counts, by_pulse, step):
    for t in range(w.shape[0]):
        planes = _rows(e.planes, e.first[t], e.width[t])
        counts_rows(
            w[t : t + 1], planes, (e.slopes[t, 0], e.slopes[t, 1]), e.kind[t], e.std[t], by_pulse, counts,
            step, (e.seed[t], e.array[t]),
        )  # fmt: skip


@kernel()
def _change(w, e, x, lr):
    for t in range(w.shape[0]):
        first, alike = e.first[t], e.width[t] == 1
        slope_up, slope_down, unit, rate = e.slopes[t, 0], e.slopes[t, 1], 1.0 / e.dw_min[t], lr[t]
        up, down, lower, upper = e.planes[0], e.planes[1], e.planes[2], e.planes[3]
        for j in range(w.shape[1]):
            i = first + (0 if alike else j)
            dw, wj = rate * x[t, j], w[t, j]
            high = far_bound(up[i], upper[i], f32(slope_up))
            low = far_bound(down[i], -lower[i], f32(slope_down))
            plus = up[i] * unit * (1.0 - slope_up * wj / high)
            minus = down[i] * unit * (1.0 + slope_down * wj / low)
            new = wj + dw * (plus if dw >= 0.0 else minus)
            w[t, j] = min(max(new, np.float64(lower[i])), np.float64(upper[i]))


def pulse_runs(
    w: np.ndarray,
    elements: Packed,
    x: np.ndarray,
    lr: np.ndarray,
    pulsing: Pulsing,
    step: int,
    events: np.ndarray,
) -> None:
    """One pulsed update of every run, in place, w[t] += lr[t] x[t] in expectation and to first order.

    Args:
        w: float32 (T, n); x: float32 (T, n), finite; lr: float64 (T,).
        step: address of the random numbers.
        events: int64 (T, 4), to which pulses up, pulses down, line toggles and slots are added.
    """
    settings = (
        pulsing.fidelity == "pulse-by-pulse", pulsing.max_bl, pulsing.update_management,
        pulsing.bl_management, u32(step & 0xFFFFFFFF), events,
    )  # fmt: skip
    _pulse(w, elements, x, lr, *settings)


def count_runs(w: np.ndarray, elements: Packed, counts: np.ndarray, fidelity: str, step: int) -> None:
    """Apply the signed pulse counts, int64 (1, n), to every run, in place."""
    by_pulse = fidelity == "pulse-by-pulse"
    _count(w, elements, counts, by_pulse, u32(step & 0xFFFFFFFF))


def change_runs(w: np.ndarray, elements: Packed, x: np.ndarray, lr: np.ndarray) -> None:
    """The discrete-time dynamics of every run, in place: w + dw F(w) - |dw| G(w), dw = lr x, clipped.

    Args:
        w: float64 (T, n); x: float64 (T, n); lr: float64 (T,).
    """
    _change(w, elements, x, lr)
