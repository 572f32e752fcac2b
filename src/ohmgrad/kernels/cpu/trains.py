"""Pulse trains of an update in Numba, those of `reference.trains` bit for bit, and their coincidences."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numba import njit, types
from torch import Tensor

from ...rng import Purpose
from ..cells import Cells
from ..pulsing import SLOTS, WHOLE, Pulsing
from .compiling import carve, kernel, no_refcount, part, room
from .late import late_kernel
from .lines import (
    FEW,
    SAMPLES,
    SLOT_BITS,
    Block,
    Site,
    block_scratch,
    count_slots,
    draw_driven,
    draw_few,
    draw_lines,
    driven,
    list_firing,
    total_fires,
)
from .math import popcount, top
from .packing import Address, How, address_of, how_of

__all__ = [
    "SLOT_BITS",
    "TrainScratch",
    "Trains",
    "bit_length",
    "draw_trains",
    "empty_trains",
    "fires",
    "list_active_samples",
    "train_count",
    "train_scratch",
    "trains_chunk",
]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

X_TRAIN, D_TRAIN = u32(Purpose.X_TRAIN), u32(Purpose.D_TRAIN)


class Trains(NamedTuple):
    """The trains of an update, as words, and which lines fire."""

    #: uint32 (words, samples, cols) and (words, samples, rows); of a sample without lines, nothing is written
    xs: np.ndarray
    ds: np.ndarray
    #: int32 (samples, cols): the x-lines that fire, and int64 (samples,): how many they are
    lines: np.ndarray
    n_lines: np.ndarray
    #: x-lines that fire in an average slot, float64 (samples,)
    mean_active_lines: np.ndarray
    #: bit lengths, int64 (samples,); of a pair of slots in a sample, how many pulses of one cell fires lead
    #: one to expect in both, summed over the cells and pairs (`reference.groups`), float64 (samples,)
    slots: np.ndarray
    pairs: np.ndarray
    #: the samples in which lines on both sides fire, int64 (n,); see `list_active_samples`
    active_samples: np.ndarray


class TrainScratch(NamedTuple):
    """Scratch of one thread that draws trains."""

    #: uint32 (4, a multiple of four of at least all lines)
    work: np.ndarray
    #: fires in a slot, int64 (4, BL): of d-lines, positive and negative, and of x-lines likewise
    fires: np.ndarray
    #: d-lines that fire, int32 (lines,)
    listed: np.ndarray
    block: Block


@part()
def empty_trains(words, samples, rows, cols):
    """Memory for the trains of an update."""
    once = room(0, 8 * samples)
    xs = 5 * once
    ds = room(xs, 4 * words * samples * cols)
    lines = room(ds, 4 * words * samples * rows)
    memory = np.empty(room(lines, 4 * samples * cols), np.uint8)
    return Trains(
        carve(memory, xs, (words, samples, cols), np.uint32),
        carve(memory, ds, (words, samples, rows), np.uint32),
        carve(memory, lines, (samples, cols), np.int32), carve(memory, 0, (samples,), np.int64),
        carve(memory, once, (samples,), np.float64), carve(memory, 2 * once, (samples,), np.int64),
        carve(memory, 3 * once, (samples,), np.float64), carve(memory, 4 * once, (samples,), np.int64),
    )  # fmt: skip


@part()
def train_scratch(lines, max_bl, samples):
    """Scratch for trains of so many lines, slots and samples."""
    padded = 4 * ((lines + 3) // 4)
    fires = room(0, 16 * padded)
    listed = room(fires, 32 * max_bl)
    memory = np.empty(room(listed, 4 * padded), np.uint8)
    return TrainScratch(
        carve(memory, 0, (4, padded), np.uint32), carve(memory, fires, (4, max_bl), np.int64),
        carve(memory, listed, (padded,), np.int32), block_scratch(samples),
    )  # fmt: skip


@part()
def list_active_samples(trains):
    """The trains with their active samples listed."""
    n, listed = 0, trains.active_samples
    for b in range(trains.n_lines.shape[0]):
        listed[n] = b
        n += 1 if trains.n_lines[b] > 0 else 0
    return Trains(
        trains.xs, trains.ds, trains.lines, trains.n_lines, trains.mean_active_lines, trains.slots,
        trains.pairs, listed[:n],
    )  # fmt: skip


@njit(inline="always")
def fires(ds, b, r):
    """Slots in which d-line r fires in sample b."""
    n = np.int64(0)
    for q in range(ds.shape[0]):
        n += np.int64(popcount(u32(ds[q, b, r] & SLOT_BITS)))
    return n


@part()
def train_count(xs, ds, b, r, j):
    """Signed coincidence count of one cell and sample."""
    k = 0
    for q in range(xs.shape[0]):
        a, c = xs[q, b, j], ds[q, b, r]
        n = i32(popcount(u32(u32(a & c) & SLOT_BITS)))
        k += -n if u32(u32(a ^ c) >> u32(SLOTS)) != u32(0) else n
    return k


@njit(inline="always", error_model="numpy")
def bit_length(need, max_bl, manage_bl):
    """Slots of a train whose largest change needs so many pulses, which may be more than integers hold."""
    if not manage_bl:
        return np.int64(max_bl)
    return max(np.int64(math.ceil(min(need * (1.0 - WHOLE), float(max_bl)))), np.int64(1))


@part()
def _plan_block(first, n, x, d, how, trains, block):
    """Slots and gains of samples first ... first+n-1, those with a change wanted; whether all are finite."""
    for i in range(n):
        b = first + i
        top_x, top_d = top(x[b]), top(d[b])
        trains.n_lines[b], trains.slots[b], trains.pairs[b] = 0, 0, 0.0
        block.bl[i], block.fires[i] = 0, 0
        if not (math.isfinite(top_x) and math.isfinite(top_d)):
            return False
        need = np.float64(top_x) * np.float64(top_d) * abs(how.lr) / how.dw_min
        if need == 0.0:
            continue
        bl = bit_length(need, how.max_bl, how.bl_management)
        gain = math.sqrt(abs(how.lr) / (bl * how.dw_min))
        ratio = 1.0
        if how.update_management:
            ratio = math.sqrt(np.float64(top_d) / np.float64(top_x))
        block.bl[i], block.fires[i] = bl, 1
        block.gains[0, i], block.gains[1, i] = f32(gain / ratio), f32(gain * ratio)
    return True


@late_kernel(types.void)
def _draw_d_lines(first, n, d, flip, address, ds, scratch):
    """Draw the d-lines of a block, and count their fires."""
    block, few = scratch.block, d.shape[1] <= FEW and ds.shape[0] == 1
    if few:
        site = Site(u32(0), address.step, D_TRAIN, address.k0, address.k1)
        draw_few(first, n, d, block.gains[0], flip, block, site, ds[0])
    for i in range(n):
        b, bl = first + i, block.bl[i]
        if bl > 0:
            if not few:
                site = Site(u32(b), address.step, D_TRAIN, address.k0, address.k1)
                draw_lines(d[b], block.gains[0, i], flip, bl, site, scratch.work, ds, b)
            block.fires[i] = total_fires(ds, b)


@late_kernel(types.void)
def _draw_x_lines(first, n, x, address, trains, scratch):
    """Draw the x-lines of the samples of a block in which a d-line fires, and list those that fire."""
    block, xs, few = scratch.block, trains.xs, x.shape[1] <= FEW and trains.xs.shape[0] == 1
    if few:
        site = Site(u32(0), address.step, X_TRAIN, address.k0, address.k1)
        draw_few(first, n, x, block.gains[1], np.int64(0), block, site, xs[0])
    for i in range(n):
        b, bl, gain = first + i, block.bl[i], block.gains[1, i]
        if block.fires[i] == 0:
            continue
        listed = trains.lines[b]
        site = Site(u32(b), address.step, X_TRAIN, address.k0, address.k1)
        busy = -1 if few else driven(x[b], listed)
        if busy >= 0:
            trains.n_lines[b] = draw_driven(x[b], busy, listed, gain, bl, site, xs, b)
            continue
        if not few:
            draw_lines(x[b], gain, np.int64(0), bl, site, scratch.work, xs, b)
        trains.n_lines[b] = list_firing(xs, b, listed)


@part()
def _count_block(first, n, trains, scratch, events):
    """Count what a block of samples does, and note it in `trains`; see `trains_chunk`.

    One call for a block: a call for each sample would change the reference counts of all arrays in
    `trains` and `scratch`, which takes as long as the counting.
    """
    xs, ds, lines, n_lines, slots = trains.xs, trains.ds, trains.lines, trains.n_lines, trains.slots
    block, listed, of_d, of_x = scratch.block, scratch.listed, scratch.fires[:2], scratch.fires[2:]
    few = ds.shape[2] <= FEW
    for i in range(n):
        b, bl, up, down, x_fires = first + i, block.bl[i], 0, 0, 0
        if n_lines[b] > 0:
            pairs = count_slots(ds, b, list_firing(ds, b, listed) if few else -1, listed, bl, of_d)
            pairs *= count_slots(xs, b, n_lines[b], lines[b], bl, of_x)
            for t in range(bl):
                up += of_d[0, t] * of_x[0, t] + of_d[1, t] * of_x[1, t]
                down += of_d[0, t] * of_x[1, t] + of_d[1, t] * of_x[0, t]
                x_fires += of_x[0, t] + of_x[1, t]
            trains.mean_active_lines[b], slots[b] = x_fires / bl, bl
            if bl > 1 and n_lines.shape[0] > 1:
                trains.pairs[b] = np.float64(pairs) / (bl * (bl - 1.0))
        events[0] += up
        events[1] += down
        events[2] += block.fires[i] + x_fires
        events[3] += bl


@late_kernel(types.void)
def trains_chunk(begin, end, x, d, how, address, trains, events, scratch):
    """Draw the trains of samples begin ... end-1, and list their x-lines that fire.

    The words of `trains` must hold all bit lengths. events: int64 (5,), to which pulses up and down, toggles
    and slots are added; its last becomes 1 where a value is not finite, and nothing must be applied then.
    """
    x, d, trains, scratch = no_refcount((x, d, trains, scratch))
    block, flip = scratch.block, np.int64(how.lr < 0)
    for first in range(begin, end, SAMPLES):
        n = min(SAMPLES, end - first)
        if not _plan_block(first, n, x, d, how, trains, block):
            events[4] = 1
            return
        _draw_d_lines(first, n, d, flip, address, trains.ds, scratch)
        _draw_x_lines(first, n, x, address, trains, scratch)
        _count_block(first, n, trains, scratch, events)


@kernel()
def _draw(x, d, how, address):
    trains = empty_trains((how[2] + SLOTS - 1) // SLOTS, x.shape[0], d.shape[1], x.shape[1])
    trains.xs[:], trains.ds[:] = u32(0), u32(0)
    scratch = train_scratch(max(x.shape[1], d.shape[1]), how[2], x.shape[0])
    trains_chunk(0, x.shape[0], x, d, How(*how), Address(*address), trains, np.zeros(5, np.int64), scratch)
    return trains.xs, trains.ds


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """As `ops.draw_trains`."""
    xs, ds = _draw(x.numpy(), d.numpy(), how_of(pulsing, lr, cells), address_of(cells, step))
    return torch.from_numpy(xs.astype(np.int64)), torch.from_numpy(ds.astype(np.int64))
