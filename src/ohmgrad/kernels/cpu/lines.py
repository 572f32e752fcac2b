"""Stochastic trains of the lines of one sample in Numba: the words of `reference.trains.pulse_trains`."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from ..pulsing import SLOTS
from .compiling import carve, part, room
from .late import late_kernel
from .math import philox, popcount

__all__ = ["FEW", "SAMPLES", "SLOT_BITS", "Block", "Site", "block_scratch", "count_slots", "draw_driven",
           "draw_few", "draw_lines", "driven", "list_firing", "total_fires"]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

#: the slots of a word, without the sign
SLOT_BITS = u32(2**SLOTS - 1)
#: lines up to which those of a block of samples are drawn together, and samples of a block
FEW, SAMPLES = 40, 64
#: lines up to which those that fire are counted one by one: a share of all, and so many more
LISTED, LISTED_TOO = 0.05, 8
#: lines that are not zero, among more than `FEW`, up to which they alone are drawn
FEW_DRIVEN = 4


class Site(NamedTuple):
    """Address of the random numbers of one sample's lines of one side."""

    sample: np.uint32
    step: np.uint32
    purpose: np.uint32
    k0: np.uint32
    k1: np.uint32


class Block(NamedTuple):
    """Scratch for the samples of a block, of which those with `fires` above 0 are wanted."""

    #: int64 (SAMPLES,): slots, and fires of d-lines once they are drawn
    bl: np.ndarray
    fires: np.ndarray
    #: float32 (2, SAMPLES): the firing probability of a d-line, and of an x-line, at value 1
    gains: np.ndarray
    #: int64: the wanted samples (SAMPLES,), the longest trains first, and how many have a slot (SLOTS,)
    order: np.ndarray
    ends: np.ndarray
    #: of lines in groups of four, uint32 (m,): counter and sample
    counter: np.ndarray
    sample: np.ndarray
    #: of their lanes (4, m): firing probabilities in float32; limits and words in uint32
    level: np.ndarray
    limit: np.ndarray
    word: np.ndarray


