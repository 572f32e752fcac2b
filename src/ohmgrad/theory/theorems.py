"""Statements of Wu et al. 2024 on the weights' range and on Tiki-Taka, checked along runs.

Theorems 1 and 4 to 8, numbered as in arXiv v1 of 2406.12774, on the asymmetric linear device. A `Statement`
says whether a run meets what a theorem asks, and whether it did what the theorem promises. Where a theorem
is printed with a slip, its function says so. Paths are W_0 ... W_K, (K + 1, ..., n), of one run or several.

Theorems 5 to 8 call f mu-strongly convex where ||grad f(W) - grad f(W')|| >= mu ||W - W'|| (Assumption 6). A
saddle or -w^2/2 meets that, and leaves its critical point. The proofs use strong convexity, which is meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checked import checked
from ..errors import InputError, check_integer, check_number
from ..ranges import ABOVE_ZERO, ANYTHING, FROM_ZERO

__all__ = ["Statement", "TikiTakaStatement", "bounded_weight", "descent_range", "sample_range",
           "scalar_descent", "scalar_sample_range", "stochastic_range", "tiki_taka_statement"]  # fmt: skip

#: rounding of float64 over a run
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Statement:
    """A theorem along a run.

    Attributes:
        premise: whether the run meets what the theorem asks.
        promise: whether the run did what the theorem promises.
        bound: of the largest |weight|; largest: which the run reached.
    """

    premise: bool
    promise: bool
    bound: float
    largest: float

    @property
    def holds(self) -> bool:
        """The promise, or a premise that is not met."""
        return self.promise or not self.premise


@checked(path=ANYTHING, changes=ANYTHING)
def bounded_weight(path: Tensor, changes: Tensor, tau: float) -> Statement:
    """Theorem 1: |W_0| <= tau and |dW_k| <= tau, entry by entry, keep |W_k| <= tau, under any algorithm.

        |w'| = |w (1 - |dw|/tau) + dw| <= tau (1 - |dw|/tau) + |dw| = tau

    tau is the largest change that it allows: at w = -tau a change dw > tau leads to 2 dw - tau.

    Args:
        path: of the weights; changes: dW_k as wanted, lr g of Analog SGD, (K, ..., n); tau: end of the range.

    Raises:
        InputError: when the shapes do not match, or tau is out of range.
    """
    check_number("tau", tau, low=0, open_low=True)
    _check_path(path)
    if changes.shape != (len(path) - 1, *path.shape[1:]):
        raise InputError(
            f"changes are {tuple(changes.shape)}, but must be {(len(path) - 1, *path.shape[1:])}: one less "
            "than the weights of the path"
        )
    start, largest = float(path[0].abs().max()), float(path.abs().max())
    premise = start <= tau and float(changes.abs().max()) <= tau
    return Statement(premise, largest <= tau * (1 + _ROUNDING), tau, largest)


@checked(lr=FROM_ZERO, path=ANYTHING, tau=ABOVE_ZERO)
def descent_range(
    path: Tensor, solution: Tensor, smoothness: float, convexity: float, lr: float, tau: float
) -> Statement:
    """Theorem 5: Analog GD keeps ||W_k||_inf <= (L/mu)||W_0 - W*|| + ||W*||_inf.

    Its proof asks for lr <= 1/L and ||W_k||_inf <= tau, which the statement leaves out; with these f falls at
    every step. It has mu ||W - W*|| <= f - f*, where mu ||W - W*||^2 <= 2 (f - f*) is true and gives
    sqrt(L/mu) in place of L/mu: the statement holds with room.

    Args:
        path: of the weights; solution: W*, (n,); smoothness: L; convexity: mu; lr: learning rate.
        tau: end of the range.

    Raises:
        InputError: when a shape or number is out of range.
    """
    _check_path(path)
    _check_points("solution", solution, path.shape[-1], many=False)
    ratio = _ratio(smoothness, convexity)
    bound = _printed(path[0], solution[None], ratio)
    largest = float(path.abs().max())
    premise = 0 < lr <= 1 / smoothness and min(bound, largest) <= tau
    return Statement(premise, largest <= bound * (1 + _ROUNDING), bound, largest)


@checked(lr=FROM_ZERO, path=ANYTHING, tau=ABOVE_ZERO)
def scalar_descent(
    path: Tensor, solution: float, smoothness: float, convexity: float, lr: float, tau: float
) -> Statement:
    """Theorem 6: Analog GD of one weight goes monotonically to w*, for lr <= 1/(2 L), |w| <= tau:

        0 <= |w_{k+1} - w*| <= (1 - lr mu (1 - |w_k|/tau)) |w_k - w*|,    never beyond w*.

    Hence |w_k| <= max(|w_0|, |w*|). The statement prints min, which w_0 = 0 contradicts.

    Args:
        path: of the weight, (K + 1, ..., 1); solution: w*; smoothness: L; convexity: mu; lr: learning rate.
        tau: end of the range.

    Raises:
        InputError: when a shape or number is out of range.
    """
    _check_path(path, scalar=True)
    _ratio(smoothness, convexity)
    check_number("tau", tau, low=0, open_low=True)
    gap = path.double() - solution
    shrink = 1 - lr * convexity * (1 - path[:-1].double().abs() / tau)
    room = _ROUNDING * tau
    close = gap[1:].abs() <= shrink * gap[:-1].abs() + room
    same_side = gap[1:] * gap[:-1].sign() >= -room
    bound, largest = max(float(path[0].abs().max()), abs(solution)), float(path.abs().max())
    premise = 0 < lr <= 0.5 / smoothness and bound <= tau
    promise = bool((close & same_side).all()) and largest <= bound * (1 + _ROUNDING)
    return Statement(premise, promise, bound, largest)


@checked(lr=FROM_ZERO, path=ANYTHING, tau=ABOVE_ZERO)
def sample_range(
    path: Tensor, solutions: Tensor, smoothness: float, convexity: float, lr: float, tau: float
) -> Statement:
    """Theorem 7: Analog SGD on one sample a step, with L-smooth, mu-strongly convex f(W; s), least at W*_s,
    keeps ||W_k||_inf <= (L/mu) max_s ||W_0 - W*_s|| + max_s ||W*_s||_inf.

    *False as printed.* Its proof applies Theorem 5, which is for one function, to steps on changing ones. Two
    samples with the same minimum can drive the weights away from it and up to tau: of two opposite gradients
    the one towards the symmetric point is amplified, and that may be, sample by sample, the one away from the
    minimum. `stochastic_range` is proved.

    Args:
        path: of the weights; solutions: W*_s, (samples, n); smoothness: L; convexity: mu; lr: learning rate.
        tau: end of the range.

    Returns:
        The statement for lr <= 1/(2 L), as Theorem 8 needs it.

    Raises:
        InputError: when a shape or number is out of range.
    """
    _check_path(path)
    _check_points("solutions", solutions, path.shape[-1], many=True)
    bound = _printed(path[0], solutions, _ratio(smoothness, convexity))
    largest = float(path.abs().max())
    premise = 0 < lr <= 0.5 / smoothness and bound <= tau
    return Statement(premise, largest <= bound * (1 + _ROUNDING), bound, largest)


@checked(lr=FROM_ZERO, path=ANYTHING, tau=ABOVE_ZERO)
def scalar_sample_range(
    path: Tensor, solutions: Tensor, smoothness: float, lr: float, tau: float
) -> Statement:
    """Theorem 8: Analog SGD of one weight on one sample a step keeps

        min(w_0, min_s w*_s) <= w_k <= max(w_0, max_s w*_s),

    for lr <= 1/(2 L), which the statement leaves out: every step goes towards w*_s and not beyond it.

    Args:
        path: of the weight, (K + 1, ..., 1); solutions: w*_s, (samples,); smoothness: L; lr: learning rate.
        tau: end of the range.

    Raises:
        InputError: when a shape or number is out of range.
    """
    _check_path(path, scalar=True)
    _check_points("solutions", solutions, len(solutions) if solutions.dim() else 0, many=False)
    _ratio(smoothness, smoothness)
    check_number("tau", tau, low=0, open_low=True)
    ends = torch.cat([path[0].double().flatten(), solutions.double().flatten()])
    low, high = torch.minimum(path[0], solutions.min()), torch.maximum(path[0], solutions.max())
    room, bound = _ROUNDING * tau, float(ends.abs().max())
    promise = bool(((path >= low - room) & (path <= high + room)).all())
    premise = 0 < lr <= 0.5 / smoothness and bound <= tau
    return Statement(premise, promise, bound, float(path.abs().max()))


@checked
def stochastic_range(
    start: Tensor, solutions: Tensor, smoothness: float, convexity: float, tau: float
) -> float:
    """A bound of ||W_k||_inf in place of Theorem 7's, for Analog SGD on one sample a step and lr <= 1/L.

        ||W_k||_inf <= ||W_0||_inf + R,      R = q d + q u (R + d),      u = (||W_0||_inf + R)/tau

    with q = L/mu, d = max_s ||W_0 - W*_s||, and R the smaller root.

    Proof. With r = ||W - W_0|| <= R, a step without the drift leads to at most (1 - lr mu) r + lr L d from
    W_0, as gradient steps contract, and ||grad f(W_0; s)|| <= L d. The drift adds at most lr u L (r + d).
    Both together are at most R where R is a root. (Derived here.)

    Args:
        start: W_0, (n,); solutions: W*_s, (samples, n); smoothness: L; convexity: mu; tau: end of the range.

    Returns:
        The bound; infinite where there is no root (always if q ||W_0||_inf >= tau): nothing is proved.

    Raises:
        InputError: when a shape or number is out of range.
    """
    check_number("tau", tau, low=0, open_low=True)
    _check_points("start", start, len(start) if start.dim() else 0, many=False)
    _check_points("solutions", solutions, len(start), many=True)
    q = _ratio(smoothness, convexity)
    top = float(start.abs().max())
    d = float((start.double() - solutions.double()).norm(dim=-1).max())
    a, b, c = q / tau, q * (top + d) / tau - 1, q * d * (1 + top / tau)
    if b >= 0 or b**2 < 4 * a * c:
        return math.inf
    return top + 2 * c / (-b + math.sqrt(b**2 - 4 * a * c))


@dataclass(frozen=True)
class TikiTakaStatement:
    """Theorem 4 as printed.

    Attributes:
        fast_peak: P_max, of E||P_k||_inf^2 <= P_max^2.
        share: 33 P_max^2/tau^2, which must be below 1.
        rate: what O(.) of the average holds; infinite where share is not below 1.
    """

    fast_peak: float
    share: float
    rate: float


@checked
def tiki_taka_statement(
    gap: float, smoothness: float, sigma: float, tau: float, n: int, steps: int, c: float | None = None
) -> TikiTakaStatement:
    """Theorem 4, the convergence of Tiki-Taka, in the paper's form (no constant is given for the O):

        average <= O( sqrt((f(W_0) - f*) sigma^2 L/K) / (1 - 33 P_max^2/tau^2) ),
        P_max^2 = 41 L^2 tau^4 n/(c^2 sigma^2)

    with an asymptotic error of 0. c is of Assumption 5: all entries of the noise are independent with the
    variance sigma^2/n at most, and E|g + noise_i| >= c sigma for every g. At g = 0 that is
    c <= E|noise_i|/sigma <= 1/sqrt(n). So share < 1 asks for sigma > 36.8 L tau n: an entry's noise of more
    than 36 sqrt(n) times L tau, and the more the more weights, where the paper says that n be large.
    Otherwise the statement is vacuous. Its proof divides by 1 - 128/(c^2 n) - 32 P_max^2/tau^2, which
    c <= 1/sqrt(n) makes at most -127, so that as printed it proves nothing. `tiki_taka_bound` has a proof
    with constants.

    Args:
        gap: f(W_0) - f*; smoothness: L; sigma: of the whole gradient; tau: end of the range.
        n: number of weights; steps: K.
        c: of Assumption 5, by default the largest there is, 1/sqrt(n), that of two-point noise; Gaussian
            noise has sqrt(2/(pi n)).

    Raises:
        InputError: when an argument is out of range.
    """
    check_number("gap f(W_0) - f*", gap, low=0)
    for name, value in (("smoothness", smoothness), ("sigma", sigma), ("tau", tau)):
        check_number(name, value, low=0, open_low=True)
    check_integer("n", n, 1)
    check_integer("steps", steps, 1)
    largest = 1 / math.sqrt(n)
    c = largest if c is None else c
    check_number("c", c, low=0, high=largest * (1 + _ROUNDING), open_low=True)
    fast_peak = math.sqrt(41 * n) * smoothness * tau**2 / (c * sigma)
    share = 33 * (fast_peak / tau) ** 2
    rate = math.sqrt(gap * sigma**2 * smoothness / steps) / (1 - share) if share < 1 else math.inf
    return TikiTakaStatement(fast_peak, share, rate)


def _check_path(path: Tensor, scalar: bool = False) -> None:
    if path.dim() < 2 or len(path) < 2 or not path.numel():
        raise InputError(f"path is {tuple(path.shape)}, but must be (steps + 1, ..., n)")
    if scalar and path.shape[-1] != 1:
        raise InputError(f"path is {tuple(path.shape)}, but must be (steps + 1, ..., 1), of one weight")


def _check_points(what: str, points: Tensor, n: int, *, many: bool) -> None:
    """Raise InputError unless points are (n,), or (points, n) where they are many, at least one."""
    if points.dim() != 1 + many or points.shape[-1] != n or not points.numel():
        raise InputError(
            f"{what} is {tuple(points.shape)}, but must be {f'(samples, {n})' if many else f'({n},)'}"
        )


def _ratio(smoothness: float, convexity: float) -> float:
    check_number("smoothness", smoothness, low=0, open_low=True)
    check_number("convexity", convexity, low=0, high=smoothness, open_low=True)
    return smoothness / convexity


def _printed(start: Tensor, solutions: Tensor, ratio: float) -> float:
    """The bound of Theorems 5 and 7: the largest over runs, start (..., n) and solutions (samples, n)."""
    away = (start.double()[..., None, :] - solutions.double()).norm(dim=-1).max()
    return ratio * float(away) + float(solutions.abs().max())
