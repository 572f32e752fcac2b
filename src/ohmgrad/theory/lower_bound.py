"""The lower bound of Analog SGD: a problem on which it keeps the error sigma^2 S_K at any step size.

Theorem 3 of Wu et al. 2024, numbered as in arXiv v1 of 2406.12774. Its statement prints 4 sigma^2 S_K. The
instance has sigma^2 S_K: with p = (1 - w/tau)/2 the proof meets 2 sqrt(p (1 - p)), which is
sqrt(1 - w^2/tau^2), and keeps the 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checked import checked
from ..devices import SoftBounds
from ..errors import InputError, check_integer, check_number, python_numbers
from ..tensor_methods import of_tensors
from .dynamics import Step, analog_step
from .problem import Quadratic

__all__ = ["LowerBound", "SkewedNoise", "lower_bound"]


@checked
@dataclass(frozen=True)
class SkewedNoise:
    """Two-point noise that depends on the weight: mean 0, standard deviation sigma, E|noise| the largest.

        +sigma sqrt((1 - p)/p)  with probability p = (1 - w/tau)/2,      -sigma sqrt(p/(1 - p))  otherwise

    A gradient up and one down then change the weight by the same amount on an asymmetric linear device, and
    E|g|^2 is E g^2, where symmetric noise on a mean gradient has less. All entries of a run have the same
    draw (arXiv v1 of 2406.12774, eq. 66 and 67).

    Args:
        sigma: per entry (>= 0); tau: end of the range (> 0), in weight units.

    Raises:
        InputError: when a value is out of range.
    """

    sigma: float
    tau: float

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("sigma", self.sigma, low=0)
        check_number("tau", self.tau, low=0, open_low=True)

    def chance(self, w: Tensor) -> Tensor:
        """p at weights inside the range; the shape of `w`."""
        return (1 - w / self.tau) / 2

    def outcomes(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The positive and the negative value at weights inside the range, each the shape of `w`."""
        odds = ((1 + w / self.tau) / (1 - w / self.tau)).sqrt()
        return self.sigma * odds, -self.sigma / odds

    def mean_abs(self, mean: Tensor, w: Tensor) -> Tensor:
        """E|m + noise| for a mean gradient m at w, both (..., n)."""
        (up, down), p = self.outcomes(w), self.chance(w)
        return p * (mean + up).abs() + (1 - p) * (mean + down).abs()

    @checked
    def draw(self, w: Tensor, source: torch.Generator) -> Tensor:
        """The noise of one step at w, (..., n), with a number from `source` for each run."""
        (up, down), u = self.outcomes(w), torch.rand(w.shape[:-1], generator=source, dtype=w.dtype)
        return torch.where(u[..., None] < self.chance(w), up, down)


of_tensors(SkewedNoise, "chance", "outcomes", "mean_abs")


@dataclass(frozen=True, eq=False)
class LowerBound:
    """Theorem 3's problem, with what Analog SGD does on it.

    Attributes:
        problem, response, noise: the construction.
        floor: sigma^2 S, S = (W^2/tau^2)/(1 - W^2/tau^2); the stationary E||grad f||^2 at small steps.
        slope: (E||grad f||^2 - sigma^2 S_K)/lr, to first order in lr.
    """

    problem: Quadratic
    response: SoftBounds
    noise: SkewedNoise
    floor: float
    slope: float

    def step(self, lr: float, seed: int = 0) -> Step:
        """Analog SGD with the construction's noise, which the step draws itself: `simulate` it with
        GradientNoise(0.0).

        Args:
            lr: learning rate; seed: of a torch generator on the CPU.
        """
        source = torch.Generator().manual_seed(check_integer("seed", seed, 0))
        move = analog_step(self.response, lr)
        return lambda w, p, g: move(w, p, g + self.noise.draw(w, source))


@checked
def lower_bound(tau: float, peak: float, sigma: float, n: int = 1, smoothness: float = 1.0) -> LowerBound:
    """Theorem 3: a problem on which the average of Analog SGD is sigma^2 S_K + Theta(lr).

    f = (L/2)||w - w*||^2 with the noise `SkewedNoise` of s = sigma/sqrt(n) on each entry. While |grad f_i| is
    within the noise, E|g_i| = s sqrt(1 - u^2) - u m_i with u = w_i/tau, so that the mean change is

        E w' - w = -lr [ (1 - u^2) m + u s sqrt(1 - u^2) ],    at rest    m = -s u/sqrt(1 - u^2),

    which stays within the noise at every u. With w* = W + s U/(L sqrt(1 - U^2)), U = W/tau, it rests at W:

        E||grad f||^2 -> sigma^2 U^2/(1 - U^2) = sigma^2 S,

    so that the term sigma^2 S_K of Theorem 2 can be neither removed nor given a smaller constant. At rest
    both outcomes of |g_i| are equal and the change has the variance lr^2 s^2. A second-order expansion of m^2
    and s^2 u^2/(1 - u^2) about W, with the shift of the mean that the curvature of the drift causes, gives

        E||grad f||^2 - sigma^2 S_K = lr sigma^2/(2 (1 - U^2)) [ L - (1 + 4 U^2) s/(tau (1 - U^2)^(3/2)) ].

    (arXiv v1 of 2406.12774, Theorem 3 with its example; the constants are derived here.)

    Args:
        tau: end of the range; peak: W, where the weights shall rest, 0 < W < tau.
        sigma: of the whole gradient (> 0); n: number of weights; smoothness: L.

    Raises:
        InputError: when an argument is out of range, or w* lies outside the range (raise smoothness then).
    """
    check_number("tau", tau, low=0, open_low=True)
    check_number("peak", peak, low=0, high=tau, open_low=True, open_high=True)
    check_number("sigma", sigma, low=0, open_low=True)
    check_number("smoothness", smoothness, low=0, open_low=True)
    check_integer("n", n, 1)
    entry, u = sigma / math.sqrt(n), peak / tau
    rest = 1 - u**2
    solution = peak + entry * u / (smoothness * math.sqrt(rest))
    if solution >= tau:
        raise InputError(
            f"smoothness is {smoothness:g}, which puts w* at {solution:g}, but it must be below tau, "
            f"{tau:g}: raise smoothness above {entry * u / math.sqrt(rest) / (tau - peak):g}"
        )
    one = torch.ones(n, dtype=torch.float64)
    return LowerBound(
        Quadratic(smoothness * torch.diag(one), solution * one),
        SoftBounds.symmetric(tau),
        SkewedNoise(entry, tau),
        sigma**2 * u**2 / rest,
        sigma**2 / (2 * rest) * (smoothness - (1 + 4 * u**2) * entry / (tau * rest**1.5)),
    )
