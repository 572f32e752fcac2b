"""The collapse of affine elements, in plain PyTorch and float64.

One pulse on an affine element maps w to f + (w - f)(1 - e) plus noise, with the fixed point
f = bound/slope ahead and e = slope pulse_size/|bound|. With m and v the mean and variance of w, n pulses
in one direction give exactly

    m' = f + (m - f)(1 - e)^n
    additive noise of std s per pulse:         v' = v (1-e)^2n + s^2 (1 - (1-e)^2n) / (1 - (1-e)^2)
    multiplicative noise, a pulse (1 + s xi):  v' = v r^n + (m - f)^2 (r^n - (1-e)^2n),
                                               r = (1-e)^2 + s^2 e^2

the last from E[(w' - f)^2] = r E[(w - f)^2]. With additive noise w stays Gaussian; with
multiplicative noise the first two moments are exact. So the pulses of a whole minibatch, in sample
order or in groups of samples (`groups`), cost one Gaussian per element at the end. Without noise, clipping
after each sample is exact.

Two kinds of elements are computed pulse by pulse instead. Coarse ones, whose |e| is beyond `COARSE` in
either direction, with or without noise: with e >= 1 one pulse reaches the bound, and clipping is no longer
rare. And, with noise, elements whose highest or lowest mean on the way came within `SAFETY` standard
deviations of a bound. The standard deviation is the largest on the way, not the last: a direction that
contracts makes v small again, but not what was clipped before undone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...devices import Elements

__all__ = ["COARSE", "SAFETY", "Passed", "advance", "coarse", "collapse", "measured", "noisy"]

#: standard deviations that must lie between the mean and a bound for the collapse to be used
SAFETY = 5.0
#: largest |e| of an affine element that is collapsed: two pulses from zero to the bound, with room for the
#: rounding of a bound at exactly two pulses
COARSE = 0.5 * (1 + 1e-6)


class Passed(NamedTuple):
    """What a collapse passed on its way, before and after every segment; each (rows, cols)."""

    mean_max: Tensor
    mean_min: Tensor
    var_max: Tensor
    #: where pulse by pulse is needed, whatever the rest says, bool: noise reached beyond the parabola of a
    #: table, or near a bound, and the collapse of that tabulated element ended there; an element is too steep
    #: for groups
    beyond: Tensor


def measured(elements: Elements) -> bool:
    """Whether pulses are drawn from measured distributions."""
    return elements.table is not None and elements.table.sd is not None


def noisy(elements: Elements) -> bool:
    """Whether pulses differ from one another."""
    return elements.noise_std > 0 or measured(elements)


def coarse(elements: Elements) -> Tensor:
    """Where one pulse goes too far for the collapse, bool of the planes' shape."""
    up = abs(elements.slope_up) * elements.up.double() > COARSE * elements.upper.double()
    return up | (abs(elements.slope_down) * elements.down.double() > -COARSE * elements.lower.double())


def collapse(w: Tensor, elements: Elements, counts: Tensor) -> tuple[Tensor, Tensor, Passed]:
    """Mean and variance after signed counts (samples, rows, cols), float64, and what was passed."""
    m, v = w, torch.zeros_like(w)
    passed = Passed(w, w, v, torch.zeros_like(w, dtype=torch.bool))
    for n in counts:
        down, k = n < 0, n.abs().double()
        move, e = elements.tangent(m, down)
        std = elements.pulse_std(m, down) if elements.noise == "additive" else None
        m, v = advance(m, v, k, move, e, std, elements)
        mean_max, mean_min = torch.maximum(passed.mean_max, m), torch.minimum(passed.mean_min, m)
        passed = Passed(mean_max, mean_min, torch.maximum(passed.var_max, v), passed.beyond)
    return m, v, passed


def advance(
    m: Tensor, v: Tensor, k: Tensor, move: Tensor, e: Tensor, std: Tensor | None, elements: Elements
) -> tuple[Tensor, Tensor]:
    """Mean and variance after k pulses, each of which moves an element at m + x by move - e x.

    Args:
        std: noise of one pulse; None if it scales with the move.
    """
    moves = _geometric(-e, k)  # sum_{i<k} (1-e)^i, which tends to k as e -> 0
    decay = 1 - e * moves  # (1-e)^k
    if std is not None:
        sums = moves * (1 + decay) / (2 - e)
        v = v * decay**2 + std**2 * torch.where(k == 1, moves, sums)
    else:
        # r = (1-e)^2 (1 + c e^2), so that e = 0 is no special case
        c = (elements.noise_std / (1 - e)) ** 2
        grown = c * _geometric(c * e**2, k)
        square = e**2 * v + move**2
        v = torch.where(
            k == 1, decay**2 * v + elements.noise_std**2 * square, decay**2 * (v + grown * square)
        )
    m = m + move * moves
    return (m if noisy(elements) else elements.clip(m)), v


def _geometric(minus_e: Tensor, k: Tensor) -> Tensor:
    """sum_{i<k} (1 + minus_e)^i = ((1 + minus_e)^k - 1) / minus_e, and k at minus_e = 0.

    One pulse may contract by any e, also beyond 1; more only where e is below 1.
    """
    safe = torch.where(minus_e == 0, torch.ones_like(minus_e), minus_e)
    value = torch.expm1(k * torch.log1p(minus_e.clamp(min=-1 + 1e-15))) / safe
    return torch.where((minus_e == 0) | (k == 1), k, value)
