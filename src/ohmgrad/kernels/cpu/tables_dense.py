"""Blocks of tabulated elements in Numba: a segment of every cell as vectors, and the noise.

A block is one array, a row of `STRIDE` floats for each of the values that `tables` numbers. The compiler
then knows that rows are apart, and makes vectors without testing for it, which takes as long as the work.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from . import tables_values as v
from .affine import SAFE
from .compiling import CONTRACT, kernel, no_refcount
from .packing import ADDITIVE, MEASURED, MULTIPLICATIVE, NOISELESS
from .tables import LIMIT, SIGMAS, Parabola, Stretch, advance, interval, offset

__all__ = [
    "BLOCK", "CHUNK", "COUNT", "STRIDE", "advance_block", "block", "checkpoint", "finish_block",
    "load_block", "put_back", "row", "validate",
]  # fmt: skip

i32, u32, u64, f32 = np.int32, np.uint32, np.uint64, np.float32

#: cells of a row that are taken at a time; rows in step would share the sets of the cache
BLOCK, STRIDE = 256, 256 + 64
#: cells of a vector: blocks are filled up to a multiple
LANES = 16
#: samples that are taken before a block is looked at
CHUNK = 4
#: rows of a block besides the values of `tables`: signed pulses of the present sample; of a chunk of samples
#: the mean, variance and largest variance before it, highest and lowest mean and largest error, and whether
#: some segment does not hold; square of `SIGMAS` times the steepest stretch
COUNT, OLD_MEAN, OLD_VAR, OLD_VAR_MAX, CHUNK_MAX, CHUNK_MIN, CHUNK_ERROR, INVALID, WIDTH = range(
    v.VALUES, v.VALUES + 9
)
ROWS = v.VALUES + 9
#: place of each row
AT = tuple(u64(STRIDE * q) for q in range(ROWS))


@kernel()
def block():
    """Scratch for one block, on cache lines of its own."""
    flat = np.zeros(ROWS * STRIDE + 16, np.float32)
    first = (-(flat.ctypes.data // 4)) % 16
    return flat[first : first + ROWS * STRIDE]


@njit(inline="always")
def row(s, q, n):
    """Row q of a block of n cells."""
    return s[q * STRIDE : q * STRIDE + n]


@kernel(fastmath=CONTRACT)
def _find_intervals(s, n, tables, intervals):
    """The intervals where the cells start; the middle of each."""
    for jj in range(n):
        j = u64(jj)
        i, _ = interval(s[j + AT[v.MEAN]], s[j + AT[v.TOP]], s[j + AT[v.BOTTOM]], tables)
        intervals[jj] = i32(i32(i32(s[j + AT[v.BASE]]) >> i32(1)) + i)
        s[j + AT[v.CENTRE]] = f32(i) + f32(0.5) - tables.origin


@kernel()
def _gather(s, n, intervals, curve):
    for jj in range(n):
        j, at = u64(jj), u32(intervals[jj])
        s[j + AT[v.A_UP]] = curve[at, 0]
        s[j + AT[v.B_UP]] = curve[at, 1]
        s[j + AT[v.C_UP]] = curve[at, 2]
        s[j + AT[v.A_DOWN]] = curve[at, 3]
        s[j + AT[v.B_DOWN]] = curve[at, 4]
        s[j + AT[v.C_DOWN]] = curve[at, 5]
        s[j + AT[v.VALID_RADIUS]] = curve[at, 6]


@kernel()
def _gather_sd(s, n, intervals, curve):
    for jj in range(n):
        j, at = u64(jj), u32(intervals[jj])
        s[j + AT[v.SD_A_UP]] = curve[at, 8]
        s[j + AT[v.SD_B_UP]] = curve[at, 9]
        s[j + AT[v.SD_C_UP]] = curve[at, 10]
        s[j + AT[v.SD_A_DOWN]] = curve[at, 11]
        s[j + AT[v.SD_B_DOWN]] = curve[at, 12]
        s[j + AT[v.SD_C_DOWN]] = curve[at, 13]


@kernel(fastmath=CONTRACT)
def _scale(s, n, noise_kind, noise_std):
    for jj in range(n):
        j = u64(jj)
        up, down = s[j + AT[v.UP]], s[j + AT[v.DOWN]]
        wide = SIGMAS * max(s[j + AT[v.TOP]], s[j + AT[v.BOTTOM]])
        s[j + AT[WIDTH]] = wide * wide
        s[j + AT[v.A_UP]] *= up
        s[j + AT[v.B_UP]] *= up
        s[j + AT[v.C_UP]] *= up
        s[j + AT[v.A_DOWN]] *= down
        s[j + AT[v.B_DOWN]] *= down
        s[j + AT[v.C_DOWN]] *= down
        if noise_kind != MEASURED:
            s[j + AT[v.SD_A_UP]], s[j + AT[v.SD_A_DOWN]] = noise_std * up, noise_std * down


@kernel(fastmath=CONTRACT)
def _scale_sd(s, n):
    for jj in range(n):
        j = u64(jj)
        up, down = s[j + AT[v.UP]], s[j + AT[v.DOWN]]
        s[j + AT[v.SD_A_UP]] *= up
        s[j + AT[v.SD_B_UP]] *= up
        s[j + AT[v.SD_C_UP]] *= up
        s[j + AT[v.SD_A_DOWN]] *= down
        s[j + AT[v.SD_B_DOWN]] *= down
        s[j + AT[v.SD_C_DOWN]] *= down


@kernel(fastmath=CONTRACT)
def _parameters(planes, tables, s):
    up, down, lower, upper, which = planes
    top, bottom = tables.top, tables.bottom
    for jj in range(up.shape[0]):
        j = u64(jj)
        s[j + AT[v.UP]], s[j + AT[v.DOWN]], s[j + AT[v.LOWER]], s[j + AT[v.UPPER]] = (
            up[jj], down[jj], lower[jj], upper[jj],
        )  # fmt: skip
        s[j + AT[v.TOP]], s[j + AT[v.BOTTOM]] = top / upper[jj], bottom / lower[jj]
        s[j + AT[v.BASE]] = f32(which[jj])


@kernel()
def _state(weights, s):
    for jj in range(weights.shape[0]):
        j, now = u64(jj), weights[jj]
        s[j + AT[v.MEAN]], s[j + AT[v.MEAN_MAX]], s[j + AT[v.MEAN_MIN]] = now, now, now
        s[j + AT[v.VAR]], s[j + AT[v.VAR_MAX]], s[j + AT[v.NEEDS]] = f32(0), f32(0), f32(0)


@njit(inline="always")
def load_block(r, first, weights, tables, s, intervals):
    """Parameters and state of the cells of row r from `first` on, with these weights; intervals: scratch."""
    uniform, n = tables.up.size == 1, weights.shape[0]
    i, begin, end = (0, 0, 1) if uniform else (r, first, first + n)
    planes = (
        tables.up[i, begin:end], tables.down[i, begin:end], tables.lower[i, begin:end],
        tables.upper[i, begin:end], tables.which[i, begin:end],
    )  # fmt: skip
    _parameters(planes, tables, s)
    if uniform:
        for q in (v.UP, v.DOWN, v.LOWER, v.UPPER, v.TOP, v.BOTTOM, v.BASE):
            row(s, q, n)[:] = s[q * STRIDE]
    _state(weights, s)
    _expand(s, n, tables, intervals)


@kernel()
def _expand(s, n, tables, intervals):
    """The parabolas of the intervals where the cells are."""
    tables, s, intervals = no_refcount((tables, s, intervals))
    _find_intervals(s, n, tables, intervals)
    _gather(s, n, intervals, tables.curve)
    if tables.noise_kind == MEASURED:
        _gather_sd(s, n, intervals, tables.curve)
        _scale_sd(s, n)
    _scale(s, n, tables.noise_kind, tables.noise_std)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _parabola(noise_kind, s, j, down):
    """As `tables_segments.parabola_of`. Values are negated as they are selected: two loads and nothing else
    would become a gather."""
    a0, b0, c0, n0 = s[j + AT[v.A_UP]], s[j + AT[v.B_UP]], s[j + AT[v.C_UP]], s[j + AT[v.SD_A_UP]]
    a1, b1, c1, n1 = s[j + AT[v.A_DOWN]], s[j + AT[v.B_DOWN]], s[j + AT[v.C_DOWN]], s[j + AT[v.SD_A_DOWN]]
    a, b, c = -a1 if down else a0, -b1 if down else b0, -c1 if down else c0
    n, o, p = f32(0), f32(0), f32(0)
    if noise_kind == ADDITIVE:
        n = -n1 if down else n0
    elif noise_kind == MEASURED:
        o0, p0 = s[j + AT[v.SD_B_UP]], s[j + AT[v.SD_C_UP]]
        o1, p1 = s[j + AT[v.SD_B_DOWN]], s[j + AT[v.SD_C_DOWN]]
        n, o, p = -n1 if down else n0, -o1 if down else o0, -p1 if down else p0
    return Parabola(a, b, c, n, o, p)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _advance_each(noise_kind, noise_std, s, n):
    """A segment of every cell."""
    for jj in range(n):
        j = u64(jj)
        count = s[j + AT[COUNT]]
        stretch = Stretch(s[j + AT[v.TOP]], s[j + AT[v.BOTTOM]], s[j + AT[v.CENTRE]])
        mean, var, error = advance(
            noise_kind, noise_std, abs(count), s[j + AT[v.MEAN]], s[j + AT[v.VAR]],
            _parabola(noise_kind, s, j, count < f32(0)), stretch,
        )  # fmt: skip
        if noise_kind == NOISELESS:
            mean = min(max(mean, s[j + AT[v.LOWER]]), s[j + AT[v.UPPER]])
        else:
            s[j + AT[v.VAR]], s[j + AT[v.VAR_MAX]] = var, max(s[j + AT[v.VAR_MAX]], var)
        s[j + AT[v.MEAN]], s[j + AT[CHUNK_MAX]] = mean, max(s[j + AT[CHUNK_MAX]], mean)
        s[j + AT[CHUNK_MIN]] = min(s[j + AT[CHUNK_MIN]], mean)
        s[j + AT[CHUNK_ERROR]] = max(s[j + AT[CHUNK_ERROR]], error)


@kernel(fastmath=CONTRACT)
def _additive(noise_std, s, n):
    _advance_each(ADDITIVE, noise_std, s, n)


@kernel(fastmath=CONTRACT)
def _multiplicative(noise_std, s, n):
    _advance_each(MULTIPLICATIVE, noise_std, s, n)


@kernel(fastmath=CONTRACT)
def _noiseless(noise_std, s, n):
    _advance_each(NOISELESS, noise_std, s, n)


@kernel(fastmath=CONTRACT)
def _measured(noise_std, s, n):
    _advance_each(MEASURED, noise_std, s, n)


@njit(inline="always")
def advance_block(noise_kind, noise_std, s, n):
    """One sample of a block of n cells, its signed counts in row `COUNT`."""
    full = n + (-n) % LANES
    for j in range(n, full):
        s[COUNT * STRIDE + j] = f32(0)
    if noise_kind == ADDITIVE:
        _additive(noise_std, s, full)
    elif noise_kind == MULTIPLICATIVE:
        _multiplicative(noise_std, s, full)
    elif noise_kind == NOISELESS:
        _noiseless(noise_std, s, full)
    else:
        _measured(noise_std, s, full)


@kernel()
def checkpoint(s, n):
    """Before a chunk of samples."""
    for jj in range(n):
        j = u64(jj)
        mean = s[j + AT[v.MEAN]]
        s[j + AT[OLD_MEAN]], s[j + AT[OLD_VAR]], s[j + AT[OLD_VAR_MAX]] = (
            mean, s[j + AT[v.VAR]], s[j + AT[v.VAR_MAX]],
        )  # fmt: skip
        s[j + AT[CHUNK_MAX]], s[j + AT[CHUNK_MIN]], s[j + AT[CHUNK_ERROR]] = mean, mean, f32(0)


@kernel(fastmath=CONTRACT)
def validate(s, n):
    """After a chunk of samples: marks in row `INVALID` the cells of which some segment did not hold; returns
    whether there are any."""
    some = i32(0)
    for jj in range(n):
        j = u64(jj)
        top, bottom, centre = s[j + AT[v.TOP]], s[j + AT[v.BOTTOM]], s[j + AT[v.CENTRE]]
        highest, lowest = s[j + AT[CHUNK_MAX]], s[j + AT[CHUNK_MIN]]
        mean_max, mean_min = s[j + AT[v.MEAN_MAX]], s[j + AT[v.MEAN_MIN]]
        right = offset(highest, top, bottom, centre)
        left = -offset(lowest, top, bottom, centre)
        slack = s[j + AT[v.VALID_RADIUS]] - max(right, left)
        fits = slack >= f32(0)
        fits &= s[j + AT[WIDTH]] * s[j + AT[v.VAR_MAX]] <= slack * slack
        fits &= s[j + AT[CHUNK_ERROR]] <= LIMIT  # all written so that what is no number does not fit
        s[j + AT[INVALID]] = f32(0) if fits else f32(1)
        s[j + AT[v.MEAN_MAX]] = max(mean_max, highest) if fits else mean_max
        s[j + AT[v.MEAN_MIN]] = min(mean_min, lowest) if fits else mean_min
        some = i32(some | i32(not fits))
    return some != i32(0)


@njit(inline="always")
def put_back(s, j):
    """Whether cell j is invalid; if so it is put back to before the chunk."""
    if s[INVALID * STRIDE + j] == f32(0):
        return False
    s[v.MEAN * STRIDE + j], s[v.VAR * STRIDE + j] = s[OLD_MEAN * STRIDE + j], s[OLD_VAR * STRIDE + j]
    s[v.VAR_MAX * STRIDE + j] = s[OLD_VAR_MAX * STRIDE + j]
    return True


@kernel(fastmath=CONTRACT)
def _flag(s, n):
    some = i32(0)
    for jj in range(n):
        j = u64(jj)
        room, needs = SAFE * np.sqrt(s[j + AT[v.VAR_MAX]]), s[j + AT[v.NEEDS]]
        inside = s[j + AT[v.MEAN_MAX]] + room <= s[j + AT[v.UPPER]]
        inside &= s[j + AT[v.MEAN_MIN]] - room >= s[j + AT[v.LOWER]]
        flag = needs if inside else f32(1)
        s[j + AT[COUNT]] = flag
        some = i32(some | i32(flag != f32(0)))
    return some != i32(0)


@kernel(fastmath=CONTRACT)
def _add_noise(s, z):
    for jj in range(z.shape[0]):
        j = u64(jj)
        new = s[j + AT[v.MEAN]] + np.sqrt(s[j + AT[v.VAR]]) * z[jj]
        s[j + AT[v.MEAN]] = min(max(new, s[j + AT[v.LOWER]]), s[j + AT[v.UPPER]])


@kernel()
def finish_block(noise_kind, s, n, z):
    """Add the noise; flag in row `COUNT` cells that need pulse by pulse; returns whether there are any."""
    if noise_kind == NOISELESS:
        return False
    some = _flag(s, n)
    _add_noise(s, z[:n])
    return some
