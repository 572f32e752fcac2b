"""Samples in the theory: steps of several terms, noise that the entries of a term share, minibatches.

Simulations start at the solution, not at the prediction, and burn in for at least four relaxation times.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import Device, InputError, Pulsing, SoftBounds, Tile
from ohmgrad.devices import AbstractResponse
from ohmgrad.ensemble import Arrays, Samples
from ohmgrad.theory import (
    GradientNoise,
    Logistic,
    Objective,
    Quadratic,
    UserObjective,
    WeightNoise,
    analog_sgd,
    analog_step,
    digital_sgd,
    digital_step,
    least_squares,
    residual_learning,
    residual_step,
    simulate,
    tiki_taka_rates,
)
from ohmgrad.theory.closure import Stage, _through
from ohmgrad.theory.granularity import Pulses
from ohmgrad.theory.terms import gradient_of
from tests.stats import assert_all_within, z_mean
from tests.theory.test_fixed_points import ALD, SCALAR, assert_agree

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(seed: int, samples: int, unknowns: int, scale: float, loss: float = 1.0) -> Quadratic:
    """Least squares with normal numbers of torch, the solution drawn first; loss: times the mean square."""
    g = torch.Generator().manual_seed(seed)
    solution = scale * torch.randn(unknowns, generator=g)
    return least_squares(loss**0.5 * torch.randn(samples, unknowns, generator=g), solution)


def soft(shift: float, tau: float) -> AbstractResponse:
    return SoftBounds(-tau, tau, up=1 + shift, down=1 - shift)


SMALL = drawn(3, 12, 3, 0.3)


# --- where steps of samples rest -----------------------------------------------------------------


def test_the_floor_of_s1_is_set_by_its_samples() -> None:
    """arXiv 2406.12774, Fig. 1: loss/40 as simulated sample by sample, and with one summed gradient.

    The figures were simulated once on this draw, to the digits given.
    """
    sigma, device = 0.01 / 40**0.5, SoftBounds.symmetric(3.0)
    for seed in (42, 1, 2):
        f = drawn(seed, 100, 40, 0.45)
        limits = [
            float(f.loss(analog_sgd(of, device, noise, 0.1).limit_mean)) / 40
            for of, noise in ((f, WeightNoise(sigma)), (f.summed(), GradientNoise(sigma)))
        ]
        if seed == 42:
            assert limits[0] == pytest.approx(7.15e-6, abs=0.005e-6)
            assert limits[1] == pytest.approx(2.0e-8, abs=0.05e-8)
        # drift over curvature: |sum_s x_s e_s| of 100 independent samples is a tenth of sum_s |x_s e_s|
        # or so, and the loss its square: 100 times, over the spread of the draws
        assert 50 < limits[0] / limits[1] < 1000


def test_one_sample_is_one_gradient() -> None:
    """Of one weight; and summed() forgets the samples."""
    one = Quadratic(torch.eye(1), torch.tensor([0.5]), torch.eye(1))
    for law in ("gaussian", "two-point"):
        noise = GradientNoise(0.5, law)
        pairs = [
            (
                analog_sgd(p, ALD, noise, 0.03, dw_min=0.003),
                residual_learning(p, ALD, noise, 0.03, 0.003, 0.4),
            )
            for p in (one, one.summed())
        ]
        for a, b in zip(*pairs, strict=True):
            assert a.error == pytest.approx(b.error, rel=1e-9)
            assert float(a.mean) == pytest.approx(float(b.mean), rel=1e-9)
            assert float(a.limit_mean) == pytest.approx(float(b.limit_mean), rel=1e-9)
    weight, entry = (analog_sgd(one, ALD, n, 0.03) for n in (WeightNoise(0.5), GradientNoise(0.5)))
    assert weight.error == pytest.approx(entry.error, rel=1e-9)


def test_weight_noise_and_exact_samples_rest_alike_at_every_batch() -> None:
    """The mean over batches is the same sum; noise that is added to each term is not."""
    limits = [analog_sgd(SMALL, ALD, WeightNoise(0.2), 0.003, batch).limit_mean for batch in (None, 5, 1)]
    for limit in limits[1:]:
        torch.testing.assert_close(limit, limits[0], rtol=1e-9, atol=1e-12)
    errors = [analog_sgd(SMALL, ALD, WeightNoise(0.2), 0.003, batch).error for batch in (None, 5, 1)]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize(
    ("noise", "batch"),
    [
        (WeightNoise(0.3), None),
        (GradientNoise(1.0, "two-point"), None),
        (WeightNoise(0.1), 4),
        (GradientNoise(0.5), 3),
    ],
)
def test_analog_sgd_against_its_dynamics(noise: Any, batch: int | None) -> None:
    """200 runs of 3 unknowns, 12 samples, lr 0.02, shifted symmetric point."""
    response = soft(0.1, 1.0)
    expected = analog_sgd(SMALL, response, noise, 0.02, batch)
    start = SMALL.solution.expand(200, 3)
    run = simulate(SMALL, noise, analog_step(response, 0.02), start, 700, batch, burn_in=250, seed=5)
    assert_agree(run, expected)
    of = noise if isinstance(noise, GradientNoise) else GradientNoise(noise.sigma)
    with pytest.raises(AssertionError):  # one gradient in a step
        assert_agree(run, analog_sgd(SMALL.summed(), response, of, 0.02))


@pytest.mark.parametrize("batch", [None, 4])
def test_digital_sgd_against_its_dynamics(batch: int | None) -> None:
    """400 runs. Noise of one term is of rank one: its covariance is no multiple of the identity."""
    noise, start = WeightNoise(0.3), SMALL.solution.expand(400, 3)
    expected = digital_sgd(SMALL, noise, 0.05, batch)
    assert expected.floor == 0
    run = simulate(SMALL, noise, digital_step(0.05), start, 500, batch, burn_in=150, seed=6)
    assert_agree(run, expected)


@pytest.mark.parametrize(
    ("noise", "gamma", "batch"), [(WeightNoise(0.2), 0.0, None), (WeightNoise(0.2), 0.4, 4)]
)
def test_two_arrays_against_their_dynamics(noise: Any, gamma: float, batch: int | None) -> None:
    """150 runs of 3 unknowns, 12 samples, P's symmetric point shifted."""
    rates, fast = (0.03, 0.003), soft(0.05, 1.0)
    expected = residual_learning(SMALL, ALD, noise, *rates, gamma, fast, batch)
    run = simulate(
        SMALL, noise, residual_step(ALD, *rates, fast), expected.limit_mean.expand(150, 3), 2000, batch,
        burn_in=900, gamma=gamma, seed=7,
    )  # fmt: skip
    assert_agree(run, expected)


