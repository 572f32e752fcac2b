"""Stochastic trains of the lines of one sample in Numba: the words of `reference.trains.pulse_trains`."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from .compiling import part
from .late import late_kernel
from .math import philox

__all__ = ["Site", "draw_driven", "draw_lines", "driven", "list_firing"]

u32, i32, f32 = np.uint32, np.int32, np.float32

#: lines up to which a sample's trains are drawn one block after the other
FEW = 40
#: lines that are not zero, among more than `FEW`, up to which they alone are drawn
FEW_DRIVEN = 4


class Site(NamedTuple):
    """Address of the random numbers of one sample's lines of one side."""

    sample: np.uint32
    step: np.uint32
    purpose: np.uint32
    k0: np.uint32
    k1: np.uint32


@njit(inline="always")
def _threshold(value, gain):
    """Largest word at which a line fires, and whether it can fire at all (0 or 1)."""
    level = gain * abs(value) * f32(4294967296.0)
    below = u32(u32(min(level, f32(4294967040.0))) - u32(1))
    limit = u32(0xFFFFFFFF) if level >= f32(4294967296.0) else below
    return limit, u32(1) if level >= f32(1) else u32(0)


@njit(inline="always")
def _slot(index, t, site):
    """The four words of block `index` of lines in slot t."""
    return philox(index, site.sample, site.step, u32(site.purpose | u32(t << 8)), site.k0, site.k1)


@late_kernel(types.int64)
def _draw_few(values, gain, flip, bl, site, out, fires):
    """As `draw_lines`, for few lines and at most 31 slots: no vectors, and silent lines cost nothing."""
    n = values.shape[0]
    group = (n + 3) // 4
    pos, neg = fires[0], fires[1]
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
                a, b, c, d = _slot(u32(g), t, site)
                fa, fb = u32(ag & u32(a <= lg)), u32(ah & u32(b <= lh))
                fc, fd = u32(ai & u32(c <= li)), u32(aj & u32(d <= lj))
                wg, wh = u32(wg | u32(fa << u32(t))), u32(wh | u32(fb << u32(t)))
                wi, wj = u32(wi | u32(fc << u32(t))), u32(wj | u32(fd << u32(t)))
                all_fires = np.int64(fa) + np.int64(fb) + np.int64(fc) + np.int64(fd)
                down = np.int64(fa & sg) + np.int64(fb & sh) + np.int64(fc & si) + np.int64(fd & sj)
                pos[t] += all_fires - down
                neg[t] += down
                total += all_fires
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


@part()
def _load_lines(values, gain, flip, work):
    """Limits of the lines, masks of those that can fire, and signs as top bits; whether any can fire."""
    limit, active, sign = work[0], work[1], work[2]
    some = u32(0)
    for i in range(values.shape[0]):
        low, fires = _threshold(values[i], gain)
        limit[i], active[i] = low, u32(-fires)
        some |= fires
        sign[i] = u32(0x80000000) if (values[i] < f32(0)) != (flip != 0) else u32(0)
    return some != u32(0)


@late_kernel(types.void)
def _draw_slot(t, group, site, limit, word):
    """Fires of 4 group lines in slot t, added to their words."""
    bit = u32(u32(1) << u32(t % 31))
    la, lb, lc, ld = limit[:group], limit[group : 2 * group], limit[2 * group : 3 * group], limit[3 * group :]
    wa, wb, wc, wd = word[:group], word[group : 2 * group], word[2 * group : 3 * group], word[3 * group :]
    for g in range(group):
        a, b, c, d = _slot(u32(g), t, site)
        ka, kb, kc, kd = la[g], lb[g], lc[g], ld[g]
        wa[g] |= bit if a <= ka else u32(0)
        wb[g] |= bit if b <= kb else u32(0)
        wc[g] |= bit if c <= kc else u32(0)
        wd[g] |= bit if d <= kd else u32(0)


