"""The stationary law of analog steps, closed as Gaussian: the mathematics under `fixed_points`.

A `Stage` moves n entries x of a state s of N entries, by a gradient that is linear in the state,

    x' = x - lr u,    u = sum of g F(x) + |g| G(x) over the terms g of a step,   g linear in s, plus noise.

The terms are those of the samples, or one gradient (`terms.py`). Their remainders are taken as independent of
each other given the state; what one term's entries share, and the choice of a minibatch, `_between` adds.

Over Gaussian s ~ N(mu, C), the conditional law of g given x_i is a mixture of Gaussians: one for Gaussian
noise, two at +-sigma for two-point noise. With mean c and standard deviation d of a component,

    E|g| = folded mean,   E sgn g = erf(c/(d sqrt 2)),   E g^2 = c^2 + d^2,
    E g|g| = (c^2 + d^2) erf(c/(d sqrt 2)) + c d sqrt(2/pi) exp(-c^2/(2 d^2)).

A stage without noise of its own follows another array, g = -P. What |P| does beyond its linear part lasts
as long as P remembers, so it is carried as n further entries z of the state, AR(1) of the same variance:

    u = linear part + G(x) z,      z' = rho^2.16 z + noise,

with rho the lag-one correlation of P. For a Gaussian AR(1) P of mean 0 the autocovariance of |P| is
(2/pi)(sqrt(1 - r^2) + r asin r - 1) at correlation r, whose integral over log r is its value at r = 1
over 2.16 (2.163): z has the right variance and the right weight at low frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..devices import AbstractResponse
from ..errors import InputError
from .granularity import Pulses
from .problem import folded_mean
from .terms import Terms

__all__ = ["Stage", "lyapunov", "resting", "slope_of", "stationary"]

_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(15))
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
#: share of a second moment below which a variance is rounding
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class Stage:
    """One array's step, see the module.

    Attributes:
        rows: of the state, x; terms: of the gradient; response, lr: of the array.
        memory: rows of the state that hold z, and those of the array followed; None for a gradient.
        pulses: that make the step, with their own noise; None for the dynamics.
    """

    rows: slice
    terms: Terms
    response: AbstractResponse
    lr: float
    memory: tuple[slice, slice] | None = None
    pulses: Pulses | None = None


def slope_of(response: AbstractResponse, w: Tensor) -> tuple[Tensor, Tensor]:
    """F'(w) and G'(w) by differences over 2e-5 of the range, one-sided at its ends; any w inside it."""
    h = 1e-5 * (response.w_max - response.w_min)
    up, down = (w + h).clamp(max=response.w_max), (w - h).clamp(min=response.w_min)
    width = up - down
    return (response.F(up) - response.F(down)) / width, (response.G(up) - response.G(down)) / width


def _through(stage: Stage, mu: Tensor, cov: Tensor, before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Change of the mean (N,), its derivative J (N, N), and the covariance that the stage adds (N, N).

    Changes and not results, as these may be 10^-12 of them at small steps.

    Args:
        before: (N, N), covariance of the state now with the state a step ago.
    """
    at, response, terms = stage.rows, stage.response, stage.terms
    share = terms.chances[0]
    m, var_m, with_x = terms.moments(mu, cov, at)
    x, var_x = mu[at], cov[at, at].diagonal()
    sd = var_x.clamp(min=0).sqrt()
    lean = torch.where(sd > 0, with_x / sd.clamp(min=1e-300), 0.0)  # of m on z
    xs = (x[:, None] + sd[:, None] * _NODES).clamp(response.w_min, response.w_max)
    rest = (var_m - lean.square()).clamp(min=0)

    c = (m[..., None] + lean[..., None] * _NODES)[..., None] + terms.shifts
    d = (rest + terms.own_variance()).sqrt()[..., None, None].expand_as(c)
    e_g, e_abs, e_sign, e_square, e_signed = (t.mean(-1) for t in (c, *_folded(c, d)))

    f, g = response.F(xs), response.G(xs)
    df, dg = slope_of(response, xs)
    average = lambda t: t @ _WEIGHTS  # noqa: E731
    means = average(e_g * f + e_abs * g)
    weights, bends = average(f + e_sign * g), average(e_g * df + e_abs * dg)
    u = share * means.sum(0)
    linear = share * terms.linear(weights)
    linear[:, at] += torch.diag(share * bends.sum(0))
    added, j = torch.zeros_like(cov), torch.zeros_like(cov)
    q_square = lambda f, g, size, signed: average((f * f + g * g) * size + 2 * f * g * signed)  # noqa: E731
    second = q_square(f, g, e_square, e_signed)
    if stage.memory is None:
        linear_part = weights.square() * var_m + 2 * weights * bends * with_x + bends.square() * var_x
        left = second - means.square() - linear_part
        own = share * left.where(left > _ROUNDING * second, 0.0).sum(0)
        added[at, at] = stage.lr**2 * torch.diag(own)
        if terms.lines is not None:
            drawn = _Drawn(means, weights, bends, u / share, linear @ cov @ linear.t() / share**2)
            added[at, at] += stage.lr**2 * _between(terms, mu, cov, at, average(g), drawn)
    else:
        z, other = stage.memory
        left = average(e_square) - average(e_abs).square() - average(e_sign).square() * var_m
        was = cov[other, other].diagonal()
        least = (1e-12 * (response.w_max - response.w_min)) ** 2  # below it is rounding, not memory
        rho = torch.where(was > least, before[other, other].diagonal() / was.clamp(min=least), 0.0)
        keep = rho.clamp(0, 1) ** 2.16
        j[z, z] = torch.diag(keep - 1)
        added[z, z] = torch.diag((1 - keep.square()) * left[0].clamp(min=0))
        linear[:, z] = torch.diag(average(g))
        u = u + average(dg) * cov[at, z].diagonal()
    if stage.pulses is not None:
        zero = torch.zeros_like(x)
        f0, g0 = (of(zero)[:, None].expand_as(xs) for of in (response.F, response.G))
        squares = (q_square(f, g, e_abs, e_g), second, q_square(f0, g0, e_abs, e_g))
        added[at, at] += share * _pulse_noise(stage, stage.pulses, mu, cov, squares, (average(f), average(g)))
    j[at] -= stage.lr * linear
    change = torch.zeros_like(mu)
    change[at] = -stage.lr * u
    return change, j, added


