"""One update of many arrays of one row each in Numba: runs, every one with its own device and key.

A run is to the bit what `cpu.pulsed_update` does to an array of one row: the same kernels are called, with
the planes, the granularity and the key of the run. They hold no lock, so that whole batches of runs can go
to threads.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..pulsing import SLOTS, Pulsing
from .affine import ADDITIVE, LOW31, MULTIPLICATIVE, QUIET, far_bound
from .affine_counts import counts_rows
from .affine_rows import apply_row, lend_scratch, row_scratch, sparse_cost
from .math import kernel, lent, popcount
from .trains import bit_length, sample_trains, top

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
def _longest(tops, d, lr, dw_min, max_bl, manage_bl):
    """Slots that the longest train of a run takes; 0 if it has none."""
    longest = np.int64(0)
    for b in range(d.shape[0]):
        need = np.float64(tops[b]) * np.float64(abs(d[b, 0])) * abs(lr) / dw_min
        if need > 0.0:
            longest = max(longest, bit_length(need, max_bl, manage_bl))
    return longest


@kernel()
def _pulse(w, e, x, d, lr, by_pulse, max_bl, manage, manage_bl, step, events):
    n, runs, samples = w.shape[1], d.shape[0], d.shape[1]
    tops = np.empty((x.shape[0], samples), np.float32)
    for i in range(x.shape[0]):
        for b in range(samples):
            tops[i, b] = top(x[i, b])
    slots = np.empty(runs, np.int64)
    most = np.int64(1)
    for t in range(runs):
        top_x = tops[t if x.shape[0] > 1 else 0]
        slots[t] = _longest(top_x, d[t], lr[t], e.dw_min[t], max_bl, manage_bl)
        most = max(most, slots[t])
    words = (most + SLOTS - 1) // SLOTS
    trains = (np.empty((words, samples, n), np.uint32), np.empty((words, samples, 1), np.uint32))
    lists = (np.empty((samples, n), np.int32), np.zeros(samples, np.int64), np.zeros(samples, np.float64))
    work, count = np.empty((4, 4 * ((n + 3) // 4)), np.uint32), np.empty((4, most), np.int64)
    _pulse_each(
        w, e, x, d, lr, slots, by_pulse, max_bl, manage, manage_bl, step, events, trains, lists, work, count,
        row_scratch(n, samples),
    )  # fmt: skip


@kernel()
def _pulse_each(
    w, e, x, d, lr, slots, by_pulse, max_bl, manage, manage_bl, step, events, trains, lists, work, count,
    scratch,
):  # fmt: skip
    zero = np.int64(0)
    w, x, d, work, count = lent(w), lent(x), lent(d), lent(work), lent(count)
    lines, n_lines, on = lent(lists[0]), lent(lists[1]), lent(lists[2])
    own = lend_scratch(scratch, w.shape[1])
    mine = own[11]
    planes, first, width, slopes = lent(e.planes), lent(e.first), lent(e.width), lent(e.slopes)
    kind, std, dw_min = lent(e.kind), lent(e.std), lent(e.dw_min)
    seed, array = lent(e.seed), lent(e.array)
    all_xs, all_ds = lent(trains[0]), lent(trains[1])
    for t in range(w.shape[0]):
        if slots[t] == 0:
            continue
        wt, xt, dt = w[t : t + 1], x[t if x.shape[0] > 1 else 0], d[t]
        # words that all trains of the run have; results do not depend on it
        q = (slots[t] + SLOTS - 1) // SLOTS
        xs, ds = all_xs[:q], all_ds[:q]
        key = (seed[t], array[t])
        n_mine, sparse = zero, 0.0
        for b in range(dt.shape[0]):
            up, down, toggles, bl = sample_trains(
                b, xt, dt, lr[t], dw_min[t], max_bl, manage, manage_bl, key, step, xs, ds, lines, n_lines,
                on, work, count,
            )  # fmt: skip
            events[t, 0] += up
            events[t, 1] += down
            events[t, 2] += toggles
            events[t, 3] += bl
            if n_lines[b] == 0:
                continue
            fires = zero
            for i in range(q):
                fires += np.int64(popcount(u32(ds[i, b, 0] & LOW31)))
            mine[n_mine] = b
            n_mine += 1
            sparse += sparse_cost(b, fires, n_lines, on)
        if n_mine > 0:
            apply_row(
                zero, wt, _rows(planes, first[t], width[t]), (slopes[t, 0], slopes[t, 1]), kind[t], std[t],
                by_pulse, xs, ds, lines, n_lines, n_mine, sparse, step, key[0], key[1], own,
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
def _change(w, e, x, d, lr):
    n = w.shape[1]
    rows = np.empty((2, n), np.float64)  # steps up and down at w = 0, in units of dw_min
    ends = np.empty((4, n), np.float64)  # bounds that the slopes refer to, and those that clip
    up, down, high, low, lower, upper = rows[0], rows[1], ends[0], ends[1], ends[2], ends[3]
    for t in range(w.shape[0]):
        first, alike = e.first[t], e.width[t] == 1
        slope_up, slope_down, unit = e.slopes[t, 0], e.slopes[t, 1], 1.0 / e.dw_min[t]
        for j in range(n):
            i = first + (0 if alike else j)
            plus, minus, bottom, ceiling = e.planes[0, i], e.planes[1, i], e.planes[2, i], e.planes[3, i]
            up[j], down[j], lower[j], upper[j] = plus * unit, minus * unit, bottom, ceiling
            high[j] = far_bound(plus, ceiling, f32(slope_up))
            low[j] = far_bound(minus, -bottom, f32(slope_down))
        wt, lines = w[t], x[t if x.shape[0] > 1 else 0]
        for b in range(d.shape[1]):
            rate = lr[t] * d[t, b]
            for j in range(n):
                dw, wj = rate * lines[b, j], wt[j]
                rising = up[j] * (1.0 - slope_up * wj / high[j])
                falling = down[j] * (1.0 + slope_down * wj / low[j])
                new = wj + dw * (rising if dw >= 0.0 else falling)
                wt[j] = min(max(new, lower[j]), upper[j])


def pulse_runs(
    w: np.ndarray,
    elements: Packed,
    x: np.ndarray,
    d: np.ndarray,
    lr: np.ndarray,
    pulsing: Pulsing,
    step: int,
    events: np.ndarray,
) -> None:
    """One pulsed update of every run, in place, w[t] += lr[t] sum_b d[t, b] x[t, b] in expectation and to
    first order.

    Args:
        w: float32 (T, n); lr: float64 (T,).
        x: float32 (1 or T, S, n), the lines of S samples of all runs or of each; d: float32 (T, S); finite.
        step: address of the random numbers.
        events: int64 (T, 4), to which pulses up, pulses down, line toggles and slots are added.
    """
    settings = (
        pulsing.fidelity == "pulse-by-pulse", pulsing.max_bl, pulsing.update_management,
        pulsing.bl_management, u32(step & 0xFFFFFFFF), events,
    )  # fmt: skip
    _pulse(w, elements, x, d[:, :, None], lr, *settings)


def count_runs(w: np.ndarray, elements: Packed, counts: np.ndarray, fidelity: str, step: int) -> None:
    """Apply the signed pulse counts, int64 (1, n), to every run, in place."""
    by_pulse = fidelity == "pulse-by-pulse"
    _count(w, elements, counts, by_pulse, u32(step & 0xFFFFFFFF))


def change_runs(w: np.ndarray, elements: Packed, x: np.ndarray, d: np.ndarray, lr: np.ndarray) -> None:
    """The discrete-time dynamics of every run, in place, sample by sample: w + dw F(w) - |dw| G(w), clipped,
    dw = lr[t] d[t, b] x[t, b].

    Args:
        w: float64 (T, n); lr: float64 (T,).
        x: float64 (1 or T, S, n); d: float64 (T, S).
    """
    _change(w, elements, x, d, lr)
