"""The theorems' bounds above simulated averages, the penalty, and the advice.

Theorems have the numbers of arXiv v1 of 2406.12774.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import ConstantStep, Custom, Device, InputError, LinearStep, Noise, SoftBounds, Tile
from ohmgrad.devices import AbstractResponse
from ohmgrad.theory import (
    Averages,
    GradientNoise,
    Quadratic,
    amplification_sum,
    analog_sgd,
    analog_sgd_bound,
    analog_sgd_lr,
    analog_step,
    implicit_penalty,
    lower_bound,
    penalised_minimum,
    residual_step,
    saturation_sum,
    simulate,
    tiki_taka_bound,
    tiki_taka_rates,
    zero_shift_accuracy,
    zero_shift_pulses,
)
from ohmgrad.theory.bounds import _best_rho
from tests.stats import Z, assert_mean

N, STEPS, RUNS = 4, 1500, 40
PROBLEM = Quadratic(torch.diag(torch.tensor([1.0, 0.8, 0.6, 0.4])), torch.tensor([0.3, -0.2, 0.1, 0.25]))
#: tau, sigma of an entry, alpha
GRID = list(itertools.product((0.6, 1.5), (0.1, 0.4), (0.02, 0.1)))


pytestmark = pytest.mark.usefixtures("one_thread")


def assert_below(run: Averages, bound: float) -> None:
    """The average over 40 runs, with its Monte-Carlo error, is below the bound."""
    error = float(run.error.std()) / math.sqrt(len(run.error))
    assert float(run.error.mean()) + Z * error <= bound


def along(tau: float, sigma: float, alpha: float, beta: float | None = None, start: float = 0.0) -> Averages:
    """Runs from W_0 = start, averaged from the first step."""
    response, noise = SoftBounds.symmetric(tau), GradientNoise(sigma, "two-point")
    step = analog_step(response, alpha) if beta is None else residual_step(response, alpha, beta)
    return simulate(PROBLEM, noise, step, torch.full((RUNS, N), start), STEPS, seed=3)


def gap(start: float = 0.0) -> float:
    return float(PROBLEM.loss(torch.full((N,), start, dtype=torch.float64)))


# --- Theorem 2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "sigma", "alpha"), GRID)
def test_theorem_2_bounds_the_average_of_analog_sgd(tau: float, sigma: float, alpha: float) -> None:
    run, whole = along(tau, sigma, alpha), sigma * math.sqrt(N)
    bound = analog_sgd_bound(gap(), PROBLEM.smoothness, whole, alpha, tau, run.peak)
    assert_below(run, bound.total)
    # the paper's sum, with 1 - u_k^2 in each term, is no larger than ours
    assert bound.floor >= whole**2 * saturation_sum(run.peak, tau)


def test_theorem_2_without_its_floor_is_violated() -> None:
    """Planted: the construction of Theorem 3 stays above start + step, the parts that fall with lr and K."""
    case, lr = lower_bound(1.0, 0.5, 0.5), 0.005
    run = simulate(case.problem, GradientNoise(0.0), case.step(lr, seed=1),
                   torch.full((RUNS, 1), 0.5), 4000)  # fmt: skip
    start = float(case.problem.loss(torch.full((1,), 0.5, dtype=torch.float64)))
    bound = analog_sgd_bound(start, 1.0, 0.5, lr, 1.0, run.peak)
    assert_below(run, bound.total)
    with pytest.raises(AssertionError):
        assert_below(run, bound.start + bound.step)


def test_the_step_inequality_of_theorem_2_holds_at_every_state() -> None:
    """Two-point noise: both outcomes of a step are known, so its expectation is exact."""
    lr, sigma, tau = 0.7, 0.8, 1.0
    w = torch.linspace(-0.99, 0.99, 199, dtype=torch.float64)
    for w_star in (-0.9, 0.1, 0.6):
        m = w - w_star
        f = m.square() / 2
        after = sum(
            (w - lr * (m + s) - lr * (m + s).abs() * w / tau - w_star).square() / 4 for s in (sigma, -sigma)
        )
        u = w.abs() / tau
        extra = lr / 2 * u.square() * sigma**2 + lr**2 / 2 * (1 + u).square() * sigma**2
        left = lr / 2 * (1 - u.square()) * m.square()
        assert bool((left <= f - after + extra + 1e-12).all())


def test_saturation_sum() -> None:
    expected = (0.0 + 0.5**2 / (1 - 0.5**2)) / 2
    assert saturation_sum(torch.tensor([0.0, 0.3]), 0.6) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(InputError, match="peaks reach"):
        saturation_sum(torch.tensor([0.0, 0.6]), 0.6)
    with pytest.raises(InputError, match="empty"):
        saturation_sum(torch.zeros(0), 0.6)


def test_amplification_sum() -> None:
    """On the asymmetric linear device the mean of u^2; with a shifted symmetric point not 0 at P = 0."""
    g = torch.Generator().manual_seed(0)
    p = 0.5 * (2 * torch.rand(50, 3, 4, generator=g) - 1)
    assert amplification_sum(p, SoftBounds.symmetric(0.8)) == pytest.approx(
        float((p.abs().amax(-1) / 0.8).square().mean())
    )
    shifted, zero = SoftBounds(-1, 1, 1.2, 0.8), torch.zeros(5, 2)
    assert amplification_sum(zero, SoftBounds.symmetric(1.0)) == 0
    assert amplification_sum(zero, shifted) == pytest.approx(0.2**2)  # G(0) = -0.2, F(0) = 1
    by_hand = [max(float(shifted.G(w)) ** 2 / float(shifted.F(w)) for w in row) for row in p[:, 0]]
    assert amplification_sum(p[:, 0], shifted) == pytest.approx(sum(by_hand) / 50)
    with pytest.raises(InputError, match="of a step at least"):
        amplification_sum(torch.zeros(0, 2), shifted)


# --- Theorem 4 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "sigma", "alpha"), GRID)
def test_theorem_4_bounds_the_average_of_tiki_taka(tau: float, sigma: float, alpha: float) -> None:
    beta = alpha * 0.05 * (sigma / tau) ** 2  # P faster than W
    run, noise = along(tau, sigma, alpha, beta), GradientNoise(sigma, "two-point")
    sizes = [float(noise.mean_abs(torch.tensor(m))) for m in run.gradients]
    bound = tiki_taka_bound(
        gap(), PROBLEM.smoothness, sigma * math.sqrt(N), alpha, beta, tau,
        run.peak, run.fast_peak, (sizes[0], sizes[1]),
    )  # fmt: skip
    assert math.isfinite(bound.total)
    assert bound.floor == 0
    assert_below(run, bound.total)


def test_analog_sgd_violates_theorem_4s_bound() -> None:
    """Planted: the same averages from Analog SGD, at its floor, lie above Tiki-Taka's bound."""
    tau, sigma, alpha = 0.6, 0.4, 0.002
    g, noise = SoftBounds.symmetric(tau), GradientNoise(sigma, "two-point")
    target = torch.tensor([0.3 * (1 + sigma / tau)], dtype=torch.float64)  # Analog SGD rests at 0.3
    args = (Quadratic(torch.eye(1), target), noise)
    start = target.expand(RUNS, 1)
    tt = simulate(*args, residual_step(g, alpha, alpha / 50), start, 3000, seed=4)
    sgd = simulate(*args, analog_step(g, alpha), torch.full((RUNS, 1), 0.3), 3000, seed=4)
    bound = tiki_taka_bound(0.0, 1.0, sigma, alpha, alpha / 50, tau, tt.peak, tt.fast_peak, (sigma, sigma))
    assert_below(tt, bound.total)
    with pytest.raises(AssertionError):
        assert_below(sgd, bound.total)


