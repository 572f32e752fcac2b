"""Pulse trains of an update in Triton, those of `reference.trains` bit for bit.

Bit lengths are chosen on the card: words have room for `max_bl` slots, and what a sample does not need stays
0, so that the host asks for nothing. The d-lines come first, as x-lines are driven only where a d-line fires.
"""

# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# pyright: reportInvalidTypeForm=false
# (inside kernels the types are Triton's)

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...rng import Purpose
from ..cells import Cells
from ..pulsing import SLOTS, WHOLE, Pulsing
from .launching import FUSED, bits_of, blocks, grid_of, key_words, quarter, status_of
from .math import philox, popcount

__all__ = ["NOT_FINITE", "Trains", "check_finite", "draw_trains", "trains_of"]

X_TRAIN, D_TRAIN = tl.constexpr(Purpose.X_TRAIN), tl.constexpr(Purpose.D_TRAIN)
#: slots of a word, above which its sign is; and the share of K that is more than rounding
N_SLOTS, SHORT = tl.constexpr(SLOTS), tl.constexpr(1 - WHOLE)
#: bits of the absolute value of a float32 from which on it is not finite
INFINITE = tl.constexpr(0x7F800000)
#: status: a value of x or d is not finite
NOT_FINITE = tl.constexpr(1)


class Trains(NamedTuple):
    """Words of the lines of all samples, int32: (words, samples, cols) and (words, samples, rows); and BL."""

    xs: Tensor
    ds: Tensor
    #: int32 (samples,)
    bl: Tensor


