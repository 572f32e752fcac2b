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
from numba import njit

from ..reference.groups import SMALLEST, TINY
from .affine import SAFE
from .affine_dense import COARSE_MARK, COEFFICIENTS, load_way
from .compiling import CONTRACT, kernel, no_refcount
from .math import exp2m1, popcount
from .packing import MULTIPLICATIVE
from ..pulsing import SLOTS
from .trains import SLOT_BITS

__all__ = [
    "BLOCK", "COUNTED", "DOWN", "MEAN", "UP", "Groups", "add_sample", "add_words", "advance", "blocks_of",
    "clear", "finish", "holds", "load", "pack_words", "plan",
]  # fmt: skip

u32, u64, i32, f32 = np.uint32, np.uint64, np.int32, np.float32

#: cells of a block; rows in step would share the sets of the cache
BLOCK, STRIDE = 256, 256 + 64
#: rows of a block: the coefficients of `affine_dense`; pulses of the group; the state; a flag
LOG_UP, LOG_DOWN, FIXED_UP, FIXED_DOWN, TERM_UP, TERM_DOWN, LOWER, UPPER = range(COEFFICIENTS)
UP, DOWN, MEAN, VAR, MEAN_MAX, MEAN_MIN, VAR_MAX, FLAG = range(COEFFICIENTS, COEFFICIENTS + 8)
ROWS = COEFFICIENTS + 8
AT = tuple(u64(STRIDE * q) for q in range(ROWS))
LN_2, LEAST = f32(0.6931471805599453), f32(TINY)
#: rounding that is exact on whole numbers
WHOLE = {"reassoc", "nsz", "contract"}
#: samples of a word of `Groups.xs`
COUNTED = 32
#: words are made for updates of so many samples or more, with trains of so many slots at most, and of a pulse
#: for so many cells and samples or more
WORDS_FROM, MOST_SLOTS, MOST_CELLS = 16, 8, 64


class Groups(NamedTuple):
    """How the samples of an update are taken together, and its trains as words of 32 samples."""

    #: as in `reference.groups`
    size: int
    clump: float
    limit: float
    #: uint32 (samples/32, 1 + slots, lines): signs, then fires in each slot; empty if they are not used
    xs: np.ndarray
    ds: np.ndarray


@kernel()
def first_size(pulses, samples, cells, limit):
    """As `reference.groups.first_size`."""
    size = np.int64(1)
    while size < samples:
        n = 2.0 * size * pulses / (np.float64(samples) * cells)
        if n * (n + 1.0) > 2.0 * limit:
            break
        size *= 2
    return size if size >= min(SMALLEST, samples) else np.int64(1)


@kernel()
def plan(trains, pulses, rows, limit, in_order):
    """The groups of an update with so many pulses; words of samples are made room for where they pay."""
    samples, cols, size = trains.n_lines.shape[0], trains.xs.shape[2], np.int64(1)
    if samples > 1 and not in_order and limit > 0.0:
        size = first_size(pulses, samples, rows * cols, limit)
    clump, slots, blocks = 0.0, np.int64(0), np.int64(0)
    if size > 1:
        for i in range(trains.active_samples.shape[0]):
            b = trains.active_samples[i]
            clump += trains.pairs[b]
            slots = max(slots, trains.slots[b])
        if samples >= WORDS_FROM and slots <= MOST_SLOTS and pulses * MOST_CELLS >= samples * rows * cols:
            blocks = (samples + COUNTED - 1) // COUNTED
    xs, ds = np.empty((blocks, 1 + slots, cols), np.uint32), np.empty((blocks, 1 + slots, rows), np.uint32)
    return size, 1.0 + clump / max(pulses, 1), limit, xs, ds


@kernel()
def _pack(trains, n_lines, begin, end, words):
    """Samples begin ... end-1 of one side, (words, samples, lines), into uint32 (1 + slots, lines)."""
    words[:] = u32(0)
    for b in range(begin, end):
        if n_lines[b] == 0:  # its trains are not written
            continue
        line, place = trains[0, b], u32(b - begin)
        for t in range(words.shape[0]):
            word, shift = words[t], u32(t - 1) if t > 0 else u32(SLOTS)
            for j in range(word.shape[0]):
                word[j] |= u32(u32(u32(line[j] >> shift) & u32(1)) << place)


@kernel()
def pack_words(begin, end, trains, groups):
    """Words of samples, of blocks begin ... end-1 of them."""
    xs, ds, n_lines = trains.xs, trains.ds, trains.n_lines
    for q in range(begin, end):
        first, last = q * COUNTED, min((q + 1) * COUNTED, n_lines.shape[0])
        _pack(xs, n_lines, first, last, groups.xs[q])
        _pack(ds, n_lines, first, last, groups.ds[q])


