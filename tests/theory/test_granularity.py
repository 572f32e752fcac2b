"""The pulses' own noise in the predicted fixed points, against runs at pulse fidelity.

Runs start at the solution, not at the prediction, and burn in for about four relaxation times.
"""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from scipy import stats as laws

from ohmgrad import Device, InputError, Noise, SoftBounds
from ohmgrad.ensemble import AnalogSGD, Arrays, Result, TikiTaka, simulate
from ohmgrad.kernels import Pulsing
from ohmgrad.theory import (
    GradientNoise,
    Prediction,
    Quadratic,
    analog_sgd,
    residual_learning,
    tiki_taka,
)
from ohmgrad.theory.granularity import Pulses
from tests.problems import forty
from tests.stats import assert_all_within, assert_variance, z_mean

pytestmark = pytest.mark.usefixtures("one_thread")


ALD = SoftBounds.symmetric(1.0)
SLOW = partial(pytest.param, marks=pytest.mark.slow)
SCALAR = Quadratic(torch.eye(1), torch.tensor([0.5], dtype=torch.float64))


def deviation(found: Result, expected: Prediction) -> float:
    """Largest deviation of mean weights, error and loss, in units of what is allowed.

    Allowed are 3 % (for weights of the norm of the bias, shared among n weights by sqrt(n)) and Student's
    interval of all of them together at 99.9 % (Bonferroni).
    """
    runs, n = found.tail_weight.shape
    z = float(laws.t.isf(1e-3 / (2 * (n + 2)), runs - 1)) / math.sqrt(runs)
    scale = torch.full((n + 2,), float(expected.bias.norm()) / math.sqrt(n), dtype=torch.float64)
    scale[-2:] = torch.tensor([expected.error, expected.loss])
    value = torch.cat([expected.mean, scale[-2:]])
    sample = torch.cat([found.tail_weight, found.tail_squared_gradient[:, None], found.tail_loss[:, None]], 1)
    return float(((sample.mean(0) - value).abs() / (0.03 * scale + z * sample.std(0))).max())


# --- one step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
@pytest.mark.parametrize("std", [0.0, 0.7])
def test_one_pulsed_step_has_the_variance_and_covariance_derived(law: str, std: float) -> None:
    """20,000 steps of 3 entries at w = 0.3, beside the dynamics' step; 600 states, about 3 pulses."""
    runs, w, lr, dw_min, sigma = 20_000, 0.3, 0.01, 2 / 600, 0.5
    m = torch.tensor([0.4, -0.1, 0.9], dtype=torch.float64)
    g = torch.Generator().manual_seed(3)
    xi = torch.randn(runs, 3, generator=g, dtype=torch.float64)
    grad = m + sigma * (xi if law == "gaussian" else xi.sign())
    device = Device(ALD, dw_min=dw_min, noise=Noise(std))
    arrays = Arrays([device] * runs, 3, range(runs), pulsing=Pulsing(), start=torch.full((runs, 3), w))
    arrays.pulse(grad, -lr)
    q = torch.where(grad > 0, 1 + w, 1 - w)
    rest = arrays.weight - w + lr * grad * q

    first, second = (grad.abs() * q**2).mean(0), (grad**2 * q**2).mean(0)
    c = m[:, None] + (torch.zeros(1) if law == "gaussian" else torch.tensor([-sigma, sigma])).double()
    d = torch.full((3,), sigma if law == "gaussian" else 0.0, dtype=torch.float64)
    own = Pulses(dw_min, noise_std=std)
    expected = own.variance(lr, first, second, grad.abs().mean(0), own.slotted(lr, c, d))
    for i in range(3):  # q and 1/BL are averaged apart, and pulses shrink along a train: within 3 %
        assert_variance(rest[:, i], float(expected[i]), slack=0.03 * float(expected[i]))
    without = own.variance(lr, first, second, grad.abs().mean(0), 0 * d)
    assert std or float((expected / without).max()) < 0.9  # so that the bit length is seen

    need = lr * grad.abs().amax(1) / dw_min
    shared = lr**2 * grad * q * (((need.ceil() / need).sqrt() - 1) / need.ceil())[:, None]
    pairs = [(i, j) for i in range(3) for j in range(i)]
    assert_all_within(
        z_mean(torch.stack([rest[:, i] * rest[:, j] - shared[:, i] * (grad * q)[:, j] for i, j in pairs]), 0)
    )


@pytest.mark.parametrize("max_bl", [1, 4, 31])
@pytest.mark.parametrize("d", [0.0, 0.6])
def test_squares_over_bit_length_against_a_sample(max_bl: int, d: float) -> None:
    """100,000 draws of 3 entries of different laws."""
    c = torch.tensor([[-0.5, 0.7], [1.1, -1.3], [0.15, 0.1]], dtype=torch.float64)
    g = torch.Generator().manual_seed(4)
    pick = torch.randint(0, 2, (100_000, 3), generator=g)
    sample = c[torch.arange(3), pick] + d * torch.randn(100_000, 3, generator=g, dtype=torch.float64)
    bl = (0.5 * sample.abs().amax(1) / 0.1).ceil().clamp(max=max_bl)
    found = Pulses(0.1, max_bl).slotted(0.5, c, torch.full((3,), d, dtype=torch.float64))
    ratio = sample.square() * (1 / bl[:, None] - found)  # of mean zero
    assert_all_within(z_mean(ratio.t(), 0, floor=1e-9))


