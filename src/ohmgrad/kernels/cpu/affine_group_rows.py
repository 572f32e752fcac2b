"""Rows of affine elements in Numba, in groups of samples: the dense and the sparse path, with one result.

The dense path counts whole rows from words of samples, a few rows together, so that the words of a group are
read once for them. The sparse path visits the x-lines that fire. A row takes the cheaper one.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from . import affine_groups as g
from .affine import NOISES, apply_pulse_by_pulse
from .affine_rows import rows_in_order, samples_of_row
from .compiling import no_refcount, part
from .late import late_kernel
from .math import UPDATE_NOISE, gauss_list, gauss_row, popcount
from .trains import SLOT_BITS, train_count

__all__ = ["GroupScratch", "affine_chunk", "group_scratch", "rows_in_groups"]

u32, i32, f32 = np.uint32, np.int32, np.float32

#: costs in ns, measured on an Intel Xeon (AVX-512) as CPU time of loops over rows in cache: of an x-line that
#: fires on the sparse path, of one that meets the d-line, and of a cell once; of a cell and word that the
#: dense path counts, and of a cell once; of a cell and group on either
LINE, EVENT, CELL = 0.7, 1.5, 12.0
DENSE_WORD, DENSE_CELL, GROUP = 0.1, 4.0, 2.5
#: rows that the dense path takes together
TOGETHER = 4


class GroupScratch(NamedTuple):
    """Scratch of `rows_in_groups`, for rows of n cells."""

    #: blocks of cells of each row that is taken together, and of their pulses, uint32 (2, BLOCK)
    blocks: np.ndarray
    pulses: np.ndarray
    #: standard normal numbers of a row, padded to fours, and of the pulses of a cell
    z: np.ndarray
    pulse_z: np.ndarray
    #: int32 (n,): cells on the sparse path, and the place of a cell among them plus one, 0 between rows;
    #: float32 (5, n): weights and planes of these cells
    columns: np.ndarray
    place: np.ndarray
    gathered: np.ndarray
    #: int64: samples in which a d-line fires; counts of a cell; rows that wait for the dense path
    row_samples: np.ndarray
    counts: np.ndarray
    waiting: np.ndarray


@part()
def group_scratch(n, samples, parts):
    """Scratch for rows of n cells; parts: of words."""
    own = (n + g.BLOCK - 1) // g.BLOCK
    blocks = g.blocks_of(TOGETHER * own * g.BLOCK)
    return GroupScratch(
        blocks, np.empty((2, g.BLOCK), np.uint32), np.empty(4 * ((n + 3) // 4), np.float32),
        np.empty(NOISES, np.float32), np.empty(n, np.int32), np.zeros(n, np.int32),
        np.empty((5, n), np.float32),
        np.empty(samples, np.int64), np.empty(parts + 1, np.int64), np.empty(TOGETHER, np.int64),
    )  # fmt: skip


@njit(inline="always")
def _is_sparse(fires, cols, samples, groups):
    """Whether the sparse path is the cheaper one for a row whose d-line fires so many times."""
    n_groups, meets, all_cells = groups.first.shape[0] - 1, fires * groups.pulses, np.float64(cols)
    touched = min(meets, all_cells)
    cost = min(fires, np.float64(samples)) * groups.lines * LINE + meets * EVENT
    cost += touched * (CELL + n_groups * GROUP)
    return cost < all_cells * (groups.first[n_groups] * DENSE_WORD + n_groups * GROUP + DENSE_CELL)


@late_kernel(types.float32)
def _by_pulse(r, j, w, affine, groups, address, scratch):
    """New weight of a cell, computed pulse by pulse."""
    counts = g.counts_in_words(r, j, w.shape[0], w.shape[1], groups, scratch.counts)
    return apply_pulse_by_pulse(w[r, j], r, j, counts, affine, address, scratch.pulse_z)


@late_kernel(types.void)
def _dense(rows, w, affine, groups, address, scratch):
    """All cells of the listed rows."""
    z, both, falls, n = scratch.z, scratch.pulses[0], scratch.pulses[1], w.shape[1]
    alike, own = affine.up.size == 1, (n + g.BLOCK - 1) // g.BLOCK
    for i in range(rows.shape[0]):
        r, row = rows[i], 0 if alike else rows[i]
        for k in range(own):
            first, last = k * g.BLOCK, min((k + 1) * g.BLOCK, n)
            some = slice(0, 1) if alike else slice(first, last)
            g.load(
                w[r, first:last], affine.up[row, some], affine.down[row, some], affine.lower[row, some],
                affine.upper[row, some], scratch.blocks[i * own + k], 0,
            )  # fmt: skip
    for q in range(groups.first.shape[0] - 1):
        begin, end = groups.first[q], groups.first[q + 1]
        for i in range(rows.shape[0]):
            for k in range(own if end > begin else 0):
                block, first = scratch.blocks[i * own + k], k * g.BLOCK
                m = min(g.BLOCK, n - first)
                g.count(rows[i], w.shape[0], n, first, m, begin, end, groups, block, both, falls)
                g.advance(affine, groups.clump, block, m)
    for i in range(rows.shape[0]):
        r, blocks = rows[i], scratch.blocks[i * own : (i + 1) * own]
        gauss_row(r, UPDATE_NOISE, address, z)
        flagged = g.finish(blocks, n, z)
        for k in range(own):
            first, block = k * g.BLOCK, blocks[k]
            for cell in range(min(g.BLOCK, n - first) if flagged else 0):
                if block[g.FLAG, cell] != f32(0):
                    block[g.MEAN, cell] = _by_pulse(r, first + cell, w, affine, groups, address, scratch)
        for k in range(own):
            first, m = k * g.BLOCK, min(g.BLOCK, n - k * g.BLOCK)
            w[r, first : first + m] = blocks[k, g.MEAN, :m]


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
        g.load(given[0, at:stop], up, down, lower, upper, blocks[k], first)
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


@late_kernel(types.void)
def _sparse(r, w, affine, trains, groups, samples, address, scratch):
    """The cells of a row that get pulses."""
    columns, place, blocks, z = scratch.columns, scratch.place, scratch.blocks, scratch.z
    at, touched, loaded = 0, 0, 0
    for q in range(groups.first.shape[0] - 1):
        stop = _in_group(samples, at, (q + 1) * groups.size)
        if stop == at:
            continue
        for first in range(0, touched, g.BLOCK):
            blocks[first // g.BLOCK, g.UP, :] = f32(0)
            blocks[first // g.BLOCK, g.DOWN, :] = f32(0)
        touched = _count_events(r, trains, samples[at:stop], touched, scratch)
        if loaded < touched:
            _gather(r, w, affine, columns, loaded, touched, scratch)
            loaded = touched
        for first in range(0, touched, g.BLOCK):
            g.advance(affine, groups.clump, blocks[first // g.BLOCK], min(g.BLOCK, touched - first))
        at = stop
    gauss_list(r, touched, UPDATE_NOISE, address, columns, z)
    flagged = g.finish(blocks, touched, z)
    for i in range(touched):
        k, cell, j = i // g.BLOCK, i % g.BLOCK, np.int64(columns[i])
        place[j] = 0
        if flagged and blocks[k, g.FLAG, cell] != f32(0):
            w[r, j] = _by_pulse(r, j, w, affine, groups, address, scratch)
        else:
            w[r, j] = blocks[k, g.MEAN, cell]


@late_kernel(types.void)
def rows_in_groups(begin, end, w, affine, trains, groups, address, scratch):
    """Apply the trains of the active samples to rows begin ... end-1 of the weights."""
    w, affine, trains, groups, scratch = no_refcount((w, affine, trains, groups, scratch))
    waiting, held = scratch.waiting, 0
    for r in range(begin, end):
        fires = np.float64(groups.fires[r])
        if fires > 0.0:
            if _is_sparse(fires, w.shape[1], trains.active_samples.shape[0], groups):
                n, _, _ = samples_of_row(r, trains, scratch.row_samples)
                _sparse(r, w, affine, trains, groups, scratch.row_samples[:n], address, scratch)
            else:
                waiting[held] = r
                held += 1
        if held == TOGETHER or (held > 0 and r == end - 1):
            _dense(waiting[:held], w, affine, groups, address, scratch)
            held = 0


@late_kernel(types.void)
def affine_chunk(begin, end, w, affine, trains, groups, by_pulse, address):
    """As `rows_in_groups`, or in order where samples are not taken together."""
    if groups.size > 1:
        scratch = group_scratch(w.shape[1], max(trains.active_samples.shape[0], 1), groups.parts.shape[0])
        rows_in_groups(begin, end, w, affine, trains, groups, address, scratch)
    else:
        rows_in_order(begin, end, w, affine, trains, by_pulse, address)
