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
from .affine import far_bound
from .affine_counts import counts_rows
from .affine_rows import apply_row, scratch_of
from .compiling import kernel, no_refcount
from .packing import ADDITIVE, MULTIPLICATIVE, NOISELESS, Address, Affine, How
from .trains import Trains, bit_length, empty_trains, sample_trains, top, train_scratch

__all__ = ["ADDITIVE", "MULTIPLICATIVE", "NOISELESS", "Packed", "change_runs", "count_runs", "pulse_runs"]

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
def _elements(e, t):
    """The elements of one array."""
    first, width = e.first[t], e.width[t]
    return Affine(
        _row(e.planes[0], first, width), _row(e.planes[1], first, width), _row(e.planes[2], first, width),
        _row(e.planes[3], first, width), f32(e.slopes[t, 0]), f32(e.slopes[t, 1]), e.kind[t], e.std[t],
    )  # fmt: skip


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
def _pulse(w, e, x, d, lr, how, step, events):
    n, runs, samples = w.shape[1], d.shape[0], d.shape[1]
    tops = np.empty((x.shape[0], samples), np.float32)
    for i in range(x.shape[0]):
        for b in range(samples):
            tops[i, b] = top(x[i, b])
    slots = np.empty(runs, np.int64)
    most = np.int64(1)
    for t in range(runs):
        top_x = tops[t if x.shape[0] > 1 else 0]
        slots[t] = _longest(top_x, d[t], lr[t], e.dw_min[t], how.max_bl, how.bl_management)
        most = max(most, slots[t])
    trains = empty_trains((most + SLOTS - 1) // SLOTS, samples, 1, n)
    scratch = (train_scratch(n, most), scratch_of(n, samples))
    _pulse_each(w, e, x, d, lr, slots, how, step, events, trains, scratch)


@kernel()
def _pulse_each(w, e, x, d, lr, slots, how, step, events, trains, scratch):
    zero = np.int64(0)
    w, e, x, d = no_refcount(w), no_refcount(e), no_refcount(x), no_refcount(d)
    held, (of_trains, of_row) = no_refcount(trains), no_refcount(scratch)
    for t in range(w.shape[0]):
        if slots[t] == 0:
            continue
        wt, xt, dt = w[t : t + 1], x[t if x.shape[0] > 1 else 0], d[t]
        # words that all trains of the run have; results do not depend on it
        q, n = (slots[t] + SLOTS - 1) // SLOTS, zero
        xs, ds, active = held.xs[:q], held.ds[:q], held.active_samples
        lists = Trains(xs, ds, held.lines, held.n_lines, held.mean_active_lines, active)
        settings = How(
            lr[t], e.dw_min[t], how.max_bl, how.update_management, how.bl_management, how.by_pulse, 1
        )
        address = Address(step, e.seed[t], e.array[t])
        for b in range(dt.shape[0]):
            up, down, toggles, bl = sample_trains(b, xt, dt, settings, address, lists, of_trains)
            events[t, 0] += up
            events[t, 1] += down
            events[t, 2] += toggles
            events[t, 3] += bl
            active[n] = b
            n += 1 if held.n_lines[b] > 0 else 0
        own = Trains(xs, ds, held.lines, held.n_lines, held.mean_active_lines, active[:n])
        apply_row(zero, wt, _elements(e, t), own, how.by_pulse, address, of_row)


@kernel()
def _count(w, e, counts, by_pulse, step):
    scratch = scratch_of(w.shape[1], 1)
    for t in range(w.shape[0]):
        address = Address(step, e.seed[t], e.array[t])
        counts_rows(w[t : t + 1], _elements(e, t), by_pulse, counts, address, scratch)


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
    how = How(
        0.0, 0.0, pulsing.max_bl, pulsing.update_management, pulsing.bl_management,
        pulsing.fidelity == "pulse-by-pulse", 1,
    )  # fmt: skip
    _pulse(w, elements, x, d[:, :, None], lr, how, u32(step & 0xFFFFFFFF), events)


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
