"""Predicted fixed points against simulated dynamics.

Simulations start at the solution, not at the prediction, and burn in for at least four relaxation times.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ohmgrad import SoftBounds
from ohmgrad.theory import (
    GradientNoise,
    analog_sgd,
    analog_step,
    digital_sgd,
    residual_learning,
    residual_step,
    simulate,
    tiki_taka,
)
from tests.problems import forty
from tests.stats import Z
from tests.theory.test_fixed_points import ALD, RESPONSES, SCALAR, assert_agree, scalar

pytestmark = pytest.mark.usefixtures("one_thread")


# --- Analog SGD ----------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
@pytest.mark.parametrize("name", RESPONSES)
def test_analog_sgd_on_a_scalar(name: str, law: Any) -> None:
    """1000 chains, alpha 0.03, gradient noise half of the range."""
    response, noise = RESPONSES[name], GradientNoise(0.5, law)
    start = torch.full((1000, 1), 0.5)
    run = simulate(SCALAR, noise, analog_step(response, 0.03), start, 600, burn_in=200, seed=5)
    assert_agree(run, analog_sgd(SCALAR, response, noise, 0.03))


@pytest.mark.parametrize(
    ("name", "law", "sigma"),
    [
        ("ald", "gaussian", 0.3),
        ("ald", "two-point", 1.0),
        ("shifted", "gaussian", 1.0),
        ("power", "gaussian", 0.3),
    ],
)
def test_analog_sgd_on_forty_unknowns(name: str, law: Any, sigma: float) -> None:
    problem, noise = forty(1.0), GradientNoise(sigma, law)
    step, start = analog_step(RESPONSES[name], 0.03), problem.solution.expand(50, 40)
    run = simulate(problem, noise, step, start, 1500, burn_in=600, seed=6)
    assert_agree(run, analog_sgd(problem, RESPONSES[name], noise, 0.03))


def test_a_wrong_prediction_is_found() -> None:
    """Planted: tau 10 % off, the other law, and no analog device at all."""
    noise = GradientNoise(0.5)
    run = simulate(SCALAR, noise, analog_step(ALD, 0.03), torch.full((1000, 1), 0.5), 600, burn_in=200)
    assert_agree(run, analog_sgd(SCALAR, ALD, noise, 0.03))
    for wrong in (
        analog_sgd(SCALAR, SoftBounds.symmetric(1.1), noise, 0.03),
        analog_sgd(SCALAR, ALD, GradientNoise(0.5, "two-point"), 0.03),
        digital_sgd(SCALAR, noise, 0.03),
    ):
        with pytest.raises(AssertionError):
            assert_agree(run, wrong)


def test_without_noise_analog_sgd_is_exact() -> None:
    prediction = analog_sgd(scalar(0.5), RESPONSES["shifted"], GradientNoise(0.0), 0.03)
    assert prediction.error == pytest.approx(0, abs=1e-18)


# --- Tiki-Taka and Residual Learning -------------------------------------------------------------


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
@pytest.mark.parametrize(
    ("fast", "slow", "gamma"), [("ald", "ald", 0.0), ("shifted", "power", 0.0), ("shifted", "ald", 0.4)]
)
def test_two_arrays_on_a_scalar(fast: str, slow: str, gamma: float, law: Any) -> None:
    """2000 chains, fast_lr 0.03, sigma 0.7, W at a tenth of that or less."""
    noise, rates = GradientNoise(0.7, law), (0.03, 0.003)
    expected = residual_learning(SCALAR, RESPONSES[slow], noise, *rates, gamma, RESPONSES[fast])
    assert expected.speed_ratio < 0.5
    step = residual_step(RESPONSES[slow], *rates, RESPONSES[fast])
    start = expected.limit_mean.expand(2000, 1)
    run = simulate(SCALAR, noise, step, start, 3000, burn_in=1200, gamma=gamma, seed=7)
    assert_agree(run, expected)
    assert abs(float(run.fast.mean() - expected.fast_mean)) < 0.03 * float(expected.fast_mean) + Z * float(
        run.fast.std()
    ) / math.sqrt(2000)


@pytest.mark.parametrize(
    ("law", "fast", "gamma"),
    [("gaussian", "ald", 0.0), ("two-point", "shifted", 0.0), ("gaussian", "shifted", 0.4)],
)
def test_two_arrays_on_forty_unknowns(law: Any, fast: str, gamma: float) -> None:
    problem, noise, rates = forty(1.0), GradientNoise(1.0, law), (0.03, 0.002)
    expected = residual_learning(problem, ALD, noise, *rates, gamma, RESPONSES[fast])
    assert expected.speed_ratio < 0.6
    step, start = residual_step(ALD, *rates, RESPONSES[fast]), expected.limit_mean.expand(25, 40)
    run = simulate(problem, noise, step, start, 7000, burn_in=4000, gamma=gamma, seed=8)
    assert_agree(run, expected)


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
@pytest.mark.parametrize("gamma", [0.0, 0.4, 2.0])
def test_a_shifted_symmetric_point_of_p_biases_tiki_taka_and_residual_learning_alike(
    gamma: float, law: Any
) -> None:
    """grad f = -E|g| G(0)/F(0): delta E|g| on soft bounds with up and down steps 1 +- delta."""
    noise, delta = GradientNoise(0.5, law), 0.1
    shifted = SoftBounds(-1, 1, up=1 + delta, down=1 - delta)
    gradients = []
    for steps in (1e-3, 1e-5):
        found = residual_learning(SCALAR, ALD, noise, steps, steps / 100, gamma, shifted)
        limit = found.limit_mean - 0.5
        assert float(limit) == pytest.approx(delta * float(noise.mean_abs(limit)), rel=1e-9)
        gradients.append(abs(float(found.bias / limit) - 1))
    assert gradients[1] < gradients[0] / 5  # sqrt(1/100), and the closed form in the limit
    exact = residual_learning(SCALAR, ALD, GradientNoise(0.0), 1e-3, 1e-5, gamma, shifted)
    assert exact.limit_error == 0  # no noise: no bias


def test_tiki_takas_error_falls_with_the_step_and_analog_sgds_does_not() -> None:
    noise = GradientNoise(0.5)
    steps = [0.03, 0.003, 0.0003]
    tt = [tiki_taka(SCALAR, ALD, noise, a, a / 10).error for a in steps]
    sgd = [analog_sgd(SCALAR, ALD, noise, a).error for a in steps]
    assert tt[0] / tt[1] == pytest.approx(10, rel=0.1)
    assert tt[1] / tt[2] == pytest.approx(10, rel=0.05)
    assert sgd[1] / sgd[2] == pytest.approx(1, rel=0.05)