def _folded(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """E|g|, E sgn g, E g^2 and E g|g| of Gaussian g of mean c and standard deviation d (any shape)."""
    safe = d.clamp(min=1e-300)
    still = c.sign().where(c.abs() > 1e-14, 0.0)  # what is below is rounding
    sign = torch.where(d > 0, torch.erf(c / (safe * math.sqrt(2))), still)
    square = c.square() + d.square()
    tail = c * d * math.sqrt(2 / math.pi) * torch.exp(-(c / safe).square() / 2)
    return folded_mean(c, d), sign, square, square * sign + tail


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Of the terms, (S, n): means, derivatives by the mean term and by the entry; and of the sum of all
    m terms: mean (n,) and covariance from the state (n, n)."""

    means: Tensor
    weights: Tensor
    bends: Tensor
    sum_mean: Tensor
    sum_covariance: Tensor


def _between(terms: Terms, mu: Tensor, cov: Tensor, at: slice, g: Tensor, drawn: _Drawn) -> Tensor:
    """Covariance that noise shared by the entries of a term, and the choice of the batch, add: (n, n)."""
    p1, p2 = terms.chances
    assert terms.lines is not None
    mean, var, with_state = terms.errors(mu, cov)
    y = drawn.weights * terms.lines
    joint = torch.zeros_like(cov[at, at])
    if terms.rank_one:
        total = var + terms.error_noise
        size, sign, square, _ = _folded(mean, total.sqrt())
        beyond = square - size.square() - sign.square() * total
        beyond = beyond.where(beyond > _ROUNDING * square, 0.0)
        z = terms.lines.abs() * g
        shared = y.t() @ (terms.error_noise[:, None] * y) + z.t() @ (beyond[:, None] * z)
        joint += p1 * _off_diagonal(shared)
    if p1 < 1:
        cross = y.t() @ (drawn.bends * with_state[:, at])
        squares = drawn.means.t() @ drawn.means + y.t() @ (var[:, None] * y)
        squares += cross + cross.t() + (drawn.bends.t() @ drawn.bends) * cov[at, at]
        joint += (p1 - p2) * squares
        joint += (p2 - p1**2) * (torch.outer(drawn.sum_mean, drawn.sum_mean) + drawn.sum_covariance)
    return joint


def _pulse_noise(
    stage: Stage, own: Pulses, mu: Tensor, cov: Tensor, squares: tuple[Tensor, ...], at: tuple[Tensor, Tensor]
) -> Tensor:
    """Covariance that the pulses of all S terms add, (n, n).

    Args:
        squares: as `Pulses.variance` takes them, (S, n); at: F and G at the weights, (n,).
    """
    terms, (first, second, at_zero) = stage.terms, squares
    if not terms.rank_one or terms.lines is None:
        per_slot = torch.stack([own.slotted(stage.lr, c, d) for c, d in _laws(stage, mu, cov)])
        return torch.diag(own.variance(stage.lr, first, second, at_zero, per_slot).sum(0))
    mean, sd, top = _error_law(terms, mu, cov)
    per_slot, pairs, _ = own.driven(stage.lr * top, mean, sd)
    variance = own.variance(stage.lr, first, second, at_zero, per_slot[:, None]).sum(0)
    _, _, square, signed = _folded(mean, sd)
    a, b = terms.lines * at[0], terms.lines.abs() * at[1]
    cross = a.t() @ ((pairs * signed)[:, None] * b)
    even = (pairs * square)[:, None]
    shared = a.t() @ (even * a) + b.t() @ (even * b) + cross + cross.t()
    return torch.diag(variance) + stage.lr**2 * _off_diagonal(shared)


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix - torch.diag(matrix.diagonal())


def _error_law(terms: Terms, mu: Tensor, cov: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation of the errors, and the largest input of each line, (S,)."""
    assert terms.lines is not None
    mean, var, _ = terms.errors(mu, cov)
    return mean, (var.clamp(min=0) + terms.error_noise).sqrt(), terms.lines.abs().amax(1)


def _laws(stage: Stage, mu: Tensor, cov: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Law of each entry of each term: means (n, k) of its components, and their standard deviation (n,)."""
    terms = stage.terms
    mean, var, _ = terms.moments(mu, cov, stage.rows)
    sd = (var.clamp(min=0) + terms.own_variance()).sqrt()
    return list(zip(mean[..., None] + terms.shifts, sd, strict=True))


def _clipped(stage: Stage, own: Pulses, mu: Tensor, cov: Tensor) -> float:
    """Share of updates that need more pulses than a train has slots."""
    if stage.terms.rank_one:
        mean, sd, top = _error_law(stage.terms, mu, cov)
        return float(own.driven(stage.lr * top, mean, sd)[2].mean())
    laws = _laws(stage, mu, cov)
    return sum(own.clipped(stage.lr, c, d) for c, d in laws) / len(laws)


def resting(terms: Terms, response: AbstractResponse, start: Tensor) -> Tensor:
    """Weights where the mean step vanishes as steps go to zero, (n,): u of the module, without fluctuations.

    Implicit Euler steps of the mean flow, longer while u falls and Newton's in the end; with one term, which
    has no kinks between samples, Newton's from the start.

    Args:
        terms: over the array's own weights; start: first guess, (n,).

    Raises:
        InputError: when there is none inside the range, or weights are driven away from it.
    """
    w, one = start.clone(), torch.eye(len(start), dtype=start.dtype)
    time, last = 0.0, math.inf
    for _ in range(400):
        u, j = _flow(terms, response, w)
        size, rate = float(u.abs().max()), max(float(j.abs().max()), 1e-300)
        falls = size < 1.1 * last or size < 1e-13 * rate
        # 1.9, so that 1/time does not meet the rate of a point that drives away
        first = (1e9 if terms.lines is None else 0.5) / rate
        time, last = (time * (1.9 if falls else 0.25) if time else first), size
        move = -torch.linalg.solve(one / time + j, u)
        w = w + move
        _check_inside(response, w, slack=2.0)
        if float(move.abs().max()) < 1e-11 and time * rate > 1e6:
            _check_inside(response, w)
            if float(torch.linalg.eigvals(j).real.min()) < -1e-12:
                raise InputError(
                    "weights are driven away from the point where their mean steps vanish, however small the "
                    "steps: use less noise, or a response whose symmetric point holds"
                )
            return w
    raise InputError("no point was found where the mean steps vanish: use less noise, or a wider range")


def _flow(terms: Terms, response: AbstractResponse, w: Tensor) -> tuple[Tensor, Tensor]:
    """u (n,) of weights that do not fluctuate, and its derivative (n, n)."""
    none, at = torch.zeros(len(w), len(w), dtype=w.dtype), slice(0, len(w))
    m, _, _ = terms.moments(w, none, at)
    c = m[..., None] + terms.shifts
    d = terms.own_variance().sqrt()[..., None].expand_as(c)
    size, sign, _, _ = (t.mean(-1) for t in _folded(c, d))
    f, g = response.F(w), response.G(w)
    df, dg = slope_of(response, w)
    gradient, size = m.sum(0), size.sum(0)
    j = terms.linear(f + sign * g) + torch.diag(gradient * df + size * dg)
    return terms.chances[0] * (gradient * f + size * g), terms.chances[0] * j


def stationary(stages: Sequence[Stage], start: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance that the stages, one after the other, leave as they are.

    Newton steps for the mean and a Lyapunov equation for the covariance, in turns.

    Args:
        start: first guess of the mean, (N,).

    Raises:
        InputError: when the steps are too large for a stable fixed point inside the range, or take more
            pulses than a train has slots.
    """
    mu, cov = start.clone(), torch.zeros(len(start), len(start), dtype=start.dtype)
    one = torch.eye(len(mu), dtype=mu.dtype)
    for turn in range(300):
        change, j, q = torch.zeros_like(mu), torch.zeros_like(cov), torch.zeros_like(cov)
        for stage in stages:
            a = one + j
            step, slope, added = _through(stage, mu + change, a @ cov @ a.t() + q, a @ cov)
            change = change + step
            j = slope + j + slope @ j
            q = (one + slope) @ q @ (one + slope).t() + added
        move = torch.linalg.solve(-j, change)
        new = lyapunov(one + j, q)
        shift = float((new - cov).abs().max()) / max(float(new.abs().max()), 1e-20)
        damping = 1.0 if turn < 30 else 0.5
        mu, cov = mu + damping * move, cov + damping * (new - cov)
        for stage in stages:
            _check_inside(stage.response, mu[stage.rows], slack=2.0)
        if float(move.abs().max()) < 1e-11 and shift < 1e-9:
            for stage in stages:
                _check_inside(stage.response, mu[stage.rows])
                if stage.pulses is not None:
                    stage.pulses.check(_clipped(stage, stage.pulses, mu, cov))
            return mu, cov
    raise InputError("no stable fixed point was found: make the steps smaller")


def _check_inside(response: AbstractResponse, w: Tensor, slack: float = 1.0) -> None:
    low, high = response.w_min, response.w_max
    if not bool(((w > slack * low) & (w < slack * high)).all()):
        raise InputError(
            f"weights would rest outside the range [{low:g}, {high:g}], where the theory does not "
            "hold: use smaller steps or noise, or a response whose symmetric point is inside"
        )


def lyapunov(a: Tensor, q: Tensor) -> Tensor:
    """C of C = A C A^T + Q, by doubling: sum_k A^k Q (A^k)^T.

    Raises:
        InputError: when A has an eigenvalue of modulus 1 or more, so that there is none.
    """
    radius = float(torch.linalg.eigvals(a).abs().max())
    still = radius < 1 + 1e-9 and float(q.abs().max()) < 1e-28  # nothing that could grow
    if not (radius < 1 or still):
        raise InputError(
            f"steps are too large: fluctuations grow by a factor {radius:.4g} per step; make them smaller"
        )
    c = q
    for _ in range(60):
        more = a @ c @ a.t()
        c, a = c + more, a @ a
        if float(more.abs().max()) <= 1e-16 * float(c.abs().max()):
            break
    return c
