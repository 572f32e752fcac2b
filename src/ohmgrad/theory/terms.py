"""The gradient of a step as a sum of terms, one for each sample, and its noise: what `closure.py` moves by.

With samples (lines X) the terms of a step are t_s = c x_s (d_s + noise), s over the batch, c = m/B; an array
is pulsed with one after the other, so that a step is sum_s t_s F(w) + |t_s| G(w). Without, there is one term,
the gradient. Errors d_s, or the entries of the gradient, are linear in the state.

A batch of B of m samples is drawn without replacement: a sample is in it with probability p1 = B/m, and two
are with probability p2 = B (B - 1)/(m (m - 1)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .problem import GradientNoise, Quadratic, WeightNoise, folded_mean

__all__ = ["Terms", "follow", "gradient_of"]


@dataclass(frozen=True, eq=False)
class Terms:
    """Terms of a step, over a state of N entries; S samples (1 without lines), n entries of the array.

    Attributes:
        slope, offset: (R, N), (R,): of the S errors, or without lines of the n entries of the gradient.
        lines: (S, n), c x_s; None for one gradient.
        shifts: (k,), means of the equally likely components of an entry's noise.
        entry_noise: variance of the noise that an entry of a term has of its own.
        error_noise: (S,), variance of the noise of the errors, which all entries of a term share.
        chances: p1 and p2.
    """

    slope: Tensor
    offset: Tensor
    lines: Tensor | None
    shifts: Tensor
    entry_noise: float
    error_noise: Tensor
    chances: tuple[float, float] = (1.0, 1.0)

    @property
    def rank_one(self) -> bool:
        """Each term is an error times a line, also with its noise: its entries rise and fall together."""
        return self.lines is not None and self.entry_noise == 0 and len(self.shifts) == 1

    def errors(self, mu: Tensor, cov: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (R,), variance from the state (R,) and covariance with it (R, N)."""
        with_state = self.slope @ cov
        return self.slope @ mu + self.offset, (with_state * self.slope).sum(1), with_state

    def moments(self, mu: Tensor, cov: Tensor, at: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Of the mean term at the state: mean, variance, and covariance with the entry moved, (S, n)."""
        mean, var, with_state = self.errors(mu, cov)
        if self.lines is None:
            return mean[None], var[None], with_state[:, at].diagonal()[None]
        x = self.lines
        return x * mean[:, None], x.square() * var[:, None], x * with_state[:, at]

    def own_variance(self) -> Tensor | float:
        """Variance of the noise of each entry, (S, n), its shifts left out."""
        if self.lines is None:
            return self.entry_noise
        return self.entry_noise + self.lines.square() * self.error_noise[:, None]

    def mean_size(self, mu: Tensor) -> Tensor:
        """sum_s E|t_s|, (n,), of a state that does not fluctuate and is the array itself."""
        n = len(mu)
        mean, _, _ = self.moments(mu, torch.zeros(n, n, dtype=mu.dtype), slice(0, n))
        sd = torch.as_tensor(self.own_variance()).sqrt()
        law = mean[..., None] + self.shifts
        return self.chances[0] * folded_mean(law, sd[..., None].expand_as(law)).mean(-1).sum(0)

    def linear(self, weights: Tensor) -> Tensor:
        """sum_s weights_s,i times the derivative of entry i of term s by the state: (S, n) -> (n, N)."""
        if self.lines is None:
            return weights[0][:, None] * self.slope
        return (weights * self.lines).t() @ self.slope


def gradient_of(
    problem: Quadratic, noise: GradientNoise | WeightNoise, batch: int | None, places: Tensor
) -> Terms:
    """The stochastic gradient of a quadratic problem at `places` applied to the state.

    Args:
        places: (n, N), which gives the weights that the network sees.
    """
    zero = torch.zeros(1, dtype=torch.float64)
    if problem.lines is None:
        slope, offset = problem.hessian @ places, -problem.hessian @ problem.solution
        lines, scale, chances, terms = None, zero, (1.0, 1.0), 1
    else:
        x, m = problem.lines, problem.samples
        terms = batch or m
        slope, offset, lines = x @ places, -x @ problem.solution, m / terms * x
        chances = (terms / m, terms * (terms - 1) / (m * max(m - 1, 1)))
        scale = x.square().sum(1)
    if isinstance(noise, WeightNoise):
        return Terms(slope, offset, lines, zero, 0.0, noise.sigma**2 * scale, chances)
    sigma = noise.sigma / math.sqrt(terms)
    none = torch.zeros_like(scale)
    if sigma == 0 or noise.law == "gaussian":
        return Terms(slope, offset, lines, zero, sigma**2, none, chances)
    shifts = torch.tensor([-sigma, sigma], dtype=torch.float64)
    return Terms(slope, offset, lines, shifts, 0.0, none, chances)


def follow(places: Tensor) -> Terms:
    """Minus the entries of another array as "gradient", without noise: a transfer."""
    zero = torch.zeros(1, dtype=torch.float64)
    return Terms(-places, torch.zeros(len(places), dtype=torch.float64), None, zero, 0.0, zero)
