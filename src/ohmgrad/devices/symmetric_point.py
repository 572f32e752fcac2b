"""Where alternating pulses drive an element: its symmetric point.

A pair of one pulse up and one down moves w by dw_min (q+(w) - q-(w)) to first order: up where q+ > q-, down
where q+ < q-. A crossing through which q+ - q- falls holds the elements around it, one through which it rises
drives them away. A response may have several that hold, or none; which one an element comes to depends on
where it starts. The symmetric point is where one that starts at w = 0 ends:

    the first crossing that holds, on the side to which the pulses drive it from 0;
    the bound on that side, if there is none;
    0 itself, where q+ = q- there and neither side drives away.

From a crossing at w = 0 that drives away an element goes to the side where the first pair, up before down,
leaves it. Steps that vanish in both directions hold it, too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["affine_symmetric_point", "driven_to", "root", "with_zero"]

Steps = Callable[[Tensor], Tensor]


def affine_symmetric_point(
    up: Tensor, down: Tensor, lower: Tensor, upper: Tensor, slope_up: float, slope_down: float
) -> Tensor:
    """Symmetric point of q+ = up (1 - slope_up w/upper), q- = down (1 - slope_down w/lower).

    The lines cross at w = (up - down) / (up slope_up/upper - down slope_down/lower), once at most. The
    crossing holds elements if the denominator is positive, and is then kept inside [lower, upper].

    Args:
        up, down: step sizes at w = 0, any shape (> 0).
        lower, upper: bounds, same shape (lower < 0 < upper).
        slope_up, slope_down: 1 for soft bounds, 0 for constant steps.
    """
    gap = up - down
    slope = up * slope_up / upper - down * slope_down / lower
    holds = slope > 0
    # from 0 the gap keeps its sign; at 0 a pair leads to where q- does not grow against it
    even = torch.where(slope == 0, torch.zeros_like(gap), upper if slope_down <= 0 else lower)
    bound = torch.where(gap > 0, upper, torch.where(gap < 0, lower, even))
    point = torch.where(holds, gap / torch.where(holds, slope, torch.ones_like(slope)), bound)
    return torch.minimum(torch.maximum(point, lower), upper)


def with_zero(w: Tensor) -> Tensor:
    """Weights in order, each once, float64, with w = 0 among them and none that is 0 but for rounding."""
    w = torch.where(w.abs() < 1e-12 * w.abs().max(), 0.0, w)
    return torch.cat([w, w.new_zeros(1)]).unique()


def driven_to(w: Tensor, up: Tensor, down: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
    """Where elements of steps `gain` q+ up and q- down are driven from w = 0, with both linear between nodes.

    As gain q+ > q- where gain > q-/q+, the first node that stops an element is where the running maximum of
    q-/q+, from 0 upwards, reaches its gain; downwards the running minimum.

    Args:
        w: nodes (n,), rising, 0 among them; up, down: q+ and q- there (n,); float64.
        gain: (k,), float64 (> 0).

    Returns:
        Numbers of intervals i, int64 (k,), and places t in [0, 1] in them: w[i] + t (w[i + 1] - w[i]).
    """
    zero = int(torch.searchsorted(w, 0.0))
    gap = gain * up[zero] - down[zero]
    right, left = gain * up[zero + 1] - down[zero + 1], gain * up[zero - 1] - down[zero - 1]
    first = bool(down[zero + 1] <= down[zero])  # a pair from an even 0 ends above it
    even = gap.abs() <= 1e-12 * down[zero]
    rises = torch.where(even, (right > 0) & ((left >= 0) | first), gap > 0)
    falls = torch.where(even, left < 0, gap < 0) & ~rises

    ratio = torch.where(up > 0, down / up, torch.inf)  # where no pulse goes up it holds from below
    stop = ratio[zero + 1 :].cummax(0).values
    above = torch.searchsorted(stop, gain).clamp(max=len(stop) - 1) + zero
    stop = torch.where(down > 0, ratio, 0.0)[:zero].flip(0).cummin(0).values
    below = zero - 1 - torch.searchsorted(-stop, -gain).clamp(max=len(stop) - 1)

    i = torch.where(rises, above, torch.where(falls, below, zero))
    a, b = gain * up[i] - down[i], gain * up[i + 1] - down[i + 1]
    inner = a - b > 0
    t = torch.where(inner, a / torch.where(inner, a - b, 1.0), torch.where(rises, 1.0, 0.0))
    # no crossing before the bound: the pulses drive there
    t = torch.where(rises & (b > 0), 1.0, torch.where(falls & (a < 0), 0.0, t.clamp(0, 1)))
    return i, torch.where(rises | falls, t, 0.0)


def root(q_plus: Steps, q_minus: Steps, low: Tensor, high: Tensor) -> Tensor:
    """Where q+ - q- falls through zero between `low` and `high`, by bisection; shapes as of the steps."""
    for _ in range(60):
        middle = (low + high) / 2
        rising = q_plus(middle) > q_minus(middle)
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return (low + high) / 2
