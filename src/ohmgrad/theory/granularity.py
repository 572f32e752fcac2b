"""The noise that pulses add to a step of the dynamics, whose mean they keep.

An entry with gradient g gets Binomial(BL, c) pulses of dw_min q, c = lr |g|/(dw_min BL), with q = F + G
where g > 0 and q = F - G where g < 0. Given g the step has, beside the dynamics' mean, the variance

    dw_min lr |g| q^2 - lr^2 g^2 q^2/BL,       q^2 = F^2 + G^2 + 2 F G sgn g,
    BL = min(ceil(K), max_bl),                 K = lr max_i |g_i|/dw_min  (bit-length management)

and, with additive cycle-to-cycle noise, (std dw_min q(0))^2 a pulse (derived here; the trains are those of
Gokmen & Vlasov 2016, 10.3389/fnins.2016.00333). For independent entries the law of the largest |g_i|, and
with it E[g_i^2/BL], is a closed form.

Left out: that entries share a d-line, which for i != j adds the covariance
lr^2 E[g_i q_i g_j q_j (sqrt(BL/K) - 1)/BL]. Signs of independent noise cancel in it, and in Tiki-Taka
P's mean is small: counted in, it moved predicted errors by 0.03 % at most (40 unknowns, 60 and 600 states).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError, check_integer, check_number, python_numbers

__all__ = ["Pulses"]


@dataclass(frozen=True)
class Pulses:
    """Pulses of an array, with update and bit-length management.

    Args:
        dw_min: granularity in weight units (> 0); max_bl: largest bit length, an integer >= 1.
        noise_std: additive cycle-to-cycle noise relative to the step at w = 0 (>= 0).

    Raises:
        InputError: when a value is out of range.
    """

    dw_min: float
    max_bl: int = 31
    noise_std: float = 0.0

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("dw_min", self.dw_min, low=0, open_low=True)
        check_number("noise_std", self.noise_std, low=0)
        check_integer("bit length max_bl", self.max_bl, 1, 2**20)

    def variance(self, lr: float, first: Tensor, second: Tensor, at_zero: Tensor, per_slot: Tensor) -> Tensor:
        """Variance that pulses add to one update, of the shape of the arguments.

        Args:
            first, second, at_zero: E[|g| q^2], E[g^2 q^2] and E[|g| q(0)^2]; per_slot: E[g^2/BL]/E[g^2].
        """
        own = self.dw_min * lr * first - lr**2 * second * per_slot
        return own.clamp(min=0) + self.dw_min * self.noise_std**2 * lr * at_zero

    def slotted(self, lr: float, c: Tensor, d: Tensor) -> Tensor:
        """E[g_i^2/BL]/E[g_i^2] of independent entries, (n,): by Abel summation over the bit lengths.

            E[g_i^2/BL] = E[g_i^2]/B + sum_{b<B} E[g_i^2; all |g_j| <= b dw_min/lr] (1/b - 1/(b + 1))

        Bit lengths above about 100 are summed in steps of 1.5 % at most.

        Args:
            c: (n, k), means of the equally likely Gaussian components of an entry; d: (n,), their
                standard deviation.
        """
        b = torch.logspace(0, math.log10(self.max_bl), 1000, dtype=torch.float64).round().unique()
        inside, square = _within(c, d, b[:-1] * self.dw_min / lr)
        # the product over all others; an entry that is never inside has no square inside either
        others = inside.prod(0) / inside.clamp(min=1e-300)
        total = (c.square() + d.square()[:, None]).mean(1)
        mean = total / self.max_bl + (square * others) @ (1 / b[:-1] - 1 / b[1:])
        return mean / total.clamp(min=1e-300)

    def driven(self, lr: Tensor, c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of updates that one Gaussian error e drives, all their entries e x_i: (S,) each,

            E[e^2/BL]/E[e^2],      E[e^2 (sqrt(BL/K) - 1)/BL]/E[e^2]      and      P(K > max_bl),

        by a sum over e.

        Args:
            lr: (S,), learning rate times the largest |x_i|; c, d: (S,), mean and standard deviation of e.
        """
        z = torch.linspace(-8, 8, 1601, dtype=torch.float64)
        share = torch.exp(-z.square() / 2) / torch.exp(-z.square() / 2).sum()
        e = (c[:, None] + d[:, None] * z).abs()
        need = lr[:, None] * e / self.dw_min
        bl = need.ceil().clamp(1, self.max_bl)
        square = e.square() * share
        total = square.sum(1).clamp(min=1e-300)
        pairs = ((bl / need.clamp(min=1e-300)).sqrt() - 1).clamp(min=0) / bl
        return (
            (square / bl).sum(1) / total,
            (square * pairs).sum(1) / total,
            (need > self.max_bl).double() @ share,
        )

    def clipped(self, lr: float, c: Tensor, d: Tensor) -> float:
        """Share of updates with K > max_bl; c, d as in `slotted`."""
        inside, _ = _within(c, d, torch.tensor([self.max_bl * self.dw_min / lr], dtype=torch.float64))
        return 1 - float(inside.prod())

    def check(self, share: float) -> None:
        """Refuse steps of more than max_bl pulses: lines are clipped then, and steps fall short.

        Raises:
            InputError: when the share of updates with K > max_bl is above 5 %.
        """
        if share > 0.05:
            raise InputError(
                f"{share:.0%} of steps need more pulses than max_bl {self.max_bl}, and would fall short: "
                "raise max_bl or dw_min, or lower the learning rate"
            )


def _within(c: Tensor, d: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """P(|g| <= x) and E[g^2; |g| <= x], (n, X), of mixtures c (n, k), d (n,) at x (X,)."""
    c, d = c[..., None], d[:, None, None]
    low, high = (((edge - c) / d.clamp(min=1e-300)).clamp(-40, 40) for edge in (-x, x))
    phi = lambda t: torch.exp(-t.square() / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    share = torch.special.ndtr(high) - torch.special.ndtr(low)
    square = (c.square() + d.square()) * share + 2 * c * d * (phi(low) - phi(high))
    square = square + d.square() * (low * phi(low) - high * phi(high))
    return share.mean(1), square.clamp(min=0).mean(1)