@pytest.mark.parametrize("share", [0.02, 0.1])
@pytest.mark.parametrize("v", [0.1, 0.5, 0.8])
def test_the_step_inequality_of_theorem_4_holds_at_every_state(v: float, share: float) -> None:
    """E V' - V <= -b rho m^2 + (a b/2)(1 + p)^2 sigma^2, exactly, on a grid of W, P and w*."""
    tau, sigma, a = 1.0, 0.6, 0.05
    b = a * share * sigma**2
    rho, e, s = _best_rho(1.0, a, b, v, sigma / tau, sigma / tau)
    assert 0.25 * (1 - v) < rho * sigma / tau < 1.01 * (1 - v) + a
    kappa = b / a - b * v / s - b**2 * (1 + v) ** 2 - 2 * b * (1 + v) * e * b / a
    w, p, w_star = torch.meshgrid(
        *(torch.linspace(-x, x, 61, dtype=torch.float64) for x in (v * tau, 0.9 * tau)),
        torch.linspace(-0.8, 0.8, 17, dtype=torch.float64),
        indexing="ij",
    )
    step = residual_step(SoftBounds.symmetric(tau), a, b)

    def energy(w: Tensor, p: Tensor) -> Tensor:
        m = w - w_star
        return m.square() / 2 + kappa / 2 * p.square() + e * b / a * m * p

    m = w - w_star
    covered = m.abs() <= sigma  # E|g| = sigma there
    after = sum(energy(*step(w, p, m + z)) / 2 for z in (sigma, -sigma))
    change = after - energy(w, p)
    allowed = -b * rho * m.square() + a * b / 2 * (1 + p.abs() / tau).square() * sigma**2
    assert bool((change <= allowed + 1e-13)[covered].all())
    larger = allowed - b * (3 * tau / sigma - rho) * m.square()  # planted: faster than W can settle
    assert not bool((change <= larger)[covered].all())
    assert bool((energy(w, p) >= -1e-13).all())  # V >= f*


