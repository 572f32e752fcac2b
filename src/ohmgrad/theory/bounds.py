"""The theorems of Wu et al. 2024 (arXiv 2406.12774) with explicit constants, evaluated along runs.

All are for the asymmetric linear device, F = 1 and G = w/tau, an L-smooth f bounded below by f*, unbiased
gradients whose noise has the variance sigma^2 over the whole gradient (n times that of an entry), and
weights strictly inside the range. "Average" is (1/K) sum_k E||grad f(W_k)||^2 over k = 0 ... K - 1.
The largest |weight| that enters a bound is the largest one observed along the runs it is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..devices import SoftBounds
from ..errors import InputError, check_integer, check_number
from .fixed_points import Prediction, analog_sgd
from .problem import GradientNoise, Quadratic

__all__ = ["Bound", "LowerBound", "analog_sgd_bound", "lower_bound", "saturation_sum", "tiki_taka_bound"]


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


def saturation_sum(peaks: Tensor, tau: float) -> float:
    """S_K = (1/K) sum_k u_k^2/(1 - u_k^2), u_k = ||W_k||_inf/tau; with peaks of P it is S_K^TT.

    Theorems 1 and 3 of arXiv 2406.12774.

    Args:
        peaks: largest |weight| of each step, (K,) or (K, runs): for weights (K, n), `w.abs().amax(-1)`.
        tau: end of the range (> 0).

    Raises:
        InputError: when a peak reaches tau, where the theorems end.
    """
    squares = _saturation(peaks, tau, "peaks").square()
    return float((squares / (1 - squares)).mean())


def analog_sgd_bound(
    gap: float, smoothness: float, sigma: float, lr: float, tau: float, peaks: Tensor
) -> Bound:
    """Theorem 1 with constants: an upper bound of the average for Analog SGD, for lr <= 1/L.

        average <= [ 2 (f(W_0) - f*)/(lr K) + L lr (1 + U)^2 sigma^2 + sigma^2 mean_k u_k^2 ] / (1 - U^2)

    with u_k = ||W_k||_inf/tau and U the largest of them.

    Proof. Let m = grad f(W), c_i = E|g_i| w_i/tau, so that E W' = W - lr (m + c). Smoothness gives
    E f(W') <= f(W) - lr <m, m + c> + (L lr^2/2)(||m + c||^2 + V). Here <m, m + c> is
    (||m||^2 + ||m + c||^2 - ||c||^2)/2, and L lr <= 1 removes ||m + c||^2. The map g -> g + |g| w/tau has
    slopes of at most 1 + u, so V <= (1 + u)^2 sigma^2; and (E|g_i|)^2 <= m_i^2 + sigma_i^2 gives
    ||c||^2 <= u^2 (||m||^2 + sigma^2). Together

        (lr/2)(1 - u^2)||m||^2 <= f(W) - E f(W') + (lr/2) u^2 sigma^2 + (L lr^2/2)(1 + u)^2 sigma^2.

    Sum over k and replace 1 - u_k^2 by 1 - U^2 on the left.

    The paper states the floor as O(sigma^2 S_K). sigma^2 mean u_k^2/(1 - U^2) is at least sigma^2 S_K and
    equals it where u_k does not change; with 1 - u_k^2 in each term the sum would not telescope.

    Args:
        gap: f(W_0) - f*; smoothness: L; sigma: of the whole gradient; lr: learning rate (<= 1/L).
        tau: end of the range; peaks: largest |weight| of each step, (K,) or (K, runs).

    Raises:
        InputError: when an argument is out of range, or a peak reaches tau.
    """
    check_number("gap f(W_0) - f*", gap, low=0)
    check_number("smoothness", smoothness, low=0, open_low=True)
    check_number("sigma", sigma, low=0)
    check_number("lr", lr, low=0, high=1 / smoothness, open_low=True)
    u = _saturation(peaks, tau, "peaks")
    top, steps = float(u.max()), len(peaks)
    room = 1 - top**2
    return Bound(
        2 * gap / (lr * steps) / room,
        smoothness * lr * (1 + top) ** 2 * sigma**2 / room,
        sigma**2 * float(u.square().mean()) / room,
    )


@dataclass(frozen=True, eq=False)
class LowerBound:
    """Theorem 2's problem, with what Analog SGD does on it.

    Attributes:
        problem, response, noise: the construction; lr: the step of the prediction.
        prediction: where Analog SGD settles on it.
        floor: sigma^2 W^2/tau^2, which the stationary E||grad f||^2 is at least, at any step size.
    """

    problem: Quadratic
    response: SoftBounds
    noise: GradientNoise
    lr: float
    prediction: Prediction
    floor: float


def lower_bound(
    tau: float, peak: float, sigma: float, n: int = 1, smoothness: float = 1.0, lr: float = 0.01
) -> LowerBound:
    """Theorem 2's lower bound with a construction that attains it: floor sigma^2 S (1 - W^2/tau^2).

    n separate weights with f = (L/2)||w - w*||^2 and noise +-s, s = sigma/sqrt(n), on each. While
    |grad f_i| < s, E|g_i| = s whatever the weight, so the mean obeys a linear recursion whose fixed point
    is exact at any step size: L (w - w*) = -s w/tau. With w* = W (1 + s/(L tau)) that is w = W, and

        E||grad f||^2 >= ||grad f(E w)||^2 = sigma^2 W^2/tau^2 = sigma^2 S (1 - W^2/tau^2),
        S = (W^2/tau^2)/(1 - W^2/tau^2),

    with equality as lr goes to zero: the term sigma^2 S_K of Theorem 1 cannot be removed.
    (arXiv 2406.12774, Theorem 2; the construction and its constant are derived here.)

    Args:
        tau: end of the range; peak: W, where the weights shall rest, 0 < W < tau.
        sigma: of the whole gradient (> 0); n: number of weights; smoothness: L; lr: of the prediction.

    Raises:
        InputError: when an argument is out of range, or w* lies outside the range (raise smoothness then).
    """
    check_number("tau", tau, low=0, open_low=True)
    check_number("peak", peak, low=0, high=tau, open_low=True, open_high=True)
    check_number("sigma", sigma, low=0, open_low=True)
    check_number("smoothness", smoothness, low=0, open_low=True)
    check_integer("n", n, 1)
    entry = sigma / math.sqrt(n)
    one = torch.ones(n, dtype=torch.float64)
    problem = Quadratic(smoothness * torch.diag(one), peak * (1 + entry / (smoothness * tau)) * one)
    response, noise = SoftBounds.symmetric(tau), GradientNoise(entry, "two-point")
    prediction = analog_sgd(problem, response, noise, lr)
    return LowerBound(problem, response, noise, lr, prediction, (sigma * peak / tau) ** 2)


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
    """Theorem 3 with constants: an upper bound of the average for Tiki-Taka (gamma 0, P_0 = 0), no floor.

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

    This proof is ours. The paper's form is O(sqrt((f(W_0) - f*) sigma^2 L/K)) + O(sigma^2 S_K^TT);
    `saturation_sum` evaluates S_K^TT. Here P's spread enters by `a` itself. The bound needs v below
    y_low/y_high roughly, and P faster than W.

    Args:
        gap, smoothness, sigma, tau: as in `analog_sgd_bound`; fast_lr, transfer_lr: of P
            and W.
        peaks, fast_peaks: largest |W| and |P| of each step, (K,) or (K, runs).
        abs_gradient: smallest and largest E|g_i| along the run (> 0).

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
