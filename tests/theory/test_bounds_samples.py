"""Theorem 2 (arXiv v1 of 2406.12774) where a step is pulsed sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ohmgrad import InputError
from ohmgrad.theory import (
    GradientNoise,
    Objective,
    Quadratic,
    WeightNoise,
    analog_sgd_bound,
    least_squares,
    sample_sigma,
    saturation_sum,
    tiki_taka_bound,
)
from tests.stats import Z, assert_mean

pytestmark = pytest.mark.usefixtures("one_thread")

N, STEPS, RUNS = 4, 600, 40
#: 12 equations, 4 unknowns
LINES = least_squares(
    torch.randn(12, N, generator=torch.Generator().manual_seed(8)), torch.tensor([0.3, -0.2, 0.1, 0.25])
)


def pulsed_by_samples(noise: GradientNoise | WeightNoise, batch: int, lr: float, tau: float) -> list[Tensor]:
    """||grad f||^2, largest |w| and nu of W' = W - lr sum_s (t_s + |t_s| W/tau), each (STEPS, RUNS)."""
    g, x = torch.Generator().manual_seed(5), LINES.lines
    assert x is not None
    w, rows = torch.zeros(RUNS, N, dtype=torch.float64), []
    for _ in range(STEPS):
        chosen = torch.rand(RUNS, 12, generator=g).argsort(-1)[:, :batch]
        errors = LINES.errors(w)
        if isinstance(noise, WeightNoise):
            sizes = noise.sigma * x.norm(dim=-1)
            errors = errors + sizes * torch.randn(RUNS, 12, generator=g, dtype=torch.float64)
        terms = 12 / batch * errors.gather(1, chosen)[..., None] * x[chosen]
        if isinstance(noise, GradientNoise):
            z = torch.randn(terms.shape, generator=g, dtype=torch.float64)
            terms = terms + noise.sigma / math.sqrt(batch) * z
        nu = sample_sigma(LINES, noise, w, batch)
        rows.append((LINES.gradient(w).square().sum(-1), w.abs().amax(-1), nu))
        w = w - lr * (terms.sum(1) + terms.abs().sum(1) * w / tau)
    return [torch.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("batch", [1, 4, 12])
@pytest.mark.parametrize("noise", [GradientNoise(0.3), WeightNoise(0.2)], ids=["gradient", "weight"])
def test_theorem_2_with_samples(noise: GradientNoise | WeightNoise, batch: int) -> None:
    """40 runs stay below the bound with the nu of one sample, for any batch."""
    tau, lr = 0.8, 0.02
    errors, peaks, nu = pulsed_by_samples(noise, batch, lr, tau)
    sigma = float(nu.max()) / math.sqrt(batch)
    args = (float(LINES.loss(torch.zeros(N))), LINES.smoothness, sigma, lr, tau, peaks)
    run = errors.mean(0)
    average, error = float(run.mean()), float(run.std()) / math.sqrt(RUNS)
    bound = analog_sgd_bound(*args, nu)
    assert average + Z * error <= bound.total
    assert bound.floor <= analog_sgd_bound(*args, float(nu.max())).floor
    with pytest.raises(InputError, match="as peaks are"):
        analog_sgd_bound(*args, nu[0])


@pytest.mark.parametrize("tau", [0.8, 1.5])
def test_theorem_4_with_samples(tau: float) -> None:
    """Tiki-Taka from the solution, full batches: 40 runs below `tiki_taka_bound` with sum_s E|g_s,i|."""
    sigma, a, b, g, x = 0.4, 0.02, 2e-4, torch.Generator().manual_seed(1), LINES.lines
    assert x is not None
    w, p = LINES.solution.repeat(RUNS, 1), torch.zeros(RUNS, N, dtype=torch.float64)
    errors, peaks, sizes, part = [], [], [], GradientNoise(sigma / math.sqrt(12))
    for _ in range(STEPS):
        means = LINES.errors(w)[..., None] * x
        sizes.append(part.mean_abs(means).sum(1))
        errors.append(LINES.gradient(w).square().sum(-1))
        peaks.append(torch.stack([w.abs().amax(-1), p.abs().amax(-1)]))
        terms = means + part.sigma * torch.randn(means.shape, generator=g, dtype=torch.float64)
        p = p - a * (terms.sum(1) + terms.abs().sum(1) * p / tau)
        w = w + b * (p - p.abs() * w / tau)
    ws, ps = torch.stack(peaks, 1)
    low, high = float(torch.stack(sizes).min()), float(torch.stack(sizes).max())
    whole = sigma * math.sqrt(N)
    bound = tiki_taka_bound(0.0, LINES.smoothness, whole, a, b, tau, ws, ps, (low, high))
    run = torch.stack(errors).mean(0)
    assert float(run.mean()) + Z * float(run.std()) / math.sqrt(RUNS) <= bound.total < math.inf
    assert low > 2 * sigma * math.sqrt(2 / math.pi)  # E|g| of one gradient in a step is half of it at most


@pytest.mark.parametrize("batch", [1, 3, 12])
@pytest.mark.parametrize("noise", [GradientNoise(0.3), WeightNoise(0.2)], ids=["gradient", "weight"])
def test_sample_sigma_by_draws(noise: GradientNoise | WeightNoise, batch: int) -> None:
    """B^2 Var t, and the pull ||B E|t| ||^2 - ||m||^2 below it, at one w, of 40,000 terms drawn at random.

    The pull of a full batch is above the variance of the step, which the theorem for one gradient has there.
    """
    g, x, w = torch.Generator().manual_seed(2), LINES.lines, torch.full((N,), 0.1, dtype=torch.float64)
    assert x is not None
    s = torch.randint(0, 12, (40_000,), generator=g)
    errors = LINES.errors(w)[s]
    if isinstance(noise, WeightNoise):
        z = torch.randn(40_000, generator=g, dtype=torch.float64)
        errors = errors + noise.sigma * x.norm(dim=-1)[s] * z
    terms = 12 / batch * errors[:, None] * x[s]
    if isinstance(noise, GradientNoise):
        z = torch.randn(terms.shape, generator=g, dtype=torch.float64)
        terms = terms + noise.sigma / math.sqrt(batch) * z
    mean = LINES.gradient(w)
    nu = float(sample_sigma(LINES, noise, w, batch))
    assert_mean((batch * terms - mean).square().sum(-1), nu**2)
    pull = (batch * terms.abs().mean(0)).square().sum() - mean.square().sum()
    assert float(pull) < nu**2
    fourth = float(x.square().sum(-1).square().sum())
    if batch == 12:
        assert float(pull) > noise.sigma**2 * (N if isinstance(noise, GradientNoise) else fourth)


def test_sample_sigma_without_samples() -> None:
    w = torch.zeros(3, N)
    torch.testing.assert_close(
        sample_sigma(LINES.summed(), GradientNoise(0.3), w), torch.full((3,), 0.6, dtype=torch.float64)
    )
    with pytest.raises(InputError, match="weight noise needs an objective with samples"):
        sample_sigma(LINES.summed(), WeightNoise(0.1), w)
    with pytest.raises(InputError, match=r"noise is 0\.1, but"):
        sample_sigma(LINES, 0.1, w)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="batch"):
        sample_sigma(LINES, GradientNoise(0.3), w, 13)


