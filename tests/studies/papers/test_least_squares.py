"""What the studies on least squares rest on: their layer, their transfer, and when two arrays stall."""

from __future__ import annotations

import pytest
import torch

from ohmgrad import Pulsing
from ohmgrad.crossbar import Tile
from ohmgrad.devices import Device, SoftBounds
from ohmgrad.ensemble import ResidualLearning, grid, simulate
from ohmgrad.kernels.periphery import Periphery
from ohmgrad.studies.papers.least_squares import problem
from ohmgrad.studies.papers.one_layer import digital_start, train
from ohmgrad.studies.papers.wu_2025_s1 import TRANSFER_BL, ByColumns


def shifted(shift: float) -> Device:
    return Device(SoftBounds(-1.0, 1.0, up=1 + shift, down=1 - shift), 1e-4)


@pytest.mark.filterwarnings("ignore:.*more pulses than max_bl")
def test_columns_are_written_as_tiles_write_them() -> None:
    """Bit for bit in P; the errors of the samples are rounded once, from float64, in both."""
    f, device = problem(100, 50, 1.0, 0.1, half=True), shifted(0.2)
    assert f.lines is not None
    found = simulate(
        f, ByColumns(0.3, 0.2, 0.4), seeds=[3], steps=5, device=device, start=0.5, pulsing=Pulsing(max_bl=8)
    )
    w = Tile(torch.full((1, 50), 0.5), device, pulsing=Pulsing(max_bl=TRANSFER_BL), seed=3, array=0)
    p = Tile((1, 50), device, pulsing=Pulsing(max_bl=8), seed=3, array=1)
    for _ in range(5):
        errors = f.errors(w.weight.double() + 0.4 * p.weight.double())
        p.pulse(f.lines.float(), errors.t().float(), -0.3)
        w.pulse(torch.eye(50), p.weight.t(), 0.2)
    assert torch.equal(found.weight, w.weight.double() + 0.4 * p.weight.double())


def test_a_layer_starts_where_it_is_told_and_stays_at_the_solution() -> None:
    f = problem(100, 50, 1.0, 0.1, half=True)
    assert f.lines is not None
    inputs, solution = (100**0.5 * f.lines).float(), f.solution.float().unsqueeze(0)
    targets, device = inputs @ solution.t() + 0.1, Device(SoftBounds.symmetric(1.0), 1e-4)

    def run(weight: torch.Tensor, bias: float, lr: float) -> list[float]:
        start, pulsing = (weight, bias), Pulsing(max_bl=400)
        return train(inputs, targets, start, device, pulsing, Periphery(), lr=lr, steps=20, seed=1).tolist()

    assert max(run(solution, 0.1, 0.1)) < 1e-10
    far = run(solution, 1000.1, 0.2)
    assert far[0] == pytest.approx(1e6, rel=1e-4)
    assert far[20] < far[10] < far[0] / 10


def test_a_warm_start_is_torchs() -> None:
    inputs, targets = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)), torch.ones(20, 1)
    layer = torch.nn.Linear(5, 1)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(layer(inputs), targets).backward()
        optimizer.step()
    weight, bias = digital_start(inputs, targets, 0.1, 3)
    assert weight.flatten().tolist() == pytest.approx(layer.weight.flatten().tolist(), abs=1e-6)
    assert bias == pytest.approx(layer.bias.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("batch", "exact"), [("summed", (True, True)), (None, (True, False)), (1, (True, False))]
)
def test_residual_learning_without_noise_at_a_shifted_point(
    batch: str | int | None, exact: tuple[bool, bool]
) -> None:
    """Exact at any shift with one gradient; with samples, all in a step or one, only at a small shift."""
    f = problem(40, 20, 1.0, 0.3, half=True)
    found = grid(
        f.summed() if batch == "summed" else f,
        ResidualLearning,
        {"shift": [0.1, 0.3], "fast_lr": 0.05, "transfer_lr": 0.02, "gamma": 0.4},
        device=shifted,
        batch=1 if batch == 1 else None,
        seeds=[0],
        steps=4000,
        pulsing=Pulsing("mean"),
        tail=100,
    )
    start = float(f.loss(torch.zeros(20, dtype=torch.float64)))
    left = (found.values("tail_loss")[:, 0] / start).tolist()
    for share, holds in zip(left, exact, strict=True):
        assert share < 1e-3 if holds else share > 0.1
