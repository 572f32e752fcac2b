"""From a wanted change to stochastic pulse trains: update management and the choice of bit length.

In the parallel update (Gokmen & Vlasov 2016, 10.3389/fnins.2016.00333) the x-line j and the d-line i
of a crossbar carry trains of BL slots, in each of which they fire with probabilities A|x_j| and
B|d_i| (clipped at 1). Where both fire, a coincidence, the element gets one pulse, so that
E[dw] = BL dw_min A B x d = lr x d.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import check_choice, check_integer, python_numbers
from ..rng import Key, words

__all__ = ["FIDELITIES", "SLOTS", "WHOLE", "Pulsing", "line_settings", "pulse_trains"]

FIDELITIES = ("mean", "pulsed", "pulse-by-pulse")

#: slots of a train in one 32-bit word; the top bit carries the sign of the line
SLOTS = 31
#: share by which a number of pulses K may lie above a whole one and still be meant as that. K is a product
#: and quotient of four numbers, each rounded to float32 (by 2^-24 at most) when it was stored and once more
#: when it was computed, as d from a gradient and a scale: eight roundings, 2^-21. A change that takes the
#: whole number of slots falls short by no more than this
WHOLE = 2.0**-21


@dataclass(frozen=True)
class Pulsing:
    """How wanted changes become pulses.

    Args:
        fidelity: "mean" (the discrete-time dynamics w + dw F - |dw| G, no pulses), "pulsed"
            (stochastic trains; the pulses of a minibatch are collapsed into one Gaussian per
            element) or "pulse-by-pulse" (every pulse with its own noise and clipping).
        max_bl: largest bit length BL, 1 to 2^20.
        update_management: balance the line probabilities, A/B = sqrt(max|d| / max|x|).
        bl_management: choose BL = ceil(K), at most max_bl, with K = lr max|x| max|d| / dw_min the
            number of pulses that the largest change needs, whole up to the rounding of float32; without
            it BL = max_bl.

    Raises:
        InputError: when a value is out of range.
    """

    fidelity: Literal["mean", "pulsed", "pulse-by-pulse"] = "pulsed"
    max_bl: int = 31
    update_management: bool = True
    bl_management: bool = True

    def __post_init__(self) -> None:
        python_numbers(self)
        check_choice("fidelity", self.fidelity, FIDELITIES)
        check_integer("bit length max_bl", self.max_bl, 1, 2**20)

    @property
    def words(self) -> int:
        """32-bit words that a train takes."""
        return -(-self.max_bl // SLOTS)


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
    """Stochastic trains of all lines: the meaning of what the fast backends draw, bit for bit.

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
