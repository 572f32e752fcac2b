"""Pulse trains in plain PyTorch: update management, the choice of bit length, and coincidences.

In the parallel update (Gokmen & Vlasov 2016, 10.3389/fnins.2016.00333) the x-line j and the d-line i
of a crossbar carry trains of BL slots, in each of which they fire with probabilities A|x_j| and
B|d_i| (clipped at 1). Where both fire, a coincidence, the element gets one pulse, so that
E[dw] = BL dw_min A B x d = lr x d.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...rng import Key, Purpose, words
from ..cells import Cells
from ..pulsing import SLOTS, WHOLE, Pulsing

__all__ = ["coincidences", "count_events", "draw_trains", "line_settings", "pulse_trains", "update_trains"]


def line_settings(
    x: Tensor, d: Tensor, lr: float, dw_min: float, pulsing: Pulsing
) -> tuple[Tensor, Tensor, Tensor]:
    """Bit length and the two gains of every sample.

        BL = min(ceil((1 - WHOLE) K), max_bl),  K = |lr| max|x| max|d| / dw_min    (bl_management)
        A = sqrt(|lr| / (BL dw_min)) sqrt(max|d| / max|x|),  B its mirror image (update_management)

    Args:
        x: (samples, cols), d: (samples, rows): line values of each sample.
        lr: learning rate; its sign goes to the d-lines.
        dw_min: granularity.
        pulsing: settings.

    Returns:
        BL as int64 (samples,), 0 where nothing is to be done; A and B as float32 (samples,).
    """
    top_x = x.abs().amax(1).double()
    top_d = d.abs().amax(1).double()
    need = top_x * top_d * abs(lr) / dw_min  # in this order: finite factors never give infinity times 0
    if pulsing.bl_management:
        bl = (need * (1 - WHOLE)).clamp(max=pulsing.max_bl).ceil().clamp(min=1).long()
    else:
        bl = torch.full_like(need, pulsing.max_bl).long()
    bl[need == 0] = 0
    gain = (abs(lr) / (bl.clamp(min=1) * dw_min)).sqrt()
    ratio = torch.ones_like(gain)
    if pulsing.update_management:
        ratio = torch.where(bl > 0, (top_d / top_x).sqrt(), ratio)
    return bl, (gain * ratio).float(), (gain / ratio).float()


def pulse_trains(
    values: Tensor, gain: Tensor, bl: Tensor, n_words: int, purpose: int, key: Key, step: int
) -> Tensor:
    """Stochastic trains of the lines of one side: fast back ends draw the same bits.

    Line l of sample b fires in slot t when its word Philox(l, b, step, purpose | t << 8) is below
    floor(gain |value| 2^32); it always fires from gain |value| = 1 on.

    Args:
        values: (samples, lines) float32; the sign goes to the top bit of every non-empty train.
        gain: (samples,) float32, bl: (samples,) int64.
        n_words: words per train, at least ceil(max BL / 31).
        purpose, key, step: address of the random numbers.

    Returns:
        int64 tensor (n_words, samples, lines) of 32-bit words: slot t is bit t % 31 of word t // 31.
    """
    samples, lines = values.shape
    level = gain.float().unsqueeze(1) * values.abs().float() * 2.0**32
    threshold = level.double().clamp(max=2.0**32).floor().long()
    row = torch.arange(samples)
    out = torch.zeros(n_words, samples, lines, dtype=torch.int64)
    for slot in range(int(bl.max()) if samples else 0):
        fires = words(lines, row, step, purpose, key, block=slot) < threshold
        fires &= (slot < bl).unsqueeze(1)
        out[slot // SLOTS] |= fires.long() << (slot % SLOTS)
    sign = (values < 0).long() << SLOTS
    return torch.where(out > 0, out | sign, out)


def update_trains(
    x: Tensor, d: Tensor, lr: float, dw_min: float, pulsing: Pulsing, key: Key, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Trains of the x-lines and d-lines of all samples, as words (see `pulse_trains`), and BL."""
    bl, gain_x, gain_d = line_settings(x, d, lr, dw_min, pulsing)
    signed = d if lr >= 0 else -d
    xs = pulse_trains(x, gain_x, bl, pulsing.words, Purpose.X_TRAIN, key, step)
    ds = pulse_trains(signed, gain_d, bl, pulsing.words, Purpose.D_TRAIN, key, step)
    return xs, ds, bl


def coincidences(xs: Tensor, ds: Tensor) -> Tensor:
    """Signed coincidence counts, int64 (samples, rows, cols), from the words of `update_trains`."""
    both = xs.unsqueeze(2) & ds.unsqueeze(3)
    counts = sum((both >> slot) & 1 for slot in range(SLOTS))
    assert isinstance(counts, Tensor)
    sign = 1 - 2 * (((xs.unsqueeze(2) ^ ds.unsqueeze(3)) >> SLOTS) & 1)
    return (counts * sign).sum(0)


def _driven(ds: Tensor) -> Tensor:
    """Samples whose x-lines are driven, bool (samples,): those in which a d-line fires."""
    return (ds != 0).any(2).any(0)


def count_events(xs: Tensor, ds: Tensor, bl: Tensor, counts: Tensor) -> list[int]:
    """Pulses up, pulses down, line toggles and slots of an update."""
    fired = (xs[:, _driven(ds)], ds)
    toggles = sum(int(((train >> slot) & 1).sum()) for train in fired for slot in range(SLOTS))
    return [int(counts.clamp(min=0).sum()), int(-counts.clamp(max=0).sum()), toggles, int(bl.sum())]


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """As `ops.draw_trains`."""
    xs, ds, _ = update_trains(x, d, lr, cells.elements[0].dw_min, pulsing, cells.keys[0], int(step))
    return xs * _driven(ds).view(1, -1, 1), ds
