"""Objectives with samples in the ensemble engine: a step pulses sample by sample, as a tile does."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import Pulsing, Tile
from ohmgrad.devices import ConstantStep, Device, LinearStep, SoftBounds
from ohmgrad.devices.table import ERROR
from ohmgrad.ensemble import (
    AnalogSGD,
    Digital,
    ResidualLearning,
    Samples,
    TikiTaka,
    compiled,
    run,
    simulate,
    soft_bounds,
    summed,
)
from ohmgrad.rng import Key, Purpose, gaussians, words
from ohmgrad.theory import Quadratic
from ohmgrad.theory.problem import GradientNoise, WeightNoise
from tests.cases import CALLABLE_DEVICES
from tests.problems import MEAN, SKEWED, SOFT, Spy, sampled
from tests.stats import Z, assert_all_within, assert_mean, assert_normal

ONE = torch.ones(1, 1)


def noise_of(seed: int, step: int, samples: int, n: int) -> Tensor:
    """Standard normal noise of every entry of every sample."""
    return gaussians(n, torch.arange(samples), step, Purpose.GRADIENT_NOISE, Key(seed, 0))


# --- a run is a tile -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*max_bl")  # as a tile clips, too
@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("device", [SOFT, SKEWED], ids=["alike", "spread"])
def test_residual_learning_is_two_tiles(device: Device, batch: int | None) -> None:
    """P is pulsed with the samples; the transfer to W is one update, with the row that P has then."""
    f, spy = sampled(9, 12), Spy(ResidualLearning(0.1, 0.02, 0.4))
    found = simulate(
        f, spy, seeds=[4, 9], steps=30, device=device, noise=WeightNoise(0.1), batch=batch, start=0.1
    )
    for t, seed in enumerate((4, 9)):
        slow = Tile(torch.full((1, 9), 0.1), device, seed=seed)
        fast = slow.sibling(1)
        slow.companions = [(0.4, fast)]
        for k in range(30):
            torch.testing.assert_close(slow.backward(ONE)[0].double(), spy.weights[k][t], atol=1e-7, rtol=0)
            terms = spy.gradients[k]
            lines = terms.lines if batch is None else terms.lines[t]
            fast.pulse(lines, terms.errors[t].unsqueeze(1), -0.1)
            slow.pulse(fast.backward(ONE), ONE, 0.02)
        assert torch.equal(slow.weight[0].double(), found.arrays["W"][t])
        assert torch.equal(fast.weight[0].double(), found.arrays["P"][t])
        assert found.events["W"][t].tolist() == slow.events[1:5].tolist()
        assert found.events["P"][t].tolist() == fast.events[1:5].tolist()


# --- mean fidelity is the recursion --------------------------------------------------------------

PLAIN = [
    soft_bounds(0.6),
    Device(SoftBounds(-0.5, 0.8, up=1.2, down=0.9), 0.01),
    Device(LinearStep(-0.6, 0.5, slope_up=-0.4, slope_down=0.7, up=1.1), 0.01),
    Device(ConstantStep(-0.6, 0.6), 0.01),
    CALLABLE_DEVICES[0].device,
]


def moved(device: Device, w: Tensor, dw: Tensor) -> Tensor:
    r = device.response
    return (w + dw * r.F(w) - dw.abs() * r.G(w)).clamp(r.w_min, r.w_max)


def drawn(seed: int, step: int, samples: int, batch: int | None) -> list[int]:
    """The samples of a step, drawn one after the other: each with the share still wanted of those left."""
    if batch is None:
        return list(range(samples))
    kept: list[int] = []
    for s, word in enumerate(words(samples, 0, step, Purpose.MINIBATCH, Key(seed, 0)).tolist()):
        if word * (samples - s) < (batch - len(kept)) << 32:
            kept.append(s)
    return kept


@pytest.mark.parametrize("batch", [None, 5])
@pytest.mark.parametrize(
    "noise", [None, WeightNoise(0.2), GradientNoise(0.3)], ids=["quiet", "rank1", "dense"]
)
@pytest.mark.parametrize(("mixed", "room"), [(False, 1e-6), (True, ERROR)])
def test_mean_fidelity_is_the_recursion(mixed: bool, room: float, noise: Any, batch: int | None) -> None:
    """A plain loop over steps and samples, with the equations' residuals and the noise written out; to the
    float32 rounding of the planes, with callables to the error of their tables."""
    f, devices, steps = sampled(6, 8), PLAIN if mixed else PLAIN[:4], 12
    assert f.lines is not None
    lr = torch.linspace(0.05, 0.2, len(devices))
    settings: dict[str, Any] = {
        "seeds": range(len(devices)), "steps": steps, "noise": noise, "batch": batch, "start": 0.1,
    }  # fmt: skip
    found = simulate(f, AnalogSGD(lr), device=devices, pulsing=MEAN, **settings)
    both = simulate(f, ResidualLearning(lr, lr / 5, 0.3), device=devices, pulsing=MEAN, **settings)
    digital = simulate(f, Digital(lr), **settings)

    def terms(w: Tensor, seed: int, step: int) -> list[Tensor]:
        kept = drawn(seed, step, 8, batch)
        out = []
        for s in kept:
            x = f.lines[s]  # pyright: ignore[reportOptionalSubscript]
            error = x @ (w - f.solution)
            if isinstance(noise, WeightNoise):
                error += 0.2 * x.norm() * gaussians(8, 0, step, Purpose.GRADIENT_NOISE, Key(seed, 0))[s]
            term = error * x * 8 / len(kept)
            if isinstance(noise, GradientNoise):
                term += 0.3 / math.sqrt(len(kept)) * noise_of(seed, step, 8, 6)[s]
            out.append(term)
        return out

    for t, device in enumerate(devices):
        rate, w = float(lr[t]), torch.full((6,), 0.1, dtype=torch.float64)
        slow, fast, plain = w.clone(), torch.zeros_like(w), w.clone()
        for k in range(steps):
            for term in terms(w, t, k):
                w = moved(device, w, -rate * term)
            for term in terms(slow + 0.3 * fast, t, k):
                fast = moved(device, fast, -rate * term)
            slow = moved(device, slow, rate / 5 * fast)
            plain = plain - rate * sum(terms(plain, t, k))
        torch.testing.assert_close(found.weight[t], w, atol=room, rtol=0)
        torch.testing.assert_close(both.arrays["P"][t], fast, atol=room, rtol=0)
        torch.testing.assert_close(both.arrays["W"][t], slow, atol=room, rtol=0)
        torch.testing.assert_close(digital.weight[t], plain, atol=1e-6, rtol=0)


def test_samples_drift_where_their_sum_does_not() -> None:
    """Four equations w/2 = w*/2 with weight noise: the mean rests where
    m = -E|m + sigma z| w/tau, as with one sample, though the noise of the sum is only sigma/2.

    1,500 chains, alpha = 0.03, tau = 1, sigma = 1. Slack: E|m + sigma z| is convex in the fluctuating m,
    whose variance is at most alpha sigma^2/8 (four samples, each a quarter), at most (1/2) sqrt(2/pi)/sigma
    of it; and 1e-4 for what is left of the start.
    """
    f = Quadratic(torch.eye(1), torch.tensor([0.5]), torch.full((4, 1), 0.5))
    law = GradientNoise(1.0)
    low, high = 0.0, 0.5
    for _ in range(60):
        w = (low + high) / 2
        drift = 0.5 - w - float(law.mean_abs(torch.tensor(w - 0.5))) * w
        low, high = (w, high) if drift > 0 else (low, w)
    found = simulate(
        f, AnalogSGD(0.03), seeds=range(1500), steps=300, device=soft_bounds(1.0), start=low, pulsing=MEAN,
        noise=WeightNoise(1.0), tail=150,
    )  # fmt: skip
    slack = 0.03 / 8 / 2 * math.sqrt(2 / math.pi) * low + 1e-4
    assert_mean(found.tail_weight[:, 0], low, slack)
    one = simulate(
        f.summed(), AnalogSGD(0.03), seeds=range(1500), steps=300, device=soft_bounds(1.0), start=low,
        pulsing=MEAN, noise=GradientNoise(0.5), tail=150,
    )  # fmt: skip
    gap = one.tail_weight[:, 0] - low
    assert float(gap.mean()) > 0.05 + Z * float(gap.std()) / math.sqrt(1500)


# --- noise and minibatches -----------------------------------------------------------------------


def test_weight_noise_is_addressed_by_seed_step_and_sample() -> None:
    """errors + sigma ||x_s|| z, the same for all algorithms and fidelities, in whole batches and drawn ones;
    z is standard normal: 40 seeds x 3 steps x 12 samples."""
    f, seeds, sigmas = sampled(5, 12), [*range(40), 3], [0.1] * 40 + [0.4]
    assert f.lines is not None
    noises = [WeightNoise(s) for s in sigmas]
    norm = f.lines.norm(dim=1)
    spies = [Spy(Digital(0.0)), Spy(AnalogSGD(1e-9)), Spy(TikiTaka(1e-9, 1e-9)), Spy(Digital(0.0))]
    pulsings = (None, MEAN, Pulsing(), None)
    for spy, pulsing, batch in zip(spies, pulsings, (None, None, None, 5), strict=True):
        simulate(f, spy, seeds=seeds, steps=3, noise=noises, device=SOFT, pulsing=pulsing, batch=batch)
    found = []
    for k in range(3):
        for t, (seed, sigma) in enumerate(zip(seeds, sigmas, strict=True)):
            z = gaussians(12, 0, k, Purpose.GRADIENT_NOISE, Key(seed, 0))
            errors = f.errors(torch.zeros(5, dtype=torch.float64)) + sigma * norm * z
            for spy in spies[:3]:
                torch.testing.assert_close(spy.gradients[k].errors[t], errors, atol=1e-5, rtol=0)
            kept = drawn(seed, k, 12, 5)
            torch.testing.assert_close(
                spies[3].gradients[k].errors[t], 12 / 5 * errors[kept], atol=1e-5, rtol=0
            )
            assert torch.equal(spies[3].gradients[k].lines[t], f.lines[kept])
        clean = f.errors(spies[0].weights[k])
        found.append(((spies[0].gradients[k].errors - clean) / (0.1 * norm))[:40])
    assert_normal(torch.stack(found))


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
def test_gradient_noise_of_samples_adds_up_to_sigma(law: Any) -> None:
    """Of each of 16 terms sigma/4 an entry, independent: their sum has sigma. 300 seeds x 6 entries."""
    f, spy = sampled(6, 16), Spy(Digital(0.0))
    assert f.lines is not None
    simulate(f, spy, seeds=range(300), steps=1, noise=GradientNoise(0.2, law))
    terms = spy.gradients[0]
    mean = f.errors(spy.weights[0][:1]).unsqueeze(2) * f.lines
    noise = terms.lines * terms.errors.unsqueeze(2) - mean
    if law == "two-point":
        torch.testing.assert_close(noise.abs(), torch.full_like(noise, 0.05), atol=1e-6, rtol=0)
    total = (summed(terms) - f.gradient(spy.weights[0])) / 0.2
    assert_mean(total, 0.0)
    assert_mean(total.square(), 1.0)
    assert_mean(noise[:, :-1] * noise[:, 1:], 0.0)


@pytest.mark.parametrize(("samples", "batch"), [(5, 2), (7, 1), (6, 5), (4, 4)])
def test_minibatches_are_uniform(samples: int, batch: int) -> None:
    """Every set of `batch` of the samples is as likely: 500 seeds x 40 steps; and no more likely after the
    set of the step before."""
    sets = {c: i for i, c in enumerate(itertools.combinations(range(samples), batch))}
    seed, number = np.arange(500, dtype=np.uint32), np.empty((500, batch), np.int64)
    found = []
    for step in range(40):
        compiled.draw_batch(number, samples, seed, step)
        found.append([sets[tuple(row)] for row in number.tolist()])
        assert number[7].tolist() == drawn(7, step, samples, batch)
    trials, share = 20_000, 1 / len(sets)
    count = np.bincount(np.ravel(found), minlength=len(sets))
    error = math.sqrt(trials * share * (1 - share)) or 1.0
    assert_all_within((count - trials * share) / error)
    same = int((np.array(found[1:]) == np.array(found[:-1])).sum())
    error = math.sqrt(19_500 * share * (1 - share)) or 1.0
    assert abs(same - 19_500 * share) <= Z * error


@pytest.mark.parametrize("noise", [None, WeightNoise(0.1), GradientNoise(0.1)])
def test_a_batch_of_all_samples_is_the_full_batch(noise: Any) -> None:
    settings: dict[str, Any] = {"seeds": [1, 2], "steps": 20, "device": SOFT, "noise": noise}
    whole, drawn_anew = (simulate(sampled(5, 9), AnalogSGD(0.05), batch=b, **settings) for b in (None, 9))
    part = simulate(sampled(5, 9), AnalogSGD(0.05), batch=8, **settings)
    assert torch.equal(whole.weight, drawn_anew.weight)
    assert not torch.equal(whole.weight, part.weight)


# --- what a run must not depend on ---------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*max_bl")
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("weight_noise", [True, False], ids=["rank1", "dense"])
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("fidelity", ["mean", "pulsed", "pulse-by-pulse"])
def test_a_run_does_not_depend_on_the_others(
    fidelity: Any, batch: int | None, weight_noise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, among 30, on one thread or three, and in small blocks: the same to the bit."""
    devices = [SKEWED if t % 3 else soft_bounds(0.5 + 0.01 * t, 100) for t in range(30)]
    kind = WeightNoise if weight_noise else GradientNoise
    noises: list[Any] = [kind(0.1 + 0.01 * t) for t in range(30)]
    lr = torch.linspace(0.01, 0.1, 30)

    def result(part: slice) -> Any:
        return simulate(
            sampled(9, 10), TikiTaka(lr[part], lr[part] / 3), seeds=[t % 20 for t in range(30)][part],
            steps=15, device=devices[part], noise=noises[part], pulsing=Pulsing(fidelity, 100), batch=batch,
        )  # fmt: skip

    torch.set_num_threads(1)
    found = [result(slice(None))]
    torch.set_num_threads(3)
    found.append(result(slice(None)))
    monkeypatch.setattr(run, "LARGE", 4)
    found.append(result(slice(None)))
    for name in ("weight", "loss", "tail_squared_gradient", "mean_squared_gradient"):
        whole = getattr(found[0], name)
        assert all(torch.equal(getattr(other, name), whole) for other in found[1:]), name
        for t in (0, 1, 23):
            assert torch.equal(getattr(result(slice(t, t + 1)), name)[0], whole[t]), name
    assert torch.equal(found[0].events["P"], found[2].events["P"])


