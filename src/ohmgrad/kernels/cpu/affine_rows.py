"""Rows of affine elements in Numba: the dense and the sparse path, with one result to rounding.

The dense path streams the whole row for every sample, or for every group of them; the sparse path visits the
x-lines that fire, so that its cost follows the coincidences. A row takes the cheaper one.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np
from numba import njit, types

from ..pulsing import SLOTS
from ..reference.groups import SMALLEST
from . import affine_groups as g
from .affine import advance, apply_pulse_by_pulse, cell_at, finish_cell
from .affine_dense import advance_row, count_row, finish_row, load_row
from .affine_scratch import scratch_of
from .compiling import CONTRACT, no_refcount, part
from .late import late_kernel
from .math import UPDATE_NOISE, gauss_list, gauss_row, popcount
from .packing import NOISELESS
from .trains import SLOT_BITS, fires, train_count

__all__ = [
    "SPARSE_EVENT", "SPARSE_LINE", "affine_chunk", "apply_row", "counts_of", "is_sparse", "samples_of_row",
]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

#: measured costs in ns: of a cell and sample on the dense path, and of a cell once per row on it; of
#: an x-line that fires on the sparse path, and of one that meets the d-line there
DENSE_SAMPLE, DENSE_ROW, SPARSE_LINE, SPARSE_EVENT = 0.6, 4.5, 1.0, 11.0
#: in groups: of an x-line that fires on the sparse path, of one that meets the d-line, and of a cell once;
#: of a cell and sample that the dense path counts, by trains or in a slot of words; of a cell and group
GROUP_LINE, GROUP_EVENT, GROUP_CELL = 0.7, 1.5, 10.0
DENSE_COUNT, DENSE_SLOT, GROUP = 0.2, 0.006, 1.5


@njit(inline="always")
def samples_of_row(r, trains, listed):
    """Lists the samples in which d-line r fires; returns how many, the x-lines that fire in them, and how
    many of those meet the d-line in a slot."""
    n, lines, meets = np.int64(0), 0.0, 0.0  # not a literal 0: it would compile another version
    for i in range(trains.active_samples.shape[0]):
        b = trains.active_samples[i]
        slots = fires(trains.ds, b, r)
        if slots > 0:
            listed[n] = b
            n += 1
            fired = np.float64(trains.n_lines[b])
            lines += fired
            meets += min(fired, slots * trains.mean_active_lines[b])
    return n, lines, meets


@njit(inline="always")
def is_sparse(cols, samples, lines, meets):
    """Whether the sparse path is the cheaper one for a row in order, by what `samples_of_row` found."""
    cost = lines * SPARSE_LINE + meets * SPARSE_EVENT
    return cost < cols * (samples * DENSE_SAMPLE + DENSE_ROW)


@njit(inline="always")
def _is_sparse_in_groups(cols, samples, lines, meets, all_samples, groups):
    """Likewise in groups."""
    n_groups, touched = (all_samples + groups.size - 1) // groups.size, min(meets, np.float64(cols))
    cost = lines * GROUP_LINE + meets * GROUP_EVENT + touched * (GROUP_CELL + n_groups * GROUP)
    if groups.xs.shape[0] > 0:
        counting = groups.xs.shape[1] * all_samples * DENSE_SLOT
    else:
        counting = samples * DENSE_COUNT
    return cost < cols * (counting + n_groups * GROUP + DENSE_ROW)


@njit(inline="always")
def counts_of(r, j, trains, samples, counts):
    """Signed pulses of one cell in the listed samples."""
    xs, ds = trains.xs, trains.ds
    if xs.shape[0] > 1:
        for q in range(samples.shape[0]):
            counts[q] = train_count(xs, ds, samples[q], r, j)
    else:
        for q in range(samples.shape[0]):
            a, c = xs[0, samples[q], j], ds[0, samples[q], r]
            n = i32(popcount(u32(u32(a & c) & SLOT_BITS)))
            counts[q] = -n if i32(a ^ c) < i32(0) else n
    return counts[: samples.shape[0]]


@late_kernel(types.float32)
def _by_pulse(r, j, w, affine, trains, samples, address, scratch):
    """New weight of a cell after all pulses of the listed samples, one by one."""
    counts = counts_of(r, j, trains, samples, scratch.counts)
    return apply_pulse_by_pulse(w[r, j], r, j, counts, affine, address, scratch.pulse_z)


@late_kernel(types.float32)
def _by_pulse_of_words(r, j, w, affine, groups, address, scratch):
    """Likewise, of the pulses in the words of groups."""
    counts = g.counts_in_words(r, j, groups, scratch.counts)
    return apply_pulse_by_pulse(w[r, j], r, j, counts, affine, address, scratch.pulse_z)


@late_kernel(types.void, fastmath=CONTRACT)
def _sparse_row(r, w, affine, trains, samples, address, scratch):
    """Visit the x-lines that fire, sample by sample, then finish the cells that got pulses."""
    xs, ds, seen, columns, z = trains.xs, trains.ds, scratch.seen, scratch.columns, scratch.z
    mean, var, mean_max, mean_min, var_max, _ = scratch.moments
    one_word = xs.shape[0] == 1
    touched = 0
    for i in range(samples.shape[0]):
        b = samples[i]
        word, train, lines = ds[0, b, r], xs[0, b], trains.lines[b]
        for q in range(trains.n_lines[b]):
            j = lines[q]
            n = i32(popcount(u32(u32(train[j] & word) & SLOT_BITS)))
            down = i32(train[j] ^ word) < i32(0)
            if not one_word:
                k = train_count(xs, ds, b, r, j)
                n, down = i32(abs(k)), k < 0
            if n == 0:
                continue
            if seen[j] == 0:
                seen[j] = 1
                columns[touched] = j
                touched += 1
                mean[j], mean_max[j], mean_min[j] = w[r, j], w[r, j], w[r, j]
                var[j], var_max[j] = f32(0), f32(0)
            m, v = advance(n, down, cell_at(affine, r, j), affine, mean[j], var[j])
            mean[j], var[j] = m, v
            mean_max[j] = max(mean_max[j], m)
            mean_min[j] = min(mean_min[j], m)
            var_max[j] = max(var_max[j], v)
    if affine.noise_kind != NOISELESS:
        gauss_list(r, touched, UPDATE_NOISE, address, columns, z)
    for i in range(touched):
        j = np.int64(columns[i])
        seen[j] = 0
        new, needs_pulse_by_pulse = finish_cell(
            cell_at(affine, r, j), affine, mean[j], var[j], mean_max[j], mean_min[j], var_max[j], z[i]
        )
        if needs_pulse_by_pulse:
            new = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
        w[r, j] = new


@late_kernel(types.void)
def _dense_row(r, w, affine, trains, samples, address, scratch):
    coefficients, moments, noise_kind = scratch.coefficients, scratch.moments, affine.noise_kind
    mean, count = moments.mean, moments.pulses
    load_row(r, w[r], affine, coefficients, moments)
    for i in range(samples.shape[0]):
        count_row(r, samples[i], trains.xs, trains.ds, count)
        advance_row(noise_kind, coefficients, moments)
    if noise_kind != NOISELESS:
        gauss_row(r, UPDATE_NOISE, address, scratch.z)
    if finish_row(noise_kind, coefficients, moments, scratch.z):
        for j in range(w.shape[1]):
            if count[j] != f32(0):
                mean[j] = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
    for j in range(w.shape[1]):
        w[r, j] = mean[j]


@njit(inline="always")
def _in_group(samples, at, end):
    """Place after the last of the listed samples that lies before sample `end`, from `at` on."""
    while at < samples.shape[0] and samples[at] < end:
        at += 1
    return at


@late_kernel(types.void)
def _gather(r, w, affine, columns, begin, end, scratch):
    """Put the listed cells from place `begin` on into the blocks."""
    given, blocks, uniform = scratch.gathered, scratch.blocks, affine.up.size == 1
    for i in range(begin, end):
        given[0, i] = w[r, columns[i]]
    if not uniform:
        up, down, lower, upper = affine.up[r], affine.down[r], affine.lower[r], affine.upper[r]
        for i in range(begin, end):
            j = columns[i]
            given[1, i], given[2, i], given[3, i], given[4, i] = up[j], down[j], lower[j], upper[j]
    at = begin
    while at < end:
        k, first = at // g.BLOCK, at % g.BLOCK
        stop = min(end, (k + 1) * g.BLOCK)
        if uniform:
            up, down, lower, upper = affine.up[0], affine.down[0], affine.lower[0], affine.upper[0]
        else:
            up, down, lower, upper = (
                given[1, at:stop], given[2, at:stop], given[3, at:stop], given[4, at:stop],
            )  # fmt: skip
        g.load(given[0, at:stop], up, down, lower, upper, affine, blocks[k], first)
        at = stop


@late_kernel(types.int64)
def _count_events(r, trains, samples, touched, scratch):
    """Count the pulses of the listed samples into the blocks; cells without a place get the next ones.

    Returns how many cells have one.
    """
    xs, ds, place, columns, blocks = trains.xs, trains.ds, scratch.place, scratch.columns, scratch.blocks
    one_word = xs.shape[0] == 1
    for i in range(samples.shape[0]):
        b = samples[i]
        word, train, lines = ds[0, b, r], xs[0, b], trains.lines[b]
        for q in range(trains.n_lines[b]):
            j = lines[q]
            k = i32(popcount(u32(u32(train[j] & word) & SLOT_BITS)))
            down = i32(train[j] ^ word) < i32(0)
            if not one_word:
                signed = train_count(xs, ds, b, r, j)
                k, down = i32(abs(signed)), signed < 0
            if k == 0:
                continue
            at = place[j] - 1
            if at < 0:
                columns[touched] = j
                at = touched
                touched += 1
                place[j] = touched
                blocks[at // g.BLOCK, g.UP, at % g.BLOCK] = f32(0)
                blocks[at // g.BLOCK, g.DOWN, at % g.BLOCK] = f32(0)
            blocks[at // g.BLOCK, g.DOWN if down else g.UP, at % g.BLOCK] += f32(k)
    return touched


@part()
def _clear(blocks, n):
    for first in range(0, n, g.BLOCK):
        g.clear(blocks[first // g.BLOCK], min(g.BLOCK, n - first))


@late_kernel(types.boolean)
def _sparse_groups(r, w, affine, trains, groups, samples, address, scratch):
    """The cells of a row that get pulses, in groups of samples; False where the row has to go in order."""
    columns, place, blocks, z = scratch.columns, scratch.place, scratch.blocks, scratch.z
    all_samples, size = trains.n_lines.shape[0], groups.size
    begin, at, touched, loaded, sums = 0, 0, 0, 0, (0.0, 0.0, 0.0)
    while begin < all_samples and size >= min(SMALLEST, all_samples):
        stop = _in_group(samples, at, begin + size)
        if stop > at:
            _clear(blocks, touched)
            touched = _count_events(r, trains, samples[at:stop], touched, scratch)
            own = g.measure(blocks, touched, g.SMALL + 1, groups)
            new, sums = g.next_size(size, own, sums, affine.noise_kind, groups)
            if new < size:
                size = new
                continue
            if loaded < touched:
                _gather(r, w, affine, columns, loaded, touched, scratch)
                loaded = touched
            g.advance(affine.noise_kind, blocks, touched)
        begin, at = begin + size, stop
    for i in range(touched):
        place[columns[i]] = 0
    if begin < all_samples:
        return False
    gauss_list(r, touched, UPDATE_NOISE, address, columns, z)
    some = g.finish(blocks, touched, z)
    for i in range(touched):
        block, q, j = blocks[i // g.BLOCK], i % g.BLOCK, columns[i]
        new = block[g.MEAN, q]
        if some and block[g.FLAG, q] != f32(0):
            new = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
        w[r, j] = new
    return True


@late_kernel(types.boolean)
def _dense_groups(r, w, affine, trains, groups, samples, address, scratch):
    """All cells of a row, likewise."""
    blocks, z, n, by_words = scratch.blocks, scratch.z, w.shape[1], groups.xs.shape[0] > 0
    all_samples, size, row = trains.n_lines.shape[0], groups.size, 0 if affine.up.size == 1 else r
    for first in range(0, n, g.BLOCK):
        last = min(first + g.BLOCK, n)
        some = slice(0, 1) if affine.up.size == 1 else slice(first, last)
        g.load(
            w[r, first:last], affine.up[row, some], affine.down[row, some], affine.lower[row, some],
            affine.upper[row, some], affine, blocks[first // g.BLOCK], 0,
        )  # fmt: skip
    begin, at, sums = 0, 0, (0.0, 0.0, 0.0)
    while begin < all_samples and size >= min(SMALLEST, all_samples):
        stop = _in_group(samples, at, begin + size)
        if stop > at:
            for first in range(0, n, g.BLOCK):
                block, m = blocks[first // g.BLOCK], min(g.BLOCK, n - first)
                g.clear(block, m)
                up, down = block[g.UP, :m], block[g.DOWN, :m]
                if by_words:
                    g.add_words(r, begin, min(begin + size, all_samples), first, groups, up, down)
                else:
                    for i in range(at, stop):
                        g.add_sample(r, samples[i], first, trains.xs, trains.ds, up, down)
            most = (stop - at) * SLOTS * trains.xs.shape[0]
            if by_words:
                most = min(size, all_samples) * (groups.xs.shape[1] - 1)
            own = g.measure(blocks, n, most, groups)
            new, sums = g.next_size(size, own, sums, affine.noise_kind, groups)
            if new < size:
                size = new
                continue
            g.advance(affine.noise_kind, blocks, n)
        begin, at = begin + size, stop
    if begin < all_samples:
        return False
    gauss_row(r, UPDATE_NOISE, address, z)
    flagged = g.finish(blocks, n, z)
    for first in range(0, n, g.BLOCK):
        block, m = blocks[first // g.BLOCK], min(g.BLOCK, n - first)
        if flagged:
            for q in range(m):
                if block[g.FLAG, q] != f32(0):
                    j = first + q
                    if by_words:
                        new = _by_pulse_of_words(r, j, w, affine, groups, address, scratch)
                    else:
                        new = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
                    block[g.MEAN, q] = new
        new = block[g.MEAN]
        for q in range(m):
            w[r, first + q] = new[q]
    return True


@njit(inline="always")
def apply_row(r, w, affine, trains, groups, by_pulse, address, scratch):
    """Apply the trains of the active samples to one row."""
    n, lines, meets = samples_of_row(r, trains, scratch.row_samples)
    samples = scratch.row_samples[:n]
    if n == 0:
        return
    if by_pulse:
        for j in range(w.shape[1]):
            w[r, j] = _by_pulse(r, j, w, affine, trains, samples, address, scratch)
        return
    if groups.size > 1:
        if _is_sparse_in_groups(w.shape[1], n, lines, meets, trains.n_lines.shape[0], groups):
            done = _sparse_groups(r, w, affine, trains, groups, samples, address, scratch)
        else:
            done = _dense_groups(r, w, affine, trains, groups, samples, address, scratch)
        if done:
            return
    if is_sparse(w.shape[1], n, lines, meets):
        _sparse_row(r, w, affine, trains, samples, address, scratch)
    else:
        _dense_row(r, w, affine, trains, samples, address, scratch)


@late_kernel(types.void)
def affine_chunk(begin, end, w, affine, trains, groups, by_pulse, address):
    """Apply the trains of the active samples to rows begin ... end-1 of the weights."""
    scratch = scratch_of(w.shape[1], max(trains.active_samples.shape[0], 1))
    _rows(begin, end, w, affine, trains, groups, by_pulse, address, scratch)


@late_kernel(types.void)
def _rows(begin, end, w, affine, trains, groups, by_pulse, address, scratch):
    w, affine, trains, groups, scratch = no_refcount((w, affine, trains, groups, scratch))
    for r in range(begin, end):
        apply_row(r, w, affine, trains, groups, by_pulse, address, scratch)
