"""Where training on a quadratic problem ends: mean weights, bias and asymptotic error of each algorithm.

A step pulses its S terms t_s one after the other (`terms.py`): x' = x - lr sum_s (t_s F(x) + |t_s| G(x)), and
the mean rests where

    sum_s E[t_s] F(x) + sum_s E|t_s| G(x) = 0.

One gradient in a step is one term. With samples t_s = c x_s e_s, e_s their errors with noise, so that
E|t_s,i| = c |x_s,i| E|e_s|: the terms cancel in the first sum only, and the drift is that of the samples. The
mean over minibatches is the same sum for exact errors and for `WeightNoise`. That is the small-step limit.

At finite steps the state also fluctuates. Here its law is closed as Gaussian: the mean solves E[step] = 0
over the fluctuations, and their covariance C solves the discrete Lyapunov equation C = A C A^T + Q, with
A = I + E[derivative of the step] and Q the covariance of what the linear part leaves (statistical
linearisation). Given x the mean gradient is Gaussian too, so all averages over g are closed forms and those
over x a Gauss-Hermite sum.

Noise of an error is shared by all entries of its term, and a minibatch is a sample of the terms: Q holds
both, as a full matrix. That weights move between the samples of a step is of the next order in lr, and left
out.

With a granularity `dw_min`, Q also holds the noise of the pulses that make each step (`granularity.py`).

Valid while steps are small against the distance over which F and G change (measured: 3 % up to
lr = 0.03 with gradient noise up to tau), weights stay inside the range (clipping is not modelled), and
noise does not depend on W. With samples, minibatches and shifted symmetric points loss and error were
within 1 % of simulations for Analog SGD, and 3 % for two arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checked import checked
from ..devices import AbstractResponse, ConstantStep
from ..errors import InputError, check_number
from ..ranges import ABOVE_ZERO, BIT_LENGTH, FROM_ZERO
from .arguments import check_samples
from .closure import Stage, resting, slope_of, stationary
from .granularity import Pulses
from .problem import GradientNoise, Quadratic, WeightNoise
from .terms import follow, gradient_of

__all__ = ["Prediction", "analog_sgd", "digital_sgd", "residual_learning", "speed_ratio", "tiki_taka"]

Noise = GradientNoise | WeightNoise


@dataclass(frozen=True, eq=False)
class Prediction:
    """Where a run settles, in expectation over its noise and over time.

    Attributes:
        mean: E w of the weights that the network sees (W + gamma P), (n,).
        bias: mean - w*, (n,).
        floor: ||E grad f||^2, the error that averaging over time would not remove.
        fluctuation: E||grad f - E grad f||^2.
        loss: E f(w) - f*.
        covariance: of the weights, (n, n).
        fast_mean: E P, (n,); zeros where there is no P.
        limit_mean: E w as all steps, and those of pulses, go to zero, (n,).
        limit_error: E||grad f||^2 as they do: the floor that no step size removes.
        speed_ratio: with P, the largest rate of W over the rate of P; see `residual_learning`. Else 0.
    """

    mean: Tensor
    bias: Tensor
    floor: float
    fluctuation: float
    loss: float
    covariance: Tensor
    fast_mean: Tensor
    limit_mean: Tensor
    limit_error: float
    speed_ratio: float = 0.0

    @property
    def error(self) -> float:
        """E||grad f||^2 = floor + fluctuation."""
        return self.floor + self.fluctuation


@checked
def digital_sgd(problem: Quadratic, noise: Noise, lr: float, batch: int | None = None) -> Prediction:
    """W' = W - lr g: unbiased, E||grad f||^2 = tr(H C H), C = (I - lr H) C (I - lr H) + lr^2 Q.

    Q is the covariance of g: sigma^2 I for `GradientNoise`, sum_s sigma^2 ||x_s||^2 x_s x_s^T for
    `WeightNoise`, plus that of the choice of the batch. Exact at any stable step and any law of the noise.

    Raises:
        InputError: unless 0 < lr < 2/L, beyond which SGD diverges.
    """
    batch = check_samples(problem, noise, batch)
    check_number("lr", lr, low=0, high=2 / problem.smoothness, open_low=True, open_high=True)
    if batch is not None or isinstance(noise, WeightNoise):
        ideal = ConstantStep(-4 * _reach(problem), 4 * _reach(problem))
        one = torch.eye(problem.n, dtype=torch.float64)
        stage = Stage(slice(0, problem.n), gradient_of(problem, noise, batch, one), ideal, lr)
        _, cov = stationary([stage], problem.solution)
        return _prediction(problem, problem.solution, cov, torch.zeros(problem.n), problem.solution)
    rates, vectors = torch.linalg.eigh(problem.hessian)
    spread = lr * noise.sigma**2 / (rates * (2 - lr * rates))
    cov = vectors @ torch.diag(spread) @ vectors.t()
    return _prediction(problem, problem.solution, cov, torch.zeros(problem.n), problem.solution)


@checked(max_bl=BIT_LENGTH, noise_std=FROM_ZERO)
def analog_sgd(
    problem: Quadratic,
    response: AbstractResponse,
    noise: Noise,
    lr: float,
    batch: int | None = None,
    *,
    dw_min: float | None = None,
    max_bl: int = 31,
    noise_std: float = 0.0,
) -> Prediction:
    """W' = W - lr g F(W) - |lr g| G(W): biased towards the symmetric point, whatever the step size.

    Small steps: grad f(w)_i = -sum_s E|t_s,i| G(w_i)/F(w_i). On the asymmetric linear device and
    f = (w - w*)^2/2 with two-point noise: w = w*/(1 + sigma/tau) (exact at any step while |w - w*| < sigma),
    floor (w* sigma/(tau + sigma))^2. arXiv 2406.12774, section 3; general responses: arXiv 2502.06309.

    Pulses leave the mean and add a variance of about lr dw_min E|g| (F^2 + G^2) a step, so that below
    lr E|g| = dw_min the fluctuation does not fall with lr. Measured at pulse fidelity, 40-dimensional least
    squares: error and loss within 1 % with 100 and 600 states over the range, 2 % with 20.

    Args:
        problem: with its solution inside the range of the response.
        response: of the elements; noise: of the gradient; lr: learning rate (> 0).
        batch: samples of a step, drawn anew each time; None for all.
        dw_min: granularity in weight units (> 0); None for the dynamics, without pulses.
        max_bl: largest bit length; noise_std: additive cycle-to-cycle noise, relative to the step at
            w = 0 (>= 0); both with dw_min only.

    Raises:
        InputError: when an argument is out of range, lr is too large, the weights would rest outside the
            range, or more than 5 % of steps need more than max_bl pulses.
    """
    batch = check_samples(problem, noise, batch)
    check_number("lr", lr, low=0, open_low=True)
    _check_solution(problem, response)
    one = torch.eye(problem.n, dtype=torch.float64)
    pulses = None if dw_min is None else Pulses(dw_min, max_bl, noise_std)
    limit = _limit(problem, response, noise, batch)
    terms = gradient_of(problem, noise, batch, one)
    stage = Stage(slice(0, problem.n), terms, response, lr, pulses=pulses)
    mean, cov = stationary([stage], limit)
    return _prediction(problem, mean, cov, torch.zeros(problem.n), limit)


@checked(max_bl=BIT_LENGTH, noise_std=FROM_ZERO)
def tiki_taka(
    problem: Quadratic,
    response: AbstractResponse,
    noise: Noise,
    fast_lr: float,
    transfer_lr: float,
    fast_response: AbstractResponse | None = None,
    batch: int | None = None,
    *,
    dw_min: float | None = None,
    max_bl: int = 31,
    noise_std: float = 0.0,
) -> Prediction:
    """Residual Learning with gamma = 0: the gradient is taken at W. See `residual_learning`.

    On the asymmetric linear device and f = (w - w*)^2/2 with two-point noise, transfer_lr << fast_lr << 1:

        E w - w* = -(sigma/tau) x sqrt(fast_lr sigma tau/2),   x = (w*/tau) E|x + z|, z standard normal,

    with x = (w*/tau) sqrt(2/pi) (1 + (w*/tau)^2/pi + ...). P has the standard deviation under the root and
    the mean x times it; the squared error falls linearly in fast_lr (Theorem 4 of arXiv v1 of 2406.12774
    says that it falls to 0; this constant is derived here).

    With a granularity `dw_min` P keeps the variance dw_min tau/2 however small fast_lr is: with one pulse at
    most in a step it replaces fast_lr sigma tau/2, and dw_min replaces fast_lr sigma in the bias. So the
    error stops falling once fast_lr sigma < dw_min; the pulses of W add about h dw_min E|P| E|g|/(2 tau) to
    it for each curvature h, whatever the steps (derived here).
    """
    granularity = {"dw_min": dw_min, "max_bl": max_bl, "noise_std": noise_std}
    return residual_learning(
        problem, response, noise, fast_lr, transfer_lr, 0.0, fast_response, batch, **granularity
    )


@checked(max_bl=BIT_LENGTH, noise_std=FROM_ZERO)
def residual_learning(
    problem: Quadratic,
    response: AbstractResponse,
    noise: Noise,
    fast_lr: float,
    transfer_lr: float,
    gamma: float,
    fast_response: AbstractResponse | None = None,
    batch: int | None = None,
    *,
    dw_min: float | None = None,
    max_bl: int = 31,
    noise_std: float = 0.0,
) -> Prediction:
    """Where two arrays settle, the gradient g taken at W + gamma P.

        P' = P - fast_lr g F(P) - |fast_lr g| G(P)
        W' = W + transfer_lr P' F(W) - |transfer_lr P'| G(W)

    W rests where E[P' F(W)] = E[|P'| G(W)]: for small steps at P = 0, since |G| < F inside the range.
    P rests there only where sum_s E[t_s] F(0) + sum_s E|t_s| G(0) = 0. So, whatever gamma,

        grad f_i = -sum_s E|t_s,i| G_P(0)/F_P(0)    + O(sqrt(fast_lr)):

    exact when P's symmetric point is 0. With a shifted one Tiki-Taka and Residual Learning keep the same
    bias; gamma changes how fast P and W settle and how much they fluctuate, not where the gradient rests.
    Without noise the solution of consistent equations is a rest: all errors vanish there. But sum_s |t_s| can
    be many times |sum_s t_s|, and from a shift on no rest is left: P's drift exceeds all that the mean
    gradient can reach, and W runs to the end of its range. With one gradient in a step |G| < F prevents that,
    and noise-free training is exact at any symmetric point; with a minibatch that does not hold. (100 x 50
    normal numbers, tau 3.5: up to a shift G/F of 0.16, by the equation and by simulation.) Such problems are
    refused. Derived here, simulated for gamma 0 and 0.4. The recursion is that of arXiv 2502.06309, which
    needs G_P(0) = 0 (its Assumption 5). The remainder is E|P| G(W)/F(W), P's mean, times P's restoring force.

    Valid while P is the faster array. Per eigenvalue h of the Hessian P settles at the rate
    p = fast_lr (gamma h F_P(0) + E|g| G_P'(0)) and W at transfer_lr fast_lr h F(0) F_P(0)/p;
    `speed_ratio` is the largest quotient. Up to 1/2 (critical damping is 1/4) predictions were within 3 %
    of simulation at |w*| = tau/2, and the error 3 to 6 % too high at |w*| of 0.7 to 0.9 tau. Above, W and P
    oscillate about each other, W faster down than up, and the Gaussian closure overstates the error
    (measured for Tiki-Taka: at |w*| = tau/2 by 5 % at 1.7 and 15 % at 16; several times over near a bound).

    With `dw_min` the pulses of both arrays add their noise. Measured for Tiki-Taka at pulse fidelity, scalar
    and 40-dimensional, fast_lr 0.03 and 0.003, 60 and 600 states: within 4 %, the Monte-Carlo error
    being 1 to 7 %.

    Args:
        problem: with its solution inside the range of the response.
        response: of W; fast_response: of P, by default the same.
        noise: of the gradient; fast_lr, transfer_lr: learning rates of P and of W (> 0).
        gamma: share of P in the weights that the network sees (>= 0); batch: as for `analog_sgd`.
        dw_min, max_bl, noise_std: pulses of both arrays, as for `analog_sgd`.

    Raises:
        InputError: when an argument is out of range, P's drift leaves no rest, steps are too large for a
            stable fixed point, the weights would rest outside the range, or more than 5 % of steps need more
            than max_bl pulses.
    """
    batch = check_samples(problem, noise, batch)
    fast = fast_response or response
    check_number("fast_lr", fast_lr, low=0, open_low=True)
    check_number("transfer_lr", transfer_lr, low=0, open_low=True)
    check_number("gamma", gamma, low=0)
    _check_solution(problem, response)
    n, h = problem.n, problem.hessian
    one, zero = torch.eye(n, dtype=h.dtype), torch.zeros(n, dtype=h.dtype)
    at_w, at_p, at_z = (slice(i * n, (i + 1) * n) for i in range(3))  # z: what |P| remembers
    pulses = None if dw_min is None else Pulses(dw_min, max_bl, noise_std)
    terms = gradient_of(problem, noise, batch, torch.cat([one, gamma * one, 0 * one], 1))
    stages = [
        Stage(at_p, terms, fast, fast_lr, None, pulses),
        # W's step is a step of Analog SGD with "gradient" -P' and no noise of its own
        Stage(
            at_w, follow(torch.cat([0 * one, one, 0 * one], 1)), response, transfer_lr, (at_z, at_p), pulses
        ),
    ]
    ratio = speed_ratio(problem, response, fast, noise, fast_lr, transfer_lr, gamma, batch)
    limit = _rest_of_p(problem, fast, noise, batch)
    state, cov = stationary(stages, torch.cat([limit, zero, zero]))
    seen = torch.cat([one, gamma * one, 0 * one], 1)
    return _prediction(problem, seen @ state, seen @ cov @ seen.t(), state[at_p], limit, ratio)


def _limit(problem: Quadratic, response: AbstractResponse, noise: Noise, batch: int | None) -> Tensor:
    """Weights where the mean step sum_s E[t_s] F(w) + sum_s E|t_s| G(w) of one array vanishes, (n,).

    With samples it is followed from a larger noise down. Without noise all steps vanish at w*, but near w*
    drift and gradient are both of degree one, so that weights need not be driven there: then the noise ends
    at 10^-7 of the weights.
    """
    one, start = torch.eye(problem.n, dtype=torch.float64), problem.solution
    if problem.lines is None:
        return resting(gradient_of(problem, noise, batch, one), response, start)
    reach = _reach(problem)
    exact, found = noise.sigma == 0, None
    noise = WeightNoise(1e-7 * reach) if exact else noise
    sigma = max(reach, noise.sigma)
    while found is None or sigma > noise.sigma:
        sigma = max(sigma / 3, noise.sigma)
        terms = gradient_of(problem, replace(noise, sigma=sigma), batch, one)
        try:
            found = resting(terms, response, start if found is None else found)
        except InputError:
            if found is not None or sigma == noise.sigma:
                raise
    vanishing = exact and float((found - start).abs().max()) < 1e-5 * reach
    return start.clone() if vanishing else found


def _rest_of_p(problem: Quadratic, fast: AbstractResponse, noise: Noise, batch: int | None) -> Tensor:
    """Weights where P rests at zero, (n,): sum_s E[t_s] F(0) + sum_s E|t_s| G(0) = 0.

    Raises:
        InputError: when there are none, or weights are driven away from them.
    """
    zero = torch.zeros(1, dtype=torch.float64)
    ratio = float(fast.G(zero) / fast.F(zero))
    if not abs(ratio) < 1:
        raise InputError("at weight 0 one of the two responses of P vanishes: P cannot rest at 0")
    if problem.lines is None:
        assert isinstance(noise, GradientNoise)
        m = zero
        for _ in range(200):  # a contraction: |ratio| < 1, and E|m + noise| has slopes within [-1, 1]
            m = -ratio * noise.mean_abs(m)
        return problem.solution + torch.linalg.solve(problem.hessian, m.expand(problem.n))
    reach = _reach(problem)
    held = ConstantStep(-1e4 * reach, 1e4 * reach, up=1 - ratio, down=1 + ratio)  # F = 1, G = ratio
    # of degree one in w - w* and the noise together: whether there is a rest does not depend on its size
    some = noise if noise.sigma else WeightNoise(1e-3 * reach)
    terms = gradient_of(problem, some, batch, torch.eye(problem.n, dtype=torch.float64))
    try:
        found = resting(terms, held, problem.solution)
        return found if noise.sigma else problem.solution.clone()
    except InputError:
        raise InputError(
            f"P drifts by {abs(ratio):.3g} of the samples' |gradients|, more than their sum can balance: W "
            "would run to the end of its range; zero-shift P, or give it a smaller symmetric point"
        ) from None


@checked(fast_lr=ABOVE_ZERO, transfer_lr=ABOVE_ZERO, gamma=FROM_ZERO)
def speed_ratio(
    problem: Quadratic,
    response: AbstractResponse,
    fast: AbstractResponse,
    noise: Noise,
    fast_lr: float,
    transfer_lr: float,
    gamma: float,
    batch: int | None = None,
) -> float:
    """Largest rate of W over the rate of P, see `residual_learning`; fast is the response of P.

    Where E|g| differs from entry to entry, P is as slow as its slowest.
    """
    batch = check_samples(problem, noise, batch)
    zero = torch.zeros(1, dtype=torch.float64)
    limit = _rest_of_p(problem, fast, noise, batch)
    df, dg = slope_of(fast, zero)
    one = torch.eye(problem.n, dtype=torch.float64)
    size = gradient_of(problem, noise, batch, one).mean_size(limit)
    forget = float((problem.gradient(limit) * df + size * dg).min())
    curvature = torch.linalg.eigvalsh(problem.hessian)
    rate_p = fast_lr * (gamma * curvature * float(fast.F(zero)) + forget)
    if float(rate_p.min()) < 0:
        raise InputError(
            "alternating pulses drive P away from 0, where q+ - q- of its response rises: use a response "
            "whose symmetric point holds"
        )
    rate_w = transfer_lr * fast_lr * curvature * float(fast.F(zero)) * float(response.F(zero)) / rate_p
    return float((rate_w / rate_p).max())


def _reach(problem: Quadratic) -> float:
    return 1 + float(problem.solution.abs().max())


def _check_solution(problem: Quadratic, response: AbstractResponse) -> None:
    low, high = float(problem.solution.min()), float(problem.solution.max())
    if low <= response.w_min or high >= response.w_max:
        raise InputError(
            f"solution spans [{low:g}, {high:g}], but must lie inside the range of the response, "
            f"({response.w_min:g}, {response.w_max:g}): scale the problem or use a wider range"
        )


def _prediction(
    problem: Quadratic, mean: Tensor, cov: Tensor, fast: Tensor, limit: Tensor, speed_ratio: float = 0.0
) -> Prediction:
    h = problem.hessian
    fluctuation = float(torch.trace(h @ cov @ h))
    loss = float(problem.loss(mean)) + float(torch.trace(h @ cov)) / 2
    floor, limit_error = (float(problem.gradient(w).square().sum()) for w in (mean, limit))
    numbers = (floor, fluctuation, loss, limit_error)
    if not all(math.isfinite(x) for x in numbers):
        raise InputError("no finite fixed point: make the steps smaller")
    bias, fast = mean - problem.solution, fast.double()
    return Prediction(
        mean, bias, floor, fluctuation, loss, cov, fast, limit, limit_error, speed_ratio
    )  # fmt: skip