class Split(Objective):
    """f = (w - w*)^2/2 + const from 20 samples (w - w* + z_s)^2/40; a share (1 - u)/2 pulls down."""

    n = 1

    def __init__(self, u: float, s: float) -> None:
        odds, few = math.sqrt((1 + u) / (1 - u)), round(20 * (1 - u) / 2)
        self.offsets = s * torch.tensor([odds] * few + [-1 / odds] * (20 - few), dtype=torch.float64)
        self.lines = torch.ones(20, 1, dtype=torch.float64) / 20
        self.solution = u + s * u / math.sqrt(1 - u**2)

    def errors(self, w: Tensor) -> Tensor:
        return w - self.solution + self.offsets

    def loss(self, w: Tensor) -> Tensor:
        return self.errors(w).square().mean(-1) / 2

    def gradient(self, w: Tensor) -> Tensor:
        return w - self.solution


@pytest.mark.parametrize("lr", [0.5, 0.05])
def test_samples_alone_attain_the_floor(lr: float) -> None:
    """A full batch without any noise: sigma = 0, and yet the error is nu^2 S, exactly, at any step size."""
    u, s = 0.5, 0.3
    f = Split(u, s)
    w = torch.zeros(1, 1, dtype=torch.float64)
    for _ in range(int(40 / lr)):
        terms = f.errors(w) / 20
        w = w - lr * (terms.sum(-1, keepdim=True) + terms.abs().sum(-1, keepdim=True) * w)
    nu = sample_sigma(f, GradientNoise(0.0), w)
    assert float(nu) == pytest.approx(s)
    assert float(w) == pytest.approx(u)
    error = float(f.gradient(w).square())
    assert error == pytest.approx(s**2 * saturation_sum(w.abs(), 1.0))
    peaks = w.abs().expand(100_000, 1)[:, 0]
    bound = analog_sgd_bound(0.1, 1.0, 0.0, lr, 1.0, peaks, float(nu))
    assert error <= bound.total * (1 + 1e-12)
    assert bound.floor == pytest.approx(error)
    with_sigma = analog_sgd_bound(0.1, 1.0, 0.0, lr, 1.0, peaks)  # planted: the step's sigma for the floor
    assert error > 100 * with_sigma.total


@pytest.mark.parametrize("epsilon", [0.1, 0.3])
@pytest.mark.parametrize("share", [0.7, 1.5, 3.0])
def test_a_solution_that_fits_all_samples_may_be_unstable(share: float, epsilon: float) -> None:
    """Two equations, two unknowns, no noise: Analog SGD leaves w* for epsilon tau where w* is above that.

    With x = (1 + e, e - 1) and (1 - e, -1 - e) and w - w* = y (1, 1), sum g_s is 4 e^2 y and sum |g_s| is
    4 e |y|, in both weights. The condition number is 1/e^2.
    """
    e, rest = epsilon, share * epsilon
    x = torch.tensor([[1 + e, e - 1], [1 - e, -1 - e]], dtype=torch.float64)
    f = Quadratic(x.t() @ x, torch.tensor([rest, rest]), x)
    values = torch.linalg.eigvalsh(f.hessian)
    assert float(values[-1] / values[0]) == pytest.approx(1 / e**2)
    w = f.solution - 1e-3 * rest
    digital, lr = w, 0.2
    for _ in range(6000):
        terms = f.errors(w)[:, None] * x
        w = w - lr * (terms.sum(0) + terms.abs().sum(0) * w)
        digital = digital - lr * f.gradient(digital)
    torch.testing.assert_close(w, torch.full_like(w, min(rest, e)), rtol=1e-3, atol=0)
    torch.testing.assert_close(digital, f.solution, rtol=1e-4, atol=0)
    one = f.solution - 1e-3 * rest
    for _ in range(6000):  # one gradient in a step is exact
        g = f.gradient(one)
        one = one - lr * (g + g.abs() * one)
    torch.testing.assert_close(one, f.solution, rtol=1e-4, atol=0)
