"""The ensemble engine: a run is a tile, or the plain recursion; statistics and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cases import CALLABLE_DEVICES, DEVICES
from ohmgrad import InputError, Pulsing, Tile
from ohmgrad.devices import ConstantStep, Custom, Device, LinearStep, Noise, SoftBounds, Spread
from ohmgrad.ensemble import (
    AnalogSGD,
    Arrays,
    Digital,
    ResidualLearning,
    TikiTaka,
    grid,
    interval,
    kernels,
    run,
    simulate,
    soft_bounds,
)
from ohmgrad.rng import Key, Purpose, gaussians, words
from ohmgrad.theory.problem import GradientNoise, Logistic, Objective, Quadratic, UserObjective
from stats import Z, assert_mean, assert_share

ALL = [case.device for case in DEVICES]
SKEWED = Device(SoftBounds(-0.5, 0.8, up=1.2, down=0.9), 0.004, Spread(dw_min=0.3, w_max=0.2), Noise(0.3))
SOFT = soft_bounds(0.8, 200)
MEAN = Pulsing("mean")


def quadratic(n: int, seed: int = 0) -> Quadratic:
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(3 * n, n, generator=g, dtype=torch.float64)
    return Quadratic(a.t() @ a / (3 * n), 0.2 * torch.randn(n, generator=g))


@dataclass
class Spy:
    """An algorithm that keeps what passes through another."""

    algorithm: Any
    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    states: list[Mapping[str, Any]] = field(default_factory=list)
    tops: list[dict[str, Tensor]] = field(default_factory=list)

    def init(self, runs: Any) -> Mapping[str, Any]:
        self.states.append(self.algorithm.init(runs))
        return self.states[-1]

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        self.weights.append(self.algorithm.weight(state).clone())
        self.tops.append({k: v.weight.clone() for k, v in state.items() if isinstance(v, Arrays)})
        return self.algorithm.weight(state)

    def step(self, state: Mapping[str, Any], gradient: Tensor) -> None:
        self.gradients.append(gradient.clone())
        self.algorithm.step(state, gradient)


# --- a run is a tile -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 13, 65])
@pytest.mark.parametrize(
    "pulsing",
    [Pulsing(), Pulsing(max_bl=5000), Pulsing("pulsed", 33, False, False), Pulsing("pulse-by-pulse", 100)],
    ids=["BL31", "BL5000", "unmanaged", "by-pulse"],
)
def test_a_run_is_a_tile(n: int, pulsing: Pulsing) -> None:
    """To the bit, with every family, spread, noise and granularity in one batch; a share of the lines
    silent, wanted changes from 0 to 60 pulses."""
    g, size = torch.Generator().manual_seed(n), len(ALL)
    seeds = [7 * t % 50 for t in range(size)]
    start = 0.8 * torch.rand(size, n, generator=g) - 0.4
    arrays = Arrays(ALL, n, seeds, array=3, pulsing=pulsing, start=start)
    tiles = [
        Tile(start[t : t + 1].clone(), device, pulsing=pulsing, seed=seeds[t], array=3, backend="numba")
        for t, device in enumerate(ALL)
    ]
    for _ in range(4):
        x = torch.randn(size, n, generator=g) * (torch.rand(size, n, generator=g) < 0.7)
        lr = torch.tensor([d.dw_min for d in ALL]) * torch.randn(size, generator=g)
        lr = (lr * 10 ** (2 * torch.rand(size, generator=g) - 1)).double()
        arrays.pulse(x, lr)
        for t, tile in enumerate(tiles):
            tile.pulse(x[t : t + 1], torch.ones(1, 1), float(lr[t]))
    arrays.zero_shift(1)
    for tile in tiles:
        tile.zero_shift(1)
    assert torch.equal(arrays.w, torch.cat([tile.weight for tile in tiles]))
    assert arrays.events.tolist() == [tile.events[1:5] for tile in tiles]
    pulses = arrays.events[:, :2].sum(1)
    assert int(pulses.max()) > 10 * n
    assert int((pulses > 2 * n).sum()) > size / 2  # more than those of the zero-shift
    assert arrays.updates == tiles[0].count("updates")


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse"])
def test_callables_are_tiles_too(fidelity: Any) -> None:
    devices = [case.device for case in CALLABLE_DEVICES] + [SKEWED]
    arrays = Arrays(devices, 6, [1, 2, 3], pulsing=Pulsing(fidelity), start=torch.zeros(3, 6))
    tiles = [Tile((1, 6), d, pulsing=Pulsing(fidelity), seed=s) for s, d in enumerate(devices, 1)]
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    arrays.pulse(x, 0.05)
    arrays.zero_shift(2)
    for t, tile in enumerate(tiles):
        tile.pulse(x[t : t + 1], torch.ones(1, 1), 0.05)
        tile.zero_shift(2)
    assert torch.equal(arrays.w, torch.cat([tile.weight for tile in tiles]))
    assert arrays.events.tolist() == [tile.events[1:5] for tile in tiles]


@pytest.mark.filterwarnings("ignore:.*max_bl")  # as a tile clips, too
@pytest.mark.parametrize("gamma", [0.0, 0.4])
@pytest.mark.parametrize("device", [SOFT, SKEWED], ids=["alike", "spread"])
def test_residual_learning_is_two_tiles(device: Device, gamma: float) -> None:
    """P is the sibling of W; its row is read by a backward product and written by a parallel update."""
    spy = Spy(ResidualLearning(0.1, 0.02, gamma))
    found = simulate(
        quadratic(9), spy, seeds=[4, 9], steps=30, device=device, noise=GradientNoise(0.3), start=0.1
    )
    one = torch.ones(1, 1)
    for t, seed in enumerate((4, 9)):
        slow = Tile(torch.full((1, 9), 0.1), device, seed=seed)
        fast = slow.sibling(1)
        slow.companions = [(gamma, fast)]
        for k in range(30):
            torch.testing.assert_close(slow.backward(one)[0].double(), spy.weights[k][t], atol=1e-7, rtol=0)
            fast.pulse(spy.gradients[k][t : t + 1], one, -0.1)
            slow.pulse(fast.backward(one), one, 0.02)
        assert torch.equal(slow.weight[0].double(), found.arrays["W"][t])
        assert torch.equal(fast.weight[0].double(), found.arrays["P"][t])
        assert found.events["W"][t].tolist() == slow.events[1:5]
        assert found.events["P"][t].tolist() == fast.events[1:5]
    total = sum(e[:, 0] + e[:, 1] for e in found.events.values())
    assert torch.equal(found.pulses, torch.as_tensor(total))


def test_tiki_taka_is_residual_learning_without_gamma() -> None:
    ends = [
        simulate(quadratic(5), a, seeds=range(3), steps=20, device=SOFT, noise=GradientNoise(0.3)).weight
        for a in (TikiTaka(0.1, 0.05), ResidualLearning(0.1, 0.05), ResidualLearning(0.1, 0.05, 0.3))
    ]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


# --- mean fidelity is the recursion --------------------------------------------------------------


def moved(device: Device, w: Tensor, dw: Tensor) -> Tensor:
    r = device.response
    return (w + dw * r.F(w) - dw.abs() * r.G(w)).clamp(r.w_min, r.w_max)


PLAIN = [
    soft_bounds(0.6),
    Device(SoftBounds(-0.5, 0.8, up=1.2, down=0.9), 0.01),
    Device(LinearStep(-0.6, 0.5, slope_up=-0.4, slope_down=0.7, up=1.1), 0.01),
    Device(ConstantStep(-0.6, 0.6), 0.01),
    CALLABLE_DEVICES[0].device,
]


@pytest.mark.parametrize("gamma", [0.0, 0.3])
@pytest.mark.parametrize("mixed", [False, True])
def test_mean_fidelity_is_the_recursion(gamma: float, mixed: bool) -> None:
    """W + dW F(W) - |dW| G(W), to the float32 rounding of the planes; with and without callables."""
    devices = PLAIN if mixed else PLAIN[:4]
    lr = torch.linspace(0.05, 0.2, len(devices))
    settings: dict[str, Any] = {
        "seeds": range(len(devices)), "steps": 50, "device": devices, "noise": GradientNoise(0.4),
        "pulsing": MEAN, "start": 0.1,
    }  # fmt: skip
    sgd = Spy(AnalogSGD(lr))
    rl = Spy(ResidualLearning(lr, lr / 5, gamma))
    found = simulate(quadratic(7), sgd, **settings)
    both = simulate(quadratic(7), rl, **settings)
    for t, device in enumerate(devices):
        rate, w = float(lr[t]), torch.full((7,), 0.1, dtype=torch.float64)
        slow, fast = w.clone(), torch.zeros_like(w)
        for k in range(50):
            w = moved(device, w, -rate * sgd.gradients[k][t])
            fast = moved(device, fast, -rate * rl.gradients[k][t])
            slow = moved(device, slow, rate / 5 * fast)
        torch.testing.assert_close(found.weight[t], w, atol=1e-6, rtol=0)
        torch.testing.assert_close(both.arrays["P"][t], fast, atol=1e-6, rtol=0)
        torch.testing.assert_close(both.arrays["W"][t], slow, atol=1e-6, rtol=0)
        torch.testing.assert_close(both.weight[t], slow + gamma * fast, atol=1e-6, rtol=0)
    assert not found.events["W"].any()


def test_mean_fidelity_is_the_tile_with_spread() -> None:
    devices = [SKEWED, Device(SoftBounds.symmetric(0.6), 0.01, Spread(dw_min=0.3, w_max=0.3))]
    start = torch.full((2, 11), 0.2)
    arrays = Arrays(devices, 11, [5, 6], pulsing=MEAN, start=start)
    x = torch.randn(2, 11, generator=torch.Generator().manual_seed(3))
    arrays.pulse(x, torch.tensor([0.1, -0.2]))
    arrays.zero_shift(3)
    for t, lr in enumerate((0.1, -0.2)):
        tile = Tile(start[t : t + 1].clone(), devices[t], pulsing=MEAN, seed=5 + t, backend="reference")
        tile.pulse(x[t : t + 1], torch.ones(1, 1), lr)
        tile.zero_shift(3)
        torch.testing.assert_close(arrays.w[t].float(), tile.weight[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            arrays.symmetric_point()[t].float(), tile.elements.symmetric_point()[0], atol=1e-6, rtol=0
        )


def test_a_constant_step_is_digital_sgd() -> None:
    ideal = Device(ConstantStep(-5, 5), 0.01)
    ends = [
        simulate(
            quadratic(6), a, seeds=range(4), steps=40, device=ideal, noise=GradientNoise(0.2), pulsing=MEAN
        )
        for a in (Digital(0.1), AnalogSGD(0.1))
    ]
    torch.testing.assert_close(ends[0].weight, ends[1].weight, atol=1e-6, rtol=0)
    assert ends[0].events == {}
    assert not ends[0].pulses.any()


@pytest.mark.parametrize("name", ["logistic", "user"])
def test_other_objectives(name: str) -> None:
    """Digital steps without noise follow the gradient that autograd takes of the plain formula."""
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(30, 4, generator=g).double(), torch.randint(0, 2, (30,), generator=g) * 2.0 - 1
    formulas: dict[str, Callable[[Tensor], Tensor]] = {
        "logistic": lambda w: torch.log1p(torch.exp(-y * (x @ w))).mean() + 0.05 * (w @ w),
        "user": lambda w: (w**4).sum() / 4 - w.sum(),
    }
    objectives: dict[str, Objective] = {
        "logistic": Logistic(x, y, ridge=0.1),
        "user": UserObjective(formulas["user"], 4),
    }
    found = simulate(objectives[name], Digital(0.3), seeds=[0, 1], steps=5, start=0.2, record=1)
    w = torch.full((4,), 0.2, dtype=torch.float64, requires_grad=True)
    for k in range(6):
        loss = formulas[name](w)
        (gradient,) = torch.autograd.grad(loss, w)
        assert float(found.loss[1, k]) == pytest.approx(float(loss.detach()), rel=1e-10)
        assert float(found.squared_gradient[1, k]) == pytest.approx(float(gradient @ gradient), rel=1e-10)
        w = (w - 0.3 * gradient).detach().requires_grad_()
    analog = simulate(objectives[name], AnalogSGD(0.1), seeds=[0], steps=300, device=soft_bounds(2.0))
    assert float(analog.tail_loss) < float(analog.loss[0, 0])


# --- noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["gaussian", "two-point"])
def test_noise_is_addressed_by_seed_and_step(law: Any) -> None:
    """That of `ohmgrad.rng`, scaled by each run's sigma; the same for all algorithms and fidelities."""
    seeds, sigmas, n = [3, 8, 3, 11], [0.1, 0.2, 0.4, 0.0], 10
    flat = Quadratic(1e-9 * torch.eye(n), torch.zeros(n))
    noises = [GradientNoise(s, law) for s in sigmas]
    spies = [Spy(Digital(0.0)), Spy(AnalogSGD(1e-3)), Spy(AnalogSGD(1e-3)), Spy(TikiTaka(1e-3, 1e-3))]
    for spy, pulsing in zip(spies, (MEAN, MEAN, Pulsing(), Pulsing()), strict=True):
        simulate(flat, spy, seeds=seeds, steps=3, noise=noises, device=SOFT, pulsing=pulsing)
    for k in range(3):
        for t, (seed, sigma) in enumerate(zip(seeds, sigmas, strict=True)):
            key = Key(seed, 0)
            z = gaussians(n, 0, k, Purpose.GRADIENT_NOISE, key)
            if law == "two-point":
                z = 1 - 2 * (words(n, 0, k, Purpose.GRADIENT_NOISE, key) >= 2**31).double()
            for spy in spies:
                torch.testing.assert_close(spy.gradients[k][t], sigma * z, atol=2e-6, rtol=0)


