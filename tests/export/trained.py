"""Small trained models whose arrays are exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ohmgrad import AnalogOptimizer, AnalogSGD, Device, Noise, SoftBounds, Spread, convert

__all__ = ["SPREAD", "network", "step", "trained"]

#: elements whose own bounds lie on both sides of the nominal ones
SPREAD = Device(SoftBounds(-0.5, 0.8), 0.005, Spread(dw_min=0.2, w_max=0.2, w_min=0.2), Noise(0.3))


def network() -> nn.Module:
    """Two layers, of one tile and of six, with weights that do not follow torch's generator."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(0.3 * (torch.arange(p.numel()) + number).mul(2.4).sin().view(p.shape))
    return model


def step(model: Any, optimizer: torch.optim.Optimizer, number: int) -> float:
    """One step of least squares on 8 samples, which its number chooses; returns the loss."""
    x = (torch.arange(48.0).view(8, 6) * (0.7 + 0.1 * number)).sin()
    optimizer.zero_grad()
    loss = (model(x) - x[:, :3] * 0.5).square().sum()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def trained(
    device: Device, make: Callable[..., AnalogOptimizer] = AnalogSGD, steps: int = 5, **more: Any
) -> tuple[Any, AnalogOptimizer]:
    """The network on a device after some steps, and its optimizer."""
    model = convert(network(), device, max_tile=(3, 4), seed=3, **more)
    optimizer = make(model.parameters(), lr=0.05)
    for number in range(steps):
        step(model, optimizer, number)
    return model, optimizer
