"""Laws of what an algorithm does to weights: by pulses only, within bounds, to the optimum, exactly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..devices import ConstantStep, Device, SoftBounds, Spread
from ..theory import GradientNoise, Quadratic, analog_sgd
from .report import Finding, found
from .stats import Z
from .training import DEVICE, LR, Make, arrays, layer_of, network, optimizer_of, step

__all__ = ["EXACT", "EXACT_RATES", "SHIFTED", "bounds", "exact", "exact_shifted", "pulses_only", "quadratic"]

#: devices of the exactness laws, and the learning rates
EXACT = Device(SoftBounds.symmetric(1.0), 0.002)
SHIFTED = Device(SoftBounds.symmetric(1.0), 0.002, Spread(symmetric_point=0.0, symmetric_point_mean=0.3))
EXACT_RATES = (0.1, 0.025)


def pulses_only(make: Make) -> Finding:
    """Analog weights change by pulses only: in every step at most as many elements as pulses were counted.

    Up to 400 steps of a network, until both layers have moved; for all arrays, also those beside the tiles.
    """
    model = network()
    optimizer = optimizer_of(make, model.parameters())
    tiles = [model[0].tiles[0], model[2].tiles[0]]
    extra, moved, number = 0, [False, False], 0
    while number < 20 or (not all(moved) and number < 400):
        before = {id(t): (t.weight.clone(), _pulses(t)) for t in arrays(optimizer)}
        step(model, optimizer, number)
        for tile in arrays(optimizer):
            weight, count = before.get(id(tile), (torch.zeros(tile.shape), 0))
            changed = int((tile.weight != weight).sum())
            extra = max(extra, changed - (_pulses(tile) - count))
        moved = [a or not torch.equal(t.weight, before[id(t)][0]) for a, t in zip(moved, tiles, strict=True)]
        number += 1
    still = moved.count(False)
    return found(
        extra <= 0 and not still,
        f"{max(extra, 0)} elements moved without a pulse; {still} of 2 layers never moved",
        "0; 0",
        f"changed elements of every array against its pulses up and down, {number} steps",
    )


def bounds(make: Make) -> Finding:
    """No weight of any array leaves its element's bounds, however hard it is pushed.

    Constant gradients, ten times the range of a weight in each step, 60 steps up and 60 down.
    """
    layer = layer_of(DEVICE, 5, 7)
    optimizer = optimizer_of(make, layer.parameters())
    past, finite, far = 0.0, True, 0.0
    for i in range(120):
        optimizer.zero_grad()
        (layer(torch.ones(4, 7)) * (3.0 / LR if i < 60 else -3.0 / LR)).sum().backward()
        optimizer.step()
        for tile in arrays(optimizer):
            w, e = tile.weight, tile.elements
            finite &= bool(torch.isfinite(w).all())
            past = max(past, float((w - e.clip(w)).abs().max()))
            far = max(far, float((w / torch.where(w > 0, e.upper, e.lower)).max()))
    ok = finite and past == 0 and far > 0.1
    measured = f"{past:.2g} past a bound, pushed to {far:.2f} of the range"
    return found(
        ok, measured if finite else "weights that are not finite", "0, over 0.1", "all arrays, 120 steps"
    )


def quadratic(make: Make) -> Finding:
    """Without asymmetry (G = 0, F = 1, mean dynamics) a quadratic is solved: weights settle at its solution.

    f = ||W - W*||^2 / 2 with 3 x 2 weights, no noise, lr 0.1. Two arrays without a leak swing round the
    solution for ever, so the average with Hann's window over the last two thirds is compared, within a
    hundredth of the largest solution plus two steps; 1500 steps, and up to 12,000 while that
    helps by a fifth.
    """
    device = Device(ConstantStep(-1, 1), 5e-4)
    layer = layer_of(device, 3, 2, "mean")
    solution = torch.tensor([[0.5, -0.4], [-0.3, 0.2], [0.1, -0.5]])
    optimizer, x, tile = optimizer_of(make, layer.parameters(), 0.1), torch.eye(2), layer.tiles[0]
    seen: list[Tensor] = []
    gap, top = math.inf, 0.005 + 2 * device.dw_min
    for steps in (1500, 3000, 6000, 12000):
        while len(seen) < steps:
            optimizer.zero_grad()
            ((layer(x) - solution.t()).square().sum() / 2).backward()
            optimizer.step()
            seen.append(tile.effective_weight().clone())
        window = torch.hann_window(2 * steps // 3, dtype=torch.float64).view(-1, 1, 1)
        mean = (torch.stack(seen[-len(window) :]) * window).sum(0) / window.sum()
        last, gap = gap, float((mean - solution).abs().max())
        if gap <= top or gap > 0.8 * last:
            break
    return found(
        gap <= top, f"{gap:.2g}", f"{top:.2g}", f"average weights against the solution, {len(seen)} steps"
    )


def exact(make: Make) -> Finding:
    """On a noisy quadratic an asymmetric device does no harm: the error falls with the step size.

    f = (w - 0.5)^2 / 2, 128 runs side by side, gradient noise +-1, asymmetric linear device with tau = 1 and
    1000 states. Over the second half of 60/lr steps, E(w - w*)^2 at lr = 0.025 is below a quarter of what
    `ohmgrad.theory` gives as Analog SGD's floor, and below 0.6 times the error at lr = 0.1 (or below a
    fiftieth of the floor); each by 4.5 standard errors over the runs. Theorem 4 of Wu et al. 2024 (arXiv
    v1 of 2406.12774) promises a fall in proportion, if all rates of the algorithm follow `lr`.
    """
    return _exact(make, EXACT, 0.5)


def exact_shifted(make: Make) -> Finding:
    """As `exact`, with the symmetric point of every array at 0.3 and the solution at -0.3."""
    return _exact(make, SHIFTED, -0.3)


def _exact(make: Make, device: Device, solution: float) -> Finding:
    problem = Quadratic(torch.eye(1), torch.tensor([solution]))
    noise = GradientNoise(1.0, "two-point")
    floor = analog_sgd(problem, device.nominal.response, noise, EXACT_RATES[-1]).limit_error
    errors, s_e = zip(*(_error(make, device, solution, lr) for lr in EXACT_RATES), strict=True)
    below = errors[1] + Z * s_e[1] <= floor / 4
    falls = errors[1] + Z * math.hypot(s_e[1], 0.6 * s_e[0]) <= 0.6 * errors[0] or errors[1] <= floor / 50
    return found(
        below and falls,
        f"{errors[0]:.2g} at lr {EXACT_RATES[0]}, {errors[1]:.2g} at lr {EXACT_RATES[1]}",
        f"{floor / 4:.2g} (floor {floor:.2g}) and a fall to 0.6",
        f"E(w - w*)^2, 128 runs; standard error {s_e[1]:.1g}",
    )


def _error(make: Make, device: Device, solution: float, lr: float) -> tuple[float, float]:
    """Mean square distance from the solution over 128 runs, and its standard error."""
    runs, steps = 128, round(60 / lr)
    layer = layer_of(device, runs, 1, max_bl=127)
    optimizer = optimizer_of(make, layer.parameters(), lr)
    signs = torch.randint(0, 2, (steps, runs), generator=torch.Generator().manual_seed(5)) * 2.0 - 1
    total, one = torch.zeros(runs, dtype=torch.float64), torch.ones(1, 1)
    for i in range(steps):
        optimizer.zero_grad()
        y = layer(one)
        ((y - solution).square() / 2 + signs[i] * y).sum().backward()
        optimizer.step()
        if 2 * i >= steps:
            total += (y.detach()[0].double() - solution).square()
    mean = total / (steps - math.ceil(steps / 2))
    return float(mean.mean()), float(mean.std()) / math.sqrt(runs)


def _pulses(tile: object) -> int:
    return tile.count("pulses_up") + tile.count("pulses_down")  # pyright: ignore
