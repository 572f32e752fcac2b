"""One analog layer that learns least squares as networks are trained: by its optimizer, with a bias."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...devices import Device
from ...kernels import Periphery, Pulsing
from ...nn import AnalogLinear
from ...optim import AnalogSGD

__all__ = ["digital_start", "train"]


def train(
    inputs: Tensor,
    targets: Tensor,
    start: tuple[Tensor, float],
    device: Device,
    pulsing: Pulsing,
    periphery: Periphery,
    *,
    lr: float,
    steps: int,
    seed: int,
) -> np.ndarray:
    """Analog SGD on half the mean square of x w + b - y, with all samples in every step.

    Args:
        inputs: x, (m, n); targets: y, (m, 1), float32.
        start: weights (1, n) within the device's range, and bias.
        device, pulsing, periphery: of the layer; lr: also of the bias; seed: of its random numbers.

    Returns:
        The mean square before the first step and after every one, (steps + 1,), as the weights are, not as
        the periphery reads them.
    """
    torch.set_num_threads(1)  # the layer is small: threads would only wait for each other
    n = inputs.shape[1]
    layer = AnalogLinear(n, 1, device, seed=seed, array=0, pulsing=pulsing, periphery=periphery)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    weight, bias = layer.weight, layer.bias
    assert bias is not None
    with torch.no_grad():
        weight.copy_(start[0])
        bias.fill_(start[1])
    optimizer = AnalogSGD(layer.parameters(), lr=lr)

    def square() -> float:
        with torch.no_grad():
            exact = inputs.double() @ weight.double().t() + bias.double()
            return float((exact - targets.double()).square().mean())

    found = [square()]
    for _ in range(steps):
        optimizer.zero_grad()
        ((layer(inputs) - targets).square().mean() / 2).backward()
        optimizer.step()
        found.append(square())
    return np.array(found)


def digital_start(inputs: Tensor, targets: Tensor, lr: float, steps: int) -> tuple[Tensor, float]:
    """Weights (1, n) and bias after steps of digital SGD on the mean square from 0, without noise."""
    weight, bias = torch.zeros(1, inputs.shape[1]), 0.0
    for _ in range(steps):
        error = inputs @ weight.t() + bias - targets
        weight = weight - 2 * lr * error.t() @ inputs / len(inputs)
        bias -= 2 * lr * float(error.mean())
    return weight, bias