@part()
def block_scratch(samples):
    """Scratch for blocks, of so many samples in all."""
    n = min(samples, SAMPLES)
    m = n * ((FEW + 3) // 4)
    fires, gains, order = room(0, 8 * n), 2 * room(0, 8 * n), 3 * room(0, 8 * n)
    ends = 4 * room(0, 8 * n)
    index = room(ends, 8 * SLOTS)
    sample, level = room(index, 4 * m), room(index, 4 * m) + room(0, 4 * m)
    limit = room(level, 16 * m)
    word = room(limit, 16 * m)
    memory = np.empty(room(word, 16 * m), np.uint8)
    return Block(
        carve(memory, 0, (n,), np.int64), carve(memory, fires, (n,), np.int64),
        carve(memory, gains, (2, n), np.float32), carve(memory, order, (n,), np.int64),
        carve(memory, ends, (SLOTS,), np.int64), carve(memory, index, (m,), np.uint32),
        carve(memory, sample, (m,), np.uint32), carve(memory, level, (4, m), np.float32),
        carve(memory, limit, (4, m), np.uint32), carve(memory, word, (4, m), np.uint32),
    )  # fmt: skip


@njit(inline="always")
def _limit(level):
    """Largest word at which a line fires whose probability is level / 2^32; it must be 1 at least."""
    below = u32(u32(min(level, f32(4294967040.0))) - u32(1))
    return u32(0xFFFFFFFF) if level >= f32(4294967296.0) else below


@njit(inline="always")
def _threshold(value, gain):
    """Largest word at which a line fires, and whether it can fire at all (0 or 1)."""
    level = gain * abs(value) * f32(4294967296.0)
    return _limit(level), u32(1) if level >= f32(1) else u32(0)


@njit(inline="always")
def _slot(index, t, site):
    """The four words of block `index` of lines in slot t."""
    return philox(index, site.sample, site.step, u32(site.purpose | u32(t << 8)), site.k0, site.k1)


@part()
def _longest_first(n, block):
    """Put the samples of a block that are wanted into its order, the longest trains first.

    Returns:
        How many they are; `block.ends` then says how many of them have a slot t.
    """
    longest, listed = np.int64(0), 0
    for i in range(n):
        longest = max(longest, block.bl[i] if block.fires[i] > 0 else np.int64(0))
    for t in range(longest - 1, -1, -1):
        for i in range(n):
            block.order[listed] = i
            listed += 1 if block.fires[i] > 0 and block.bl[i] == t + 1 else 0
        block.ends[t] = listed
    return listed, longest


@late_kernel(types.void)
def draw_few(first, n, values, gain, flip, block, site, out):
    """Trains of few lines, with at most 31 slots, of the wanted ones of samples first ... first+n-1.

    The lines of all these samples make one long vector, as those of one fill no vector of the processor.

    Args:
        values: (samples, lines); gain: (n,), of each sample; flip: 1 to turn all signs.
        site: its sample means nothing.
        out: uint32 (samples, lines); only the rows of wanted samples are written.
    """
    lines = values.shape[1]
    group = (lines + 3) // 4
    listed, longest = _longest_first(n, block)
    count = listed * group
    counter, sample, level, limit, word = block.counter, block.sample, block.level, block.limit, block.word
    for p in range(listed):
        i, at = block.order[p], p * group
        row, own = values[first + i], gain[i]
        for g in range(group):
            counter[at + g], sample[at + g] = u32(g), u32(first + i)
        for lane in range(4):
            for g in range(group):
                j = lane * group + g
                level[lane, at + g] = own * abs(row[j]) if j < lines else f32(0)
    for lane in range(4):
        levels, limits, words = level[lane], limit[lane], word[lane]
        for q in range(count):
            limits[q], words[q] = _limit(levels[q] * f32(4294967296.0)), u32(0)
    la, lb, lc, ld = limit[0], limit[1], limit[2], limit[3]
    wa, wb, wc, wd = word[0], word[1], word[2], word[3]
    for t in range(longest):
        bit, purpose = u32(u32(1) << u32(t)), u32(site.purpose | u32(t << 8))
        for q in range(block.ends[t] * group):
            a, b, c, d = philox(counter[q], sample[q], site.step, purpose, site.k0, site.k1)
            ka, kb, kc, kd = la[q], lb[q], lc[q], ld[q]
            wa[q] |= bit if a <= ka else u32(0)
            wb[q] |= bit if b <= kb else u32(0)
            wc[q] |= bit if c <= kc else u32(0)
            wd[q] |= bit if d <= kd else u32(0)
    for lane in range(4):
        levels, words = level[lane], word[lane]
        for q in range(count):
            words[q] &= u32(0xFFFFFFFF) if levels[q] * f32(4294967296.0) >= f32(1) else u32(0)
    for p in range(listed):
        at, b = p * group, first + block.order[p]
        row, into = values[b], out[b]
        for lane in range(4):
            base = lane * group
            for j in range(base, min(base + group, lines)):
                w = word[lane, at + j - base]
                sign = u32(0x80000000) if (row[j] < f32(0)) != (flip != 0) else u32(0)
                into[j] = u32(w | (sign if w != u32(0) else u32(0)))


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


@late_kernel(types.void)
def draw_lines(values, gain, flip, bl, site, work, trains, b):
    """Trains of the lines of sample b.

    flip: 1 to turn all signs; work: uint32 (4, >= 4 ceil(n/4)); trains: uint32 (words, samples, n).
    """
    n = values.shape[0]
    full = 4 * ((n + 3) // 4)
    limit, active, sign, word = work[0, :full], work[1], work[2], work[3, :full]
    some = _load_lines(values, gain, flip, work)
    for i in range(n, full):
        limit[i] = u32(0)
    for w in range(trains.shape[0]):
        out = trains[w, b]
        if not some or 31 * w >= bl:
            out[:] = u32(0)
            continue
        word[:] = u32(0)
        for t in range(31 * w, min(bl, 31 * w + 31)):
            _draw_slot(t, full // 4, site, limit, word)
        _store_lines(word, active, sign, out)


@part()
def total_fires(trains, b):
    """Fires of all lines of sample b in all slots."""
    total = np.int64(0)
    for w in range(trains.shape[0]):
        line, few = trains[w, b], u32(0)  # below 2^32 for 2^27 lines
        for j in range(line.shape[0]):
            few = u32(few + u32(popcount(u32(line[j] & SLOT_BITS))))
        total += np.int64(few)
    return total


@part()
def _count_all(trains, b, bl, fires):
    """As `count_slots`, by every line."""
    for t in range(bl):
        all_fires, down = _fires_in_slot(trains[t // 31, b], t)
        fires[0, t], fires[1, t] = all_fires - down, down
    total = np.int64(0)
    if trains.shape[0] == 1:
        line, few = trains[0, b], u32(0)  # below 2^32 for four million lines
        for j in range(line.shape[0]):
            k = u32(popcount(u32(line[j] & SLOT_BITS)))
            few = u32(few + u32(k * k) - k)
        return np.int64(few)
    for j in range(trains.shape[2]):
        k = np.int64(0)
        for q in range(trains.shape[0]):
            k += np.int64(popcount(u32(trains[q, b, j] & SLOT_BITS)))
        total += k * (k - 1)
    return total


@part()
def count_slots(trains, b, n, listed, bl, fires):
    """Count the fires of the lines of sample b in every slot, of positive and of negative ones.

    Args:
        listed: the n lines that fire; -1 where they are not listed.
        fires: int64 (2, >= bl), to be filled.

    Returns:
        Sum over the lines of k (k - 1), k the fires of a line.
    """
    if n < 0 or trains.shape[0] > 1 or n > LISTED * trains.shape[2] + LISTED_TOO:
        return _count_all(trains, b, bl, fires)
    words, pairs = trains[0, b], np.int64(0)
    if bl == 1:
        down = np.int64(0)
        for k in range(n):
            down += np.int64(words[listed[k]] >> u32(31))
        fires[0, 0], fires[1, 0] = n - down, down
        return pairs
    for t in range(bl):
        fires[0, t], fires[1, t] = 0, 0
    for k in range(n):
        w, own = words[listed[k]], np.int64(0)
        side = np.int64(w >> u32(31))
        for t in range(bl):
            one = np.int64(u32(w >> u32(t)) & u32(1))
            fires[side, t] += one
            own += one
        pairs += own * (own - 1)
    return pairs


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


@late_kernel(types.int64)
def draw_driven(values, n, listed, gain, bl, site, trains, b):
    """As `draw_lines` without flip, for the n listed lines alone; all others carry no value.

    Listed lines that fire stay listed, in order; returns the number of those lines.
    """
    group, left = (values.shape[0] + 3) // 4, 0
    for w in range(trains.shape[0]):
        trains[w, b, :] = u32(0)
    for i in range(n):
        j = np.int64(listed[i])
        limit, active = _threshold(values[j], gain)
        lane, down, own = j // group, values[j] < f32(0), False
        for t in range(bl if active else 0):
            p, q, r, s = _slot(u32(j - lane * group), t, site)
            if (p if lane == 0 else q if lane == 1 else r if lane == 2 else s) <= limit:
                trains[t // 31, b, j] |= u32(u32(1) << u32(t % 31))
                own = True
        if own:
            listed[left] = j
            left += 1
            for w in range(trains.shape[0]):
                if down and trains[w, b, j] != u32(0):
                    trains[w, b, j] |= u32(u32(1) << u32(31))
    return left


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