@part()
def _store_lines(word, active, sign, out):
    for i in range(out.shape[0]):
        w, s = u32(word[i] & active[i]), sign[i]
        out[i] = u32(w | (s if w != u32(0) else u32(0)))


@part()
def _fires_in_slot(line, t):
    """Lines that fire in slot t, and those of them that are negative."""
    total, down, at = u32(0), u32(0), u32(t % 31)
    for i in range(line.shape[0]):
        w = line[i]
        one = u32(u32(w >> at) & u32(1))
        total = u32(total + one)
        down = u32(down + u32(one & u32(w >> u32(31))))
    return np.int64(total), np.int64(down)


@late_kernel(types.int64)
def draw_lines(values, gain, flip, bl, site, work, trains, b, fires):
    """Trains of the lines of sample b; counts fires per slot and sign; returns their number.

    flip: 1 to turn all signs; work: uint32 (4, >= 4 ceil(n/4)); trains: uint32 (words, samples, n); fires:
    int64 (2, >= bl), of positive and of negative lines.
    """
    n = values.shape[0]
    if n <= FEW and trains.shape[0] == 1:
        return _draw_few(values, gain, flip, bl, site, trains[0, b], fires)
    full = 4 * ((n + 3) // 4)
    limit, active, sign, word = work[0, :full], work[1], work[2], work[3, :full]
    some = _load_lines(values, gain, flip, work)
    for i in range(n, full):
        limit[i] = u32(0)
    total = np.int64(0)
    for w in range(trains.shape[0]):
        out = trains[w, b]
        if not some or 31 * w >= bl:
            out[:] = u32(0)
            continue
        word[:] = u32(0)
        for t in range(31 * w, min(bl, 31 * w + 31)):
            _draw_slot(t, full // 4, site, limit, word)
        _store_lines(word, active, sign, out)
        for t in range(31 * w, min(bl, 31 * w + 31)):
            all_fires, down = _fires_in_slot(out, t)
            fires[0, t], fires[1, t] = all_fires - down, down
            total += all_fires
    return total


@njit(inline="always")
def driven(values, listed):
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


@late_kernel(types.UniTuple(types.int64, 2))
def draw_driven(values, n, listed, gain, bl, site, trains, b, fires):
    """As `draw_lines` without flip, for the n listed lines alone; all others carry no value.

    Listed lines that fire stay listed, in order; returns the fires and the number of those lines.
    """
    group, pos, neg = (values.shape[0] + 3) // 4, fires[0], fires[1]
    for w in range(trains.shape[0]):
        trains[w, b, :] = u32(0)
    for t in range(bl):
        pos[t], neg[t] = 0, 0
    total, left = 0, 0
    for i in range(n):
        j = np.int64(listed[i])
        limit, active = _threshold(values[j], gain)
        lane, down, own = j // group, values[j] < f32(0), 0
        for t in range(bl if active else 0):
            p, q, r, s = _slot(u32(j - lane * group), t, site)
            if (p if lane == 0 else q if lane == 1 else r if lane == 2 else s) <= limit:
                trains[t // 31, b, j] |= u32(u32(1) << u32(t % 31))
                pos[t] += 0 if down else 1
                neg[t] += 1 if down else 0
                own += 1
        if own:
            listed[left] = j
            left += 1
            total += own
            for w in range(trains.shape[0]):
                if down and trains[w, b, j] != u32(0):
                    trains[w, b, j] |= u32(u32(1) << u32(31))
    return total, left


@part()
def list_firing(trains, b, listed):
    """List the lines that fire in any word of sample b, (words, samples, lines); returns their number."""
    n, first = 0, trains[0, b]
    if trains.shape[0] == 1:
        for j in range(first.shape[0]):
            listed[n] = j
            n += 1 if first[j] != u32(0) else 0
        return n
    for j in range(first.shape[0]):
        some = u32(0)
        for w in range(trains.shape[0]):
            some |= trains[w, b, j]
        listed[n] = j
        n += 1 if some != u32(0) else 0
    return n
