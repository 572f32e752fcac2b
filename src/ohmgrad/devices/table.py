"""The tabulated form: responses sampled on an even grid, with a parabola around every interval of it.

Kernels know no family but the affine ones. Everything else becomes a table: q+ and q- at the nodes of an
even grid over [w_min, w_max], linear in between. The number of intervals is the smallest of 64, 128, ...
8192 (for a piecewise response multiples of its own, so that its kinks are nodes) whose error, measured
between the nodes, is at most `ERROR` of the step at w = 0. Where no grid meets that only because the slope
is infinite at a bound, as that of a root is, the finest has up to `ERROR_AT_BOUND` in the last 1/1024 of the
range before it: an element passes there in few pulses. A response that no grid meets, because it jumps or has
an infinite slope elsewhere, has no table and stays a callable.

**Valid radius.** The collapse replaces the table by a parabola around the interval of the mean (`parabolas`).
For every interval `valid_radius` is the distance from its middle, to either side, within which the parabola
predicts both steps to within `TOLERANCE` of the step at w = 0. For a smooth response it is about
(6 TOLERANCE q(0)/|q'''|)^(1/3), but at most (2 `CURVED` q(0)/|q''|)^(1/2); a linear one has no limit.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..checked import checked
from .families import AffineResponse
from .measured import Measured
from .parabolas import parabolas
from .response import AbstractResponse
from .shapes import FEWEST, MOST, shaped
from .symmetric_point import with_zero

__all__ = ["ERROR", "ERROR_AT_BOUND", "TOLERANCE", "Table", "tabulate", "tabulate_shapes"]

#: largest error of interpolation, as a part of the step at w = 0
ERROR = 1e-4
#: the same next to a bound at which the slope is infinite
ERROR_AT_BOUND = 5e-3
#: both of tables of several shapes, which differ by more from one to the next
OF_SHAPES = 1e-3, 1e-2
#: largest error of a step that a parabola predicts, as a part of the step at w = 0. On the way there the
#: error grows from 0 to this, as the third power of the distance: the move is off by a quarter
TOLERANCE = 2e-3
#: likewise of the standard deviation of a measured step
_SD_TOLERANCE = 0.02
_FIRST, _LAST = 64, 8192
#: intervals above which tables are long, and fewer shapes have to do
_LONG = 1024
#: part of the range at either end that is next to a bound
_AT_BOUND = 1 / 1024
#: points between two nodes where the error is measured
_BETWEEN = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)


@dataclass(frozen=True, eq=False)
class Table:
    """Steps of one or several devices on an even grid of n intervals over [low, high].

    - `q`: (devices, 2, n + 1) float64, the mean step of a pulse up and of one down at each node, positive
      in the direction of the pulse, in units of dw_min;
    - `error`: largest error between nodes, as a part of the step at w = 0 (0 for a measured table, which
      is its own meaning);
    - `curve`: (devices, 2, 3, n), a parabola around every interval: a, b, c of `parabolas`, in the units of
      q; `valid_radius`: (devices, n), how far from the middle of the interval it serves, in intervals.

    A measured table has the distribution of the step too:

    - `sd`: (devices, 2, n + 1), standard deviation of one pulse; `sd_curve`, as `curve`; `steps`: (devices,
      2, levels, n + 1), its quantiles at the probabilities `cdf` (levels,); `gaussian`: (devices, n), pulses
      from which their sum is taken as Gaussian, by the interval of the first (see `Measured`).
    """

    low: float
    high: float
    q: Tensor
    error: float
    curve: Tensor
    valid_radius: Tensor
    sd: Tensor | None = None
    sd_curve: Tensor | None = None
    steps: Tensor | None = None
    cdf: Tensor | None = None
    gaussian: Tensor | None = None
    #: what a backend keeps for this table, by its name
    packed: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": {}}

    def to(self, place: torch.device) -> Table:
        """The same table on a device, made once for each."""
        if str(place) not in self.packed:
            tensors = {f.name: getattr(self, f.name) for f in fields(self)}
            moved = {name: t.to(place) for name, t in tensors.items() if isinstance(t, Tensor)}
            self.packed[str(place)] = replace(self, packed={}, **moved)
        return self.packed[str(place)]

    @property
    def intervals(self) -> int:
        """Intervals n of the grid."""
        return self.q.shape[-1] - 1

    @property
    def per_weight(self) -> float:
        """Intervals per unit of weight."""
        return self.intervals / (self.high - self.low)

    @property
    def origin(self) -> float:
        """Where w = 0 lies, in intervals from the lower end: a node where it is one but for rounding.

        Weights start there, and all back ends then take the interval to the right, as float32 does.
        """
        place = -self.low * self.per_weight
        node = round(place)
        return float(node) if abs(place - node) <= node * 2.0**-24 else place

    def interval(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Interval of `w` (any shape), int64, and the part of it left of `w`, in [0, 1]; ends are kept.

        What is no number, as moments that overflowed, is taken as the lower end.
        """
        p = (w.double() * self.per_weight + self.origin).nan_to_num(0.0).clamp(0, self.intervals)
        i = p.long().clamp(max=self.intervals - 1)
        return i, p - i

    def tangent(self, values: Tensor, which: Tensor, down: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """`values` (as `q` or `sd`) at `w`, and their slope per unit of weight: the chord around it.

        Args:
            which: number of the device, int64; down: 1 for pulses down, int64; w: all of one shape.
        """
        i, t = self.interval(w)
        which, down = which.expand(i.shape), down.expand(i.shape)
        left, right = values[which, down, i], values[which, down, i + 1]
        return left + t * (right - left), (right - left) * self.per_weight

    def steps_of(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, q+ and q- of a device at the nodes, and at w = 0 if that is none; float64 (nodes,)."""
        w = with_zero(torch.linspace(self.low, self.high, self.q.shape[-1], dtype=torch.float64))
        up, down = (self.tangent(self.q, torch.tensor(number), torch.tensor(d), w)[0] for d in (0, 1))
        return w, up, down

    def parabola(
        self, curve: Tensor, which: Tensor, down: Tensor, interval: Tensor, w: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the parabolas `curve` (as `curve` or `sd_curve`) of these intervals say of `w`.

        Returns:
            Value, slope per unit of weight, and half the second derivative.
        """
        which, down = which.expand(interval.shape), down.expand(interval.shape)
        a, b, c = curve[which, down, :, interval].unbind(-1)
        t, rate = self.offset(interval, w), self.per_weight
        return a + t * (b + t * c), rate * (b + 2 * c * t), rate**2 * c

    def offset(self, interval: Tensor, w: Tensor) -> Tensor:
        """Distance of `w` from the middle of an interval, in intervals, to the right positive."""
        return w.double() * self.per_weight + self.origin - interval - 0.5

    def draw(self, which: Tensor, down: Tensor, w: Tensor, u: Tensor) -> Tensor:
        """Step of one pulse by its probability `u` in (0, 1): bilinear between levels and nodes."""
        assert self.steps is not None
        assert self.cdf is not None
        i, t = self.interval(w)
        level = torch.searchsorted(self.cdf, u, right=True).clamp(1, len(self.cdf) - 1) - 1
        a, b = self.cdf[level], self.cdf[level + 1]
        s = ((u - a) / (b - a)).clamp(0, 1)
        which, down = which.expand(i.shape), down.expand(i.shape)
        low, high = (
            self.steps[which, down, at, i] * (1 - t) + self.steps[which, down, at, i + 1] * t
            for at in (level, level + 1)
        )
        return low + s * (high - low)


@checked
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
    found = _nodes(response, ERROR, ERROR)
    if isinstance(found, str):
        return found
    q, error = found
    return _of_nodes(response, q.unsqueeze(0), error)


_kept = functools.lru_cache(maxsize=64)(_make)


def _nodes(response: AbstractResponse, most: float, near: float) -> tuple[Tensor, float] | str:
    """q+ and q- (2, n + 1) on the coarsest grid that serves, and its error; or why none does.

    A grid serves with errors up to `most`, next to a bound to `near`; the finest there to `ERROR_AT_BOUND`.
    """
    low, high = response.w_min, response.w_max
    zero = torch.zeros(1, dtype=torch.float64)
    unit = _both(response, zero)
    own = int(getattr(response, "intervals", 1))
    n = own * -(-_FIRST // own)
    while True:
        grid = torch.linspace(low, high, n + 1, dtype=torch.float64)
        q = _both(response, grid)
        errors = _errors(response, grid, q, unit)
        ends = int(n * _AT_BOUND)
        error, inner = float(errors.max()), float(errors[ends : n - ends].max())
        if 2 * n > _LAST or (inner <= most and error <= near):
            break
        n *= 2
    if not (inner <= most and error <= max(near, ERROR_AT_BOUND)):
        return (
            f"between the nodes of a grid of {n} intervals its steps are off by {error:.2g} of the step at "
            f"w = 0, more than {most:g} (they jump, or their slope is infinite somewhere)"
        )
    return q, error


def _of_nodes(response: AbstractResponse, q: Tensor, error: float) -> Table:
    """The table of steps (devices, 2, n + 1), whose unit are those of a response at w = 0."""
    unit = _both(response, torch.zeros(1, dtype=torch.float64)).view(1, 2)
    tolerance = torch.full((len(q),), TOLERANCE, dtype=torch.float64)
    curve, valid_radius = _trust(q, unit, tolerance, False)
    return Table(response.w_min, response.w_max, q, error, curve, valid_radius)


@functools.lru_cache(maxsize=64)
def tabulate_shapes(response: AbstractResponse, up: float, down: float) -> Table | str:
    """The table of all shapes of a response, as one of several devices; or, where one has none, the reason.

    All have the step of the response at w = 0, and errors up to `OF_SHAPES` of it.

    Args:
        up, down: standard deviations, `Spread.shape_up` and `shape_down`.
    """
    n, error = 0, 0.0
    for count in (MOST, FEWEST):
        shapes = shaped(response, up, down, count)
        for one in shapes:
            nodes = _nodes(one, *OF_SHAPES)
            if isinstance(nodes, str):
                return f"{one}: {nodes}"
            n, error = max(n, nodes[0].shape[-1] - 1), max(error, nodes[1])
        if n <= _LONG:
            break
    grid = torch.linspace(response.w_min, response.w_max, n + 1, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    unit = _both(response, zero)
    q = torch.stack([_both(one, grid) * (unit / _both(one, zero)) for one in shapes])
    return _of_nodes(response, q, error)


def _both(response: AbstractResponse, w: Tensor) -> Tensor:
    return torch.stack([response.q_plus(w), response.q_minus(w)]).double()


def _errors(response: AbstractResponse, grid: Tensor, q: Tensor, unit: Tensor) -> Tensor:
    """Largest error between the nodes of every interval, (intervals,), as a part of the step at w = 0."""
    worst = torch.zeros(len(grid) - 1, dtype=torch.float64)
    for part in _BETWEEN:
        there = _both(response, grid[:-1] + part * (grid[1:] - grid[:-1]))
        gap = ((q[:, :-1] * (1 - part) + q[:, 1:] * part - there).abs() / unit).amax(0)
        worst = torch.maximum(worst, gap.nan_to_num(math.inf, math.inf))
    return worst


def _measured(response: Measured) -> Table:
    q, sd, unit = response.mean, response.sd, response.unit.view(1, 2)
    curve, valid_radius = _trust(q, unit, _rough(q / unit.unsqueeze(-1), TOLERANCE), True)
    scale = sd.mean(-1).clamp(min=1e-6)
    sd_curve, sd_radius = _trust(sd, scale, _rough(sd / scale.unsqueeze(-1), _SD_TOLERANCE), True)
    need = torch.maximum(response.gaussian_from[..., 1:], response.gaussian_from[..., :-1]).amax(1)
    return Table(
        -1.0, 1.0, q, 0.0, curve, torch.minimum(valid_radius, sd_radius), sd, sd_curve, response.steps,
        response.cdf, need,
    )  # fmt: skip


def _rough(part: Tensor, least: float) -> Tensor:
    """Tolerance of measured values (devices, 2, n + 1), (devices,). A parabola need not be better than the
    table, whose values scatter from node to node: the second differences of independent errors of standard
    deviation s have one of s sqrt(6)."""
    second = part[..., 2:] - 2 * part[..., 1:-1] + part[..., :-2]
    return (3 * (second.square().mean(-1) / 6).sqrt().amax(1)).clamp(min=least)


def _trust(q: Tensor, unit: Tensor, tolerance: Tensor, scatter: bool) -> tuple[Tensor, Tensor]:
    """Parabolas and valid radii of values (devices, 2, n + 1); tolerance: (devices,), in units of `unit`."""
    curve, valid_radius = parabolas(q / unit.unsqueeze(-1), tolerance.unsqueeze(-1).expand(-1, 2), scatter)
    return curve * unit.unsqueeze(-1).unsqueeze(-1), valid_radius.amin(1)