def test_theorem_4_says_so_where_it_proves_nothing() -> None:
    peaks, small = torch.full((5,), 0.3), torch.full((5,), 0.1)
    args = (1.0, 1.0, 0.5)
    assert math.isinf(tiki_taka_bound(*args, 0.01, 1.0, 1.0, peaks, small, (0.5, 0.5)).total)
    near = tiki_taka_bound(*args, 1e-4, 1e-8, 1.0, peaks, small, (0.5, 0.5))
    # rho = (1 - v) tau/E|g| for small steps
    assert near.step == pytest.approx(1e-4 * 1.1**2 * 0.25 / (2 * 0.7 / 0.5), rel=0.02)
    with pytest.raises(InputError, match="smallest"):
        tiki_taka_bound(*args, 0.01, 0.001, 1.0, peaks, small, (0.0, 0.5))


# --- the implicit penalty ------------------------------------------------------------------------

POWER = Custom(lambda w: (1 - w) ** 1.5, lambda w: (1 + w) ** 1.5)


def test_penalty_of_the_asymmetric_linear_device_is_a_parabola() -> None:
    w = torch.tensor([[0.3, -0.5], [0.0, 0.7]], dtype=torch.float64)
    scales: dict[Any, float] = {"two-point": 0.4, "gaussian": 0.4 * math.sqrt(2 / math.pi)}
    for law, scale in scales.items():
        noise = GradientNoise(0.4, law)
        penalty = implicit_penalty(SoftBounds.symmetric(0.8), noise, w)
        torch.testing.assert_close(penalty, scale * w.square().sum(-1) / 1.6)
    with pytest.raises(InputError, match="range"):
        implicit_penalty(SoftBounds.symmetric(0.6), GradientNoise(0.4), w)