# --- without noise -------------------------------------------------------------------------------


def test_without_noise_a_shift_beyond_a_threshold_keeps_weights_from_the_solution() -> None:
    """The problem of arXiv 2502.06309, Fig. 2: beyond it the samples' drift is more than their sum balances.

    Losses of Analog SGD were simulated once sample by sample, lr 0.1, 20,000 steps from 1, noise 10^-7.
    """
    f, exact = drawn(42, 100, 50, 0.5, loss=0.5), GradientNoise(0.0)
    for shift, loss in ((0.1, 0.0), (0.12, 0.00257), (0.18, 0.2079)):
        found = analog_sgd(f, soft(shift, 3.5), exact, 0.001)
        assert float(f.loss(found.limit_mean)) == pytest.approx(loss, rel=0.01)
    assert residual_learning(f, soft(0.16, 3.5), exact, 1e-3, 1e-5, 0.4).error < 1e-20
    with pytest.raises(InputError, match="more than their sum can balance"):
        residual_learning(f, soft(0.18, 3.5), exact, 1e-3, 1e-5, 0.4)
    assert residual_learning(f.summed(), soft(0.18, 3.5), exact, 1e-3, 1e-5, 0.4).error < 1e-20


def test_where_analog_sgd_stalls_without_noise_its_dynamics_stall() -> None:
    """One run, deterministic; the solution is a resting point too, but weights are driven away from it."""
    f, response = drawn(2, 12, 6, 0.45), soft(0.35, 1.0)
    f = Quadratic(f.hessian, 0.8 * f.solution / f.solution.abs().max(), f.lines)
    found = analog_sgd(f, response, GradientNoise(0.0), 0.01)
    assert found.limit_error > 1e-3
    assert found.fluctuation == 0
    run = simulate(f, GradientNoise(0.0), analog_step(response, 0.05), torch.zeros(1, 6), 600, burn_in=580)
    assert float(run.loss) == pytest.approx(float(f.loss(found.limit_mean)), rel=0.02)