@kernel()
def blocks_of(n):
    """Scratch for n cells: float32 (blocks, ROWS, STRIDE), on cache lines of its own."""
    blocks = (n + BLOCK - 1) // BLOCK
    flat = np.zeros(blocks * ROWS * STRIDE + 16, np.float32)
    first = (-(flat.ctypes.data // 4)) % 16
    return flat[first : first + blocks * ROWS * STRIDE].reshape(blocks, ROWS, STRIDE)


@kernel()
def load(weights, up, down, lower, upper, affine, block, first):
    """Coefficients and state of cells with these weights and planes, from place `first` of a block on.

    Planes of one value hold for all.
    """
    n = weights.shape[0]
    end = first + n
    part = block[:, first : first + up.shape[0]]
    load_way(up, upper, affine.slope_up, f32(1) / affine.slope_up, affine, 0, part)
    load_way(down, lower, affine.slope_down, f32(-1) / affine.slope_down, affine, 1, part)
    part[LOWER, :], part[UPPER, :] = lower, upper
    if up.shape[0] == 1:
        for q in range(COEFFICIENTS):
            block[q, first:end] = block[q, first]
    for j in range(n):
        now = weights[j]
        block[MEAN, first + j], block[MEAN_MAX, first + j], block[MEAN_MIN, first + j] = now, now, now
    for q in (VAR, VAR_MAX):
        block[q, first:end] = f32(0)


@kernel()
def clear(block, n):
    """No pulses in a group yet."""
    block[UP, :n] = f32(0)
    block[DOWN, :n] = f32(0)


@kernel()
def _add_slot(x, sign, word, own, up, down):
    for j in range(up.shape[0]):
        both = u32(x[j] & word)
        falls = i32(popcount(u32(both & u32(sign[j] ^ own))))
        up[j] += f32(i32(i32(popcount(both)) - falls))
        down[j] += f32(falls)


@kernel()
def add_words(r, begin, end, first, groups, up, down):
    """Pulses of samples begin ... end - 1 between d-line r and the x-lines from `first` on."""
    xs, ds, n = groups.xs, groups.ds, up.shape[0]
    for q in range(begin // COUNTED, (end + COUNTED - 1) // COUNTED):
        mask = u32(0xFFFFFFFF)
        if end - begin < COUNTED:
            mask = u32(u32(u32(u32(1) << u32(end - begin)) - u32(1)) << u32(begin % COUNTED))
        for t in range(1, xs.shape[1]):
            word = u32(ds[q, t, r] & mask)
            if word != u32(0):
                x, sign = xs[q, t, first : first + n], xs[q, 0, first : first + n]
                _add_slot(x, sign, word, ds[q, 0, r], up, down)


@kernel()
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


@kernel(fastmath=WHOLE)
def _sums(up, down):
    cubes, squares, fewer = 0.0, 0.0, 0.0
    for j in range(up.shape[0]):
        a, b = np.float64(up[j]), np.float64(down[j])
        cubes += a * b * (a + b)
        squares += a * b
        fewer += min(a, b)
    return cubes, squares, fewer


@kernel()
def holds(blocks, n, groups):
    """Whether the group of the first n cells keeps to the bound of `reference.groups`."""
    cubes, squares, fewer = 0.0, 0.0, 0.0
    for i in range((n + BLOCK - 1) // BLOCK):
        m = min(BLOCK, n - i * BLOCK)
        a, b, c = _sums(blocks[i, UP, :m], blocks[i, DOWN, :m])
        cubes, squares, fewer = cubes + a, squares + b, fewer + c
    return groups.clump * (cubes + groups.clump * squares) <= groups.limit * fewer


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


@kernel(fastmath=CONTRACT)
def _additive(s, n):
    _advance_each(False, s, n)


@kernel(fastmath=CONTRACT)
def _multiplicative(s, n):
    _advance_each(True, s, n)


@kernel()
def advance(noise_kind, blocks, n):
    """The pulses of a group on the first n cells."""
    for i in range((n + BLOCK - 1) // BLOCK):
        m = min(BLOCK, n - i * BLOCK)
        m += (-m) % 16  # whole vectors
        if noise_kind == MULTIPLICATIVE:
            _multiplicative(blocks[i].ravel(), m)
        else:
            _additive(blocks[i].ravel(), m)


@kernel(fastmath=CONTRACT)
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


@kernel()
def finish(blocks, n, z):
    """Add the noise to the first n cells; whether any of them, flagged in row `FLAG`, needs pulse by pulse."""
    some = False
    for i in range((n + BLOCK - 1) // BLOCK):
        first = i * BLOCK
        some |= _finish(no_refcount(blocks[i]).ravel(), z[first : min(first + BLOCK, n)])
    return some