@pytest.mark.parametrize(
    "response",
    [SoftBounds(-1, 1, 1.2, 0.8), SoftBounds(-0.9, 1.2, 0.9, 1.2), LinearStep(-1, 1, 0.4, 0.7), POWER],
    ids=["shifted", "skewed", "linear", "power"],
)
def test_penalty_vanishes_at_the_symmetric_point_and_has_its_slope(response: AbstractResponse) -> None:
    noise, sp = GradientNoise(0.4, "two-point"), response.symmetric_point()
    assert float(implicit_penalty(response, noise, torch.tensor([sp]))) == pytest.approx(0, abs=1e-12)
    w = torch.linspace(-0.8, 0.8, 17, dtype=torch.float64)[:, None]
    h = 1e-5
    slope = (implicit_penalty(response, noise, w + h) - implicit_penalty(response, noise, w - h)) / (2 * h)
    torch.testing.assert_close(slope, (0.4 * response.G(w) / response.F(w))[:, 0], atol=1e-8, rtol=1e-7)


@pytest.mark.parametrize("response", [SoftBounds.symmetric(1.0), SoftBounds(-1, 1, 1.2, 0.8), POWER],
                         ids=["ald", "shifted", "power"])  # fmt: skip
def test_analog_sgd_settles_at_the_minimum_of_f_and_penalty(response: AbstractResponse) -> None:
    """Exactly for two-point noise; for Gaussian noise with an error of relative order (grad/sigma)^2/2."""
    rooms: dict[Any, float] = {"two-point": 1e-9, "gaussian": 0.6}
    for law, room in rooms.items():
        noise = GradientNoise(0.5, law)
        limit = analog_sgd(PROBLEM, response, noise, 1e-3).limit_mean
        minimum = penalised_minimum(PROBLEM, response, noise)
        pull = PROBLEM.gradient(limit)
        allowed = room * ((pull / 0.5).square() * pull.abs()).max() + 1e-9
        assert float(PROBLEM.gradient(minimum - limit + PROBLEM.solution).abs().max()) <= float(allowed)
        assert float((limit - PROBLEM.solution).abs().max()) > 10 * float(allowed)


# --- advice --------------------------------------------------------------------------------------


def test_the_advised_step_minimises_theorem_2s_bound() -> None:
    peaks = torch.full((2000,), 0.4)
    lr = analog_sgd_lr(0.3, 2.0, 0.7, 2000, peak=0.4, tau=0.8)
    best = analog_sgd_bound(0.3, 2.0, 0.7, lr, 0.8, peaks).total
    for factor in (0.8, 1.25):
        assert analog_sgd_bound(0.3, 2.0, 0.7, lr * factor, 0.8, peaks).total > best
    assert analog_sgd_lr(0.3, 2.0, 0.0, 2000) == 0.5
    assert analog_sgd_lr(100.0, 2.0, 0.1, 2) == 0.5  # 1/L where the horizon is short
    with pytest.raises(InputError, match="steps"):
        analog_sgd_lr(0.3, 2.0, 0.7, 0)


def test_tiki_takas_advised_rates_reach_the_error() -> None:
    """1000 chains from the solution, four relaxation times of burn-in."""
    problem, response = Quadratic(torch.eye(1), torch.tensor([0.4])), SoftBounds.symmetric(1.0)
    noise, wanted = GradientNoise(0.5), 1e-3
    rates = tiki_taka_rates(problem, response, noise, wanted)
    assert rates.prediction.error == pytest.approx(wanted, rel=2e-3)
    assert rates.prediction.speed_ratio == pytest.approx(0.25)
    step, burn = residual_step(response, rates.fast_lr, rates.transfer_lr), int(8 / (rates.fast_lr * 0.4))
    run = simulate(problem, noise, step, problem.solution.expand(1000, 1), 2 * burn, burn_in=burn, seed=5)
    assert_mean(run.error, wanted, slack=0.03 * wanted)
    half = tiki_taka_rates(problem, response, noise, wanted / 2)
    assert half.fast_lr == pytest.approx(rates.fast_lr / 2, rel=0.05)  # linear in the step
    with pytest.raises(InputError, match="zero-shift"):
        tiki_taka_rates(problem, response, noise, wanted, SoftBounds(-1, 1, 1.2, 0.8))
    with pytest.raises(InputError, match="sigma is 0"):
        tiki_taka_rates(problem, response, GradientNoise(0.0), wanted)