@pytest.mark.parametrize(("n", "samples"), [(1, 3), (4, 5), (7, 1), (40, 100)])
def test_the_kernels_are_the_objective(n: int, samples: int) -> None:
    f = sampled(n, max(samples, n), n)
    assert f.lines is not None
    w = torch.randn(6, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    errors, total = torch.empty(6, len(f.lines), dtype=torch.float64), torch.empty_like(w)
    compiled.errors(w.numpy(), f.solution.numpy(), f.lines.numpy(), errors.numpy())
    torch.testing.assert_close(errors, f.errors(w), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(summed(Samples(f.lines, errors)), f.gradient(w), rtol=1e-11, atol=1e-11)
    compiled.sum_samples(f.lines.expand(6, -1, -1).contiguous().numpy(), errors.numpy(), total.numpy())
    torch.testing.assert_close(total, f.gradient(w), rtol=1e-11, atol=1e-11)


def test_samples_of_too_many_pulses_are_counted() -> None:
    """Sample by sample, from the errors that passed; one run with none and one with all above max_bl."""
    f, lr = sampled(5, 9), torch.tensor([1e-4, 0.1, 0.3, 900.0]) * SOFT.dw_min * 100
    assert f.lines is not None
    spy = Spy(AnalogSGD(lr))
    with pytest.warns(UserWarning, match=r"of the updates of W in run 3 .* Pulsing\(max_bl="):
        found = simulate(
            f, spy, seeds=range(4), steps=40, device=SOFT, noise=WeightNoise(0.3), pulsing=Pulsing(max_bl=15)
        )
    errors = torch.stack([terms.errors for terms in spy.gradients]).abs()  # (K, T, m)
    need = lr.double().unsqueeze(1) * errors * f.lines.abs().amax(1) / SOFT.dw_min
    assert torch.equal(found.clipped["W"], (need > 15).double().mean((0, 2)))
    assert 0 == found.clipped["W"][0] < found.clipped["W"][2] < found.clipped["W"][3]
