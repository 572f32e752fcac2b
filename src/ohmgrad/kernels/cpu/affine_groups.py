"""Groups of samples on a row of affine elements in Numba: counted first, then taken at once.

`reference.groups` has the equations. The cells of a row, or those of it that get pulses, stand in blocks: an
array, a row of `STRIDE` floats for each value of a cell. The compiler then knows that rows are apart.
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
from .affine import MAX_E, SAFE, growth, stationary
from .affine_dense import COARSE_MARK, COEFFICIENTS
from .compiling import CONTRACT, carve, no_refcount, part, room
from .late import late_kernel
from .math import exp2m1, log2_1p, popcount
from .packing import FLAT, MULTIPLICATIVE
from .trains import SLOT_BITS

__all__ = [
    "BLOCK", "COUNTED", "DOWN", "MEAN", "ROWS", "STRIDE", "UP", "Groups", "add_sample", "add_words",
    "advance", "clear", "counts_in_words", "finish", "load", "measure", "next_size", "pack_words", "plan",
]  # fmt: skip

u16, u32, u64, i32, f32 = np.uint16, np.uint32, np.uint64, np.int32, np.float32

#: cells of a block; rows in step would share the sets of the cache
BLOCK, STRIDE = 256, 256 + 64
#: rows of a block: the coefficients of `affine_dense`; pulses of the group; the state; a flag
LOG_UP, LOG_DOWN, FIXED_UP, FIXED_DOWN, TERM_UP, TERM_DOWN, LOWER, UPPER = range(COEFFICIENTS)
UP, DOWN, MEAN, VAR, MEAN_MAX, MEAN_MIN, VAR_MAX, FLAG = range(COEFFICIENTS, COEFFICIENTS + 8)
ROWS = COEFFICIENTS + 8
AT = tuple(u64(STRIDE * q) for q in range(ROWS))
LN_2, LEAST = f32(0.6931471805599453), f32(TINY)
#: pulses of a cell, n^3/4 of which times the cells of a block are below 2^31
SMALL = 320
#: rounding that is exact on whole numbers
WHOLE = {"reassoc", "nsz", "contract"}
#: samples of a word of `Groups.xs`: a vector counts the bits of short words faster
COUNTED = 16
#: words are made for updates of so many samples or more, with trains of so many slots at most, and of a pulse
#: for so many cells and samples or more
WORDS_FROM, MOST_SLOTS, MOST_CELLS = 16, 8, 64


class Groups(NamedTuple):
    """How the samples of an update are taken together, and its trains as words of 16 samples."""

    #: as in `reference.groups`
    size: int
    clump: float
    limit: float
    #: uint16 (samples/16, 1 + slots, lines): signs, then fires in each slot; empty if they are not used
    xs: np.ndarray
    ds: np.ndarray


@part()
def _first_size(pulses, samples, cells, clump, limit):
    """As `reference.groups.first_size`."""
    size = np.int64(1)
    while size < samples and cells >= FEWEST:
        n = 2.0 * size * pulses / (np.float64(samples) * cells)
        if clump * n * (n + clump) > 2.0 * limit:
            break
        size *= 2
    return size if size >= min(SMALLEST, samples) else np.int64(1)


@part()
def plan(trains, pulses, rows, limit):
    """The groups of an update with so many pulses; words of samples are made room for where they pay."""
    samples, cols = trains.n_lines.shape[0], trains.xs.shape[2]
    size, clump, slots, blocks = np.int64(1), 0.0, np.int64(0), np.int64(0)
    if samples > 1 and limit > 0.0:
        for i in range(trains.active_samples.shape[0]):
            b = trains.active_samples[i]
            clump += trains.pairs[b]
            slots = max(slots, trains.slots[b])
        clump = 1.0 + clump / max(pulses, 1)
        size = _first_size(pulses, samples, rows * cols, clump, limit)
    words = samples >= WORDS_FROM and slots <= MOST_SLOTS and pulses * MOST_CELLS >= samples * rows * cols
    if size > 1 and words:
        blocks = (samples + COUNTED - 1) // COUNTED
    begin = room(0, 2 * blocks * (1 + slots) * cols)
    memory = np.empty(begin + 2 * blocks * (1 + slots) * rows, np.uint8)
    xs = carve(memory, 0, (blocks, 1 + slots, cols), np.uint16)
    ds = carve(memory, begin, (blocks, 1 + slots, rows), np.uint16)
    return size, clump, limit, xs, ds


@part()
def _pack(trains, n_lines, begin, end, words):
    """Samples begin ... end-1 of one side, (words, samples, lines), into uint16 (1 + slots, lines)."""
    words[:] = u16(0)
    for b in range(begin, end):
        if n_lines[b] == 0:  # its trains are not written
            continue
        line, place = trains[0, b], u32(b - begin)
        for t in range(words.shape[0]):
            word, shift = words[t], u32(t - 1) if t > 0 else u32(SLOTS)
            for j in range(word.shape[0]):
                word[j] |= u16(u32(u32(u32(line[j] >> shift) & u32(1)) << place))


@late_kernel(types.void)
def pack_words(begin, end, trains, groups):
    """Words of samples, of blocks begin ... end-1 of them."""
    xs, ds, n_lines = trains.xs, trains.ds, trains.n_lines
    for q in range(begin, end):
        first, last = q * COUNTED, min((q + 1) * COUNTED, n_lines.shape[0])
        _pack(xs, n_lines, first, last, groups.xs[q])
        _pack(ds, n_lines, first, last, groups.ds[q])


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _load_way(size, bound, slope, inverse, noise_std, multiplicative, most):
    """As `affine_dense.load_way`, of one cell."""
    bound = max(abs(bound), size) if abs(slope) <= f32(FLAT) else abs(bound)
    e = slope * size / bound
    term = growth(e, noise_std) if multiplicative else stationary(e, size, noise_std)
    return COARSE_MARK if abs(e) > most else log2_1p(-e), bound * inverse, term


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _load_each(multiplicative, up, down, lower, upper, affine, s):
    slope_up, slope_down, noise_std = affine.slope_up, affine.slope_down, affine.noise_std
    inverse_up, inverse_down, most = f32(1) / slope_up, f32(-1) / slope_down, min(MAX_E, affine.steep)
    for jj in range(up.shape[0]):
        j, low, high = u64(jj), lower[jj], upper[jj]
        log, fixed, term = _load_way(up[jj], high, slope_up, inverse_up, noise_std, multiplicative, most)
        s[j + AT[LOG_UP]], s[j + AT[FIXED_UP]], s[j + AT[TERM_UP]] = log, fixed, term
        log, fixed, term = _load_way(down[jj], low, slope_down, inverse_down, noise_std, multiplicative, most)
        s[j + AT[LOG_DOWN]], s[j + AT[FIXED_DOWN]], s[j + AT[TERM_DOWN]] = log, fixed, term
        s[j + AT[LOWER]], s[j + AT[UPPER]] = low, high


@late_kernel(types.void, fastmath=CONTRACT)
def _load_additive(up, down, lower, upper, affine, s):
    _load_each(False, up, down, lower, upper, affine, s)


@late_kernel(types.void, fastmath=CONTRACT)
def _load_multiplicative(up, down, lower, upper, affine, s):
    _load_each(True, up, down, lower, upper, affine, s)


@late_kernel(types.void)
def load(weights, up, down, lower, upper, affine, block, first):
    """Coefficients and state of cells with these weights and planes, from place `first` of a block on.

    Planes of one value hold for all.
    """
    s, end = block.ravel()[first:], first + weights.shape[0]
    if affine.noise_kind == MULTIPLICATIVE:
        _load_multiplicative(up, down, lower, upper, affine, s)
    else:
        _load_additive(up, down, lower, upper, affine, s)
    if up.shape[0] == 1:
        for q in range(COEFFICIENTS):
            block[q, first:end] = block[q, first]
    for jj in range(weights.shape[0]):
        j, now = u64(jj), weights[jj]
        s[j + AT[MEAN]], s[j + AT[MEAN_MAX]], s[j + AT[MEAN_MIN]] = now, now, now
        s[j + AT[VAR]], s[j + AT[VAR_MAX]] = f32(0), f32(0)


@part()
def clear(block, n):
    """No pulses in a group yet."""
    block[UP, :n] = f32(0)
    block[DOWN, :n] = f32(0)


@part()
def _add_slots(x, y, z, sign, words, up, down):
    """Coincidences in three slots; words: of the d-line in each, and its signs."""
    a, b, c, own = words
    for j in range(up.shape[0]):
        p, q, r, s = u16(x[j] & a), u16(y[j] & b), u16(z[j] & c), u16(sign[j] ^ own)
        both = u16(u16(popcount(p)) + u16(popcount(q)))
        both = u16(both + u16(popcount(r)))
        falls = u16(u16(popcount(u16(p & s))) + u16(popcount(u16(q & s))))
        falls = u16(falls + u16(popcount(u16(r & s))))
        up[j] += f32(i32(u16(both - falls)))
        down[j] += f32(i32(falls))


@late_kernel(types.void)
def add_words(r, begin, end, first, groups, up, down):
    """Pulses of samples begin ... end - 1 between d-line r and the x-lines from `first` on."""
    xs, ds, last = groups.xs, groups.ds, first + up.shape[0]
    slots = xs.shape[1] - 1
    for q in range(begin // COUNTED, (end + COUNTED - 1) // COUNTED):
        mask = u16(0xFFFF)
        if end - begin < COUNTED:
            mask = u16(u32(u32(u32(u32(1) << u32(end - begin)) - u32(1)) << u32(begin % COUNTED)))
        for t in range(1, slots + 1, 3):
            a = u16(ds[q, t, r] & mask)
            b = u16(ds[q, t + 1, r] & mask) if t + 1 <= slots else u16(0)
            c = u16(ds[q, t + 2, r] & mask) if t + 2 <= slots else u16(0)
            if u16(a | b | c) != u16(0):
                u, v = min(t + 1, slots), min(t + 2, slots)  # whatever stands there, for a word of no fires
                x, y, z = xs[q, t, first:last], xs[q, u, first:last], xs[q, v, first:last]
                _add_slots(x, y, z, xs[q, 0, first:last], (a, b, c, ds[q, 0, r]), up, down)


@part()
def counts_in_words(r, j, groups, counts):
    """Signed pulses of one cell in the samples in which it has any."""
    xs, ds, n = groups.xs, groups.ds, 0
    for q in range(xs.shape[0]):
        some, sign = u32(0), u32(xs[q, 0, j] ^ ds[q, 0, r])
        for t in range(1, xs.shape[1]):
            some = u32(some | u32(xs[q, t, j] & ds[q, t, r]))
        while some != u32(0):
            lowest = u32(some & u32(u32(~some) + u32(1)))
            some = u32(some ^ lowest)
            k = 0
            for t in range(1, xs.shape[1]):
                k += 1 if u32(u32(xs[q, t, j] & ds[q, t, r]) & lowest) != u32(0) else 0
            counts[n] = -k if u32(sign & lowest) != u32(0) else k
            n += 1
    return counts[:n]


@part()
def add_sample(r, b, first, xs, ds, up, down):
    """Pulses of sample b, from its trains, likewise."""
    n = up.shape[0]
    for q in range(xs.shape[0]):
        line, word = xs[q, b, first : first + n], ds[q, b, r]
        for j in range(n):
            k = f32(i32(popcount(u32(u32(line[j] & word) & SLOT_BITS))))
            falls = i32(line[j] ^ word) < i32(0)
            up[j] += f32(0) if falls else k
            down[j] += k if falls else f32(0)


@part(fastmath=WHOLE)
def _sums(up, down):
    cubes, squares, ups, downs = 0.0, 0.0, 0.0, 0.0
    for j in range(up.shape[0]):
        a, b = np.float64(up[j]), np.float64(down[j])
        cubes += a * b * (a + b)
        squares += a * b
        ups += a
        downs += b
    return cubes, squares, ups, downs


@part()
def _sums_of_small(up, down):
    """The same of cells with up to `SMALL` pulses, of which a block's sums stay below 2^31."""
    cubes, squares, ups, downs = i32(0), i32(0), i32(0), i32(0)
    for j in range(up.shape[0]):
        a, b = i32(up[j]), i32(down[j])
        both = i32(a * b)
        cubes = i32(cubes + i32(both * i32(a + b)))
        squares = i32(squares + both)
        ups, downs = i32(ups + a), i32(downs + b)
    return np.float64(cubes), np.float64(squares), np.float64(ups), np.float64(downs)


