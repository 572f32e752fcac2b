"""Blocks of tabulated elements in Numba: a run of every cell as vectors, and the noise.

A block is one array, a row of `STRIDE` floats for each of the values that `cpu_table` numbers. The compiler
then knows that rows are apart, and makes vectors without testing for it, which takes as long as the work.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from .affine import ADDITIVE, MULTIPLICATIVE, QUIET, Z
from .math import CONTRACT, kernel, lent
from .tables import (
    A_DOWN,
    A_UP,
    B_DOWN,
    B_UP,
    BASE,
    BOTTOM,
    C_DOWN,
    C_UP,
    CENTRE,
    DOWN,
    HIGH,
    LIMIT,
    LOST,
    LOW,
    LOWER,
    MEASURED,
    N_DOWN,
    N_UP,
    O_DOWN,
    O_UP,
    P_DOWN,
    P_UP,
    PEAK,
    REACH,
    SIGMAS,
    TOP,
    UP,
    UPPER,
    VALUES,
    M,
    V,
    advance,
    interval,
)

__all__ = [
    "BLOCK",
    "CHUNK",
    "COUNT",
    "STRIDE",
    "bad_cell",
    "begin",
    "block",
    "collapse",
    "end",
    "finish",
    "row",
    "start",
]

i32, u32, u64, f32 = np.int32, np.uint32, np.uint64, np.float32

#: cells of a row that are taken at a time; rows in step would share the sets of the cache
BLOCK, STRIDE = 256, 256 + 64
#: cells of a vector: blocks are filled up to a multiple
LANES = 16
#: samples that are taken before a block is looked at
CHUNK = 4
#: rows of a block besides the values of `cpu_table`: signed pulses of the present sample; of a chunk the
#: mean, variance and largest variance before it, highest and lowest mean and largest bend, and whether some
#: run does not hold; square of `WIDE` times the steepest stretch
COUNT, OLD_M, OLD_V, OLD_PEAK, CREST, TROUGH, WORST, BAD, WIDTH = range(VALUES, VALUES + 9)
ROWS = VALUES + 9
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
def _places(s, n, origin, last, places):
    """Where the cells start in the table; the middle of their interval."""
    for jj in range(n):
        j = u64(jj)
        i, _, _ = interval(s[j + AT[M]], s[j + AT[TOP]], s[j + AT[BOTTOM]], origin, last)
        places[jj] = i32(i32(i32(s[j + AT[BASE]]) >> i32(1)) + i)
        s[j + AT[CENTRE]] = f32(i) + f32(0.5) - origin


@kernel()
def _gather(s, n, places, curve):
    for jj in range(n):
        j, at = u64(jj), u32(places[jj])
        s[j + AT[A_UP]], s[j + AT[B_UP]], s[j + AT[C_UP]] = curve[at, 0], curve[at, 1], curve[at, 2]
        s[j + AT[A_DOWN]] = curve[at, 3]
        s[j + AT[B_DOWN]] = curve[at, 4]
        s[j + AT[C_DOWN]] = curve[at, 5]
        s[j + AT[REACH]] = curve[at, 6]


@kernel()
def _gather_sd(s, n, places, curve):
    for jj in range(n):
        j, at = u64(jj), u32(places[jj])
        s[j + AT[N_UP]], s[j + AT[O_UP]], s[j + AT[P_UP]] = curve[at, 8], curve[at, 9], curve[at, 10]
        s[j + AT[N_DOWN]] = curve[at, 11]
        s[j + AT[O_DOWN]] = curve[at, 12]
        s[j + AT[P_DOWN]] = curve[at, 13]


@kernel(fastmath=CONTRACT)
def _scale(s, n, kind, std):
    for jj in range(n):
        j = u64(jj)
        up, down, wide = s[j + AT[UP]], s[j + AT[DOWN]], SIGMAS * max(s[j + AT[TOP]], s[j + AT[BOTTOM]])
        s[j + AT[WIDTH]] = wide * wide
        s[j + AT[A_UP]] *= up
        s[j + AT[B_UP]] *= up
        s[j + AT[C_UP]] *= up
        s[j + AT[A_DOWN]] *= down
        s[j + AT[B_DOWN]] *= down
        s[j + AT[C_DOWN]] *= down
        if kind != MEASURED:
            s[j + AT[N_UP]], s[j + AT[N_DOWN]] = std * up, std * down


@kernel(fastmath=CONTRACT)
def _scale_sd(s, n):
    for jj in range(n):
        j = u64(jj)
        up, down = s[j + AT[UP]], s[j + AT[DOWN]]
        s[j + AT[N_UP]] *= up
        s[j + AT[O_UP]] *= up
        s[j + AT[P_UP]] *= up
        s[j + AT[N_DOWN]] *= down
        s[j + AT[O_DOWN]] *= down
        s[j + AT[P_DOWN]] *= down


@kernel(fastmath=CONTRACT)
def _parameters(up, down, lower, upper, which, top, bottom, s):
    for jj in range(up.shape[0]):
        j = u64(jj)
        s[j + AT[UP]], s[j + AT[DOWN]], s[j + AT[LOWER]], s[j + AT[UPPER]] = (
            up[jj], down[jj], lower[jj], upper[jj],
        )  # fmt: skip
        s[j + AT[TOP]], s[j + AT[BOTTOM]] = top / upper[jj], bottom / lower[jj]
        s[j + AT[BASE]] = f32(which[jj])


@kernel()
def _state(weights, s):
    for jj in range(weights.shape[0]):
        j, now = u64(jj), weights[jj]
        s[j + AT[M]], s[j + AT[HIGH]], s[j + AT[LOW]] = now, now, now
        s[j + AT[V]], s[j + AT[PEAK]], s[j + AT[LOST]] = f32(0), f32(0), f32(0)


@njit(inline="always")
def start(r, first, weights, e, kind, std, s, places):
    """Parameters and state of the cells of row r from `first` on, with these weights; places: scratch."""
    uniform, n = e.up.size == 1, weights.shape[0]
    i, begin, end = (0, 0, 1) if uniform else (r, first, first + n)
    _parameters(
        e.up[i, begin:end], e.down[i, begin:end], e.lower[i, begin:end], e.upper[i, begin:end],
        e.which[i, begin:end], e.top, e.bottom, s,
    )  # fmt: skip
    if uniform:
        for q in (UP, DOWN, LOWER, UPPER, TOP, BOTTOM, BASE):
            row(s, q, n)[:] = s[q * STRIDE]
    _state(weights, s)
    _expand(s, n, kind, std, e.curve, e.origin, e.n, places)


@kernel()
def _expand(s, n, kind, std, curve, origin, last, places):
    """The parabolas of the intervals where the cells are."""
    curve, s, places = lent(curve), lent(s), lent(places)
    _places(s, n, origin, last, places)
    _gather(s, n, places, curve)
    if kind == MEASURED:
        _gather_sd(s, n, places, curve)
        _scale_sd(s, n)
    _scale(s, n, kind, std)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _way(kind, s, j, down):
    """Parabola of the step in one direction, with its sign, and of its standard deviation. Values are negated
    as they are selected: two loads and nothing else would become a gather."""
    a0, b0, c0, n0 = s[j + AT[A_UP]], s[j + AT[B_UP]], s[j + AT[C_UP]], s[j + AT[N_UP]]
    a1, b1, c1, n1 = s[j + AT[A_DOWN]], s[j + AT[B_DOWN]], s[j + AT[C_DOWN]], s[j + AT[N_DOWN]]
    a, b, c = -a1 if down else a0, -b1 if down else b0, -c1 if down else c0
    n, o, p = f32(0), f32(0), f32(0)
    if kind == ADDITIVE:
        n = -n1 if down else n0
    elif kind == MEASURED:
        o0, p0, o1, p1 = s[j + AT[O_UP]], s[j + AT[P_UP]], s[j + AT[O_DOWN]], s[j + AT[P_DOWN]]
        n, o, p = -n1 if down else n0, -o1 if down else o0, -p1 if down else p0
    return a, b, c, n, o, p


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _loop(kind, std, s, n):
    """A run of every cell."""
    for jj in range(n):
        j = u64(jj)
        count = s[j + AT[COUNT]]
        a, b, c, sd, o, p = _way(kind, s, j, count < f32(0))
        top, bottom, centre = s[j + AT[TOP]], s[j + AT[BOTTOM]], s[j + AT[CENTRE]]
        m, v, bend = advance(
            kind, std, abs(count), s[j + AT[M]], s[j + AT[V]], a, b, c, sd, o, p, top, bottom, centre
        )
        if kind == QUIET:
            m = min(max(m, s[j + AT[LOWER]]), s[j + AT[UPPER]])
        else:
            s[j + AT[V]], s[j + AT[PEAK]] = v, max(s[j + AT[PEAK]], v)
        s[j + AT[M]], s[j + AT[CREST]] = m, max(s[j + AT[CREST]], m)
        s[j + AT[TROUGH]], s[j + AT[WORST]] = min(s[j + AT[TROUGH]], m), max(s[j + AT[WORST]], bend)


@kernel(fastmath=CONTRACT)
def _additive(std, s, n):
    _loop(ADDITIVE, std, s, n)


@kernel(fastmath=CONTRACT)
def _multiplicative(std, s, n):
    _loop(MULTIPLICATIVE, std, s, n)


@kernel(fastmath=CONTRACT)
def _quiet(std, s, n):
    _loop(QUIET, std, s, n)


@kernel(fastmath=CONTRACT)
def _measured(std, s, n):
    _loop(MEASURED, std, s, n)


@njit(inline="always")
def collapse(kind, std, s, n):
    """One sample of a block of n cells, its signed counts in row `COUNT`."""
    full = n + (-n) % LANES
    for j in range(n, full):
        s[COUNT * STRIDE + j] = f32(0)
    if kind == ADDITIVE:
        _additive(std, s, full)
    elif kind == MULTIPLICATIVE:
        _multiplicative(std, s, full)
    elif kind == QUIET:
        _quiet(std, s, full)
    else:
        _measured(std, s, full)


@kernel()
def begin(s, n):
    """Before a chunk of samples."""
    for jj in range(n):
        j = u64(jj)
        m = s[j + AT[M]]
        s[j + AT[OLD_M]], s[j + AT[OLD_V]], s[j + AT[OLD_PEAK]] = m, s[j + AT[V]], s[j + AT[PEAK]]
        s[j + AT[CREST]], s[j + AT[TROUGH]], s[j + AT[WORST]] = m, m, f32(0)


@kernel(fastmath=CONTRACT)
def end(s, n):
    """After a chunk of samples: mark in row `BAD` the cells of which some run did not hold; whether there are
    any."""
    some = i32(0)
    for jj in range(n):
        j = u64(jj)
        top, bottom, centre = s[j + AT[TOP]], s[j + AT[BOTTOM]], s[j + AT[CENTRE]]
        crest, trough, high, low = s[j + AT[CREST]], s[j + AT[TROUGH]], s[j + AT[HIGH]], s[j + AT[LOW]]
        right = crest * (top if crest >= f32(0) else bottom) - centre
        left = centre - trough * (top if trough >= f32(0) else bottom)
        slack = s[j + AT[REACH]] - max(right, left)
        fits = slack >= f32(0)
        fits &= s[j + AT[WIDTH]] * s[j + AT[PEAK]] <= slack * slack
        fits &= s[j + AT[WORST]] <= LIMIT  # all written so that what is no number does not fit
        s[j + AT[BAD]] = f32(0) if fits else f32(1)
        s[j + AT[HIGH]] = max(high, crest) if fits else high
        s[j + AT[LOW]] = min(low, trough) if fits else low
        some = i32(some | i32(not fits))
    return some != i32(0)


@njit(inline="always")
def bad_cell(s, j):
    """Whether cell j is marked; if so it is put back to before the chunk."""
    if s[BAD * STRIDE + j] == f32(0):
        return False
    s[M * STRIDE + j], s[V * STRIDE + j] = s[OLD_M * STRIDE + j], s[OLD_V * STRIDE + j]
    s[PEAK * STRIDE + j] = s[OLD_PEAK * STRIDE + j]
    return True


@kernel(fastmath=CONTRACT)
def _check(s, n):
    """Flag in row `COUNT` the cells that must be replayed; whether there are any."""
    some = i32(0)
    for jj in range(n):
        j = u64(jj)
        spread, lost = Z * np.sqrt(s[j + AT[PEAK]]), s[j + AT[LOST]]
        inside = s[j + AT[HIGH]] + spread <= s[j + AT[UPPER]]
        inside &= s[j + AT[LOW]] - spread >= s[j + AT[LOWER]]
        flag = lost if inside else f32(1)
        s[j + AT[COUNT]] = flag
        some = i32(some | i32(flag != f32(0)))
    return some != i32(0)


@kernel(fastmath=CONTRACT)
def _noise(s, z):
    for jj in range(z.shape[0]):
        j = u64(jj)
        new = s[j + AT[M]] + np.sqrt(s[j + AT[V]]) * z[jj]
        s[j + AT[M]] = min(max(new, s[j + AT[LOWER]]), s[j + AT[UPPER]])


@kernel()
def finish(kind, s, n, z):
    """Flag the cells to be replayed, in row `COUNT`, and add the noise; returns whether there are any."""
    if kind == QUIET:
        return False
    some = _check(s, n)
    _noise(s, z[:n])
    return some