# --- a step, and its pulses ----------------------------------------------------------------------


def test_a_step_is_that_of_a_tile_pulsed_with_the_batch() -> None:
    """Fidelity mean, to float32: errors taken before, weights moved sample by sample."""
    g = torch.Generator().manual_seed(1)
    x, d, w = (torch.randn(*shape, generator=g) for shape in ((7, 4), (7, 1), (1, 4)))
    tile = Tile((0.3 * w).clone(), Device(soft(0.2, 2.0), dw_min=0.001), pulsing=Pulsing("mean"))
    tile.pulse(x, -d, 0.1)
    w, terms = 0.3 * w.double(), (d * x).double()[None]
    moved, _ = analog_step(soft(0.2, 2.0), 0.1)(w, w, terms)
    torch.testing.assert_close(tile.weight.detach().double(), moved, rtol=0, atol=2e-6)
    at_once = w - 0.1 * terms.sum(1) - 0.1 * terms.abs().sum(1) * soft(0.2, 2.0).G(w)
    assert float((tile.weight - at_once).abs().max()) > 1e-3  # moved in between


def covariance(sample: Tensor, expected: Tensor, slack: float) -> Tensor:
    """z of all second moments of a sample (R, n) about its expected mean 0, less a slack of the largest."""
    n = sample.shape[1]
    products = torch.stack([sample[:, i] * sample[:, j] - expected[i, j] for i in range(n) for j in range(n)])
    error = products.std(1) / len(sample) ** 0.5
    room = slack * expected.diagonal().max()
    return (products.mean(1).abs() - room).clamp(min=0) / error


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_the_covariance_of_a_step_is_that_of_its_samples(sigma: float, batch: int | None) -> None:
    """40,000 steps at fixed weights, 5 samples of 3 unknowns; lr so small that weights hardly move within."""
    f, response, runs, lr = drawn(4, 5, 3, 0.3), soft(0.2, 1.0), 40_000, 1e-5
    w = (f.solution + torch.tensor([0.2, -0.1, 0.15])).double()
    terms = gradient_of(f, WeightNoise(sigma), batch, torch.eye(3, dtype=torch.float64))
    zero = torch.zeros(3, 3, dtype=torch.float64)
    change, _, added = _through(Stage(slice(0, 3), terms, response, lr), w, zero, zero)
    moved: list[Tensor] = []
    step = analog_step(response, lr)

    def keep(w: Tensor, p: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        moved.append(step(w, p, g)[0] - w)
        return w, p

    simulate(f, WeightNoise(sigma), keep, w.expand(runs, 3), 1, batch, seed=8)
    rest = (moved[0] - change) / lr
    if sigma == 0 and batch is None:
        assert float(rest.abs().max()) < 1e-3
        assert float(added.abs().max()) < 1e-20
        return
    assert_all_within(z_mean(rest.t(), 0, floor=1e-3))
    assert_all_within(covariance(rest, added / lr**2, slack=1e-3))
    assert float(covariance(rest, torch.diag(added.diagonal()) / lr**2, slack=1e-3).max()) > 10


@pytest.mark.parametrize("lr", [0.01, 0.002])
def test_pulses_of_a_batch_add_what_is_derived(lr: float) -> None:
    """An update of 10,000 arrays at the same weights by 4 samples of 3 unknowns, with the same errors: at
    most 3 pulses a sample, and less than one."""
    f, response, dw_min, runs = drawn(4, 4, 3, 0.3), soft(0.1, 1.0), 0.01, 10_000
    w = (0.5 * f.solution + torch.tensor([0.4, -0.3, 0.2])).double()
    terms = gradient_of(f, WeightNoise(0.0), None, torch.eye(3, dtype=torch.float64))
    zero = torch.zeros(3, 3, dtype=torch.float64)
    stage = Stage(slice(0, 3), terms, response, lr, pulses=Pulses(dw_min))
    _, _, added = _through(stage, w, zero, zero)
    assert f.lines is not None
    device = Device(response, dw_min)
    arrays = Arrays([device] * runs, 3, range(runs), pulsing=Pulsing(), start=w.expand(runs, 3))
    arrays.pulse(Samples(f.lines, f.errors(w).expand(runs, -1)), -lr)
    sample = arrays.weight - w
    # weights move within an update by about its size, and F, G with it
    size = float((lr * f.errors(w)[:, None] * f.lines).abs().sum(0).max())
    rest = sample - sample.mean(0)
    assert_all_within(covariance(rest, added, slack=3 * size))
    if lr == 0.002:  # less than a pulse: the d-line fires seldom, for all entries at once
        assert float(covariance(rest, torch.diag(added.diagonal()), slack=3 * size).max()) > 5


# --- objectives, and what is refused -------------------------------------------------------------


def test_the_errors_of_an_objective_make_its_gradient() -> None:
    g = torch.Generator().manual_seed(2)
    logistic = Logistic(torch.randn(9, 3, generator=g), torch.randn(9, generator=g).sign())
    w = torch.randn(4, 3, generator=g, dtype=torch.float64)
    for f in (logistic, SMALL):
        assert f.lines is not None
        torch.testing.assert_close(f.errors(w) @ f.lines, f.gradient(w))
    plain: list[Objective] = [Logistic(torch.ones(2, 3), torch.ones(2), 0.1), SMALL.summed()]
    for f in (*plain, UserObjective(lambda w: w.square().sum(), 3)):
        assert f.lines is None
        assert f.samples == 1
        with pytest.raises(InputError, match="no samples"):
            f.errors(w)


def test_noise_and_batches_that_do_not_fit_are_refused() -> None:
    for call in (
        lambda noise, batch: analog_sgd(SCALAR, ALD, noise, 0.03, batch),
        lambda noise, batch: digital_sgd(SCALAR, noise, 0.03, batch),
        lambda noise, batch: tiki_taka_rates(SCALAR, ALD, noise, 0.01, None, batch),
        lambda noise, batch: simulate(SCALAR, noise, analog_step(ALD, 0.1), torch.zeros(2, 1), 5, batch),
    ):
        with pytest.raises(InputError, match="weight noise needs an objective with samples"):
            call(WeightNoise(0.1), None)
        with pytest.raises(InputError, match="a batch needs an objective with samples"):
            call(GradientNoise(0.1), 1)
    for batch in (0, 13, 2.5):
        with pytest.raises(InputError, match=r"batch is .* integer"):
            analog_sgd(SMALL, ALD, WeightNoise(0.1), 0.03, batch)  # pyright: ignore[reportArgumentType]


def test_rates_of_tiki_taka_meet_an_error_with_samples() -> None:
    found = tiki_taka_rates(SMALL, ALD, WeightNoise(0.2), 3e-4, None, 6)
    assert found.prediction.error == pytest.approx(3e-4, rel=2e-3)
    whole = tiki_taka_rates(SMALL, ALD, WeightNoise(0.2), 3e-4)
    assert found.fast_lr < whole.fast_lr  # a batch is noisier