@triton.jit
def _top(values, sample, samples, n, SAMPLES: tl.constexpr, LINES: tl.constexpr):
    """Bits of the largest absolute value of each sample, int32: the bits of floats order as integers."""
    line = tl.arange(0, LINES)
    top = tl.zeros((SAMPLES, LINES), tl.int32)
    at = values + sample.to(tl.int64)[:, None] * n + line[None, :]
    for first in range(0, n, LINES):
        there = (sample < samples)[:, None] & (line + first < n)[None, :]
        value = tl.load(at + first, mask=there, other=0.0)
        top = tl.maximum(top, value.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
    return tl.max(top, 1)


@triton.jit(do_not_specialize=["lr_bits", "dw_min_bits", "samples", "max_bl"])
def _settings(
    x, d, bl, gain_x, gain_d, status, lr_bits: tl.int64, dw_min_bits: tl.int64, samples, cols, rows, max_bl,
    MANAGE_UPDATE: tl.constexpr, MANAGE_BL: tl.constexpr, SAMPLES: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """Bit length and the gains of every sample, see `reference.trains.line_settings`; |lr| is given."""
    sample = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    bits_x = _top(x, sample, samples, cols, SAMPLES, LINES)
    bits_d = _top(d, sample, samples, rows, SAMPLES, LINES)
    finite = (bits_x < INFINITE) & (bits_d < INFINITE)
    if tl.min(finite.to(tl.int32)) == 0:
        tl.store(status, NOT_FINITE)
    top_x = tl.where(finite, bits_x, 0).to(tl.float32, bitcast=True).to(tl.float64)
    top_d = tl.where(finite, bits_d, 0).to(tl.float32, bitcast=True).to(tl.float64)
    lr, dw_min = lr_bits.to(tl.float64, bitcast=True), dw_min_bits.to(tl.float64, bitcast=True)
    need = top_x * top_d * lr / dw_min
    slots = tl.zeros((SAMPLES,), tl.float64) + max_bl
    if MANAGE_BL:
        slots = tl.maximum(tl.ceil(tl.minimum(need * SHORT, slots)), 1.0)
    gain = tl.sqrt(lr / (slots * dw_min))
    ratio = tl.full((SAMPLES,), 1.0, tl.float64)
    if MANAGE_UPDATE:
        ratio = tl.where(need > 0.0, tl.sqrt(top_d / tl.where(top_x > 0.0, top_x, 1.0)), 1.0)
    there = sample < samples
    tl.store(bl + sample, tl.where(need > 0.0, slots, 0.0).to(tl.int32), mask=there)
    tl.store(gain_x + sample, (gain * ratio).to(tl.float32), mask=there)
    tl.store(gain_d + sample, (gain / ratio).to(tl.float32), mask=there)


@triton.jit
def _check_finite(values, status, size, VALUES: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * VALUES + tl.arange(0, VALUES)
    bits = tl.load(values + at, mask=at < size, other=0.0).to(tl.int32, bitcast=True) & 0x7FFFFFFF
    if tl.max(bits) >= INFINITE:
        tl.store(status, NOT_FINITE)


def check_finite(x: Tensor, d: Tensor, cells: Cells) -> None:
    """Set the status of the cells if a value of x or d, float32, is not finite."""
    for values in (x, d):
        size, block = values.numel(), 4 * blocks().fours
        _check_finite[grid_of((size, block))](values, status_of(cells), size, block, **FUSED)


@triton.jit
def _lines(values, sample, there, line, n, gain, FLIP: tl.constexpr):
    """Of some lines the words below which they fire, whether they always do, and their signs (top bit)."""
    value = tl.load(values + sample.to(tl.int64) * n + line, mask=there & (line < n), other=0.0)
    level = gain * tl.abs(value) * 4294967296.0
    limit = tl.minimum(level, 4294967040.0).to(tl.uint32)
    falls = value > 0.0 if FLIP else value < 0.0
    return limit, level >= 4294967296.0, falls.to(tl.uint32) << N_SLOTS


@triton.jit
def _fires(random, limit, always, bits):
    """The bits of the slots (1, 1, SLOTS) in which lines (SAMPLES, FOURS, 1) fire, as words."""
    return tl.sum(tl.where((random < limit[:, :, None]) | always[:, :, None], bits, 0), 2)


@triton.jit
def _put(words, word, sign, there, line, n):
    """Store words of some lines; returns how many fires they have."""
    found = tl.where(word != 0, word | sign, word)
    inside = there & (line < n)
    tl.store(words + line, found.to(tl.int32, bitcast=True), mask=inside)
    return tl.where(inside, popcount(word), 0)


@triton.jit(do_not_specialize=["samples", "n_words", "k0", "k1"])
def _draw(
    values, gains, bls, driven, words, step, events, status, samples, n, group, n_words, k0, k1,
    FLIP: tl.constexpr, PURPOSE: tl.constexpr, DRIVES: tl.constexpr, SAMPLES: tl.constexpr,
    FOURS: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Trains of a block of samples and blocks of four lines, see `reference.trains.pulse_trains`.

    DRIVES: of d-lines, which mark the samples that are driven; x-lines are silent in others.
    """
    if tl.load(status) != 0:
        return
    sample = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)[:, None]
    index = tl.program_id(1) * FOURS + tl.arange(0, FOURS)[None, :]
    there = (sample < samples) & (index < group)
    gain = tl.load(gains + sample, mask=sample < samples, other=0.0)
    bl = tl.load(bls + sample, mask=sample < samples, other=0)
    if DRIVES:
        if tl.program_id(1) == 0:
            tl.atomic_add(events + 3, tl.sum(bl.to(tl.int64)))
    else:
        bl = tl.where(tl.load(driven + sample, mask=sample < samples, other=0) != 0, bl, 0)
    limit_a, always_a, sign_a = _lines(values, sample, there, index, n, gain, FLIP)
    limit_b, always_b, sign_b = _lines(values, sample, there, index + group, n, gain, FLIP)
    limit_c, always_c, sign_c = _lines(values, sample, there, index + 2 * group, n, gain, FLIP)
    limit_d, always_d, sign_d = _lines(values, sample, there, index + 3 * group, n, gain, FLIP)
    zero = tl.zeros((SAMPLES, FOURS, AT_ONCE), tl.uint32)
    c0, c1 = zero + index.to(tl.uint32)[:, :, None], zero + sample.to(tl.uint32)[:, :, None]
    c2 = zero + tl.load(step).to(tl.uint32)
    first_key, second_key = zero + k0.to(tl.uint32), zero + k1.to(tl.uint32)
    none = tl.zeros((SAMPLES, FOURS), tl.uint32)
    toggles, some = tl.zeros((SAMPLES, FOURS), tl.int32), none
    before, longest = tl.zeros((), tl.int32), tl.max(bl)
    out = words + sample.to(tl.int64) * n
    for _ in range(n_words):
        a, b, c, d = none, none, none, none
        for first in range(0, tl.minimum(longest - before, N_SLOTS), AT_ONCE):
            place = first + tl.arange(0, AT_ONCE)[None, None, :]  # in the word
            slot = before + place
            block = zero + (PURPOSE | (slot.to(tl.uint32) << 8))
            ra, rb, rc, rd = philox(c0, c1, c2, block, first_key, second_key)
            on = (slot < bl[:, :, None]) & (place < N_SLOTS)
            bits = tl.where(on, tl.full((1, 1, AT_ONCE), 1, tl.uint32) << place.to(tl.uint32), 0)
            a, b = a | _fires(ra, limit_a, always_a, bits), b | _fires(rb, limit_b, always_b, bits)
            c, d = c | _fires(rc, limit_c, always_c, bits), d | _fires(rd, limit_d, always_d, bits)
        before += N_SLOTS
        toggles += _put(out, a, sign_a, there, index, n)
        toggles += _put(out, b, sign_b, there, index + group, n)
        toggles += _put(out, c, sign_c, there, index + 2 * group, n)
        toggles += _put(out, d, sign_d, there, index + 3 * group, n)
        some, out = some | a | b | c | d, out + samples.to(tl.int64) * n
    tl.atomic_add(events + 2, tl.sum(toggles.to(tl.int64)))
    if DRIVES:
        tl.store(driven + sample, 1, mask=tl.max((some != 0).to(tl.int32), 1)[:, None] > 0)


def trains_of(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Trains:
    """The trains of an update; line toggles and slots are added to its events."""
    (samples, cols), rows, sizes = x.shape, d.shape[1], blocks()
    status, (k0, k1) = status_of(cells), key_words(cells.keys[0])
    whole, real = torch.int32, torch.float32
    bl, driven = torch.zeros(2, samples, dtype=whole, device=x.device)
    gain_x, gain_d = torch.empty(2, samples, dtype=real, device=x.device)
    _settings[grid_of((samples, sizes.samples))](
        x, d, bl, gain_x, gain_d, status, bits_of(abs(lr)), bits_of(cells.elements[0].dw_min), samples, cols,
        rows, pulsing.max_bl, pulsing.update_management, pulsing.bl_management, sizes.samples,
        4 * sizes.fours, **FUSED,
    )  # fmt: skip
    found = []
    for values, gain, n, purpose, drives in (
        (d, gain_d, rows, Purpose.D_TRAIN, True), (x, gain_x, cols, Purpose.X_TRAIN, False),
    ):  # fmt: skip
        words = torch.empty(pulsing.words, samples, n, dtype=whole, device=x.device)
        _draw[grid_of((samples, sizes.samples), (quarter(n), sizes.fours))](
            values, gain, bl, driven, words, step, events, status, samples, n, quarter(n), pulsing.words, k0,
            k1, drives and lr < 0, purpose, drives, sizes.samples, sizes.fours, sizes.slots,
            **FUSED,
        )  # fmt: skip
        found.append(words)
    return Trains(found[1], found[0], bl)


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """As `ops.draw_trains`; all 0 where a value is not finite."""
    if not len(x) or lr == 0:
        empty = [torch.zeros(pulsing.words, *t.shape, dtype=torch.int64, device=t.device) for t in (x, d)]
        return empty[0], empty[1]
    events = torch.zeros(4, dtype=torch.int64, device=x.device)
    trains = trains_of(x, d, lr, cells, pulsing, step, events)
    return trains.xs.long() & 0xFFFFFFFF, trains.ds.long() & 0xFFFFFFFF
