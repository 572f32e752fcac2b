"""The tabulated form: responses sampled on an even grid, and how far a tangent can be trusted on it.

Kernels know no family but the affine ones. Everything else becomes a table: q+ and q- at the nodes of an
even grid over [w_min, w_max], linear in between. The number of intervals is the smallest of 64, 128, ...
8192 (for a piecewise response multiples of its own, so that its kinks are nodes) whose error, measured
between the nodes, is at most `ERROR` of the step at w = 0. A response that no grid meets, because it
jumps or has an infinite slope, has no table and stays a callable.

**Reach.** The collapse replaces the table by its tangent, the line through the two nodes around the mean.
For every interval `reach` is the distance, from anywhere in it and to either side, within which that line
predicts both steps to within `TOLERANCE` of the step at w = 0. For a smooth response it is about
sqrt(2 TOLERANCE q(0)/|q''|); a linear one has no limit.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .families import AffineResponse
from .measured import Measured
from .response import AbstractResponse

__all__ = ["ERROR", "TOLERANCE", "Table", "tabulate"]

#: largest error of interpolation, as a part of the step at w = 0
ERROR = 1e-4
#: largest error of a step that a tangent predicts, as a part of the step at w = 0. Over the pulses of a
#: sample the error grows from 0 to this, as the square of the distance: the sample's move is off by a third
TOLERANCE = 2e-3
_FIRST, _LAST = 64, 8192
#: points between two nodes where the error is measured
_BETWEEN = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)


@dataclass(frozen=True, eq=False)
class Table:
    """Steps of one or several devices on an even grid of n intervals over [low, high].

    - `q`: (devices, 2, n + 1) float64, the mean step of a pulse up and of one down at each node, positive
      in the direction of the pulse, in units of dw_min;
    - `error`: largest error between nodes, as a part of the step at w = 0 (0 for a measured table, which
      is its own meaning);
    - `levels`: (devices, L, n), in intervals: `levels[d, l, i]` is the least reach in the 2^l intervals
      from i on, so that two of them give the least between any two places.

    A measured table has the distribution of the step too:

    - `sd`: (devices, 2, n + 1), standard deviation of one pulse; `steps`: (devices, 2, levels, n + 1), its
      quantiles at the probabilities `cdf` (levels,); `gaussian`: (devices, n), pulses from which their sum
      is taken as Gaussian, by the interval of the first (see `Measured`).
    """

    low: float
    high: float
    q: Tensor
    error: float
    levels: Tensor
    sd: Tensor | None = None
    steps: Tensor | None = None
    cdf: Tensor | None = None
    gaussian: Tensor | None = None
    #: what a backend keeps for this table, by its name
    packed: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": {}}

    @property
    def intervals(self) -> int:
        """Intervals n of the grid."""
        return self.q.shape[-1] - 1

    @property
    def per_weight(self) -> float:
        """Intervals per unit of weight."""
        return self.intervals / (self.high - self.low)

    def place(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Interval of `w` (any shape), int64, and the part of it left of `w`, in [0, 1]; ends are kept.

        What is no number, as moments that overflowed, is taken as the lower end.
        """
        p = ((w.double() - self.low) * self.per_weight).nan_to_num(0.0).clamp(0, self.intervals)
        i = p.long().clamp(max=self.intervals - 1)
        return i, p - i

    def tangent(self, values: Tensor, which: Tensor, down: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """`values` (as `q` or `sd`) at `w`, and their slope per unit of weight: the chord around it.

        Args:
            which: number of the device, int64; down: 1 for pulses down, int64; w: all of one shape.
        """
        i, t = self.place(w)
        which, down = which.expand(i.shape), down.expand(i.shape)
        left, right = values[which, down, i], values[which, down, i + 1]
        return left + t * (right - left), (right - left) * self.per_weight

    def least(self, levels: Tensor, which: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Least value of `levels` between `low` and `high` (weights, one shape)."""
        (i, _), (j, _) = self.place(low), self.place(high)
        level = (j - i + 1).double().log2().floor().long()
        which = which.expand(i.shape)
        return torch.minimum(levels[which, level, i], levels[which, level, j + 1 - (1 << level)])

    def draw(self, which: Tensor, down: Tensor, w: Tensor, u: Tensor) -> Tensor:
        """Step of one pulse by its probability `u` in (0, 1): bilinear between levels and nodes."""
        assert self.steps is not None
        assert self.cdf is not None
        i, t = self.place(w)
        level = torch.searchsorted(self.cdf, u, right=True).clamp(1, len(self.cdf) - 1) - 1
        a, b = self.cdf[level], self.cdf[level + 1]
        s = ((u - a) / (b - a)).clamp(0, 1)
        which, down = which.expand(i.shape), down.expand(i.shape)
        low, high = (
            self.steps[which, down, at, i] * (1 - t) + self.steps[which, down, at, i + 1] * t
            for at in (level, level + 1)
        )
        return low + s * (high - low)


def tabulate(response: AbstractResponse) -> Table | str:
    """The table of a response, or, where it has none, the reason in words."""
    try:
        return _kept(response)
    except TypeError:  # a response of the user's own that cannot be hashed
        return _make(response)


def _make(response: AbstractResponse) -> Table | str:
    if isinstance(response, AffineResponse):
        return f"{type(response).__name__} is affine and needs no table"
    if isinstance(response, Measured):
        return _measured(response)
    low, high = response.w_min, response.w_max
    zero = torch.zeros(1, dtype=torch.float64)
    unit = _both(response, zero)
    own = int(getattr(response, "intervals", 1))
    n, error = own * -(-_FIRST // own), math.inf
    while True:
        grid = torch.linspace(low, high, n + 1, dtype=torch.float64)
        q = _both(response, grid)
        error = _error(response, grid, q, unit)
        if error <= ERROR or 2 * n > _LAST:
            break
        n *= 2
    if not error <= ERROR:
        return (
            f"between the nodes of a grid of {n} intervals its steps are off by {error:.2g} of the step at "
            f"w = 0, more than {ERROR:g} (they jump, or their slope is infinite somewhere)"
        )
    q = q.unsqueeze(0)
    tolerance = torch.tensor([TOLERANCE], dtype=torch.float64)
    return Table(low, high, q, error, _trust(q, unit.squeeze(-1), tolerance))


_kept = functools.lru_cache(maxsize=64)(_make)


def _both(response: AbstractResponse, w: Tensor) -> Tensor:
    return torch.stack([response.q_plus(w), response.q_minus(w)]).double()


def _error(response: AbstractResponse, grid: Tensor, q: Tensor, unit: Tensor) -> float:
    worst = 0.0
    for part in _BETWEEN:
        there = _both(response, grid[:-1] + part * (grid[1:] - grid[:-1]))
        gap = ((q[:, :-1] * (1 - part) + q[:, 1:] * part - there).abs() / unit).max()
        worst = max(worst, float(gap)) if math.isfinite(gap) else math.inf
    return worst


def _measured(response: Measured) -> Table:
    q, sd = response.mean, response.sd
    # a tangent need not be better than the table, whose means scatter from node to node: the second
    # differences of independent errors of standard deviation s have one of s sqrt(6)
    second = q[..., 2:] - 2 * q[..., 1:-1] + q[..., :-2]
    rough = (second.square().mean(-1) / 6).sqrt() / response.unit.view(1, 2)
    tolerance = (3 * rough.amax(1)).clamp(min=TOLERANCE)
    trust = _trust(q, response.unit, tolerance)
    need = torch.maximum(response.gaussian_from[..., 1:], response.gaussian_from[..., :-1]).amax(1)
    return Table(-1.0, 1.0, q, 0.0, trust, sd, response.steps, response.cdf, need)


def _trust(q: Tensor, unit: Tensor, tolerance: Tensor) -> Tensor:
    """`levels` of a table; tolerance: (devices,), in units of `unit` (2,)."""
    part = q / unit.view(1, 2, 1)
    bound = tolerance.view(-1, 1, 1)
    right, left = _right_reach(part, bound), _right_reach(part.flip(-1), bound).flip(-1)
    return _levels(torch.minimum(right, left).amin(1))


def _levels(values: Tensor) -> Tensor:
    """Least of the 2^l values from each place on, (devices, L, n) from (devices, n)."""
    levels = [values]
    while 2 ** len(levels) <= values.shape[-1]:
        half = 2 ** (len(levels) - 1)
        last = levels[-1]
        levels.append(torch.minimum(last, torch.cat([last[:, half:], last[:, -1:].expand(-1, half)], 1)))
    return torch.stack(levels, 1)


def _right_reach(q: Tensor, tolerance: Tensor) -> Tensor:
    """Intervals beyond the right end of each interval up to which its line is good to `tolerance`."""
    n = q.shape[-1] - 1
    slope = q[..., 1:] - q[..., :-1]
    reach = torch.full_like(slope, math.inf)
    before = torch.zeros_like(slope)
    for d in range(2, n + 1):
        count = n + 1 - d  # intervals that have a node d to the right of their left one
        off = q[..., d:] - q[..., :count] - d * slope[..., :count]
        out = (off.abs() > tolerance) & torch.isinf(reach[..., :count])
        edge = tolerance * off.sign()
        part = (edge - before[..., :count]) / torch.where(
            out, off - before[..., :count], torch.ones_like(off)
        )
        reach[..., :count] = torch.where(out, d - 2 + part, reach[..., :count])
        if not bool(torch.isinf(reach[..., : max(count - 1, 0)]).any()):
            break
        before = off
    return reach
