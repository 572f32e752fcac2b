"""The implicit penalty: what Analog SGD minimises besides f (Wu et al., NeurIPS 2025, arXiv 2502.06309)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..checked import checked
from ..devices import AbstractResponse, AffineResponse
from ..errors import InputError, check_integer
from .problem import GradientNoise, Quadratic

__all__ = ["implicit_penalty", "penalised_minimum"]

_NODES, _WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(48))


@checked
def implicit_penalty(response: AbstractResponse, noise: GradientNoise, w: Tensor) -> Tensor:
    """sum_i Sigma int_{SP}^{w_i} G(x)/F(x) dx, with Sigma = E|noise| of an entry (arXiv 2502.06309).

    For one gradient in a step; with samples the drift is that of their sum (`fixed_points.py`).

    SP is `response.symmetric_point()`, where the penalty is 0: its least value, unless pulses drive from
    elsewhere to another point.

    The asymmetric linear device has Sigma w^2/(2 tau) an entry. Affine responses of constant F are in
    closed form, all others by Gauss-Legendre quadrature of 48 nodes (exact to rounding where G/F is
    smooth). Gaussian noise: Sigma = sigma sqrt(2/pi); two-point noise: Sigma = sigma.

    The minimiser of f + penalty solves grad f + Sigma G/F = 0; the small-step fixed point of Analog SGD
    solves grad f + E|grad f + noise| G/F = 0. For two-point noise they are the same while
    |grad f_i| < sigma; for Gaussian noise they differ by (grad f_i/sigma)^2/2 in relative terms.

    Args:
        w: weights (..., n) inside the range.

    Returns:
        The penalty, (...).

    Raises:
        InputError: when a weight lies outside the range.
    """
    w = w.double()
    if not bool(((w >= response.w_min) & (w <= response.w_max)).all()):
        raise InputError(f"weights must lie in the range [{response.w_min:g}, {response.w_max:g}]")
    sp = response.symmetric_point()
    scale = float(noise.mean_abs(torch.zeros(1, dtype=torch.float64)))
    ends = torch.tensor([response.w_min, response.w_max], dtype=torch.float64)
    at_low, at_high = response.F(ends).tolist()
    if isinstance(response, AffineResponse) and math.isclose(at_low, at_high, rel_tol=1e-12):
        # F constant and G affine: the trapezium under G is exact
        ends = torch.tensor(sp, dtype=torch.float64)
        return scale * ((w - sp) * (response.G(w) + response.G(ends)) / (2 * at_low)).sum(-1)
    half = (w - sp)[..., None] / 2
    x = sp + half * (1 + _NODES)
    return scale * ((half * response.G(x) / response.F(x)) @ _WEIGHTS).sum(-1)


@checked
def penalised_minimum(
    problem: Quadratic, response: AbstractResponse, noise: GradientNoise, steps: int = 200
) -> Tensor:
    """Minimiser of f + penalty, (n,), by damped Newton steps; f a quadratic, one gradient in a step.

    Raises:
        InputError: when none is found inside the range.
    """
    check_integer("steps", steps, 1)
    scale = float(noise.mean_abs(torch.zeros(1, dtype=torch.float64)))
    low, high, sp = response.w_min, response.w_max, response.symmetric_point()
    inside = 1e-6 * (high - low)
    w = problem.solution.clamp(low + inside, high - inside)

    def pull(x: Tensor) -> Tensor:
        return scale * response.G(x) / response.F(x)

    for _ in range(steps):
        slope = (pull(w + inside / 10) - pull(w - inside / 10)) / (inside / 5)
        residual = problem.gradient(w) + pull(w)
        move = torch.linalg.solve(problem.hessian + torch.diag(slope), residual)
        new = (w - move).clamp(low + inside, high - inside)
        if float((new - w).abs().max()) < 1e-12:
            if float(torch.linalg.eigvalsh(problem.hessian + torch.diag(slope))[0]) <= 0:
                break  # a crossing that drives weights away
            return new
        w = new
    raise InputError(f"no minimum of f + penalty was found inside ({low:g}, {high:g}), SP at {sp:g}")
