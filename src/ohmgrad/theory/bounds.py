"""Upper bounds of Wu et al. 2024 with explicit constants, evaluated along runs.

Theorems have the numbers of arXiv v1 of 2406.12774; `lower_bound` has Theorem 3, `theorems` the rest. All are
for the asymmetric linear device, F = 1 and G = w/tau, an L-smooth f bounded below by f*, unbiased gradients
whose noise has the variance sigma^2 over the whole gradient (n times that of an entry), and weights strictly
inside the range. "Average" is (1/K) sum_k E||grad f(W_k)||^2 over k = 0 ... K - 1. The largest |weight| that
enters a bound is the largest one observed along the runs it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checked import checked
from ..devices import AbstractResponse
from ..errors import InputError, check_number
from .arguments import check_samples
from .problem import GradientNoise, Objective, WeightNoise

__all__ = ["Bound", "amplification_sum", "analog_sgd_bound", "sample_sigma", "saturation_sum",
           "tiki_taka_bound"]  # fmt: skip


@dataclass(frozen=True)
class Bound:
    """An upper bound of the average, as its three parts.

    Attributes:
        start: of f(W_0) - f*, falls as 1/(lr K).
        step: of the noise, falls with the step size.
        floor: of the saturation; falls with neither.
    """

    start: float
    step: float
    floor: float

    @property
    def total(self) -> float:
        """start + step + floor."""
        return self.start + self.step + self.floor


@checked
def saturation_sum(peaks: Tensor, tau: float) -> float:
    """S_K = (1/K) sum_k u_k^2/(1 - u_k^2), u_k = ||W_k||_inf/tau (Theorem 2, arXiv v1 of 2406.12774).

    Args:
        peaks: largest |weight| of each step, (K,) or (K, runs): for weights (K, n), `w.abs().amax(-1)`.
        tau: end of the range (> 0).

    Raises:
        InputError: when a peak reaches tau, where the theorem ends.
    """
    squares = _saturation(peaks, tau, "peaks").square()
    return float((squares / (1 - squares)).mean())


@checked
def amplification_sum(weights: Tensor, response: AbstractResponse) -> float:
    """S_K = (1/K) sum_k max_i G(w_i)^2/F(w_i) for any response (arXiv 2502.06309, Theorems 2 and 3).

    With the weights P of the fast array it is S_K^RL, in the error O(sigma^2 S_K^RL) of Residual Learning;
    with W it is S_K^ASGD of Analog SGD. It vanishes with P only where G(0) = 0. On the asymmetric linear
    device it is the mean of u_k^2, without the 1 - u_k^2 of `saturation_sum`: that paper has q+ q- >= R_min
    in other constants.

    Args:
        weights: of each step, (K, ..., n); response: of their elements.

    Raises:
        InputError: when there are no weights, or F is not positive at one.
    """
    if weights.numel() == 0 or weights.dim() < 2:
        raise InputError(
            f"weights are {tuple(weights.shape)}, but must be (steps, ..., n), of a step at least"
        )
    w = weights.double()
    f = response.F(w)
    if not bool((f > 0).all()):
        raise InputError("a weight is where the response F is not positive: keep weights inside the range")
    return float((response.G(w).square() / f).amax(-1).mean())


@checked
def sample_sigma(
    objective: Objective, noise: GradientNoise | WeightNoise, w: Tensor, batch: int | None = None
) -> Tensor:
    """nu, the standard deviation of the gradient as one of a step's samples alone tells it, at weights w.

    A step has B terms t_s with the sum g, and pulses them one by one. B t, t one of them, is the gradient of
    that sample, and the pull is of sum_s E|t_s| = B E|t|:

        ||B E|t| ||^2 - ||grad f||^2 <= nu^2 = B^2 Var t = m sum_s ||g_s||^2 - ||grad f||^2 + noise,

    m the number of samples, g_s their parts of grad f. The noise is B n sigma^2 of `GradientNoise`, and
    m sigma^2 sum_s ||x_s||^4 of `WeightNoise`. Only the former depends on B: a full batch has the pull of
    batches of one sample.

    Args:
        objective: with samples, or with one gradient in a step, where nu is sqrt(n) sigma.
        noise: of the gradient; w: (..., n); batch: samples in a step, None for all of them.

    Returns:
        nu, (...).

    Raises:
        InputError: when an argument is of another kind or out of range, or weight noise or a batch meets an
            objective without samples.
    """
    m = objective.samples
    size = check_samples(objective, noise, batch) or m
    spread, squares = torch.zeros(w.shape[:-1], dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    if objective.lines is not None:
        squares = objective.lines.square().sum(-1)
        parts = (objective.errors(w.double()).square() * squares).sum(-1)
        spread = (m * parts - objective.gradient(w.double()).square().sum(-1)).clamp(min=0)
    if isinstance(noise, GradientNoise):
        return (spread + size * objective.n * noise.sigma**2).sqrt()
    return (spread + m * noise.sigma**2 * squares.square().sum()).sqrt()


@checked
def analog_sgd_bound(
    gap: float,
    smoothness: float,
    sigma: float,
    lr: float,
    tau: float,
    peaks: Tensor,
    sample_sigma: float | Tensor | None = None,
) -> Bound:
    """Theorem 2 with constants: an upper bound of the average for Analog SGD, for lr <= 1/L.

        average <= [ 2 (f(W_0) - f*)/(lr K) + L lr (1 + U)^2 sigma^2 + mean_k u_k^2 nu_k^2 ] / (1 - U^2)

    with u_k = ||W_k||_inf/tau, U the largest of them, and nu = sigma for one gradient in a step. Where a step
    is pulsed sample by sample, nu is that of one sample, `sample_sigma`, not of the step.

    Proof. Let m = grad f(W), a_i = sum_s E|g_s,i| over the samples of a step, c_i = a_i w_i/tau, so that
    E W' = W - lr (m + c). Smoothness gives
    E f(W') <= f(W) - lr <m, m + c> + (L lr^2/2)(||m + c||^2 + V). Here <m, m + c> is
    (||m||^2 + ||m + c||^2 - ||c||^2)/2, and L lr <= 1 removes ||m + c||^2. The map g -> g + |g| w/tau has
    slopes of at most 1 + u, so V <= (1 + u)^2 sigma^2; and ||a||^2 <= ||m||^2 + nu^2, by (E|g_i|)^2 <=
    E g_i^2 of one sample, gives ||c||^2 <= u^2 (||m||^2 + nu^2). Together

        (lr/2)(1 - u^2)||m||^2 <= f(W) - E f(W') + (lr/2) u^2 nu^2 + (L lr^2/2)(1 + u)^2 sigma^2.

    Sum over k and replace 1 - u_k^2 by 1 - U^2 on the left.

    The paper states the floor as 4 sigma^2 S_K. The 4 is a slip between its eq. 62 and 64; Theorem 3's
    instance attains 1. sigma^2 mean u_k^2/(1 - U^2) is at least sigma^2 S_K and equals it where u_k does not
    change; with 1 - u_k^2 in each term the sum would not telescope. Without noise it is Theorem 9, Analog GD.

    Args:
        gap: f(W_0) - f*; smoothness: L; lr: learning rate (<= 1/L).
        sigma: of the whole gradient of a step. Of a random minibatch of B samples whose noise differs between
            samples it must be nu/sqrt(B).
        tau: end of the range; peaks: largest |weight| of each step, (K,) or (K, runs).
        sample_sigma: nu, of the shape of peaks or one number that it never exceeds; None for sigma.

    Raises:
        InputError: when an argument is out of range, or a peak reaches tau.
    """
    check_number("gap f(W_0) - f*", gap, low=0)
    check_number("smoothness", smoothness, low=0, open_low=True)
    check_number("sigma", sigma, low=0)
    check_number("lr", lr, low=0, high=1 / smoothness, open_low=True)
    u = _saturation(peaks, tau, "peaks")
    nu = torch.as_tensor(sigma if sample_sigma is None else sample_sigma, dtype=torch.float64)
    if nu.dim() and nu.shape != u.shape:
        raise InputError(
            f"sample_sigma is {tuple(nu.shape)}, but must be a number or {tuple(u.shape)} as peaks are"
        )
    if not bool((nu >= 0).all()):
        raise InputError("sample_sigma has entries below 0, but is a standard deviation")
    top, steps = float(u.max()), len(peaks)
    room = 1 - top**2
    return Bound(
        2 * gap / (lr * steps) / room,
        smoothness * lr * (1 + top) ** 2 * sigma**2 / room,
        float((u * nu).square().mean()) / room,
    )


@checked
def tiki_taka_bound(
    gap: float,
    smoothness: float,
    sigma: float,
    fast_lr: float,
    transfer_lr: float,
    tau: float,
    peaks: Tensor,
    fast_peaks: Tensor,
    abs_gradient: tuple[float, float],
) -> Bound:
    """Theorem 4 with constants: an upper bound of the average for Tiki-Taka (gamma 0, P_0 = 0), no floor.

        average <= (f(W_0) - f*)/(b rho K) + a (1 + p)^2 sigma^2/(2 rho),      a = fast_lr, b = transfer_lr

    with p = max ||P_k||_inf/tau, v = max ||W_k||_inf/tau, every E|g_i| within tau [y_low, y_high], and rho
    the largest over e, s > 0 and the smallest over y = y_low, y_high of

        rho = a/2 + e - v s/2 - e^2 y^2/(4 (y - a y^2/2 - v/(2s) - R)),  R = L b (1+v)^2/2 + e L (1+v) b/a

    where the bracket is positive, kappa = b/a - b v/s - L b^2 (1+v)^2 - 2 L b (1+v) e b/a is positive, and
    (e b/a)^2 <= kappa/L. For small a and b/a << y^2/L, equal y: rho = (1 - v)/y = (1 - v) tau/E|g|. With
    b/a fixed and a of order 1/sqrt(K) the whole bound is of order 1/sqrt(K): convergence is exact.

    Proof, with V = f(W) + (kappa/2)||P||^2 + (e b/a)<grad f(W), P>. Let m = grad f(W), q = P', D the
    diagonal of E|g_i|, psi = m + D P/tau, so that E q = P - a psi and E||q||^2 <= ||P - a psi||^2
    + a^2 (1 + p)^2 sigma^2. Smoothness of f and of the cross-term in W' - W, whose norm is at most
    b (1 + v)||q||, and v|m_i q_i| <= (v/2)(s m_i^2 + q_i^2/s) give

        V' - V <= (b + e b/a)<m, q> - (e b/a)<m, P> + (b v s/2)||m||^2 + (b/2a)||q||^2 - (kappa/2)||P||^2,

    kappa being chosen so that the coefficient of ||q||^2 is b/(2a), at which <m, P> cancels in the mean.
    What is left is, entry by entry, a quadratic form in (m_i, P_i); maximised over P_i it is
    E V' - V <= -b rho ||m||^2 + (a b/2)(1 + p)^2 sigma^2, worst at one end of y as its denominator is
    concave in 1/y. Sum over k; the last two conditions make V_K >= f*, and V_0 = f(W_0).

    This proof is ours; `tiki_taka_statement` has the paper's form, and says when it is vacuous. P's spread
    enters by `a` itself. The bound needs v below y_low/y_high roughly, and P faster than W.

    Args:
        gap, smoothness, sigma, tau: as in `analog_sgd_bound`; fast_lr, transfer_lr: of P
            and W.
        peaks, fast_peaks: largest |W| and |P| of each step, (K,) or (K, runs).
        abs_gradient: smallest and largest E|g_i| along the run (> 0); sum_s E|g_s,i| where a step is pulsed
            sample by sample.

    Returns:
        The bound; infinite where no e and s meet the conditions, so that nothing is proved.

    Raises:
        InputError: when an argument is out of range, or a peak reaches tau.
    """
    check_number("gap f(W_0) - f*", gap, low=0)
    for name, value in (("smoothness", smoothness), ("fast_lr", fast_lr), ("transfer_lr", transfer_lr)):
        check_number(name, value, low=0, open_low=True)
    check_number("sigma", sigma, low=0)
    low, high = abs_gradient
    check_number("smallest E|g|", low, low=0, open_low=True)
    check_number("largest E|g|", high, low=low)
    v = float(_saturation(peaks, tau, "peaks").max())
    p = float(_saturation(fast_peaks, tau, "fast_peaks").max())
    rho, _, _ = _best_rho(smoothness, fast_lr, transfer_lr, v, low / tau, high / tau)
    if rho <= 0:
        return Bound(math.inf, math.inf, 0.0)
    return Bound(gap / (transfer_lr * rho * len(peaks)), fast_lr * (1 + p) ** 2 * sigma**2 / (2 * rho), 0.0)


def _best_rho(
    smoothness: float, a: float, b: float, v: float, low: float, high: float
) -> tuple[float, float, float]:
    """Largest rho on a grid, with its e and s (any e and s give a valid bound); zeros if none is valid."""
    e = torch.logspace(-3, math.log10(2.5), 300, dtype=torch.float64)[:, None] / low
    s = torch.logspace(-2, 2, 201, dtype=torch.float64)[None, :] / low
    rest = smoothness * b * (1 + v) ** 2 / 2 + e * smoothness * (1 + v) * b / a
    kappa = b / a - b * v / s - smoothness * b**2 * (1 + v) ** 2 - 2 * smoothness * b * (1 + v) * e * b / a
    valid = (kappa > 0) & ((e * b / a).square() <= kappa / smoothness)
    rho = torch.full_like(rest + s, math.inf)
    for y in (low, high):
        room = y - a * y**2 / 2 - v / (2 * s) - rest
        valid &= room > 0
        cost = (e * y).square() / (4 * room.clamp(min=1e-300))
        rho = torch.minimum(rho, a / 2 + e - v * s / 2 - cost)
    rho = torch.where(valid, rho, 0.0)
    i, j = divmod(int(rho.argmax()), rho.shape[1])
    best = float(rho[i, j])
    return (best, float(e[i, 0]), float(s[0, j])) if best > 0 else (0.0, 0.0, 0.0)


def _saturation(peaks: Tensor, tau: float, what: str) -> Tensor:
    check_number("tau", tau, low=0, open_low=True)
    if peaks.numel() == 0:
        raise InputError(f"{what} is empty, but must hold the largest |weight| of each step")
    u = peaks.double().abs() / tau
    if not bool((u < 1).all()):
        raise InputError(f"{what} reach {float(u.max()) * tau:g}, but must stay below tau, {tau:g}")
    return u
