"""Stochastic pulse trains in Numba: the words of `reference.trains.pulse_trains`, bit for bit."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ..cells import Cells
from ..pulsing import WHOLE, Pulsing
from .math import as_float, as_int, kernel, philox
from .packing import key_words, number

__all__ = ["bit_length", "draw_trains", "list_live", "sample_trains", "top", "trains_chunk"]

u32, i32, f32 = np.uint32, np.int32, np.float32

#: lines up to which a sample's trains are drawn one block after the other
FEW = 40
#: lines that are not zero, among more than `FEW`, up to which they alone are drawn
FEW_DRIVEN = 4
X_TRAIN, D_TRAIN = 1, 2  # ohmgrad.rng.Purpose


@njit(inline="always")
def _threshold(value, gain):
    """Largest word at which a line fires, and whether it can fire at all (0 or 1)."""
    level = gain * abs(value) * f32(4294967296.0)
    below = u32(u32(min(level, f32(4294967040.0))) - u32(1))
    limit = u32(0xFFFFFFFF) if level >= f32(4294967296.0) else below
    return limit, u32(1) if level >= f32(1) else u32(0)


@kernel()
def _draw_few(values, gain, flip, bl, sample, step, purpose, k0, k1, out, pos, neg):
    """As `_draw_lines`, for few lines and at most 31 slots: no vectors, and silent lines cost nothing."""
    n = values.shape[0]
    group = (n + 3) // 4
    for t in range(bl):
        pos[t], neg[t] = 0, 0
    total = 0
    for g in range(group):
        h, i, j = g + group, g + 2 * group, g + 3 * group
        lg, ag = _threshold(values[g], gain)
        lh, ah = _threshold(values[h] if h < n else f32(0), gain)
        li, ai = _threshold(values[i] if i < n else f32(0), gain)
        lj, aj = _threshold(values[j] if j < n else f32(0), gain)
        wg, wh, wi, wj = u32(0), u32(0), u32(0), u32(0)
        if ag | ah | ai | aj:
            sg = u32((values[g] < f32(0)) != (flip != 0))
            sh = u32(h < n and (values[h] < f32(0)) != (flip != 0))
            si = u32(i < n and (values[i] < f32(0)) != (flip != 0))
            sj = u32(j < n and (values[j] < f32(0)) != (flip != 0))
            for t in range(bl):
                a, b, c, d = philox(u32(g), sample, step, u32(u32(purpose) | u32(t << 8)), k0, k1)
                fa, fb = u32(ag & u32(a <= lg)), u32(ah & u32(b <= lh))
                fc, fd = u32(ai & u32(c <= li)), u32(aj & u32(d <= lj))
                wg, wh = u32(wg | u32(fa << u32(t))), u32(wh | u32(fb << u32(t)))
                wi, wj = u32(wi | u32(fc << u32(t))), u32(wj | u32(fd << u32(t)))
                fires = np.int64(fa) + np.int64(fb) + np.int64(fc) + np.int64(fd)
                down = np.int64(fa & sg) + np.int64(fb & sh) + np.int64(fc & si) + np.int64(fd & sj)
                pos[t] += fires - down
                neg[t] += down
                total += fires
            wg = u32(wg | u32(sg << u32(31))) if wg else wg
            wh = u32(wh | u32(sh << u32(31))) if wh else wh
            wi = u32(wi | u32(si << u32(31))) if wi else wi
            wj = u32(wj | u32(sj << u32(31))) if wj else wj
        out[g] = wg
        if h < n:
            out[h] = wh
        if i < n:
            out[i] = wi
        if j < n:
            out[j] = wj
    return total


@kernel()
def _draw_lines(values, gain, flip, bl, sample, step, purpose, k0, k1, work, out, pos, neg):
    """Trains of the lines of one sample; counts fires per slot and sign; returns their number.

    work: uint32 (4, >= 4 ceil(n/4)); out: uint32 (words, n); pos, neg: int64 (>= bl).
    """
    n = values.shape[0]
    if n <= FEW and out.shape[0] == 1:
        return _draw_few(values, gain, flip, bl, sample, step, purpose, k0, k1, out[0], pos, neg)
    group = (n + 3) // 4
    limit, active, sign, word = work[0], work[1], work[2], work[3]
    any_active = u32(0)
    for i in range(n):
        limit[i], active[i] = _threshold(values[i], gain)
        any_active |= active[i]
        sign[i] = u32(1) if (values[i] < f32(0)) != (flip != 0) else u32(0)
    for i in range(n, 4 * group):
        limit[i] = u32(0)
        active[i] = u32(0)
        sign[i] = u32(0)
    for w in range(out.shape[0]):
        for i in range(n):
            out[w, i] = u32(0)
    if any_active == u32(0):
        return 0
    total = 0
    for w in range((bl + 30) // 31):
        for i in range(4 * group):
            word[i] = u32(0)
        for t in range(31 * w, min(bl, 31 * w + 31)):
            bit = u32(t - 31 * w)
            address = u32(u32(purpose) | u32(t << 8))
            fires = u32(0)
            down = u32(0)
            for g in range(group):
                a, b, c, d = philox(u32(g), sample, step, address, k0, k1)
                fa = u32(active[g] & u32(a <= limit[g]))
                fb = u32(active[g + group] & u32(b <= limit[g + group]))
                fc = u32(active[g + 2 * group] & u32(c <= limit[g + 2 * group]))
                fd = u32(active[g + 3 * group] & u32(d <= limit[g + 3 * group]))
                word[g] = u32(word[g] | u32(fa << bit))
                word[g + group] = u32(word[g + group] | u32(fb << bit))
                word[g + 2 * group] = u32(word[g + 2 * group] | u32(fc << bit))
                word[g + 3 * group] = u32(word[g + 3 * group] | u32(fd << bit))
                fires = u32(fires + u32(fa + fb) + u32(fc + fd))
                down = u32(down + u32(u32(fa & sign[g]) + u32(fb & sign[g + group])))
                down = u32(down + u32(u32(fc & sign[g + 2 * group]) + u32(fd & sign[g + 3 * group])))
            pos[t] = np.int64(fires) - np.int64(down)
            neg[t] = np.int64(down)
            total += np.int64(fires)
        for i in range(n):
            out[w, i] = u32(word[i] | u32(sign[i] << u32(31))) if word[i] != u32(0) else u32(0)
    return total


@njit(inline="always")
def _driven(values, listed):
    """List the lines whose value is not zero, if they are few enough; returns their number, or -1."""
    if values.shape[0] <= FEW:
        return -1
    busy = i32(0)
    for i in range(values.shape[0]):
        busy = i32(busy + i32(values[i] != f32(0)))
    if busy > FEW_DRIVEN:
        return -1
    n = 0
    for i in range(values.shape[0]):
        if values[i] != f32(0):
            listed[n] = i
            n += 1
    return n


@kernel()
def _draw_driven(values, n, listed, gain, bl, sample, step, purpose, k0, k1, out, pos, neg):
    """As `_draw_lines` without flip, for the n listed lines alone; all others carry no value.

    Listed lines that fire stay listed, in order; returns the fires and the number of those lines.
    """
    group = (values.shape[0] + 3) // 4
    for w in range(out.shape[0]):
        for i in range(values.shape[0]):
            out[w, i] = u32(0)
    for t in range(bl):
        pos[t], neg[t] = 0, 0
    total, left = 0, 0
    for i in range(n):
        j = np.int64(listed[i])
        limit, active = _threshold(values[j], gain)
        lane, down, mine = j // group, values[j] < f32(0), 0
        for t in range(bl if active else 0):
            address = u32(u32(purpose) | u32(t << 8))
            a, b, c, d = philox(u32(j - lane * group), sample, step, address, k0, k1)
            if (a if lane == 0 else b if lane == 1 else c if lane == 2 else d) <= limit:
                out[t // 31, j] |= u32(u32(1) << u32(t % 31))
                pos[t] += 0 if down else 1
                neg[t] += 1 if down else 0
                mine += 1
        if mine:
            listed[left] = j
            left += 1
            total += mine
            for w in range(out.shape[0]):
                if down and out[w, j] != u32(0):
                    out[w, j] |= u32(u32(1) << u32(31))
    return total, left


@kernel()
def _list_firing(trains, listed):
    """List the lines that fire in any word, (words, lines); returns their number."""
    n = 0
    if trains.shape[0] == 1:
        for j in range(trains.shape[1]):
            listed[n] = j
            n += 1 if trains[0, j] != u32(0) else 0
        return n
    for j in range(trains.shape[1]):
        some = u32(0)
        for w in range(trains.shape[0]):
            some |= trains[w, j]
        listed[n] = j
        n += 1 if some != u32(0) else 0
    return n


@kernel()
def top(values):
    """Largest absolute value; not finite if any value is not. The bits of floats order as integers."""
    bits = i32(0)
    for i in range(values.shape[0]):
        bits = max(bits, i32(as_int(values[i]) & i32(0x7FFFFFFF)))
    return as_float(bits)


@njit(inline="always", error_model="numpy")
def bit_length(need, max_bl, manage_bl):
    """Slots of a train whose largest change needs so many pulses, which may be more than integers hold."""
    if not manage_bl:
        return np.int64(max_bl)
    return max(np.int64(math.ceil(min(need * (1.0 - WHOLE), float(max_bl)))), np.int64(1))


@kernel()
def sample_trains(
    b, x, d, lr, dw_min, max_bl, manage, manage_bl, key, step, xs, ds, lines, n_lines, on, work, count
):
    """Trains of sample b, and the list of its x-lines that fire; returns its events.

    on[b]: x-lines that fire in an average slot; work: uint32 (4, >= 4 ceil(lines/4)); count: int64
    (4, >= bit length). `xs` and `ds` need as many words as the bit length takes.
    """
    top_x, top_d = top(x[b]), top(d[b])
    n_lines[b] = 0
    if not (math.isfinite(top_x) and math.isfinite(top_d)):
        return -1, 0, 0, 0
    need = np.float64(top_x) * np.float64(top_d) * abs(lr) / dw_min
    if need == 0.0:
        return 0, 0, 0, 0
    bl = bit_length(need, max_bl, manage_bl)
    gain = math.sqrt(abs(lr) / (bl * dw_min))
    ratio = 1.0
    if manage:
        ratio = math.sqrt(np.float64(top_d) / np.float64(top_x))
    fires = _draw_lines(
        d[b], f32(gain / ratio), np.int64(lr < 0), bl, u32(b), step, u32(D_TRAIN), key[0], key[1], work,
        ds[:, b], count[0], count[1],
    )  # fmt: skip
    if fires == 0:
        return 0, 0, 0, bl
    n = _driven(x[b], lines[b])
    if n >= 0:
        x_fires, n = _draw_driven(
            x[b], n, lines[b], f32(gain * ratio), bl, u32(b), step, u32(X_TRAIN), key[0], key[1], xs[:, b],
            count[2], count[3],
        )  # fmt: skip
    else:
        x_fires = _draw_lines(
            x[b], f32(gain * ratio), np.int64(0), bl, u32(b), step, u32(X_TRAIN), key[0], key[1], work,
            xs[:, b], count[2], count[3],
        )  # fmt: skip
        n = _list_firing(xs[:, b], lines[b]) if x_fires else 0
    if x_fires == 0:
        return 0, 0, fires, bl
    n_lines[b], on[b] = n, x_fires / bl
    up, down = 0, 0
    for t in range(bl):
        up += count[0, t] * count[2, t] + count[1, t] * count[3, t]
        down += count[0, t] * count[3, t] + count[1, t] * count[2, t]
    return up, down, fires + x_fires, bl


@kernel()
def trains_chunk(
    begin,
    end,
    x,
    d,
    lr,
    dw_min,
    max_bl,
    manage,
    manage_bl,
    key,
    step,
    xs,
    ds,
    lines,
    n_lines,
    on,
    events,
):
    width = 4 * ((max(x.shape[1], d.shape[1]) + 3) // 4)
    work = np.empty((4, width), np.uint32)
    count = np.empty((4, max_bl), np.int64)
    for b in range(begin, end):
        up, down, toggles, slots = sample_trains(
            b, x, d, lr, dw_min, max_bl, manage, manage_bl, key, step, xs, ds, lines, n_lines, on, work,
            count,
        )  # fmt: skip
        if up < 0:
            events[4] = 1  # a value that is not finite: nothing must be applied
            return
        events[0] += up
        events[1] += down
        events[2] += toggles
        events[3] += slots


@kernel()
def list_live(n_lines, live):
    """Put the samples that have a firing d-line into `live`; gives their number."""
    n = 0
    for b in range(n_lines.shape[0]):
        live[n] = b
        n += 1 if n_lines[b] > 0 else 0
    return n


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """As `ops.draw_trains`."""
    n_words, samples = pulsing.words, x.shape[0]
    xs = np.zeros((n_words, samples, x.shape[1]), np.uint32)
    ds = np.zeros((n_words, samples, d.shape[1]), np.uint32)
    trains_chunk(
        0, samples, x.numpy(), d.numpy(), float(lr), cells.elements[0].dw_min, pulsing.max_bl,
        pulsing.update_management, pulsing.bl_management, key_words(cells.keys[0]), number(step), xs, ds,
        np.empty(x.shape, np.int32), np.empty(samples, np.int64), np.empty(samples), np.zeros(5, np.int64),
    )  # fmt: skip
    return torch.from_numpy(xs.astype(np.int64)), torch.from_numpy(ds.astype(np.int64))
