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
from .lines import Site, draw_driven, draw_lines, driven, list_firing
from .math import as_float, as_int, popcount
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
    "sample_trains",
    "top",
    "train_count",
    "train_scratch",
    "trains_chunk",
]  # fmt: skip

u32, i32, f32 = np.uint32, np.int32, np.float32

X_TRAIN, D_TRAIN = u32(Purpose.X_TRAIN), u32(Purpose.D_TRAIN)
#: the slots of a word, without the sign
SLOT_BITS = u32(2**SLOTS - 1)


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
def train_scratch(lines, max_bl):
    """Scratch for trains of so many lines and slots."""
    padded = 4 * ((lines + 3) // 4)
    fires = room(0, 16 * padded)
    memory = np.empty(fires + 32 * max_bl, np.uint8)
    return TrainScratch(carve(memory, 0, (4, padded), np.uint32), carve(memory, fires, (4, max_bl), np.int64))


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
def _pairs(trains, b):
    """Sum over the lines of sample b of k (k - 1), k the fires of a line."""
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
def train_count(xs, ds, b, r, j):
    """Signed coincidence count of one cell and sample."""
    k = 0
    for q in range(xs.shape[0]):
        a, c = xs[q, b, j], ds[q, b, r]
        n = i32(popcount(u32(u32(a & c) & SLOT_BITS)))
        k += -n if u32(u32(a ^ c) >> u32(SLOTS)) != u32(0) else n
    return k


@part()
def top(values):
    """Largest absolute value; not finite if any value is not. The bits of floats order as integers."""
    bits = i32(0)
    for i in range(values.shape[0]):
        bits = max(bits, i32(as_int(values[i]) & i32(0x7FFFFFFF)))
    return as_float(bits)


@njit(inline="always", error_model="numpy")
def bit_length(need, max_bl, manage_bl):
    """Slots of a train whose largest change needs so many pulses, which may be more than integers hold."""
    if not manage_bl:
        return np.int64(max_bl)
    return max(np.int64(math.ceil(min(need * (1.0 - WHOLE), float(max_bl)))), np.int64(1))


@late_kernel(types.UniTuple(types.int64, 4))
def sample_trains(b, x, d, how, address, trains, scratch):
    """Draw the trains of sample b, and list its x-lines that fire.

    The words of `trains` must hold the bit length.

    Returns:
        Events of the sample: pulses up (-1 if a value is not finite), pulses down, line toggles, slots.
    """
    x, d, trains, scratch = no_refcount(x), no_refcount(d), no_refcount(trains), no_refcount(scratch)
    lines, n_lines, counted = trains.lines, trains.n_lines, scratch.fires
    top_x, top_d = top(x[b]), top(d[b])
    n_lines[b], trains.slots[b], trains.pairs[b] = 0, 0, 0.0
    if not (math.isfinite(top_x) and math.isfinite(top_d)):
        return -1, 0, 0, 0
    need = np.float64(top_x) * np.float64(top_d) * abs(how.lr) / how.dw_min
    if need == 0.0:
        return 0, 0, 0, 0
    bl = bit_length(need, how.max_bl, how.bl_management)
    gain = math.sqrt(abs(how.lr) / (bl * how.dw_min))
    ratio = 1.0
    if how.update_management:
        ratio = math.sqrt(np.float64(top_d) / np.float64(top_x))
    site = Site(u32(b), address.step, D_TRAIN, address.k0, address.k1)
    d_fires = draw_lines(
        d[b], f32(gain / ratio), np.int64(how.lr < 0), bl, site, scratch.work, trains.ds, b, counted[:2]
    )
    if d_fires == 0:
        return 0, 0, 0, bl
    site = Site(u32(b), address.step, X_TRAIN, address.k0, address.k1)
    n, gain_x, xs = driven(x[b], lines[b]), f32(gain * ratio), trains.xs
    if n >= 0:
        x_fires, n = draw_driven(x[b], n, lines[b], gain_x, bl, site, xs, b, counted[2:])
    else:
        x_fires = draw_lines(x[b], gain_x, np.int64(0), bl, site, scratch.work, xs, b, counted[2:])
        n = list_firing(xs, b, lines[b]) if x_fires else 0
    if x_fires == 0:
        return 0, 0, d_fires, bl
    n_lines[b], trains.mean_active_lines[b], trains.slots[b] = n, x_fires / bl, bl
    if bl > 1 and n_lines.shape[0] > 1:
        trains.pairs[b] = np.float64(_pairs(trains.ds, b) * _pairs(xs, b)) / (bl * (bl - 1.0))
    up, down = 0, 0
    for t in range(bl):
        up += counted[0, t] * counted[2, t] + counted[1, t] * counted[3, t]
        down += counted[0, t] * counted[3, t] + counted[1, t] * counted[2, t]
    return up, down, d_fires + x_fires, bl


@late_kernel(types.void)
def trains_chunk(begin, end, x, d, how, address, trains, events):
    """Draw the trains of samples begin ... end-1.

    events: int64 (5,), to which pulses up and down, toggles and slots are added; its last becomes 1 where a
    value is not finite, and nothing must be applied then.
    """
    x, d, trains = no_refcount((x, d, trains))
    scratch = train_scratch(max(x.shape[1], d.shape[1]), how.max_bl)  # held to the end of the loop
    for b in range(begin, end):
        up, down, toggles, slots = sample_trains(b, x, d, how, address, trains, scratch)
        if up < 0:
            events[4] = 1
            return
        events[0] += up
        events[1] += down
        events[2] += toggles
        events[3] += slots


@kernel()
def _draw(x, d, how, address):
    trains = empty_trains((how[2] + SLOTS - 1) // SLOTS, x.shape[0], d.shape[1], x.shape[1])
    trains.xs[:], trains.ds[:] = u32(0), u32(0)
    trains_chunk(0, x.shape[0], x, d, How(*how), Address(*address), trains, np.zeros(5, np.int64))
    return trains.xs, trains.ds


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """As `ops.draw_trains`."""
    xs, ds = _draw(x.numpy(), d.numpy(), how_of(pulsing, lr, cells), address_of(cells, step))
    return torch.from_numpy(xs.astype(np.int64)), torch.from_numpy(ds.astype(np.int64))