DEVICES = {
    "ald": Device(SoftBounds.symmetric(0.6), 0.004),
    "skewed": Device(SoftBounds(-0.5, 0.8, 1.2, 0.9), 0.004),
    "linear": Device(LinearStep(-0.6, 0.6, 0.5, 0.8), 0.004),
    "additive": Device(SoftBounds(-0.5, 0.8, 1.2, 0.9), 0.004, noise=Noise(0.5)),
    "multiplicative": Device(SoftBounds(-0.5, 0.8, 1.2, 0.9), 0.004, noise=Noise(0.8, "multiplicative")),
    "power": Device(Custom(lambda w: (1 - w) ** 1.5, lambda w: (1 + w) ** 1.5), 0.01, noise=Noise(0.3)),
}


def rms_after(device: Device, pairs: int, cells: int) -> float:
    """Worse rms distance from the symmetric point of elements that start at either bound."""
    sp, response, backend = device.response.symmetric_point(), device.response, "auto"
    rms = []
    for end in (response.w_min, response.w_max):
        tile = Tile((1, cells), device, seed=7, backend=backend)
        tile.reset(end)
        tile.zero_shift(pairs)
        rms.append(float((tile.weight.double() - sp).square().mean().sqrt()))
    return max(rms)


@pytest.mark.parametrize("name", DEVICES)
def test_zero_shift_needs_the_predicted_pulses(name: str) -> None:
    """At twice the best accuracy the predicted count does, and four fifths of it do not.

    4000 elements pulse by pulse: the standard error of an rms is 1.1 % for a Gaussian; 4.5 are allowed.
    """
    device = DEVICES[name]
    best = zero_shift_accuracy(device)
    accuracy = max(2 * best, 0.01)
    pairs = zero_shift_pulses(device, accuracy)
    slack = 1.05 if device.noise.std else 1.0001
    assert rms_after(device, pairs, 4000 if device.noise.std else 2) <= slack * accuracy
    assert rms_after(device, int(0.8 * pairs), 4000 if device.noise.std else 2) > slack * accuracy
    with pytest.raises(InputError, match="ask for less"):
        zero_shift_pulses(device, 0.99 * best)


@pytest.mark.parametrize("name", ["ald", "additive", "multiplicative", "power"])
def test_zero_shift_reaches_its_best_accuracy_and_no_better(name: str) -> None:
    device = DEVICES[name]
    best = zero_shift_accuracy(device)
    pairs = 2 * zero_shift_pulses(device, 1.1 * best)
    found = rms_after(device, pairs, 4000 if device.noise.std else 2)
    assert found == pytest.approx(best, rel=0.06 if device.noise.std else 1e-3)


def test_zero_shift_on_soft_bounds_has_its_closed_form() -> None:
    """Each pulse contracts to its bound: the pair has the rate (1 - dw/tau)^2 and a fixed point below 0."""
    tau, dw = 0.6, 0.004
    r = 1 - dw / tau
    rest = -tau * (1 - r) / (1 + r)  # root of w = -tau + (2 tau + (w - tau) r) r, up and then down
    device = Device(SoftBounds.symmetric(tau), dw)
    assert zero_shift_accuracy(device) == pytest.approx(-rest, rel=1e-6)
    accuracy = 0.01
    high = math.log((tau - rest) / (accuracy - rest)) / (-2 * math.log(r))
    low = math.log((-tau - rest) / (-accuracy - rest)) / (-2 * math.log(r))
    assert zero_shift_pulses(device, accuracy) == math.ceil(max(high, low))


def test_zero_shift_refuses_elements_that_do_not_contract() -> None:
    with pytest.raises(InputError, match="do not contract"):
        zero_shift_accuracy(Device(ConstantStep(-1, 1), 0.01))
    with pytest.raises(InputError, match="not inside the range"):
        zero_shift_pulses(Device(ConstantStep(-1, 1, up=1.2), 0.01), 0.1)
    with pytest.raises(InputError, match="accuracy is 0"):
        zero_shift_pulses(DEVICES["ald"], 0.0)