# --- fixed points --------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "std"), [(1.0, 0.0), (2.0, 0.0), (2.0, 1.0)])
def test_analog_sgd_on_least_squares(tau: float, std: float) -> None:
    """40 runs, 600 states, sigma 0.1, lr 0.03; without the pulses' noise the error is 7 to 40 % short."""
    problem, response, noise = forty(0.5), SoftBounds.symmetric(tau), GradientNoise(0.1)
    device = Device(response, dw_min=2 * tau / 600, noise=Noise(std))
    found = simulate(
        problem, AnalogSGD(0.03), seeds=range(40), steps=3000, tail=1500, device=device, noise=noise,
        start=problem.solution,
    )  # fmt: skip
    predict = lambda **own: analog_sgd(problem, response, noise, 0.03, **own)  # noqa: E731
    expected = predict(dw_min=device.dw_min, noise_std=std)
    assert deviation(found, expected) <= 1
    assert float(found.tail_squared_gradient.mean()) == pytest.approx(expected.error, rel=0.05)
    assert float(found.tail_loss.mean()) == pytest.approx(expected.loss, rel=0.05)
    if tau == 2:
        assert deviation(found, predict()) > 2
        assert std == 0 or deviation(found, predict(dw_min=device.dw_min)) > 2


@pytest.mark.parametrize(
    ("unknowns", "lr", "runs", "steps"),
    [(1, 0.03, 250, 3000), (40, 0.03, 16, 3000), SLOW(1, 0.003, 40, 20_000), SLOW(40, 0.003, 10, 18_000)],
)
def test_tiki_taka(unknowns: int, lr: float, runs: int, steps: int) -> None:
    """600 states, tau 1, sigma 0.5, W at a twentieth; at lr 0.003 pulses double or triple the error."""
    problem, noise = SCALAR if unknowns == 1 else forty(1.0, 400), GradientNoise(0.5)
    device, start = Device(ALD, dw_min=2 / 600), problem.solution
    found = simulate(
        problem, TikiTaka(lr, lr / 20), seeds=range(runs), steps=steps, tail=steps // 2, device=device,
        noise=noise, start=start,
    )  # fmt: skip
    assert deviation(found, tiki_taka(problem, ALD, noise, lr, lr / 20, dw_min=2 / 600)) <= 1
    if lr == 0.003:
        assert deviation(found, tiki_taka(problem, ALD, noise, lr, lr / 20)) > 1


def test_tiki_takas_error_stops_falling_where_steps_are_smaller_than_a_pulse() -> None:
    """P's variance is dw_min tau/2 from fast_lr |g| = dw_min down, and the bias follows it."""
    noise, dw_min, sigma = GradientNoise(0.5, "two-point"), 1e-4, 0.5
    at = [k * dw_min / sigma for k in (90, 9, 0.9, 0.09, 0.009)]
    found = [tiki_taka(SCALAR, ALD, noise, a, a / 1000, dw_min=dw_min, max_bl=200) for a in at]
    assert found[0].floor / found[1].floor == pytest.approx(10, rel=0.2)
    assert found[1].floor / found[2].floor == pytest.approx(10, rel=0.2)
    x = 0.0
    for _ in range(100):
        x = 0.5 * (math.sqrt(2 / math.pi) * math.exp(-x * x / 2) + x * math.erf(x / math.sqrt(2)))
    closed = -sigma * x * math.sqrt(dw_min / 2)
    for prediction in found[2:]:
        assert float(prediction.bias) == pytest.approx(closed, rel=0.02)
        assert prediction.limit_error == 0  # the limit is the dynamics'


def test_fine_pulses_are_the_dynamics() -> None:
    noise, rates = GradientNoise(0.5), (0.03, 0.003)
    fine = residual_learning(SCALAR, ALD, noise, *rates, 0.4, dw_min=1e-7, max_bl=2**20)
    plain = residual_learning(SCALAR, ALD, noise, *rates, 0.4)
    assert fine.error == pytest.approx(plain.error, rel=1e-3)
    assert fine.error > plain.error


def test_bad_granularity_is_refused() -> None:
    noise = GradientNoise(0.5)
    with pytest.raises(InputError, match="dw_min is 0"):
        analog_sgd(SCALAR, ALD, noise, 0.03, dw_min=0.0)
    with pytest.raises(InputError, match="max_bl is 0"):
        tiki_taka(SCALAR, ALD, noise, 0.03, 0.003, dw_min=0.01, max_bl=0)
    with pytest.raises(InputError, match="noise_std is -1"):
        analog_sgd(SCALAR, ALD, noise, 0.03, dw_min=0.01, noise_std=-1.0)
    with pytest.raises(InputError, match="need more pulses than max_bl 31"):
        analog_sgd(SCALAR, ALD, noise, 0.03, dw_min=1e-4)
