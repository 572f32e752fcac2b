"""Single cells of tabulated elements in Numba: the collapse, drawn pulses, and pulse by pulse."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false, reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit

from ...rng import Purpose
from . import tables_values as v
from .affine import NOISES, SAFE, pulse_normals
from .compiling import CONTRACT, kernel, no_refcount
from .math import philox
from .packing import ADDITIVE, MEASURED, MULTIPLICATIVE, NOISELESS
from .tables import LIMIT, SIGMAS, Stretch, advance, advance_by_one, interval, offset
from .tables_segments import apply_segments, parabola_of

__all__ = ["apply_pulse_by_pulse", "draw", "few_pulses", "finish", "first_draws", "load", "update"]

u32, i32, f32 = np.uint32, np.int32, np.float32

MEASURED_STEP = u32(Purpose.MEASURED_STEP)


@njit(inline="always")
def _unit(a):
    return (f32(a) + f32(0.5)) * f32(2.0**-32)


@kernel()
def _pulse_uniforms(r, j, first, blocks, address, z):
    """Uniform numbers of the pulses 4 first ... 4 (first + blocks) - 1 of one cell."""
    for i in range(blocks):
        block = u32(MEASURED_STEP | u32(u32(first + i) << u32(8)))
        a, b, c, d = philox(u32(j), u32(r), address.step, block, address.k0, address.k1)
        z[4 * i], z[4 * i + 1] = _unit(a), _unit(b)
        z[4 * i + 2], z[4 * i + 3] = _unit(c), _unit(d)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def _drawn(tables, first, i, t, u):
    """Measured step at interval i, part t, and probability u, bilinear. first: place of the device."""
    steps, cdf, nodes = tables.steps, tables.cdf, tables.n + i32(1)
    last = cdf.shape[0] - 1
    if tables.even:
        place = u * f32(last)
        low = min(np.int64(place), last - 1)
        s = place - f32(low)
    else:
        low, high = 0, last
        while high - low > 1:
            mid = (low + high) // 2
            if cdf[mid] <= u:
                low = mid
            else:
                high = mid
        s = min(max((u - cdf[low]) / (cdf[high] - cdf[low]), f32(0)), f32(1))
    a = u32(first + i32(low) * nodes + i)
    b = u32(a + u32(nodes))
    one = steps[a] + t * (steps[a + u32(1)] - steps[a])
    two = steps[b] + t * (steps[b + u32(1)] - steps[b])
    return one + s * (two - one)


@kernel(fastmath=CONTRACT)
def apply_pulse_by_pulse(weight, r, j, counts, tables, address, z):
    """All pulses of one cell, each with its own noise and clipping; returns the new weight.

    counts: signed, of its samples in order; z: scratch for `NOISES` numbers.
    """
    w, e, z = weight, no_refcount(tables), no_refcount(z)
    noise_kind, noise_std = e.noise_kind, e.noise_std
    row, col = (0, 0) if e.up.size == 1 else (r, j)
    up, down, lower, upper, base = (
        e.up[row, col], e.down[row, col], e.lower[row, col], e.upper[row, col], e.which[row, col],
    )  # fmt: skip
    top, bottom = e.top / upper, e.bottom / lower
    nodes = e.n + i32(1)
    levels = i32(e.cdf.shape[0])
    left = 0
    for i in range(counts.shape[0]):
        left += abs(counts[i])
    index = 0
    for i in range(counts.shape[0]):
        way = 1 if counts[i] < 0 else 0
        size = -down if way else up
        first = base + i32(way) * nodes
        first_steps = i32(first * levels)
        for _ in range(abs(counts[i])):
            at = index % NOISES
            if at == 0 and noise_kind != NOISELESS:
                blocks = min(NOISES, left - index + 3) // 4
                if noise_kind == MEASURED:
                    _pulse_uniforms(r, j, index // 4, blocks, address, z)
                else:
                    pulse_normals(r, j, index // 4, blocks, address, z)
            place, t = interval(w, top, bottom, e)
            if noise_kind == MEASURED:
                dw = size * _drawn(e, first_steps, place, t, z[at])
            else:
                dw = size * (e.value[first + place] + t * e.rise[first + place])
                if noise_kind == ADDITIVE:
                    dw += noise_std * abs(size) * z[at]
                elif noise_kind == MULTIPLICATIVE:
                    dw += noise_std * dw * z[at]
            w = min(max(w + dw, lower), upper)
            index += 1
    return w


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def load(r, j, w, tables, cell):
    """Parameters and state of cell j of row r before its first pulse, but for the parabola."""
    row, col = (0, 0) if tables.up.size == 1 else (r, j)
    lower, upper, now = tables.lower[row, col], tables.upper[row, col], w[r, j]
    cell[v.UP], cell[v.DOWN] = tables.up[row, col], tables.down[row, col]
    cell[v.LOWER], cell[v.UPPER] = lower, upper
    cell[v.TOP], cell[v.BOTTOM] = tables.top / upper, tables.bottom / lower
    cell[v.BASE] = f32(tables.which[row, col])
    cell[v.MEAN], cell[v.MEAN_MAX], cell[v.MEAN_MIN] = now, now, now
    cell[v.VAR], cell[v.VAR_MAX], cell[v.NEEDS], cell[v.UNIFORM] = f32(0), f32(0), f32(0), f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def update(cell, k, down, tables):
    """k pulses in one direction on one cell."""
    noise_kind, noise_std = tables.noise_kind, tables.noise_std
    top, bottom, centre, error = cell[v.TOP], cell[v.BOTTOM], cell[v.CENTRE], f32(0)
    parabola, stretch = parabola_of(noise_kind, cell, 0, 1, down), Stretch(top, bottom, centre)
    if k == f32(1):
        mean, var = advance_by_one(noise_kind, noise_std, cell[v.MEAN], cell[v.VAR], parabola, stretch)
    else:
        mean, var, error = advance(noise_kind, noise_std, k, cell[v.MEAN], cell[v.VAR], parabola, stretch)
    if noise_kind == NOISELESS:
        mean, var = min(max(mean, cell[v.LOWER]), cell[v.UPPER]), f32(0)
    var_max = max(cell[v.VAR_MAX], var)
    slack = cell[v.VALID_RADIUS] - abs(offset(mean, top, bottom, centre))
    wide = SIGMAS * max(top, bottom)
    if slack >= f32(0) and slack * slack >= (wide * wide) * var_max and error <= LIMIT:
        cell[v.VAR], cell[v.VAR_MAX], cell[v.MEAN] = var, var_max, mean
        cell[v.MEAN_MAX], cell[v.MEAN_MIN] = max(cell[v.MEAN_MAX], mean), min(cell[v.MEAN_MIN], mean)
    else:
        apply_segments(-k if down else k, cell, 0, 1, tables)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def finish(cell, z, noise_kind):
    """New weight of a cell, with its noise, and whether it needs pulse by pulse instead."""
    if noise_kind == NOISELESS:
        return cell[v.MEAN], False
    room = SAFE * np.sqrt(cell[v.VAR_MAX])
    near = not (cell[v.MEAN_MAX] + room <= cell[v.UPPER] and cell[v.MEAN_MIN] - room >= cell[v.LOWER])
    new = min(max(cell[v.MEAN] + np.sqrt(cell[v.VAR]) * z, cell[v.LOWER]), cell[v.UPPER])
    return new, near or cell[v.NEEDS] != f32(0)


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def few_pulses(pulses, w, top, bottom, base, tables):
    """Whether so many pulses of a measured cell at w have no Gaussian sum."""
    i, _ = interval(w, top, bottom, tables)
    return not pulses >= tables.need[u32(i32(base) + i)]


@kernel()
def _list_uniforms(r, columns, address, a, b, c, d):
    """Uniform numbers of the first four pulses of the listed cells."""
    for i in range(columns.shape[0]):
        p, q, s, t = philox(
            u32(columns[i]), u32(r), address.step, MEASURED_STEP, address.k0, address.k1
        )  # fmt: skip
        a[i], b[i], c[i], d[i] = _unit(p), _unit(q), _unit(s), _unit(t)


@kernel()
def first_draws(r, address, columns, s, cells):
    """Make the listed cells ready to be drawn pulse by pulse. s: scratch for four numbers each."""
    n, cells, s, columns = columns.shape[0], no_refcount(cells), no_refcount(s), no_refcount(columns)
    a, b, c, d = s[:n], s[n : 2 * n], s[2 * n : 3 * n], s[3 * n : 4 * n]
    _list_uniforms(r, columns, address, a, b, c, d)
    for i in range(n):
        cell = cells[columns[i]]
        cell[v.VAR], cell[v.UNIFORM], cell[v.UNIFORM + 1] = f32(0), a[i], b[i]
        cell[v.UNIFORM + 2], cell[v.UNIFORM + 3] = c[i], d[i]


@njit(forceinline=True, error_model="numpy", fastmath=CONTRACT)
def draw(cell, r, j, k, tables, address):
    """k signed pulses of a measured cell, each drawn."""
    down, nodes = k < 0, i32(tables.n + i32(1))
    size = -cell[v.DOWN] if down else cell[v.UP]
    w, index = cell[v.MEAN], i32(cell[v.VAR])
    first = i32(i32(i32(cell[v.BASE]) + (nodes if down else i32(0))) * i32(tables.cdf.shape[0]))
    for _ in range(abs(k)):
        at = index & i32(3)
        if at == 0 and index != 0:
            _pulse_uniforms(r, j, index // 4, 1, address, cell[v.UNIFORM : v.UNIFORM + 4])
        i, t = interval(w, cell[v.TOP], cell[v.BOTTOM], tables)
        w += size * _drawn(tables, first, i, t, cell[v.UNIFORM + at])
        w = min(max(w, cell[v.LOWER]), cell[v.UPPER])
        index += i32(1)
    cell[v.MEAN], cell[v.VAR] = w, f32(index)
