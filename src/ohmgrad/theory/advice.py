"""What the theory advises: step sizes for a horizon or a wanted error, and pulses of a zero-shift."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..checked import checked
from ..devices import AbstractResponse, AffineResponse, Device
from ..errors import InputError, check_integer, check_number
from .arguments import check_samples
from .closure import slope_of
from .fixed_points import Prediction, speed_ratio, tiki_taka
from .problem import GradientNoise, Quadratic, WeightNoise

__all__ = ["Rates", "analog_sgd_lr", "tiki_taka_rates", "zero_shift_accuracy", "zero_shift_pulses"]


@checked
def analog_sgd_lr(
    gap: float, smoothness: float, sigma: float, steps: int, *, peak: float = 0.0, tau: float = 1.0
) -> float:
    """Step size that minimises the upper bound of `analog_sgd_bound` after `steps` steps (Theorem 2).

        lr = min( 1/L, sqrt(2 (f(W_0) - f*)/(L sigma^2 K))/(1 + W_max/tau) )

    It governs the first two terms only: no step size removes the floor.

    Args:
        gap: f(W_0) - f* (> 0); smoothness: L; sigma: of the whole gradient (>= 0); steps: K.
        peak: W_max, largest |weight| expected; tau: end of the range.

    Raises:
        InputError: when an argument is out of range.
    """
    check_number("gap f(W_0) - f*", gap, low=0, open_low=True)
    check_number("smoothness", smoothness, low=0, open_low=True)
    check_number("sigma", sigma, low=0)
    check_integer("steps", steps, 1)
    check_number("tau", tau, low=0, open_low=True)
    check_number("peak", peak, low=0, high=tau, open_high=True)
    if sigma == 0:
        return 1 / smoothness
    return min(1 / smoothness, math.sqrt(2 * gap / (smoothness * sigma**2 * steps)) / (1 + peak / tau))


@dataclass(frozen=True, eq=False)
class Rates:
    """Learning rates of P and of W, and where they lead."""

    fast_lr: float
    transfer_lr: float
    prediction: Prediction


@checked
def tiki_taka_rates(
    problem: Quadratic,
    response: AbstractResponse,
    noise: GradientNoise | WeightNoise,
    error: float,
    fast_response: AbstractResponse | None = None,
    batch: int | None = None,
) -> Rates:
    """Rates of P and of W with which Tiki-Taka settles at a wanted E||grad f||^2.

    transfer_lr/fast_lr is set for critical damping at the largest curvature (`Prediction.speed_ratio`
    1/4): the largest transfer_lr at which W and P do not oscillate. Bias squared and fluctuation are then
    both proportional to fast_lr (`tiki_taka`), which is rescaled until the prediction meets `error` within
    0.1 %.
    W settles in about E|g|/(transfer_lr tau h) steps along a direction of curvature h.

    Args:
        error: wanted asymptotic E||grad f||^2 (> 0); batch: samples of a step, None for all.

    Raises:
        InputError: when error is at or below the floor that a shifted symmetric point of P leaves, or no
            stable steps reach it.
    """
    check_number("error", error, low=0, open_low=True)
    batch = check_samples(problem, noise, batch)
    if noise.sigma == 0:
        raise InputError("sigma is 0: without gradient noise P does not forget and the theory gives no rates")
    share = 0.25 / speed_ratio(problem, response, fast_response or response, noise, 1.0, 1.0, 0.0, batch)
    fast_lr, last = 1e-4, math.inf
    for _ in range(40):
        fast_lr = min(fast_lr, 0.9 / problem.smoothness)
        found = tiki_taka(problem, response, noise, fast_lr, share * fast_lr, fast_response, batch)
        floor = found.limit_error
        if error <= floor:
            raise InputError(
                f"error is {error:g}, but the symmetric point of P leaves a floor of {floor:g}: "
                "zero-shift P first, or ask for less"
            )
        if abs(found.error / error - 1) < 1e-3:
            return Rates(fast_lr, share * fast_lr, found)
        last = fast_lr
        # at most a factor 4 a turn, so that a step stays where the fixed point is stable
        fast_lr *= min(4.0, max(0.05, (error - floor) / max(found.error - floor, 1e-300)))
    raise InputError(f"no stable steps reach an error of {error:g} (tried fast_lr up to {last:g})")


@checked
def zero_shift_accuracy(device: Device) -> float:
    """Best rms distance from the symmetric point that alternating pulses reach, in weight units.

    Pairs of one pulse up and one down (Kim et al. 2019, arXiv 1907.10228) map w to a w + c + noise near
    the symmetric point, a = (1 + s q+')(1 - s q-') with s = dw_min and slopes at the symmetric point. What
    is left is the offset of that map's fixed point after a down pulse, at most one step, and the noise:
    rms^2 = offset^2 + variance, variance about (noise of a pair)^2/(1 - a^2). Exact for affine responses,
    first order in the step for others. For the nominal element (`Device.nominal`): spread is not included.

    Raises:
        InputError: when the symmetric point is not inside the range, pairs of pulses do not contract (G = 0),
            or the device is a one-sided pair of elements, which has no symmetric point.
    """
    if device.pair is not None:
        raise InputError("a one-sided pair has no symmetric point to shift to: use another device")
    pair, sp = _pair(device.nominal)
    rows = torch.eye(3, dtype=torch.float64)[1:] - pair[1:]
    moments = torch.linalg.solve(rows[:, 1:], -rows[:, 0])
    return math.sqrt(max(0.0, float(moments[1] - 2 * sp * moments[0]) + sp**2))


@checked
def zero_shift_pulses(device: Device, accuracy: float) -> int:
    """Pulse pairs that bring an element from anywhere in its range to its symmetric point.

    The rms distance, over cycle-to-cycle noise and from the worse end of the range, is then at most
    `accuracy`. On soft bounds [-tau, tau] each pulse contracts to the bound ahead by 1 - dw_min/tau, hence
    a pair by (1 - dw_min/tau)^2: without noise about (tau/(2 dw_min)) log(tau/accuracy) pairs.
    Affine responses: exact in mean and variance (clipping at hard bounds left out, which only helps);
    others: mean step by step, variance by the slope at the mean. Nominal element, as `zero_shift_accuracy`.
    Kim et al. 2019 (arXiv 1907.10228); cost of calibration: arXiv 2602.21321.

    Args:
        accuracy: wanted rms distance, in weight units (> 0).

    Raises:
        InputError: when accuracy is below `zero_shift_accuracy`, elements at an end of the range are driven
            to another point, or as that function raises.
    """
    check_number("accuracy", accuracy, low=0, open_low=True)
    best = zero_shift_accuracy(device)
    if accuracy <= best:
        raise InputError(
            f"accuracy is {accuracy:g}, but must be above {best:.4g}, which the step (dw_min "
            f"{device.dw_min:g}) and the cycle-to-cycle noise leave: ask for less or use a finer device"
        )
    device = device.nominal
    if isinstance(device.response, AffineResponse):
        return _affine_pairs(device, accuracy)
    return _general_pairs(device, accuracy)


def _pulse(device: Device, w: float, up: bool) -> torch.Tensor:
    """Map of (1, E w, E w^2) under one pulse, (3, 3), its response taken as affine around w.

    w' = w + step + noise with step = k + l w; noise of variance v (additive) or std^2 step^2.
    """
    response, sign = device.response, 1.0 if up else -1.0
    at = torch.tensor(float(w), dtype=torch.float64)
    f_slope, g_slope = (float(x) for x in slope_of(response, at))
    q, zero = (response.q_plus, at * 0) if up else (response.q_minus, at * 0)
    slope = sign * device.dw_min * (f_slope - sign * g_slope)
    const = sign * device.dw_min * float(q(at)) - slope * float(at)
    a, var = 1 + slope, device.noise.std**2
    row = [const**2, 2 * a * const, a**2]
    if device.noise.kind == "additive":
        row[0] += var * (device.dw_min * float(q(zero))) ** 2
    else:
        row = [r + var * x for r, x in zip(row, (const**2, 2 * const * slope, slope**2), strict=True)]
    return torch.tensor([[1.0, 0.0, 0.0], [const, a, 0.0], row], dtype=torch.float64)


def _pair(device: Device) -> tuple[torch.Tensor, float]:
    """Map of (1, E w, E w^2) under a pulse up and one down around the symmetric point, and that point."""
    response = device.response
    sp = response.symmetric_point()
    if not response.w_min < sp < response.w_max:
        raise InputError(
            f"the symmetric point {sp:g} is not inside the range ({response.w_min:g}, {response.w_max:g}): "
            "alternating pulses drive the element to that bound, as no crossing of q+ and q- holds it"
        )
    pair = _pulse(device, sp, up=False) @ _pulse(device, sp, up=True)
    if not (abs(float(pair[1, 1])) < 1 - 1e-12 and float(pair[2, 2]) < 1 - 1e-12):
        raise InputError("alternating pulses do not contract here: the element has G = 0 or too much noise")
    return pair, sp


def _affine_pairs(device: Device, accuracy: float) -> int:
    pair, sp = _pair(device)
    ends = torch.tensor([device.response.w_min, device.response.w_max], dtype=torch.float64)
    moments = torch.stack([torch.ones_like(ends), ends, ends.square()])

    def done(n: int) -> bool:
        _, mean, square = torch.linalg.matrix_power(pair, n) @ moments
        return bool((square - 2 * sp * mean + sp**2 <= accuracy**2).all())

    low, high = 0, 1
    while not done(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if done(middle) else (middle, high)
    return high


def _general_pairs(device: Device, accuracy: float, most: int = 100_000) -> int:
    response, sp = device.response, device.response.symmetric_point()
    needed = 0
    for end in (response.w_min, response.w_max):
        mean, var, pairs = end, 0.0, 0
        while (mean - sp) ** 2 + var > accuracy**2:
            before = mean
            for up in (True, False):
                one = _pulse(device, mean, up) @ torch.tensor([1.0, mean, mean**2 + var], dtype=torch.float64)
                mean = min(max(float(one[1]), response.w_min), response.w_max)
                var = max(0.0, float(one[2] - one[1].square()))
            pairs += 1
            if abs(mean - before) < 1e-12 * (response.w_max - response.w_min):
                raise InputError(
                    f"alternating pulses drive elements from {end:g} to {mean:g}, not to the symmetric point "
                    f"{sp:g}: reset them to 0 before, and choose the number of pairs yourself"
                )
            if pairs > most:
                raise InputError(f"more than {most} pairs are needed: ask for less, or use coarser steps")
        needed = max(needed, pairs)
    return needed