@late_kernel(types.UniTuple(types.float64, 3))
def measure(blocks, n, most, groups):
    """The sums of `reference.groups` of a group of the first n cells; most: pulses of a cell at most."""
    order, ups, downs = 0.0, 0.0, 0.0
    for i in range((n + BLOCK - 1) // BLOCK):
        m = min(BLOCK, n - i * BLOCK)
        up, down = blocks[i, UP, :m], blocks[i, DOWN, :m]
        cubes, squares, a, b = _sums_of_small(up, down) if most <= SMALL else _sums(up, down)
        order, ups, downs = order + (cubes + groups.clump * squares), ups + a, downs + b
    return order, ups, downs


@njit(inline="always")
def _holds(order, ups, downs, noise_kind, groups):
    noise = 2.0 * min(ups, downs) if noise_kind == MULTIPLICATIVE else ups + downs
    return groups.clump * order <= groups.limit * noise


@part()
def next_size(size, own, before, noise_kind, groups):
    """Samples of the groups from here on, `size` if the bound holds with a group of these sums; and the sums
    of the groups taken, `before` without it."""
    order, ups, downs = own
    sums = (before[0] + order, before[1] + ups, before[2] + downs)
    if _holds(sums[0], sums[1], sums[2], noise_kind, groups):
        return size, sums
    size, order = size // 2, order / 4.0
    while size >= SMALLEST and not _holds(order, ups, downs, noise_kind, groups):
        size, order = size // 2, order / 4.0
    return size, before


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _advance_each(multiplicative, s, n):
    for jj in range(n):
        j = u64(jj)
        a, b, m, v = s[j + AT[UP]], s[j + AT[DOWN]], s[j + AT[MEAN]], s[j + AT[VAR]]
        rate_up, rate_down = a * s[j + AT[LOG_UP]], b * s[j + AT[LOG_DOWN]]
        fixed_up, fixed_down = s[j + AT[FIXED_UP]], s[j + AT[FIXED_DOWN]]
        term_up, term_down = s[j + AT[TERM_UP]], s[j + AT[TERM_DOWN]]
        way_up, way_down = rate_up * (fixed_up - m), rate_down * (fixed_down - m)
        total = rate_up + rate_down  # -L, as powers of 2
        total = total if abs(total) > LEAST else LEAST
        way = (way_up + way_down) / total
        if multiplicative:
            less = exp2m1(f32(0.5) * total)
            decay = (f32(1) + less) * (f32(1) + less)
            half, new = m - way * less, m - way * (less * (f32(2) + less))
            grow_up, grow_down = a * term_up, b * term_down
            grow = grow_up + grow_down
            p, q = fixed_up - half, fixed_down - half
            h = (grow_up * p * p + grow_down * q * q) / max(grow, LEAST)
            grown = exp2m1(grow)
            v = decay * (decay * (v + grown * v) + grown * h)
        else:
            less = exp2m1(total)
            new = m - way * less
            rates = (rate_up * term_up + rate_down * term_down) / total
            v += (v - rates) * (less * (f32(2) + less))
        s[j + AT[MEAN]], s[j + AT[VAR]] = new, v
        s[j + AT[VAR_MAX]] = max(s[j + AT[VAR_MAX]], v)
        s[j + AT[MEAN_MAX]] = max(max(s[j + AT[MEAN_MAX]], m - LN_2 * way_up), new)
        s[j + AT[MEAN_MIN]] = min(min(s[j + AT[MEAN_MIN]], m - LN_2 * way_down), new)


@late_kernel(types.void, fastmath=CONTRACT)
def _additive(s, n):
    _advance_each(False, s, n)


@late_kernel(types.void, fastmath=CONTRACT)
def _multiplicative(s, n):
    _advance_each(True, s, n)


@part()
def advance(noise_kind, blocks, n):
    """The pulses of a group on the first n cells."""
    for i in range((n + BLOCK - 1) // BLOCK):
        m = min(BLOCK, n - i * BLOCK)
        m += (-m) % 16  # whole vectors
        if noise_kind == MULTIPLICATIVE:
            _multiplicative(blocks[i].ravel(), m)
        else:
            _additive(blocks[i].ravel(), m)


@late_kernel(types.boolean, fastmath=CONTRACT)
def _finish(s, z):
    some = i32(0)
    for jj in range(z.shape[0]):
        j = u64(jj)
        lower, upper = s[j + AT[LOWER]], s[j + AT[UPPER]]
        room, new = SAFE * np.sqrt(s[j + AT[VAR_MAX]]), s[j + AT[MEAN]] + np.sqrt(s[j + AT[VAR]]) * z[jj]
        near = s[j + AT[MEAN_MAX]] + room > upper
        near |= s[j + AT[MEAN_MIN]] - room < lower
        near |= min(s[j + AT[LOG_UP]], s[j + AT[LOG_DOWN]]) == COARSE_MARK
        s[j + AT[FLAG]] = f32(1) if near else f32(0)
        some |= i32(near)
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
