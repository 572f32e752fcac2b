"""The ensemble engine: a run is a tile, or the plain recursion, whatever runs beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    TikiTaka,
    compiled,
    grid,
    run,
    simulate,
    soft_bounds,
)
from ohmgrad.rng import Key, Purpose, gaussians, words
from ohmgrad.theory.problem import GradientNoise, Logistic, Objective, Quadratic, UserObjective
from tests.cases import CALLABLE_DEVICES
from tests.problems import MEAN, SKEWED, SOFT, Spy, quadratic

# --- a run is a tile -----------------------------------------------------------------------------


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
        assert found.events["W"][t].tolist() == slow.events[1:5].tolist()
        assert found.events["P"][t].tolist() == fast.events[1:5].tolist()
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
@pytest.mark.parametrize(("mixed", "room"), [(False, 1e-6), (True, ERROR)])
def test_mean_fidelity_is_the_recursion(gamma: float, mixed: bool, room: float) -> None:
    """W + dW F(W) - |dW| G(W), to the float32 rounding of the planes; with callables, whose steps come from
    a table, to its error: of steps below 0.1, about ten of which the weights remember."""
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
        torch.testing.assert_close(found.weight[t], w, atol=room, rtol=0)
        torch.testing.assert_close(both.arrays["P"][t], fast, atol=room, rtol=0)
        torch.testing.assert_close(both.arrays["W"][t], slow, atol=room, rtol=0)
        torch.testing.assert_close(both.weight[t], slow + gamma * fast, atol=room, rtol=0)
    assert not found.events["W"].any()


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
    """The one fast path around `Objective`: gradient and loss, for sizes that four divides and not."""
    for n in (1, 3, 4, 7, 40):
        f = quadratic(n, n)
        w = torch.randn(6, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
        gradient, loss = np.empty((6, n)), np.empty(6)
        compiled.quadratic(w.numpy(), f.hessian.contiguous().numpy(), f.solution.numpy(), gradient, loss)
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
