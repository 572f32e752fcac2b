"""Trajectories per second of the least-squares study of Wu et al. 2024 (S3, Fig. 4) with Analog SGD.

A = N(0,1)/2 of 100 x 40, solution 0.3 N(0,1), f = ||A w - b||^2/100, gradient noise 0.1, lr 0.03, 2,500
full-batch steps, soft bounds with tau 1.0, 1.5, 2.0, 2.5, BL up to 5,000. A trajectory is one run of 40
weights. States are the range over the granularity: 600 of them, as the authors' program has a granularity of
tau/300 on the range [-tau, tau]. aihwkit, if it can be imported, runs the same study beside, as the authors
wrote it: its noise is weight noise of the products, and its update takes the 100 samples one by one, where
ours writes their mean gradient at once.

Before a time is printed the tail of the loss is checked. Pulses add noise to the dynamics: a change dw
is made of |dw|/dw_min coincidences, whose number varies at most as a Poisson number does, by
|dw| dw_min. On a quadratic that raises the loss by at most n E|g| dw_min/4.
"""

from __future__ import annotations

import math
import time

import torch

import ohmgrad as og
from common import machine
from ohmgrad.ensemble import AnalogSGD, Grid, grid
from ohmgrad.theory.problem import Quadratic, least_squares

TAUS, STATES, SIGMA, LR, STEPS, TAIL = [1.0, 1.5, 2.0, 2.5], 600, 0.1, 0.03, 2500, 500
SEEDS = 100


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """A and w*."""
    g = torch.Generator().manual_seed(0)
    return torch.randn(100, 40, generator=g) / 2, 0.3 * torch.randn(40, generator=g)


def runs(f: Quadratic, fidelity: str, seeds: int, steps: int) -> Grid:
    """The study at one fidelity."""
    axes = {"tau": TAUS, "states": STATES, "sigma": SIGMA, "lr": LR}
    pulsing = og.Pulsing(fidelity, max_bl=5000)  # pyright: ignore[reportArgumentType]
    return grid(f, AnalogSGD, axes, seeds=range(seeds), steps=steps, pulsing=pulsing, tail=min(TAIL, steps))


def check(found: Grid, mean: Grid) -> None:
    """The tail of the loss lies between the dynamics' and what granularity adds to it, within 10 %."""
    losses, squares = mean.table("tail_loss"), found.table("tail_squared_gradient")
    for row, base, square in zip(found.table("tail_loss"), losses, squares, strict=True):
        size = math.sqrt(2 / math.pi) * math.sqrt(SIGMA**2 + square["mean"] / 40)  # E|g| of an entry
        high = base["mean"] + 40 * size * 2 * row["tau"] / STATES / 4
        assert 0.9 * base["mean"] < row["mean"] < 1.1 * high, f"{row} is not in {base['mean'], high}"


def peer(a: torch.Tensor, solution: torch.Tensor) -> float | None:
    """Seconds of one trajectory in aihwkit, or None where it is not installed."""
    try:
        from aihwkit.nn import AnalogLinear  # pyright: ignore[reportMissingImports]
        from aihwkit.optim import AnalogSGD as PeerSGD  # pyright: ignore[reportMissingImports]
        from aihwkit.simulator.configs import (  # pyright: ignore[reportMissingImports]
            SingleRPUConfig,
            SoftBoundsDevice,
        )
        from aihwkit.simulator.parameters import (  # pyright: ignore[reportMissingImports]
            IOParameters,
            UpdateParameters,
        )
        from aihwkit.simulator.parameters.enums import (  # pyright: ignore[reportMissingImports]
            BoundManagementType,
            NoiseManagementType,
            WeightNoiseType,
        )
    except ImportError:
        return None
    products = {
        "inp_bound": 10.0, "inp_res": -1.0, "out_bound": 10.0, "out_res": -1.0, "out_noise": 0.0,
        "w_noise": SIGMA / float(torch.linalg.svdvals(a).mean()),
        "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT,
        "noise_management": NoiseManagementType.NONE, "bound_management": BoundManagementType.NONE,
    }  # fmt: skip
    target = (a @ solution).unsqueeze(1)
    took = []
    for tau in TAUS:
        device = SoftBoundsDevice(
            w_min=-tau, w_max=tau, dw_min=2 * tau / STATES, dw_min_dtod=0.0, dw_min_std=0.0,
            up_down_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0,
        )  # fmt: skip
        config = SingleRPUConfig(
            device=device,
            forward=IOParameters(**products),
            backward=IOParameters(**products),
            update=UpdateParameters(desired_bl=5000),
        )
        model = AnalogLinear(40, 1, bias=False, rpu_config=config)
        model.set_weights(torch.zeros(1, 40))
        optimizer = PeerSGD(model.parameters(), lr=LR)
        optimizer.regroup_param_groups(model)
        start, losses = time.perf_counter(), []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(a), target)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        took.append(time.perf_counter() - start)
        assert sum(losses[-TAIL:]) / TAIL < 0.2 * losses[0], "aihwkit's runs did not converge"
    return sum(took) / len(took)


def main() -> None:
    print(f"trajectories of 40 weights, {STEPS} steps\n{machine()}\n")
    a, solution = problem()
    f = least_squares(a, solution).summed()
    other = peer(a, solution)
    if other is not None:
        print(f"aihwkit: {1 / other:.2f} trajectories/s\n")
    print(f"{'fidelity':15} {'runs':>5} {'seconds':>8} {'per second':>11} {'aihwkit':>8} {'wanted/s':>8}")
    mean = runs(f, "mean", SEEDS, STEPS)
    for fidelity, seeds in (("mean", SEEDS), ("pulsed", SEEDS), ("pulse-by-pulse", SEEDS), ("pulsed", 3)):
        runs(f, fidelity, 8, 2)  # compiles
        start = time.perf_counter()
        found = runs(f, fidelity, seeds, STEPS)
        took = time.perf_counter() - start
        if seeds == SEEDS:
            check(found, mean)
        count = seeds * len(TAUS)
        ratio = "-" if other is None else f"{other * count / took:.0f}x"
        target = ">= 55" if fidelity == "pulsed" and seeds == SEEDS else "-"
        print(f"{fidelity:15} {count:5} {took:8.2f} {count / took:11.1f} {ratio:>8} {target:>8}")


if __name__ == "__main__":
    main()