def test_laws_may_differ_between_runs() -> None:
    noises = [GradientNoise(0.5, "two-point"), GradientNoise(0.5)]
    spy = Spy(Digital(0.0))
    simulate(Quadratic(torch.eye(40), torch.zeros(40)), spy, seeds=[1, 1], steps=2, noise=noises)
    assert torch.equal(spy.gradients[0][0].abs(), torch.full((40,), 0.5, dtype=torch.float64))
    assert len(spy.gradients[0][1].abs().unique()) == 40


# --- what a run must not depend on ---------------------------------------------------------------


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("fidelity", ["mean", "pulsed", "pulse-by-pulse"])
def test_a_run_does_not_depend_on_the_others(fidelity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, among 50, on one thread or three, and in small blocks: the same to the bit."""
    devices = [SKEWED if t % 3 else soft_bounds(0.5 + 0.01 * t, 100) for t in range(50)]
    noises = [GradientNoise(0.1 + 0.01 * t, "two-point" if t % 2 else "gaussian") for t in range(50)]
    lr, start = torch.linspace(0.01, 0.1, 50), torch.linspace(-0.3, 0.3, 50).unsqueeze(1).expand(50, 9)

    def result(part: slice) -> Any:
        return simulate(
            quadratic(9), TikiTaka(lr[part], lr[part] / 3), seeds=list(range(100, 150))[part], steps=40,
            device=devices[part], noise=noises[part], start=start[part], pulsing=Pulsing(fidelity, 100),
        )  # fmt: skip

    torch.set_num_threads(1)
    found = [result(slice(None))]
    torch.set_num_threads(3)
    found.append(result(slice(None)))
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(run, "LARGE", 4)
    found.append(result(slice(None)))
    for name in ("weight", "loss", "tail_squared_gradient", "tail_weight", "mean_squared_gradient"):
        whole = getattr(found[0], name)
        assert all(torch.equal(getattr(other, name), whole) for other in found[1:]), name
        for t in (0, 1, 33):
            assert torch.equal(getattr(result(slice(t, t + 1)), name)[0], whole[t]), name
    for name in ("W", "P"):
        assert torch.equal(found[0].events[name], found[2].events[name])
        assert torch.equal(found[0].saturation[name], found[1].saturation[name])


def test_the_kernel_is_the_objective() -> None:
    """The one fast road around `Objective`: gradient and loss, for sizes that four divides and not."""
    for n in (1, 3, 4, 7, 40):
        f = quadratic(n, n)
        w = torch.randn(6, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
        gradient, loss = np.empty((6, n)), np.empty(6)
        kernels.quadratic(w.numpy(), f.hessian.contiguous().numpy(), f.solution.numpy(), gradient, loss)
        torch.testing.assert_close(torch.from_numpy(gradient), f.gradient(w), rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(torch.from_numpy(loss), f.loss(w), rtol=1e-11, atol=1e-11)


# --- what is measured ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*max_bl")
@pytest.mark.parametrize("device", [SOFT, SKEWED], ids=["alike", "spread"])
def test_measures_are_what_they_say(device: Device) -> None:
    f, steps, tail = quadratic(5), 23, 6
    spy = Spy(ResidualLearning(0.2, 0.1, 0.5))
    found = simulate(
        f, spy, seeds=range(3), steps=steps, device=device, noise=GradientNoise(0.3), tail=tail,
        record=[7, 2],
    )  # fmt: skip
    w = torch.stack(spy.weights[: steps + 1])  # (K+1, T, n)
    loss, square = f.loss(w), f.gradient(w).square().sum(-1)
    assert found.steps.tolist() == [0, 2, 7, 23]
    torch.testing.assert_close(found.loss, loss[found.steps].t())
    torch.testing.assert_close(found.squared_gradient, square[found.steps].t())
    torch.testing.assert_close(found.tail_loss, loss[-tail:].mean(0))
    torch.testing.assert_close(found.tail_squared_gradient, square[-tail:].mean(0))
    torch.testing.assert_close(found.tail_weight, w[-tail:].mean(0))
    torch.testing.assert_close(found.tail_peak, w[-tail:].abs().amax(-1).mean(0))
    torch.testing.assert_close(found.mean_squared_gradient, square[:-1].mean(0))
    assert torch.equal(found.weight, w[-1])
    for name in ("W", "P"):
        low, high = spy.states[0][name].bounds
        a = torch.stack([top[name] for top in spy.tops[:steps]])
        r = torch.maximum(a / low, a / high).amax(-1)
        torch.testing.assert_close(found.peak[name], r.amax(0), rtol=1e-6, atol=0)
        s = (r**2 / (1 - r**2)).mean(0)
        torch.testing.assert_close(found.saturation[name], s, rtol=1e-5, atol=0)
        if device is SOFT:  # symmetric bounds: r = max|w|/tau
            torch.testing.assert_close(r, a.abs().amax(-1) / 0.8, rtol=1e-6, atol=0)


def test_saturation_at_a_bound_is_infinite() -> None:
    f = Quadratic(torch.eye(1), torch.ones(1))
    found = simulate(f, AnalogSGD(0.1), seeds=[0], steps=100, device=Device(ConstantStep(-0.3, 0.3), 0.01))
    assert math.isinf(float(found.saturation["W"]))
    assert float(found.peak["W"]) == pytest.approx(1.0)


def test_pulses_are_counted() -> None:
    """Constant noiseless steps: the weights tell how many pulses they had, up less down."""
    device = Device(ConstantStep(-4, 4), 2.0**-9)
    found = simulate(quadratic(12), AnalogSGD(0.05), seeds=range(20), steps=30, device=device,
                     noise=GradientNoise(0.3))  # fmt: skip
    up, down = found.events["W"][:, 0], found.events["W"][:, 1]
    torch.testing.assert_close(found.weight.sum(1) * 2**9, (up - down).double(), atol=0.1, rtol=0)
    assert bool((found.pulses == up + down).all())
    assert bool((found.pulses > 0).all())


@pytest.mark.parametrize("device", [SOFT, CALLABLE_DEVICES[0].device], ids=["kernel", "callable"])
def test_steps_of_too_many_pulses_are_counted_and_told(device: Device) -> None:
    """Rates from none to all of the steps above max_bl, counted from the gradients that passed."""
    lr, spy = torch.tensor([0.01, 0.1, 0.3, 2.0]) * device.dw_min * 100, Spy(AnalogSGD(0.0))
    spy.algorithm = AnalogSGD(lr)
    settings: dict[str, Any] = {"seeds": range(4), "steps": 40, "device": device, "noise": GradientNoise(0.3)}
    with pytest.warns(UserWarning, match=r"100% of the updates of W in run 3 .* Pulsing\(max_bl=") as told:
        found = simulate(quadratic(5), spy, **settings, pulsing=Pulsing(max_bl=15))
    assert len(told) == 1
    need = lr * torch.stack(spy.gradients).abs().amax(-1) / device.dw_min  # (K, T)
    assert torch.equal(found.clipped["W"], (need > 15).double().mean(0))
    assert 0 == found.clipped["W"][0] < found.clipped["W"][2] < found.clipped["W"][3]


@pytest.mark.filterwarnings("error")
def test_enough_slots_and_mean_fidelity_are_not_told_of() -> None:
    settings: dict[str, Any] = {"seeds": range(3), "steps": 20, "device": SOFT, "noise": GradientNoise(0.3)}
    for pulsing in (Pulsing(max_bl=5000), MEAN):
        found = simulate(quadratic(5), TikiTaka(0.5, 0.5), **settings, pulsing=pulsing)
        assert not found.clipped["W"].any()
        assert not found.clipped["P"].any()
    grid(quadratic(5), Digital, {"lr": 0.1}, seeds=[0], steps=3, device=None)


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    simulate(quadratic(3), Digital(0.1), seeds=range(100), steps=500, progress=lambda *a: seen.append(a))
    done = [k for k, _ in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][1]
    assert 90 <= len(done) <= 110


# --- closed forms --------------------------------------------------------------------------------

SCALAR = Quadratic(torch.eye(1), torch.tensor([0.5]))


def scalar(
    algorithm: Any, fidelity: Any, sigma: float, law: Any, start: float, steps: int, chains: int
) -> Any:
    return simulate(
        SCALAR, algorithm, seeds=range(chains), steps=steps, device=soft_bounds(1.0, 2000), start=start,
        noise=GradientNoise(sigma, law), pulsing=Pulsing(fidelity, 100), tail=steps // 2,
    )  # fmt: skip


@pytest.mark.parametrize("law", ["two-point", "gaussian"])
@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("fidelity", ["mean", "pulsed"])
def test_analog_sgd_rests_at_its_biased_fixed_point(fidelity: str, sigma: float, law: Any) -> None:
    """w*/(1 + sigma/tau) for two-point noise, where |g| = sigma + s (w - w*) makes the mean recursion
    linear and exact for every alpha; for Gaussian noise the root of m + E|m + sigma z| (w* + m)/tau.

    1,500 chains, alpha = 0.03, tau = 1. Slack: n pulses move a soft bound by |dw| (1 - |dw|/2 tau), which
    moves the root by alpha E g^2 |w|/(2 tau^2) to first order in alpha (twice that is allowed); with
    Gaussian noise E|m + sigma z| is convex in the fluctuating m, of variance alpha sigma^2/2, at most
    (1/2) sqrt(2/pi)/sigma of it.
    """
    alpha, chains = 0.03, 1500
    noise = GradientNoise(sigma, law)
    low, high = 0.0, 0.5
    for _ in range(60):
        w = (low + high) / 2
        drift = 0.5 - w - float(noise.mean_abs(torch.tensor(w - 0.5))) * w
        low, high = (w, high) if drift > 0 else (low, w)
    if law == "two-point":
        assert low == pytest.approx(0.5 / (1 + sigma), abs=1e-7)
    found = scalar(AnalogSGD(alpha), fidelity, sigma, law, low, 300, chains)
    slack = 0.0 if fidelity == "mean" else alpha * (sigma**2 + (0.5 - low) ** 2) * low
    slack += 1e-6 if law == "two-point" else alpha * sigma / 4 * math.sqrt(2 / math.pi) * low + 1e-4
    assert_mean(found.tail_weight[:, 0], low, slack)
    assert_mean(found.weight[:, 0], low, slack)
    # and the floor: the squared gradient is that of the bias, and the variance on top
    floor = (0.5 - low) ** 2
    square = found.tail_squared_gradient
    error = float(square.std()) / math.sqrt(chains)
    assert float(square.mean()) + Z * error > floor * 0.98
    assert float(square.mean()) - Z * error < floor * 1.02 + alpha * sigma**2 / 2


@pytest.mark.parametrize("fidelity", ["mean", "pulsed"])
@pytest.mark.parametrize(("alpha", "within"), [(0.1, 0.12), (0.03, 0.12)])
def test_tiki_taka_leaves_a_bias_of_root_alpha(fidelity: str, alpha: float, within: float) -> None:
    """Bias -(sigma w*/tau^2) sqrt(2/pi) sqrt(alpha sigma tau/2), to leading order in alpha (within 12 %
    here), and a squared gradient far below the floor of Analog SGD. 600 chains, beta = alpha/10."""
    sigma = 0.3
    found = scalar(TikiTaka(alpha, alpha / 10), fidelity, sigma, "two-point", 0.5, int(40 / alpha), 600)
    bias = -sigma * 0.5 * math.sqrt(2 / math.pi) * math.sqrt(alpha * sigma / 2)
    assert_mean(found.tail_weight[:, 0] - 0.5, bias, within * abs(bias))
    assert float(found.tail_squared_gradient.mean()) < 0.2 * (0.5 * sigma / (1 + sigma)) ** 2


# --- grids and statistics ------------------------------------------------------------------------


def test_a_grid_is_its_configurations() -> None:
    """Each configuration of the product, run by itself, and the numbers of its row."""
    axes = {"tau": [0.8, 1.2], "sigma": [0.1, 0.3], "lr": 0.1, "start": [0.0, 0.2], "states": 100}
    found = grid(quadratic(4), AnalogSGD, axes, seeds=range(6), steps=20, tail=4)
    assert len(found.configurations) == 8
    rows = found.table("tail_loss")
    for c, (configuration, row) in enumerate(zip(found.configurations, rows, strict=True)):
        alone = simulate(
            quadratic(4), AnalogSGD(0.1), seeds=range(6), steps=20, tail=4, start=configuration["start"],
            device=soft_bounds(configuration["tau"], 100), noise=GradientNoise(configuration["sigma"]),
        )  # fmt: skip
        assert torch.equal(found.values("tail_loss")[c], alone.tail_loss)
        assert torch.equal(found.by_configuration(found.result.loss)[c], alone.loss)
        values = alone.tail_loss.numpy()
        assert row["mean"] == pytest.approx(values.mean())
        assert [row[f"q{q:02}"] for q in (5, 25, 50, 75, 95)] == pytest.approx(
            np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
        )
        half = 2.570582 * values.std(ddof=1) / math.sqrt(6)  # Student's t, 5 degrees of freedom
        assert (row["low"], row["high"]) == pytest.approx((values.mean() - half, values.mean() + half))
        assert {name: row[name] for name in axes} == configuration
    for quantity in ("pulses", "saturation.W", "peak.W", "clipped.W", "tail_peak", "mean_squared_gradient"):
        assert found.values(quantity).shape == (8, 6)


def test_a_grid_takes_any_device_and_algorithm() -> None:
    def shifted(up_down: float, dw_min: float = 0.01) -> Device:
        return Device(SoftBounds.symmetric(1.0), dw_min, Spread(up_down_mean=up_down))

    axes = {"up_down": [0.0, 0.3], "fast_lr": 0.05, "transfer_lr": [0.01, 0.02], "gamma": 0.4, "sigma": 0.2}
    found = grid(quadratic(4), ResidualLearning, axes, seeds=[1, 2], steps=20, device=shifted)
    alone = simulate(
        quadratic(4), ResidualLearning(0.05, 0.02, 0.4), seeds=[1, 2], steps=20, device=shifted(0.3),
        noise=GradientNoise(0.2),
    )  # fmt: skip
    assert torch.equal(found.by_configuration(found.result.weight)[3], alone.weight)
    digital = grid(quadratic(4), Digital, {"lr": [0.01, 0.1]}, seeds=[1], steps=20, device=None)
    assert math.isnan(digital.table("tail_loss")[0]["low"])
    assert digital.result.loss[0, -1] > digital.result.loss[1, -1]


def covers(estimate: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
    """95 % of 20,000 intervals of five standard normal values hold the true mean."""
    z = gaussians(5, torch.arange(20_000), 0, 1, Key(1, 2))
    _, low, high = estimate(z)
    assert_share(int(((low <= 0) & (high >= 0)).sum()), 20_000, 0.95)


def test_intervals_cover() -> None:
    covers(interval)


def test_a_normal_quantile_for_students_is_found() -> None:
    """The planted bug: 1.96 standard errors cover only 88 % with five values."""

    def wrong(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, half = values.mean(-1), 1.96 * values.std(-1) / math.sqrt(values.shape[-1])
        return mean, mean - half, mean + half

    with pytest.raises(AssertionError, match=r"no share of 0\.95"):
        covers(wrong)


# --- wrong input ---------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds are empty"),
        ({"seeds": [0, -1]}, "seed is -1"),
        ({"seeds": [0, 1.5]}, "seed is 1.5"),
        ({"seeds": 3}, r"seeds is 3, but must be .* such as range\(100\)"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": True}, "steps is True"),
        ({"tail": 11}, r"tail is 11, but must be an integer in \[1, 10\]"),
        ({"tail": 0}, "tail is 0"),
        ({"record": 0}, "record is 0"),
        ({"record": 1.5}, "record is 1.5"),
        ({"record": True}, "record is True"),
        ({"record": [11]}, "step 11 cannot be recorded"),
        ({"record": [1.5]}, "step 1.5 cannot be recorded"),
        ({"device": None}, "these runs have no device"),
        ({"device": [SOFT]}, "1 values of device for 2 seeds"),
        ({"device": "soft"}, "device is 'soft', but must be a Device"),
        ({"noise": 0.1}, "noise is 0.1, but must be a GradientNoise"),
        ({"noise": [GradientNoise(0.1)] * 3}, "3 values of noise for 2 seeds"),
        ({"start": torch.zeros(3)}, r"start is \(3,\), but must be a number, \(5,\) or \(2, 5\)"),
        ({"start": "zero"}, "start is 'zero', but must be a number"),
        ({"start": NAN}, "start has a value that is not finite"),
        ({"start": 0.9}, r"start 0.9 of run 0 is outside its device's range \[-0.8, 0.8\]"),
        ({"algorithm": AnalogSGD(-0.1)}, "lr is -0.1"),
        ({"algorithm": AnalogSGD(NAN)}, "lr is nan"),
        ({"algorithm": AnalogSGD(torch.ones(3))}, r"lr is \(3,\), but must be a number or of \(2,\)"),
        ({"algorithm": AnalogSGD("fast")}, "lr is 'fast', but must be a number"),  # pyright: ignore
        ({"algorithm": AnalogSGD}, "but must be an instance with its rates"),
        ({"algorithm": TikiTaka(-1, 0.1)}, "fast_lr is -1.0"),
        ({"algorithm": TikiTaka(0.1, -1)}, "transfer_lr is -1.0"),
        ({"algorithm": ResidualLearning(0.1, 0.1, math.inf)}, "gamma is inf"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"algorithm": AnalogSGD(0.1), "seeds": [0, 1], "steps": 10, "device": SOFT}
    settings |= change
    with pytest.raises(InputError, match=message):
        simulate(quadratic(5), settings.pop("algorithm"), **settings)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"lr": 0.1, "tau": 1.0, "sigm": 0.1}, "unknown axis 'sigm': did you mean 'sigma'"),
        ({"lr": 0.1}, "no value of 'tau'"),
        ({"tau": 1.0}, "no value of 'lr'"),
        ({"lr": [], "tau": 1.0}, "axis 'lr' has no values"),
        ({"lr": 0.1, "tau": 1.0, "sigma": -1.0}, "sigma is -1.0"),
        ({"lr": 0.1, "tau": 0.0}, "tau is 0.0"),
        ({"lr": 0.1, "tau": 1.0, "states": 0}, "states is 0"),
        ({"lr": "fast", "tau": 1.0}, "axis 'lr' has the value 'fast', but must hold numbers"),
        ({"lr": 0.1, "tau": 1.0, "sigma": None}, "axis 'sigma' has the value None, but must hold numbers"),
        ({"lr": torch.ones(2, 2), "tau": 1.0}, r"axis 'lr' is \(2, 2\), but must be one-dimensional"),
        ({"lr": 0.1, "tau": 1.0, "start": [[0.1, 0.2]]}, r"start is \[0.1, 0.2\], but must be a number or"),
    ],
)
def test_wrong_grids_are_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid(quadratic(5), AnalogSGD, axes, seeds=[0], steps=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 3}, "seeds is 3"),
        ({"seeds": []}, "seeds are empty"),
        ({"algorithm": AnalogSGD(0.1)}, "but must be a class, such as AnalogSGD"),
        ({"device": SOFT}, "device is of type Device, but must be a function"),
        ({"device": lambda **k: SOFT}, r"device takes \*\*k, but must name its parameters"),
        ({"objective": Quadratic}, "objective is the class Quadratic, but must be an Objective"),
    ],
)
def test_wrong_arguments_of_grids_are_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"objective": quadratic(5), "algorithm": AnalogSGD, "seeds": [0], "steps": 3}
    given |= {"axes": {"lr": 0.1, "tau": 1.0, "start": 0.1}, **change}
    with pytest.raises(InputError, match=message):
        grid(**given)


def test_arrays_are_axes_and_seeds() -> None:
    listed: dict[str, Any] = {"tau": [1.0, 2.0], "lr": [0.0625, 0.03125], "start": [0.0, 0.25]}
    made: dict[str, Any] = {"tau": np.array([1.0, 2.0]), "lr": torch.tensor([0.0625, 0.03125]),
                            "start": torch.tensor([0.0, 0.25])}  # fmt: skip
    one = grid(quadratic(5), AnalogSGD, listed, seeds=[3, 4], steps=9)
    two = grid(quadratic(5), AnalogSGD, made, seeds=np.array([3, 4]), steps=9)  # pyright: ignore
    assert one.configurations == two.configurations
    assert one.seeds == two.seeds
    assert torch.equal(one.result.weight, two.result.weight)


def test_unknown_quantities_are_refused() -> None:
    found = grid(quadratic(5), AnalogSGD, {"lr": 0.1, "tau": 1.0}, seeds=[0, 1], steps=3)
    for name in ("tail_los", "saturation.P", "tail_weight", "loss"):
        with pytest.raises(InputError, match="unknown quantity"):
            found.table(name)


def test_arrays_refuse_what_does_not_fit() -> None:
    arrays = Arrays([SOFT, SKEWED], 3, [0, 1], pulsing=Pulsing(), start=torch.zeros(2, 3))
    before = arrays.w.clone()
    x = torch.ones(2, 3)
    x[1, 2] = NAN
    for lines, lr, message in (
        (torch.ones(3, 2), 0.1, r"x is \(3, 2\), but these arrays need \(2, 3\)"),
        (x, 0.1, "x has the value nan in run 1"),
        (torch.ones(2, 3), math.inf, "lr has the value inf in run 0"),
    ):
        with pytest.raises(InputError, match=message):
            arrays.pulse(lines, lr)
    assert torch.equal(arrays.w, before)
    assert (arrays.updates, int(arrays.events.sum())) == (0, 0)
    for n in (-1, 1.5):
        with pytest.raises(InputError, match=f"number of pulse pairs is {n}"):
            arrays.zero_shift(n)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="role is 300"):
        simulate(quadratic(3), Spy(_WrongRole()), seeds=[0], steps=1, device=SOFT)


class _WrongRole(AnalogSGD):
    def __init__(self) -> None:
        super().__init__(0.1)

    def init(self, runs: Any) -> Mapping[str, Any]:
        return {"W": runs.array(300)}


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 3])
def test_a_run_that_diverges_is_told(count: int) -> None:
    torch.set_num_threads(count)
    steep = UserObjective(lambda w: (w**4).sum(), 2)
    with pytest.raises(InputError, match="diverged"):
        simulate(steep, Digital(torch.linspace(0, 9, 60)), seeds=range(60), steps=60, start=1.0)
    with pytest.raises(InputError, match="diverged"):
        simulate(
            UserObjective(lambda w: (w**4).sum() / 0, 2), AnalogSGD(1.0), seeds=range(60), steps=60,
            device=SOFT, start=0.1,
        )  # fmt: skip
    assert torch.get_num_threads() == count


def test_an_objective_of_wrong_shape_is_told() -> None:
    class Wrong(Objective):
        n = 3

        def loss(self, w: Tensor) -> Tensor:
            return w.sum(-1)

        def gradient(self, w: Tensor) -> Tensor:
            return w.sum(-1)

    with pytest.raises(InputError, match="the objective gave"):
        simulate(Wrong(), Digital(0.1), seeds=[0], steps=1)
    for function, got in ((lambda w: w**2, r"\(3,\)"), (lambda w: 1.0, "float")):
        own = UserObjective(function, 3)  # pyright: ignore[reportArgumentType]
        message = f"function gave {got} for weights of .3,., but must give a scalar"
        with pytest.raises(InputError, match=message):
            simulate(own, Digital(0.1), seeds=[0], steps=1)
        with pytest.raises(InputError, match=message):
            own.gradient(torch.zeros(2, 3))


def test_custom_and_affine_agree_at_mean_fidelity() -> None:
    own = Device(Custom(lambda w: 1 - w / 0.6, lambda w: 1 + w / 0.6, -0.6, 0.6), 0.001)
    ends = [
        simulate(
            quadratic(5), TikiTaka(0.1, 0.02), seeds=range(4), steps=50, device=d, pulsing=MEAN,
            noise=GradientNoise(0.3),
        ).weight
        for d in (own, soft_bounds(0.6))
    ]  # fmt: skip
    torch.testing.assert_close(ends[0], ends[1], atol=1e-6, rtol=0)
