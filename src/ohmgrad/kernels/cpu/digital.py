"""A digital update in Numba: gradient, accumulator, whole pulses and elements, row by row in one pass.

The counts are those of `rounding`, to the bit, and the elements do what `reference.apply_counts` says.
The accumulator is streamed once; after that only cells that get pulses cost anything. For affine
elements at fidelity "pulsed".
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit, prange
from torch import Tensor, from_numpy

from ...devices import Elements
from ...rng import Key
from ..reference.digital import check_factors, most_counts
from .affine import QUIET, Z, is_coarse
from .affine_rows import AHEAD, event, replay
from .math import UPDATE_NOISE, as_int, gauss_list, kernel, philox, threads
from .packing import key_words, pack
from .pulses import PARALLEL_FROM

__all__ = ["digital_gradient", "digital_update", "stochastic_counts"]

u32, i32, f32 = np.uint32, np.int32, np.float32

ROUNDING = 45  # ohmgrad.rng.Purpose
#: what becomes of the accumulator: nothing, whole pulses that leave it, or pulses by chance
KEEP, WHOLE, STOCHASTIC = 0, 1, 2
LARGEST = f32(3.4028235e38)
#: cells of a row that are looked at together
BLOCK = 32


@njit(inline="always", error_model="numpy")
def _gradient_row(r, x, d, g):
    n = g.shape[0]
    for j in range(n):
        g[j] = f32(0)
    fours = 4 * (x.shape[0] // 4)
    for b in range(0, fours, 4):  # four samples for one load and store of g, added in their order
        d0, d1, d2, d3 = d[b, r], d[b + 1, r], d[b + 2, r], d[b + 3, r]
        if d0 != f32(0) or d1 != f32(0) or d2 != f32(0) or d3 != f32(0):
            for j in range(n):
                two = (g[j] + d0 * x[b, j]) + d1 * x[b + 1, j]
                g[j] = (two + d2 * x[b + 2, j]) + d3 * x[b + 3, j]
    for b in range(fours, x.shape[0]):
        last = d[b, r]
        if last != f32(0):
            for j in range(n):
                g[j] += last * x[b, j]


@njit(inline="always", error_model="numpy")
def _not_finite(t):
    bad = i32(0)
    for b in range(t.shape[0]):
        for j in range(t.shape[1]):
            bad |= i32(not abs(t[b, j]) <= LARGEST)
    return bad != i32(0)


@njit(inline="always", error_model="numpy")
def _finish(events, most):
    """Add up the chunks into the first; slots by columns join those by rows."""
    by_columns = np.int64(0)
    for j in range(most.shape[1]):
        top = f32(0)
        for c in range(most.shape[0]):
            top = max(top, most[c, j])
        by_columns += np.int64(top)
    for c in range(1, events.shape[0]):
        for i in range(3):
            events[0, i] += events[c, i]
    events[0, 2] = min(events[0, 2], by_columns)


@njit(inline="always", error_model="numpy")
def _round_row(r, v, limit, step, purpose, k0, k1, u, count):
    """Stochastic rounding of v, in pulses; u is scratch, padded to a multiple of four."""
    group = u.shape[0] // 4
    for i in range(group):
        a, b, c, d = philox(u32(i), u32(r), step, purpose, k0, k1)
        u[i], u[group + i] = i32(a >> u32(1)), i32(b >> u32(1))
        u[2 * group + i], u[3 * group + i] = i32(c >> u32(1)), i32(d >> u32(1))
    for j in range(v.shape[0]):
        size = abs(v[j])
        size = min(size, limit) if size == size else f32(0)  # no number is cast to an integer that is none
        low = np.floor(size)
        up = u[j] < i32((size - low) * f32(2.0**31))
        n = low + (f32(1) if up else f32(0))
        count[j] = n if v[j] > f32(0) else -n


@njit(inline="always", error_model="numpy")
def _list_row(count, columns, most):
    """Columns with pulses; raises `most`, the largest count of every column; returns how many."""
    k, n = 0, count.shape[0]
    for first in range(0, n, BLOCK):  # most blocks are silent, and to see that takes a few vectors
        block, bits = count[first : min(first + BLOCK, n)], i32(0)
        for j in range(block.shape[0]):
            bits = i32(bits | as_int(block[j]))
        if i32(bits & i32(0x7FFFFFFF)) != i32(0):  # 0 and -0 alike
            for j in range(block.shape[0]):
                if block[j] != f32(0):
                    columns[k] = first + j
                    k += 1
    for i in range(k):
        j = columns[i]
        most[j] = max(most[j], abs(count[j]))
    return k


@njit(inline="always", error_model="numpy")
def _apply_listed(r, w, planes, slopes, kind, std, k, columns, count, step, k0, k1, z, ahead, one):
    """Give the k listed cells of row r their pulses."""
    uniform = planes[0].size == 1
    row = 0 if uniform else r
    up, down = f32(slopes[0]), f32(slopes[1])
    if kind != QUIET:
        gauss_list(r, k, z.shape[0] // 4, step, UPDATE_NOISE, k0, k1, columns, z)
    for i in range(k):
        j = np.int64(columns[i])
        c = 0 if uniform else j
        n = i32(count[j])
        lower, upper, start = planes[2][row, c], planes[3][row, c], w[r, j]
        if n < i32(0):
            mean, var = event(-n, planes[1][row, c], -lower, down, f32(-1), kind, std, start, f32(0))
        else:
            mean, var = event(n, planes[0][row, c], upper, up, f32(1), kind, std, start, f32(0))
        again = is_coarse(planes[0][row, c], upper, up) or is_coarse(planes[1][row, c], -lower, down)
        if kind == QUIET and not again:
            w[r, j] = min(max(mean, lower), upper)
            continue
        room = Z * np.sqrt(var)
        if again or max(mean, start) + room > upper or min(mean, start) - room < lower:
            one[0] = np.int64(n)
            w[r, j] = replay(start, r, j, one, np.int64(1), planes, slopes, kind, std, step, k0, k1, ahead)
        else:
            w[r, j] = min(max(mean + np.sqrt(var) * z[i], lower), upper)


@kernel()
def _rows(
    begin, end, h, sends, mode, keep, gain, look_ahead, pulse, limit, w, planes, slopes, kind, std, x, d,
    step, key, events, most,
):  # fmt: skip
    k0, k1 = key[0], key[1]
    n, stored = w.shape[1], h.shape[0] > 0
    padded = 4 * ((n + 3) // 4)
    g, v, count = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    u, columns = np.empty(padded, np.int32), np.empty(n + 1, np.int32)
    z, ahead, one = np.empty(padded, np.float32), np.empty(AHEAD, np.float32), np.empty(1, np.int64)
    for r in range(begin, end):
        _gradient_row(r, x, d, g)
        if stored:
            for j in range(n):
                h[r, j] = keep * h[r, j] + gain * g[j]
        if mode == KEEP or sends[r] == 0:
            continue
        if mode == WHOLE:
            for j in range(n):
                whole = np.trunc(h[r, j] / pulse)
                whole = min(max(whole, -limit), limit) if whole == whole else f32(0)
                count[j] = whole
                h[r, j] -= whole * pulse
        else:
            if not stored:
                for j in range(n):
                    v[j] = pulse * (gain * g[j])
            elif look_ahead:
                for j in range(n):
                    v[j] = pulse * (g[j] + keep * h[r, j])
            else:
                for j in range(n):
                    v[j] = pulse * h[r, j]
            _round_row(r, v, limit, step, u32(ROUNDING), k0, k1, u, count)
        k = _list_row(count, columns, most)
        largest = f32(0)
        for i in range(k):
            one_count = count[columns[i]]
            largest = max(largest, abs(one_count))
            if one_count > f32(0):
                events[0] += np.int64(one_count)
            else:
                events[1] -= np.int64(one_count)
        events[2] += np.int64(largest)
        _apply_listed(r, w, planes, slopes, kind, std, k, columns, count, step, k0, k1, z, ahead, one)


@kernel()
def _update(
    chunks, h, sends, mode, keep, gain, look_ahead, pulse, limit, w, planes, slopes, kind, std, x, d, step,
    key, events, most,
):  # fmt: skip
    if _not_finite(x) or _not_finite(d):
        events[0, 3] = 1
        return
    _rows(
        np.int64(0), w.shape[0], h, sends, mode, keep, gain, look_ahead, pulse, limit, w, planes, slopes,
        kind, std, x, d, step, key, events[0], most[0],
    )  # fmt: skip
    _finish(events, most)


@kernel(parallel=True)
def _update_parallel(
    chunks, h, sends, mode, keep, gain, look_ahead, pulse, limit, w, planes, slopes, kind, std, x, d, step,
    key, events, most,
):  # fmt: skip
    if _not_finite(x) or _not_finite(d):
        events[0, 3] = 1
        return
    rows = w.shape[0]
    for i in prange(chunks):
        c = np.int64(i)
        _rows(
            c * rows // chunks, (c + 1) * rows // chunks, h, sends, mode, keep, gain, look_ahead, pulse,
            limit, w, planes, slopes, kind, std, x, d, step, key, events[c], most[c],
        )  # fmt: skip
    _finish(events, most)


def digital_update(
    w: Tensor,
    elements: Elements,
    h: Tensor | None,
    x: Tensor,
    d: Tensor,
    mode: int,
    keep: float,
    gain: float,
    look_ahead: bool,
    pulse: float,
    sends: np.ndarray,
    key: Key,
    step: int,
    limit: int | None = None,
) -> list[int]:
    """With g = sum_b d_b x_b^T: h' = keep h + gain g, and pulses from h' to the elements, in place.

    Args:
        w: weights (rows, cols), float32 and contiguous.
        h: accumulator likewise; None for none, and then gain g takes its place.
        x: (samples, cols); d: (samples, rows), float32 and contiguous.
        mode: KEEP sends nothing; WHOLE sends trunc(h' / pulse), which leaves h'; STOCHASTIC rounds
            pulse h' by chance.
        look_ahead: STOCHASTIC rounds pulse (g + keep h') instead.
        sends: uint8 (rows,), not 0 where a row may send.
        key, step: address of the random numbers.
        limit: largest number of pulses of an element; None for `most_counts`.

    Returns:
        Pulses up, pulses down, line toggles, slots, as `Tile.pulse_counts` counts them.

    Raises:
        InputError: when a value of x or d is not finite; nothing is changed then.
    """
    rows, cols = w.shape
    store = np.empty((0, 0), np.float32) if h is None else h.numpy()
    planes, slopes, kind, std = pack(elements)
    workers = threads() if x.shape[0] * rows * cols >= PARALLEL_FROM else 1
    chunks = 1 if workers == 1 else 4 * workers
    events, most = np.zeros((chunks, 4), np.int64), np.zeros((chunks, cols), np.float32)
    limit = limit or most_counts(elements)
    update = _update if workers == 1 else _update_parallel
    update(
        chunks, store, sends, mode, f32(keep), f32(gain), look_ahead, f32(pulse), f32(limit),
        w.numpy(), planes, slopes, kind, std, x.numpy(), d.numpy(), u32(step & 0xFFFFFFFF), key_words(key),
        events, most,
    )  # fmt: skip
    up, down, slots, bad = events[0].tolist()
    if bad:
        check_factors(x, d)
    return [up, down, slots + up + down, slots]


@kernel()
def _gradient(x, d, g):
    for r in range(g.shape[0]):
        _gradient_row(r, x, d, g[r])


def digital_gradient(x: Tensor, d: Tensor) -> Tensor:
    """As `ops.digital_gradient`.

    Args:
        x: (samples, cols); d: (samples, rows), float32 and contiguous.
    """
    g = np.empty((d.shape[1], x.shape[1]), np.float32)
    _gradient(x.numpy(), d.numpy(), g)
    return from_numpy(g)


@kernel()
def _counts(v, limit, step, purpose, key, n):
    cols = v.shape[1]
    u, count = np.empty(4 * ((cols + 3) // 4), np.int32), np.empty(cols, np.float32)
    for r in range(v.shape[0]):
        _round_row(r, v[r], limit, step, purpose, key[0], key[1], u, count)
        for j in range(cols):
            n[r, j] = np.int64(count[j])


def stochastic_counts(v: Tensor, key: Key, number: int, most: int, purpose: int = ROUNDING) -> Tensor:
    """As `rounding.stochastic_counts`, to the bit, for v float32 and contiguous."""
    n = np.empty(tuple(v.shape), np.int64)
    _counts(v.numpy(), f32(most), u32(number & 0xFFFFFFFF), u32(purpose), key_words(key), n)
    return from_numpy(n)
