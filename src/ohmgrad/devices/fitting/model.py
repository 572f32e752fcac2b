"""One model of ramps, a family with a kind of noise, and its fit by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize

from ..response import AbstractResponse
from .filter import loglik
from .laws import NODES, Law, Scale
from .pulses import Ramp

__all__ = ["TABLES", "Data", "Fitted", "Model", "correlation", "fitted"]

#: nodes of the tables from which the filter takes steps
_GRID = 257
#: families that are values at nodes
TABLES = ("piecewise_step", "measured")
#: log odds of an outlier: from one in 22,000 to 40 %
_ODDS = (-10.0, -0.4)
#: L-BFGS-B's iterations, and the step of its one-sided differences
_ITERATIONS, _STEP = 200, 1e-6


class Data:
    """Ramps in weights, in a row for the filter.

    Args:
        ramps: readings in weights.
        scale: what is known before; made of the ramps where it is not given.
    """

    def __init__(self, ramps: Sequence[Ramp], scale: Scale | None = None) -> None:
        self.ramps = list(ramps)
        self.y = np.concatenate([r.readings for r in ramps]).astype(np.float64)
        self.offsets = np.cumsum([0, *(r.readings.size for r in ramps)]).astype(np.int64)
        self.up = np.array([r.up for r in ramps], dtype=np.int64)
        self.count = int(np.isfinite(self.y).sum())
        self.scale = scale or _scale(self.ramps)
        self.width = float(np.nanmax(self.y) - np.nanmin(self.y)) or 1.0
        self.starts = np.array([self._start(r) for r in self.ramps])
        self.follows = np.array([self._follows(k) for k in range(len(self.ramps))], dtype=np.int64)
        self.buffers = np.zeros((3, self.y.size))

    def _start(self, ramp: Ramp) -> tuple[float, float]:
        """Mean and variance of the state at the first reading, wide and without outliers."""
        finite = np.flatnonzero(np.isfinite(ramp.readings))[:7]
        step = self.scale.up if ramp.up else self.scale.down
        wide = 3 * self.scale.noise + 4 * step * (finite[-1] - finite[0] + 1)
        drift = (1 if ramp.up else -1) * step * np.median(finite)
        return float(np.median(ramp.readings[finite]) - drift), wide * wide

    def _follows(self, k: int) -> bool:
        """Whether ramp k goes on from the one before: it says so, and there is no jump between them."""
        if k == 0 or not self.ramps[k].follows or self.ramps[k].device != self.ramps[k - 1].device:
            return False
        before, after = (r.readings[np.isfinite(r.readings)] for r in self.ramps[k - 1 : k + 1])
        near = 6 * self.scale.noise + 10 * max(self.scale.up, self.scale.down)
        return bool(abs(np.median(before[-3:]) - np.median(after[:3])) < near)

    def masked(self, hidden: np.ndarray) -> Data:
        """The same ramps, with starts and scale kept, without some of the readings (n,) bool."""
        other = object.__new__(Data)
        other.__dict__.update(self.__dict__)
        other.y = np.where(hidden, np.nan, self.y)
        other.buffers = np.zeros_like(self.buffers)
        other.count = int(np.isfinite(other.y).sum())
        return other

    def of_device(self, device: str) -> Data:
        """The ramps of one device, with the scale of all."""
        return Data([r for r in self.ramps if r.device == device], self.scale)

    def has_long_ramps(self) -> bool:
        """Whether slow read noise could show: some ramp has 60 readings."""
        return max(int(np.isfinite(r.readings).sum()) for r in self.ramps) >= 60


def _scale(ramps: Sequence[Ramp]) -> Scale:
    every = np.concatenate([r.readings[np.isfinite(r.readings)] for r in ramps])
    steps = {}
    for side in (True, False):
        rates = []
        for r in ramps:
            at = np.flatnonzero(np.isfinite(r.readings))
            if r.up != side or at.size < 2:
                continue
            third = max(at.size // 3, 1)
            first, last = at[:third], at[-third:]
            change = np.median(r.readings[last]) - np.median(r.readings[first])
            rates.append(abs(change) / max(np.median(last) - np.median(first), 1.0))
        steps[side] = float(np.median(rates))
    # medians of ends are not moved by outliers
    heads = [np.median(r.readings[np.isfinite(r.readings)][:5]) for r in ramps]
    tails = [np.median(r.readings[np.isfinite(r.readings)][-5:]) for r in ramps]
    low, high = min(*heads, *tails), max(*heads, *tails)
    differences = np.concatenate([np.diff(r.readings[np.isfinite(r.readings)]) for r in ramps])
    spread = np.median(np.abs(differences - np.median(differences))) / 0.6745 / math.sqrt(2)
    tiny = 1e-6 * max(float(np.ptp(every)), 1e-12)
    floor = 1e-3 * (high - low) / max(r.readings.size for r in ramps)
    return Scale(
        float(low), float(high), max(steps[True], floor), max(steps[False], floor), max(spread, tiny)
    )


@dataclass(frozen=True)
class Model:
    """A family and the kind of its noise.

    Args:
        law: the family.
        kind: of the cycle-to-cycle noise, "additive" or "multiplicative".
        slow: with slow read noise.
        upper, lower: with a hard bound on that side as a parameter, for families that have some.
        tilt: what the log likelihood gains with each parameter (see `marginal.py`); empty for nothing.
    """

    law: Law
    kind: str = "additive"
    slow: bool = False
    upper: bool = False
    lower: bool = False
    tilt: tuple[float, ...] = ()

    @property
    def names(self) -> list[str]:
        """Parameters in order: of the law up, down; noise; hard bounds."""
        shape = [f"{n} {side}" for side in ("up", "down") for n in self.law.parameters]
        slow = ["log slow", "logit phi"] if self.slow else []
        bounds = [name for name in ("upper", "lower") if getattr(self, name)]
        return [*shape, "log std", "log fast", "logit outliers", *slow, *bounds]

    def box(self, scale: Scale) -> np.ndarray:
        """Bounds of the parameters, (p, 2)."""
        out: list[tuple[float, float]] = []
        for up in (True, False):
            size = math.log(scale.up if up else scale.down)
            if self.law.name in TABLES:
                out += [(size - 6, size + 4)] * NODES
                out += [(size - 5, size + 5)] * (len(self.law.parameters) - NODES)
            else:
                out += [(size - 5, size + 5), *self.law.box(*scale.ends(up))]
        noise = math.log(max(scale.noise, 1e-3 * scale.span))
        out += [(0.0, 0.0) if self.law.noise else (-5.0, 5.5), (math.log(scale.noise) - 6, noise + 2), _ODDS]
        if self.slow:
            out += [(noise - 6, noise + 2), (-1.0, 5.5)]
        ends = [end for end, there in ((scale.high, self.upper), (scale.low, self.lower)) if there]
        out += [(end - 0.3 * scale.span, end + 0.3 * scale.span) for end in ends]
        return np.array(out)

    def starts(self, scale: Scale) -> list[np.ndarray]:
        """Vectors to begin with: shapes, with little and much cycle-to-cycle noise."""
        shapes = []
        up, down = (self.law.starts(*scale.ends(side)) for side in (True, False))
        for a, b in zip(up, down, strict=True):
            first, second = [math.log(scale.up), *a], [math.log(scale.down), *b]
            if self.law.name in TABLES:
                more = len(self.law.parameters) - NODES
                first, second = (
                    first * NODES + [first[0] - 0.7] * more,
                    second * NODES + [second[0] - 0.7] * more,
                )
            shapes.append([*first, *second])
        noise = math.log(scale.noise)
        much = math.log(max(scale.noise / (2 * max(scale.up, scale.down)), 0.3))
        out = []
        for k, shape in enumerate(shapes):
            for std, fast in ((-0.7, noise), (min(much, 4.0), noise - 1)) if k == 0 else ((-0.7, noise),):
                slow = [noise - 0.5, 2.0] if self.slow else []
                bounds = [scale.high] * self.upper + [scale.low] * self.lower
                out.append(np.array([*shape, std, fast, -5.0, *slow, *bounds]))
        return out

    def bounds(self, p: np.ndarray) -> tuple[float, float]:
        """Where the state is kept: bounds of the family, hard ones, or none."""
        if not self.law.hard:
            return -1 / float(p[len(self.law.parameters) + 1]), 1 / float(p[1])
        low = float(p[-1]) if self.lower else -1e9
        return low, float(p[-1 - self.lower]) if self.upper else 1e9

    def from_piecewise(self, p: np.ndarray) -> np.ndarray:
        """Where a family of values at nodes begins, of the parameters of a piecewise step."""
        more = len(self.law.parameters) - NODES
        sides = [p[:NODES], p[NODES : 2 * NODES]]
        sd = [np.full(more, side.mean() + p[2 * NODES]) for side in sides]
        return np.concatenate([sides[0], sd[0], sides[1], sd[1], p[2 * NODES :]])

    def evaluate(self, p: np.ndarray, data: Data) -> float:
        """Log likelihood; densities of the readings, states and their variances are in data.buffers."""
        law, scale = self.law, data.scale
        low, high = scale.low - 0.5 * scale.span, scale.high + 0.5 * scale.span
        w = np.linspace(low, high, _GRID)
        k = 2 * len(law.parameters)
        q = law.steps(p, w, scale)
        size = law.size(p, scale)
        std = math.exp(p[k])
        own = law.own_noise(p, w, scale)
        c = (
            own
            if own is not None
            else std * (q if self.kind == "multiplicative" else np.broadcast_to(size[:, None], q.shape))
        )
        per = (_GRID - 1) / (high - low)
        slope = np.gradient(q, 1 / per, axis=1)
        fast, eps = math.exp(p[k + 1]), 1 / (1 + math.exp(-p[k + 2]))
        at = k + 3
        slow, phi = (math.exp(p[at]), 1 / (1 + math.exp(-p[at + 1]))) if self.slow else (0.0, 0.0)
        lower, upper = self.bounds(p)
        out, state, var = data.buffers
        gain = float(np.dot(self.tilt, p)) if self.tilt else 0.0
        return gain + loglik(
            data.y, data.offsets, data.up, data.follows, data.starts, q, slope,
            np.ascontiguousarray(c), low, per, lower,
            upper, fast, slow, phi, eps, 3 * data.width, out, state, var,
        )  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A model at its maximum: `p` parameters, `loglik` there, `covariance` (NaN where it is not known)."""

    model: Model
    data: Data
    p: np.ndarray
    loglik: float

    @property
    def bic(self) -> float:
        """Bayesian information criterion; lower is better."""
        return len(self.p) * math.log(self.data.count) - 2 * self.loglik

    @cached_property
    def range(self) -> tuple[float, float]:
        """Range of the device in weights: bounds of the family, hard ones, or where the states went."""
        law, p = self.model.law, self.p
        if not law.hard:
            return self.model.bounds(p)
        self.model.evaluate(p, self.data)
        state = self.data.buffers[1]
        step = float(law.size(p, self.data.scale).max())
        low, high = self.model.bounds(p)
        if not self.model.lower:
            low = min(float(state.min()), -1.5 * step)
        return low, high if self.model.upper else max(float(state.max()), 1.5 * step)

    def response(self) -> AbstractResponse:
        """The response of the device in weights, with steps in units of their mean at w = 0."""
        law, p, scale = self.model.law, self.p, self.data.scale
        k = len(law.parameters)
        return law.response(p[:k], p[k : 2 * k], *self.range, scale.low, scale.high)

    @cached_property
    def free(self) -> np.ndarray:
        """Which parameters are inside their box, (p,) bool; the others are not determined on one side."""
        box = self.model.box(self.data.scale)
        edge = 1e-3 * (box[:, 1] - box[:, 0])
        return (self.p > box[:, 0] + edge) & (self.p < box[:, 1] - edge)

    @cached_property
    def covariance(self) -> np.ndarray:
        """Of the free parameters by the inverse Hessian, (p, p); rows of the others are 0."""
        at = np.flatnonzero(self.free)
        values, vectors, h = self.curvature(at, self.p, self.steps(at))
        out = np.zeros((self.p.size, self.p.size))
        out[np.ix_(at, at)] = (vectors / values) @ vectors.T * np.outer(h, h)
        return out

    def steps(self, at: np.ndarray) -> np.ndarray:
        """Steps of parameters over which the likelihood falls by about a tenth: above rounding, and near."""
        box = self.model.box(self.data.scale)
        h = np.full(at.size, 1e-3)
        for i, number in enumerate(at):
            for _ in range(12):
                both = [self._moved(self.p, (number, by)) for by in (h[i], -h[i])]
                fall = self.loglik - sum(both) / 2
                if 0.02 < fall < 0.5:
                    break
                grow = math.sqrt(0.1 / fall) if fall > 1e-9 else 8.0
                h[i] = min(h[i] * min(max(grow, 0.1), 8.0), 0.2 * (box[number, 1] - box[number, 0]))
        return h

    def curvature(
        self, at: np.ndarray, p: np.ndarray, h: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues and vectors of minus the Hessian in the parameters `at` around `p`, in units of the
        steps `h`, which are returned, too. Directions without curvature are as wide as a thousand steps."""
        hessian, f0 = np.empty((at.size, at.size)), self.model.evaluate(p, self.data)
        for i, a in enumerate(at):
            hessian[i, i] = 2 * f0 - self._moved(p, (a, h[i])) - self._moved(p, (a, -h[i]))
            for j, b in enumerate(at[:i]):
                same = self._moved(p, (a, h[i]), (b, h[j])) + self._moved(p, (a, -h[i]), (b, -h[j]))
                cross = self._moved(p, (a, h[i]), (b, -h[j])) + self._moved(p, (a, -h[i]), (b, h[j]))
                hessian[i, j] = hessian[j, i] = -(same - cross) / 4
        values, vectors = np.linalg.eigh(hessian)
        return np.maximum(values, 1e-3), vectors, h

    def _moved(self, p: np.ndarray, *moves: tuple[int, float]) -> float:
        """Log likelihood with some parameters moved, inside their box."""
        box, x = self.model.box(self.data.scale), p.copy()
        for number, by in moves:
            x[number] = min(max(x[number] + by, box[number, 0]), box[number, 1])
        return self.model.evaluate(x, self.data)


def correlation(logit: float) -> float:
    """Pulses over which the correlation phi of slow read noise falls to 1/e, of the log odds of phi."""
    return -1 / math.log(1 / (1 + math.exp(-logit)))


def fitted(
    model: Model, data: Data, starts: Sequence[np.ndarray] | None = None,
    fixed: dict[int, float] | None = None, iterations: int = _ITERATIONS,
) -> Fitted:  # fmt: skip
    """A model at the maximum of its likelihood, from the best of several starts.

    Args:
        model, data: of what.
        starts: vectors; by default those of the model.
        fixed: parameters that stay, by number.
        iterations: of the optimizer.
    """
    box = model.box(data.scale)
    for i, value in (fixed or {}).items():
        box[i] = value
    free = np.flatnonzero(box[:, 1] > box[:, 0])
    best: tuple[float, np.ndarray] | None = None
    for start in starts if starts is not None else model.starts(data.scale):
        x = np.clip(start, box[:, 0], box[:, 1])

        def objective(v: np.ndarray, x: np.ndarray = x) -> tuple[float, np.ndarray]:
            p = x.copy()
            p[free] = v
            f = -model.evaluate(p, data)
            gradient = np.empty(free.size)
            for n, i in enumerate(free):
                move = _STEP if p[i] + _STEP <= box[i, 1] else -_STEP
                p[i] += move
                gradient[n] = (-model.evaluate(p, data) - f) / move
                p[i] = v[n]
            return f, gradient

        found = optimize.minimize(
            objective, x[free], jac=True, method="L-BFGS-B", bounds=box[free],
            options={"maxiter": iterations, "ftol": 1e-10, "gtol": 1e-4, "maxcor": 20},
        )  # fmt: skip
        if best is None or -found.fun > best[0]:
            p = x.copy()
            p[free] = found.x
            best = (float(-found.fun), p)
    assert best is not None
    return Fitted(model, data, best[1], best[0])
