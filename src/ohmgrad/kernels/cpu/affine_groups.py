"""Groups of samples on affine elements in Numba: trains as words of all samples, and groups taken at once.

`reference.groups` has the equations. *Words*: the slots of successive samples stand side by side in words of
32 bits, so that the product of two 0/1 matrices, the count of coincidences, is an `and` and a count of bits.
On an Intel Xeon 512 x 512 x 512 slots take 0.55 ms so, up and down; two int8 products (`torch._int_mm`) take
0.9 ms, in float32 3.7 ms, in bfloat16 40 ms, without what it takes to spread bits to numbers. The cells of a
row, or those of it that get pulses, stand in blocks: an array, a row of `STRIDE` floats for each value of a
cell. The compiler then knows that rows are apart.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from ..pulsing import SLOTS
from ..reference.groups import FEWEST, SMALLEST, TINY
from .affine import MAX_E, SAFE
from .compiling import CONTRACT, no_refcount, part
from .late import late_kernel
from .math import artanh_ratio, exp2m1, popcount, wide_vectors
from .packing import FLAT, MULTIPLICATIVE
from .trains import SLOT_BITS

__all__ = [
    "BLOCK", "DOWN", "FLAG", "MEAN", "UP", "Groups", "advance", "blocks_of", "count", "counts_in_words",
    "finish", "load", "pack_words", "plan",
]  # fmt: skip

u32, u64, i32, f32 = np.uint32, np.uint64, np.int32, np.float32

#: cells of a block; rows in step would share the sets of the cache
BLOCK, STRIDE = 512, 512 + 64
#: rows of a block: planes of the elements; pulses of the group; the state; a flag
SIZE_UP, SIZE_DOWN, LOWER, UPPER, UP, DOWN, MEAN, VAR, MEAN_MAX, MEAN_MIN, VAR_MAX, FLAG = range(12)
ROWS = 12
AT = tuple(u64(STRIDE * q) for q in range(ROWS))
LOG_2_E, LEAST = f32(1.4426950408889634), f32(TINY)
#: bits of a word of samples
WORD = 32
#: cells that a vector may read beyond the last
BEYOND = 16


class Groups(NamedTuple):
    """How the samples of an update are taken together, and its trains as words of samples."""

    #: as in `reference.groups`
    size: int
    clump: float
    #: int64 (groups + 1,): first words of the groups, and the number of words
    first: np.ndarray
    #: int64 (n, 5): parts of words, in the order of samples: sample, word of its train, word, place, slots;
    #: and (words + 1,): first part of a word, and the number of parts
    parts: np.ndarray
    of_word: np.ndarray
    #: uint32: in turn for each word the fires of all lines, and their signs in the slots of a sample
    xs: np.ndarray
    ds: np.ndarray
    #: fires of the d-lines, uint32; in the mean x-lines that fire in a sample, and pulses of a d-line's fire
    fires: np.ndarray
    lines: float
    pulses: float


@part()
def _fires(trains, active):
    """Slots in which lines fire in the active samples, uint32 (lines,)."""
    fires = np.zeros(trains.shape[2], np.uint32)
    for i in range(active.shape[0]):
        for q in range(trains.shape[0]):
            line = trains[q, active[i]]
            for j in range(fires.shape[0]):
                fires[j] = u32(fires[j] + u32(popcount(u32(line[j] & SLOT_BITS))))
    return fires


@part()
def _evenness(fires):
    """Sums of squares and of cubes of the fires of lines, over these powers of their sum; and the sum."""
    total, squares, cubes = 0.0, 0.0, 0.0
    for j in range(fires.shape[0]):
        total += np.float64(fires[j])
    for j in range(fires.shape[0]):
        part = np.float64(fires[j]) / max(total, 1.0)
        squares += part * part
        cubes += part * part * part
    return squares, cubes, total


@njit(inline="always")
def _size(samples, pulses, evenness_x, evenness_d, clump, limit):
    """As `reference.groups.size_of`."""
    n, groups, smallest = np.float64(pulses), np.int64(1), min(SMALLEST, samples)
    n_2, n_3 = evenness_x[0] * evenness_d[0] * n * n, evenness_x[1] * evenness_d[1] * n * n * n
    while clump * 0.25 * (n_3 / groups + clump * n_2) / groups > limit * n:
        groups += 1
        if groups * smallest > samples:
            return np.int64(1)
    return (samples + groups - 1) // groups


@part()
def plan(trains, pulses, rows, limit):
    """The groups of an update with so many pulses; `pack_words` fills their words."""
    samples, cols, active = trains.n_lines.shape[0], trains.xs.shape[2], trains.active_samples
    size, clump, fires, lines, mean = np.int64(1), 0.0, np.empty(0, np.uint32), 0.0, 0.0
    if samples > 1 and limit > 0.0 and rows * cols >= FEWEST:
        for i in range(active.shape[0]):
            clump += trains.pairs[active[i]]
            lines += trains.n_lines[active[i]]
        clump = 1.0 + clump / max(pulses, 1)
        fires = _fires(trains.ds, active)
        of_d = _evenness(fires)
        size = _size(samples, pulses, _evenness(_fires(trains.xs, active)), of_d, clump, limit)
        lines, mean = lines / max(active.shape[0], 1), pulses / max(of_d[2], 1.0)
    n_groups = (samples + size - 1) // size if size > 1 else np.int64(0)
    most = active.shape[0] * trains.xs.shape[0] if size > 1 else 0
    first, of_word = np.zeros(n_groups + 1, np.int64), np.empty(most + 1, np.int64)
    parts = np.empty((most, 5), np.int64)
    n, word, place, group = np.int64(0), np.int64(-1), np.int64(WORD), np.int64(0)
    for i in range(active.shape[0] if size > 1 else 0):
        b = active[i]
        while group < b // size:
            group, place = group + 1, np.int64(WORD)  # a group begins with a word
            first[group] = word + 1
        for q in range((trains.slots[b] + SLOTS - 1) // SLOTS):
            slots = min(trains.slots[b] - SLOTS * q, np.int64(SLOTS))
            if place + slots > WORD:
                word, place = word + 1, np.int64(0)
                of_word[word] = n
            parts[n, 0], parts[n, 1], parts[n, 2], parts[n, 3], parts[n, 4] = b, q, word, place, slots
            n, place = n + 1, place + slots
    words = word + 1
    first[group + 1 :], of_word[words] = words, n
    xs, ds = np.empty(words * 2 * cols + BEYOND, np.uint32), np.empty(words * 2 * rows, np.uint32)
    return size, clump, first, parts[:n], of_word[: words + 1], xs, ds, fires, lines, mean


@part()
def _pack(line, place, slots, fires, signs):
    """A part of a train into its place in words; the part at place 0 is the first in its word."""
    mask, at = u32(u32(0xFFFFFFFF) >> u32(WORD - slots)), u32(place)
    mask = u32(mask << at)
    if place == 0:
        for j in range(line.shape[0]):
            word = line[j]
            fires[j] = u32(word & SLOT_BITS)
            signs[j] = mask if i32(word) < i32(0) else u32(0)
    else:
        for j in range(line.shape[0]):
            word = line[j]
            fires[j] |= u32(u32(word & SLOT_BITS) << at)
            signs[j] |= mask if i32(word) < i32(0) else u32(0)


@late_kernel(types.void)
def pack_words(begin, end, trains, groups):
    """Words begin ... end-1 of the groups."""
    trains, groups = no_refcount((trains, groups))
    parts, xs, ds = groups.parts, groups.xs, groups.ds
    cols, rows = trains.xs.shape[2], trains.ds.shape[2]
    for i in range(groups.of_word[begin], groups.of_word[end]):
        b, q, word, place, slots = parts[i, 0], parts[i, 1], parts[i, 2], parts[i, 3], parts[i, 4]
        x, d = 2 * cols * word, 2 * rows * word
        _pack(trains.xs[q, b], place, slots, xs[x : x + cols], xs[x + cols : x + 2 * cols])
        _pack(trains.ds[q, b], place, slots, ds[d : d + rows], ds[d + rows : d + 2 * rows])


@part()
def blocks_of(n):
    """Scratch for n cells: float32 (blocks, ROWS, STRIDE), on cache lines of its own."""
    blocks = (n + BLOCK - 1) // BLOCK
    flat = np.empty(blocks * ROWS * STRIDE + 16, np.float32)
    first = (-(flat.ctypes.data // 4)) % 16
    return flat[first : first + blocks * ROWS * STRIDE].reshape(blocks, ROWS, STRIDE)


@late_kernel(types.void)
def load(weights, up, down, lower, upper, block, first):
    """Cells with these weights and planes, from place `first` of a block on; planes may have one value."""
    n, s = weights.shape[0], block.ravel()[first:]
    for plane, at in ((up, AT[SIZE_UP]), (down, AT[SIZE_DOWN]), (lower, AT[LOWER]), (upper, AT[UPPER])):
        if plane.shape[0] == 1:
            for jj in range(n):
                s[u64(jj) + at] = plane[0]
        else:
            for jj in range(n):
                s[u64(jj) + at] = plane[jj]
    for jj in range(n):
        j, now = u64(jj), weights[jj]
        s[j + AT[MEAN]], s[j + AT[MEAN_MAX]], s[j + AT[MEAN_MIN]] = now, now, now
        s[j + AT[VAR]], s[j + AT[VAR_MAX]] = f32(0), f32(0)


@part()
def _add_words(xs, at, half, words, n, both, falls):
    """Coincidences in four words: their places in xs, signs `half` after them; words of the d-line."""
    wide_vectors()
    a, b, c, d, sa, sb, sc, sd = words
    pa, pb, pc, pd = at
    for jj in range(n):
        j = u64(jj)
        p, q, r, s = u32(xs[pa + j] & a), u32(xs[pb + j] & b), u32(xs[pc + j] & c), u32(xs[pd + j] & d)
        k = u32(u32(popcount(p)) + u32(popcount(q)))
        k = u32(k + u32(popcount(r)))
        both[j] = u32(both[j] + u32(k + u32(popcount(s))))
        p, q = u32(p & u32(xs[pa + half + j] ^ sa)), u32(q & u32(xs[pb + half + j] ^ sb))
        r, s = u32(r & u32(xs[pc + half + j] ^ sc)), u32(s & u32(xs[pd + half + j] ^ sd))
        k = u32(u32(popcount(p)) + u32(popcount(q)))
        k = u32(k + u32(popcount(r)))
        falls[j] = u32(falls[j] + u32(k + u32(popcount(s))))


@late_kernel(types.void)
def count(r, rows, cols, first, n, begin, end, groups, block, both, falls):
    """Pulses in words begin ... end-1 between d-line r and n x-lines from `first` on, into a block.

    both, falls: scratch, uint32, of a block.
    """
    xs, ds = groups.xs, groups.ds
    n += (-n) % BEYOND  # whole vectors
    for j in range(n):
        both[j], falls[j] = u32(0), u32(0)
    at = (u64(0), u64(0), u64(0), u64(0))
    words = (u32(0), u32(0), u32(0), u32(0), u32(0), u32(0), u32(0), u32(0))
    held, half = 0, u64(cols)
    for q in range(begin, end):
        fires = ds[2 * q * rows + r]
        if fires != u32(0):
            at = (u64(2 * q * cols + first), at[0], at[1], at[2])
            signs = ds[(2 * q + 1) * rows + r]
            words = (fires, words[0], words[1], words[2], signs, words[4], words[5], words[6])
            held += 1
        if held == 4 or (held > 0 and q == end - 1):
            _add_words(xs, at, half, words, n, both, falls)
            words, held = (u32(0), u32(0), u32(0), u32(0), u32(0), u32(0), u32(0), u32(0)), 0
    up, down = block[UP], block[DOWN]
    for j in range(n):
        up[j], down[j] = f32(i32(u32(both[j] - falls[j]))), f32(i32(falls[j]))


@part()
def counts_in_words(r, j, rows, cols, groups, counts):
    """Signed pulses of a cell in the samples in which it has any; counts: places for all parts, and one."""
    xs, ds, parts, of_word, n = groups.xs, groups.ds, groups.parts, groups.of_word, 0
    for word in range(of_word.shape[0] - 1):
        x, d = 2 * word * cols + j, 2 * word * rows + r
        both = u32(xs[x] & ds[d])
        if both == u32(0):
            continue
        falls = u32(both & u32(xs[x + cols] ^ ds[d + rows]))
        for i in range(of_word[word], of_word[word + 1]):
            mask = u32(u32(u32(0xFFFFFFFF) >> u32(WORD - parts[i, 4])) << u32(parts[i, 3]))
            k = np.int64(popcount(u32(both & mask)))
            counts[n] = -k if u32(falls & mask) != u32(0) else k
            n += np.int64(k > 0)  # a branch would be guessed wrong too often
    return counts[:n]


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _advance_each(multiplicative, s, n, slope_up, slope_down, noise_std, most, clump):
    wide_vectors()
    least_up = f32(1) if abs(slope_up) <= f32(FLAT) else f32(0)
    least_down = f32(1) if abs(slope_down) <= f32(FLAT) else f32(0)
    noise, part = noise_std * noise_std, clump * f32(1 / 12)
    for jj in range(n):
        j = u64(jj)
        up, down, a, b = s[j + AT[SIZE_UP]], s[j + AT[SIZE_DOWN]], s[j + AT[UP]], s[j + AT[DOWN]]
        m, v = s[j + AT[MEAN]], s[j + AT[VAR]]
        e_up = slope_up * up / max(s[j + AT[UPPER]], least_up * up)
        e_down = slope_down * down / max(-s[j + AT[LOWER]], least_down * down)
        usual = abs(e_up) <= most
        usual &= abs(e_down) <= most
        x, y = f32(2) - e_up, f32(2) - e_down
        inverse = f32(1) / (x * y)
        x, y = y * inverse, x * inverse
        log_up, log_down = f32(2) * x * artanh_ratio(e_up * x), f32(2) * y * artanh_ratio(e_down * y)  # l/e
        move_up, move_down = up - e_up * m, down + e_down * m
        rate_up, rate_down = a * log_up, b * log_down
        total = rate_up * e_up + rate_down * e_down
        total = total if abs(total) > LEAST else LEAST
        over = f32(1) / total
        way = (rate_down * move_down - rate_up * move_up) * over
        if multiplicative:
            less = exp2m1(f32(-0.5) * LOG_2_E * total)
            decay = (f32(1) + less) * (f32(1) + less)
            half, change = way * less, way * (less * (f32(2) + less))
            p, q = f32(1) - e_up, f32(1) - e_down
            inverse = f32(1) / (p * q)
            p, q = q * inverse, p * inverse
            p, q = noise * p * p, noise * q * q
            g, h = min(p * e_up * e_up, f32(0.5)), min(q * e_down * e_down, f32(0.5))
            x, y = f32(2) + g, f32(2) + h
            inverse = f32(1) / (x * y)
            x, y = y * inverse, x * inverse
            p, q = a * p * f32(2) * x * artanh_ratio(g * x), b * q * f32(2) * y * artanh_ratio(h * y)
            grow = p * e_up * e_up + q * e_down * e_down
            grown = exp2m1(LOG_2_E * grow)
            growth = grown / grow if grow > LEAST else f32(1)
            x, y = move_up - e_up * half, move_down + e_down * half
            after = decay * (decay * (v + grown * v) + growth * (p * x * x + q * y * y))
        else:
            less = exp2m1(-LOG_2_E * total)
            decay, change = f32(1) + less, way * less
            rates = (rate_up * up * up * x + rate_down * down * down * y) * noise * over
            after = v + (v - rates) * (less * (f32(2) + less))
        both, pulses = a * b, a + b
        swap, apart = e_down * up + e_up * down, move_up + move_down
        after += part * both * (pulses + clump) * swap * swap * decay * (f32(1) + f32(1 / 15) * total * total)
        passed = max(v, after) + f32(0.25) * clump * both / max(pulses, f32(1)) * apart * apart
        new = m + change
        s[j + AT[MEAN]], s[j + AT[VAR]] = new, after
        s[j + AT[VAR_MAX]] = max(s[j + AT[VAR_MAX]], passed)
        highest = max(s[j + AT[MEAN_MAX]], new)
        s[j + AT[MEAN_MAX]] = highest if usual else f32(np.inf)
        s[j + AT[MEAN_MIN]] = min(s[j + AT[MEAN_MIN]], new)


@late_kernel(types.void, fastmath=CONTRACT)
def _additive(s, n, slope_up, slope_down, noise_std, most, clump):
    _advance_each(False, s, n, slope_up, slope_down, noise_std, most, clump)


@late_kernel(types.void, fastmath=CONTRACT)
def _multiplicative(s, n, slope_up, slope_down, noise_std, most, clump):
    _advance_each(True, s, n, slope_up, slope_down, noise_std, most, clump)


@part()
def advance(affine, clump, block, n):
    """The pulses of a group on the first n cells of a block."""
    n += (-n) % BEYOND  # whole vectors
    most, up, down, std = min(MAX_E, affine.steep), affine.slope_up, affine.slope_down, affine.noise_std
    if affine.noise_kind == MULTIPLICATIVE:
        _multiplicative(block.ravel(), n, up, down, std, most, f32(clump))
    else:
        _additive(block.ravel(), n, up, down, std, most, f32(clump))


@late_kernel(types.boolean, fastmath=CONTRACT)
def _finish(s, z):
    some = i32(0)
    for jj in range(z.shape[0]):
        j = u64(jj)
        lower, upper, room = s[j + AT[LOWER]], s[j + AT[UPPER]], SAFE * SAFE * s[j + AT[VAR_MAX]]
        above, below = upper - s[j + AT[MEAN_MAX]], s[j + AT[MEAN_MIN]] - lower
        near = above < f32(0)
        near |= below < f32(0)
        near |= above * above < room
        near |= below * below < room
        s[j + AT[FLAG]] = f32(1) if near else f32(0)
        some |= i32(near)
        new = s[j + AT[MEAN]] + np.sqrt(s[j + AT[VAR]]) * z[jj]
        s[j + AT[MEAN]] = min(max(new, lower), upper)
    return some != i32(0)


@part()
def finish(blocks, n, z):
    """Add the noise to the first n cells; whether any, flagged in row `FLAG`, needs pulse by pulse."""
    some = False
    for i in range((n + BLOCK - 1) // BLOCK):
        first = i * BLOCK
        some |= _finish(no_refcount(blocks[i]).ravel(), z[first : min(first + BLOCK, n)])
    return some
