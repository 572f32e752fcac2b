"""Predicted fixed points against closed forms, the dynamics, and what is refused.

Simulations start at the solution, not at the prediction, and burn in for at least four relaxation times.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import ConstantStep, Custom, Device, InputError, SoftBounds
from ohmgrad.devices import AbstractResponse
from ohmgrad.theory import (
    Averages,
    GradientNoise,
    Logistic,
    Prediction,
    Quadratic,
    analog_sgd,
    analog_step,
    digital_sgd,
    digital_step,
    implicit_penalty,
    penalised_minimum,
    residual_learning,
    residual_step,
    simulate,
    tiki_taka,
    tiki_taka_rates,
    zero_shift_accuracy,
)
from ohmgrad.theory.closure import lyapunov
from tests.problems import forty
from tests.stats import Z

pytestmark = pytest.mark.usefixtures("one_thread")


ALD = SoftBounds.symmetric(1.0)
SCALAR = Quadratic(torch.eye(1), torch.tensor([0.5], dtype=torch.float64))
RESPONSES: dict[str, AbstractResponse] = {
    "ald": ALD,
    "shifted": SoftBounds(-1, 1, up=1.1, down=0.9),
    "skewed": SoftBounds(-0.9, 1.2, up=0.9, down=1.2),
    "power": Custom(lambda w: (1 - w) ** 1.5, lambda w: (1 + w) ** 1.5),
    "exponential": Custom(lambda w: 1 - torch.exp(3 * w - 3), lambda w: 1 - torch.exp(-3 * w - 3)),
}


def scalar(w: float, h: float = 1.0) -> Quadratic:
    return Quadratic(torch.tensor([[h]]), torch.tensor([w], dtype=torch.float64))


def deviations(found: Averages, expected: Prediction) -> dict[str, float]:
    """By how much each quantity is off, in units of what is allowed: 3 % plus Z standard errors.

    The mean weights' 3 % is of the norm of the bias, shared among n weights by sqrt(n).
    """
    runs = len(found.error)

    def off(sample: Tensor, value: float) -> float:
        error = Z * float(sample.std()) / math.sqrt(runs)
        return abs(float(sample.mean()) - value) / (0.03 * abs(value) + error)

    error = Z * found.weight.std(0) / math.sqrt(runs)
    room = 0.03 * float(expected.bias.norm()) / math.sqrt(len(error)) + error
    return {
        "weights": float(((found.weight.mean(0) - expected.mean).abs() / room).max()),
        "error": off(found.error, expected.error),
        "loss": off(found.loss, expected.loss),
    }


def assert_agree(found: Averages, expected: Prediction) -> None:
    off = deviations(found, expected)
    assert max(off.values()) <= 1, off


# --- the table of closed forms -------------------------------------------------------------------

#: sigma, alpha; Analog SGD: E w, E grad^2, floor; Tiki-Taka with beta = alpha/10: bias, E grad^2. Measured
#: once with at least 1000 chains at one time, printed to the digits given
TABLE = [
    (0.3, 0.1, 0.3845, 0.0161, 0.0133, -0.0147, 0.00145),
    (0.3, 0.01, 0.3846, 0.0136, 0.0133, -0.0051, 0.00015),
    (1.0, 0.1, 0.2503, 0.0882, 0.0625, -0.0824, 0.0105),
    (1.0, 0.01, 0.2502, 0.0646, 0.0625, -0.0284, 0.0012),
    pytest.param(1.0, 0.003, None, None, 0.0625, -0.0162, 0.00039, marks=pytest.mark.slow),
]


def near_print(value: float, printed: float, digit: float, variance: float) -> None:
    """A printed number of 1000 chains at one time is this value."""
    assert abs(value - printed) <= digit / 2 + Z * math.sqrt(variance / 1000)


@pytest.mark.parametrize(("sigma", "alpha", "w", "error", "floor", "bias", "tt_error"), TABLE)
def test_the_table_of_closed_forms_comes_out(
    sigma: float,
    alpha: float,
    w: float | None,
    error: float | None,
    floor: float,
    bias: float,
    tt_error: float,
) -> None:
    """4000 chains, predicted, simulated and as printed."""
    noise, start = GradientNoise(sigma, "two-point"), SCALAR.solution.expand(4000, 1)
    sgd = analog_sgd(SCALAR, ALD, noise, alpha)
    assert float(sgd.limit_mean) == pytest.approx(0.5 / (1 + sigma), abs=1e-9)
    assert sgd.limit_error == pytest.approx((0.5 * sigma / (1 + sigma)) ** 2, abs=1e-9)
    assert round(sgd.limit_error, 4) == floor
    # exact at any step while |grad| < sigma; at (1, 0.1) it passes sigma once in 10^4 steps
    assert float(sgd.mean) == pytest.approx(0.5 / (1 + sigma), abs=1e-5)
    burn = int(5 / (alpha * (1 + sigma)))
    run = simulate(SCALAR, noise, analog_step(ALD, alpha), start, 2 * burn, burn_in=burn, seed=1)
    assert_agree(run, sgd)
    if w is not None and error is not None:
        near_print(float(run.weight.mean()), w, 1e-4, sgd.fluctuation)
        near_print(
            float(run.error.mean()), error, 1e-4, 2 * sgd.fluctuation**2 + 4 * sgd.fluctuation * sgd.floor
        )

    tt = tiki_taka(SCALAR, ALD, noise, alpha, alpha / 10)
    assert tt.limit_error == 0
    burn = int(max(4 * sigma / (alpha / 10), 4 / (alpha * sigma)))
    step = residual_step(ALD, alpha, alpha / 10)
    run = simulate(SCALAR, noise, step, start, burn + burn // 3, burn_in=burn, seed=2)
    assert_agree(run, tt)
    near_print(float(run.weight.mean()) - 0.5, bias, 1e-4, tt.fluctuation)
    near_print(
        float(run.error.mean()),
        tt_error,
        1e-5 if tt_error < 0.01 else 1e-4,
        2 * tt.fluctuation**2 + 4 * tt.fluctuation * tt.floor,
    )


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("tau", [0.8, 2.0])
def test_tiki_takas_bias_has_its_closed_form_for_small_steps(sigma: float, tau: float) -> None:
    """-(sigma/tau) x sqrt(alpha sigma tau/2), x = (w*/tau) E|x + z|; the remainder is O(sqrt(alpha)).

    x = (w*/tau) sqrt(2/pi) (1 + (w*/tau)^2/pi + ...), so the formula without the mean of P is 2 to 16 % off.
    """
    response, noise, w_star, x = SoftBounds.symmetric(tau), GradientNoise(sigma, "two-point"), 0.5, 0.0
    for _ in range(100):
        x = w_star / tau * (math.sqrt(2 / math.pi) * math.exp(-x * x / 2) + x * math.erf(x / math.sqrt(2)))
    first = w_star / tau * math.sqrt(2 / math.pi)
    for alpha in (1e-4, 1e-6):
        bias = float(tiki_taka(SCALAR, response, noise, alpha, alpha / 1e4).bias)
        closed = -sigma / tau * x * math.sqrt(alpha * sigma * tau / 2)
        assert abs(bias / closed - 1) < 2 * sigma / tau * math.sqrt(alpha * sigma / tau)
    assert abs(x / first - 1 - (w_star / tau) ** 2 / math.pi) < (w_star / tau) ** 4


def test_gaussian_noise_replaces_sigma_by_the_folded_mean() -> None:
    prediction = analog_sgd(SCALAR, ALD, GradientNoise(0.7), 0.01)
    w = float(prediction.limit_mean)
    m = w - 0.5
    folded = 0.7 * math.sqrt(2 / math.pi) * math.exp(-((m / 0.7) ** 2) / 2) + m * math.erf(
        m / (0.7 * math.sqrt(2))
    )
    assert m == pytest.approx(-folded * w, abs=1e-10)


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
def test_digital_sgd_is_unbiased_with_its_exact_fluctuation(law: Any) -> None:
    problem, noise = forty(1.0), GradientNoise(0.3, law)
    prediction = digital_sgd(problem, noise, 0.03)
    assert prediction.floor == 0
    cov, h, one = prediction.covariance, problem.hessian, torch.eye(40, dtype=torch.float64)
    torch.testing.assert_close(
        (one - 0.03 * h) @ cov @ (one - 0.03 * h) + 0.03**2 * 0.3**2 * one, cov, atol=1e-12, rtol=0
    )
    start = problem.solution.expand(50, 40)
    run = simulate(problem, noise, digital_step(0.03), start, 1500, burn_in=500)
    assert_agree(run, prediction)


def test_an_ideal_response_reduces_analog_to_digital() -> None:
    problem, noise, ideal = forty(1.0), GradientNoise(0.3), ConstantStep(-5, 5)
    analog, digital = analog_sgd(problem, ideal, noise, 0.03), digital_sgd(problem, noise, 0.03)
    torch.testing.assert_close(analog.mean, digital.mean)
    torch.testing.assert_close(analog.covariance, digital.covariance)
    assert analog.loss == pytest.approx(digital.loss)
    g = torch.randn(3, 40, dtype=torch.float64)
    w = torch.zeros(3, 40, dtype=torch.float64)
    torch.testing.assert_close(analog_step(ideal, 0.1)(w, w, g)[0], digital_step(0.1)(w, w, g)[0])


# --- dynamics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RESPONSES)
def test_steps_are_the_equations(name: str) -> None:
    response = RESPONSES[name]
    w, p, g = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 5
    a, b, F, G = 0.1, 0.05, response.F, response.G
    moved = w - a * g * F(w) - (a * g).abs() * G(w)
    torch.testing.assert_close(analog_step(response, a)(w, p, g)[0], moved)
    new_w, new_p = residual_step(ALD, a, b, response)(w, p, g)
    torch.testing.assert_close(new_p, p - a * g * F(p) - (a * g).abs() * G(p))
    torch.testing.assert_close(new_w, w + b * new_p - (b * new_p).abs() * w)


def test_simulation_repeats_with_its_seed_and_counts_its_steps() -> None:
    noise, start = GradientNoise(0.3), torch.zeros(6, 1)
    one, two, other = (simulate(SCALAR, noise, analog_step(ALD, 0.1), start, 600, seed=s) for s in (3, 3, 4))
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, other.weight)
    assert one.peak.shape == (600, 6)
    assert float(one.peak[0].max()) == 0


# --- the mathematics below, and what is refused --------------------------------------------------


def test_lyapunov_equation_is_solved() -> None:
    g = torch.Generator().manual_seed(2)
    a = torch.eye(7, dtype=torch.float64) - 0.01 * torch.rand(7, 7, generator=g, dtype=torch.float64)
    a -= 0.05 * torch.eye(7, dtype=torch.float64)
    q = torch.eye(7, dtype=torch.float64)
    c = lyapunov(a, q)
    torch.testing.assert_close(a @ c @ a.t() + q, c)
    with pytest.raises(InputError, match="steps are too large"):
        lyapunov(1.01 * torch.eye(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))


def test_bad_input_is_refused() -> None:
    noise = GradientNoise(0.3)
    with pytest.raises(InputError, match="lr is 2"):
        digital_sgd(SCALAR, noise, 2.0)
    with pytest.raises(InputError, match="lr is 0"):
        analog_sgd(SCALAR, ALD, noise, 0.0)
    with pytest.raises(InputError, match="too large"):
        analog_sgd(scalar(0.5, h=100.0), ALD, noise, 0.03)
    with pytest.raises(InputError, match="solution spans"):
        tiki_taka(scalar(1.5), ALD, noise, 0.03, 0.003)
    with pytest.raises(InputError, match="gamma"):
        residual_learning(SCALAR, ALD, noise, 0.03, 0.003, -1.0)
    with pytest.raises(InputError, match="outside the range"):
        analog_sgd(scalar(0.9, h=0.1), ConstantStep(-1, 1, up=1.5, down=0.5), noise, 0.03)
    with pytest.raises(InputError, match="start is"):
        simulate(SCALAR, noise, analog_step(ALD, 0.1), torch.zeros(3, 2), 10)
    with pytest.raises(InputError, match="burn_in"):
        simulate(SCALAR, noise, analog_step(ALD, 0.1), torch.zeros(3, 1), 10, burn_in=10)


def test_arguments_of_another_kind_are_refused() -> None:
    noise, device = GradientNoise(0.3), Device(ALD, dw_min=0.001)
    logistic: Any = Logistic(torch.ones(3, 1), torch.ones(3))
    wrong: Any = device
    for call in (
        lambda: analog_sgd(SCALAR, wrong, noise, 0.03),
        lambda: tiki_taka(SCALAR, ALD, noise, 0.03, 0.003, wrong),
        lambda: tiki_taka_rates(SCALAR, wrong, noise, 0.001),
        lambda: implicit_penalty(wrong, noise, torch.zeros(1)),
        lambda: penalised_minimum(SCALAR, wrong, noise),
        lambda: analog_step(wrong, 0.03),
        lambda: residual_step(ALD, 0.03, 0.003, wrong),
    ):
        with pytest.raises(InputError, match=r"pass device\.nominal\.response"):
            call()
    with pytest.raises(InputError, match="response is the class SoftBounds"):
        analog_sgd(SCALAR, SoftBounds, noise, 0.03)  # pyright: ignore[reportArgumentType]
    for of in (digital_sgd, lambda f, n, lr: analog_sgd(f, ALD, n, lr)):
        with pytest.raises(InputError, match="problem is of type Logistic, but must be a Quadratic"):
            of(logistic, noise, 0.03)
        with pytest.raises(InputError, match=r"noise is 0.3, but must be GradientNoise\(sigma\)"):
            of(SCALAR, 0.3, 0.03)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"noise is 0.3"):
        simulate(SCALAR, 0.3, analog_step(ALD, 0.1), torch.zeros(3, 1), 10)  # pyright: ignore
    with pytest.raises(InputError, match=r"must be a Device: Device\(SoftBounds"):
        zero_shift_accuracy(ALD)  # pyright: ignore[reportArgumentType]


def test_problems_take_lists() -> None:
    listed: Any = ([[2.0, 0.5], [0.5, 1.0]], [0.1, 0.2])
    given = Quadratic(*(torch.tensor(t, dtype=torch.float64) for t in listed))
    w = torch.tensor([0.3, -0.1], dtype=torch.float64)
    assert torch.equal(Quadratic(*listed).gradient(w), given.gradient(w))
    with pytest.raises(InputError, match=r"hessian is .* but must be a tensor, array or list"):
        Quadratic([[1.0, 2.0], [3.0]], [0.1, 0.2])  # pyright: ignore[reportArgumentType]


def test_the_example_of_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "theory.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    exec(compile(code, "docs/theory.md", "exec"), {})
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(printed) == 3
    for line in printed:  # name, predicted, simulated
        predicted, simulated = (float(x) for x in line.split()[-2:])
        assert simulated == pytest.approx(predicted, rel=0.1)
