"""The networks of the experiments, as plain torch modules."""

from __future__ import annotations

import torch
from torch import nn

from .errors import InputError, check_choice, check_integer
from .resnets import RESNETS, resnet

__all__ = ["MODELS", "build"]

MODELS = ("mlp", "fcn", "cnn", "lenet5", *RESNETS)


def build(name: str, shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """A network with torch's initial weights; ends in logits.

    - `mlp`: inputs-32-classes, sigmoid; small, for the digits.
    - `fcn`: inputs-256-128-classes, sigmoid (Wu et al. 2024, arXiv 2406.12774).
    - `cnn`: two 5 x 5 convolutions with 16 and 32 channels, each with tanh and 2 x 2 max-pooling, tanh again,
      then 128 and classes, tanh between (the same paper); images of at least 16 x 16 pixels.
    - `lenet5`: `cnn` behind MNIST's standardisation, x -> (x - 0.1307) / 0.3081: the LeNet-5 of Li et al.
      2025 (arXiv 2510.02516), whose 80,202 parameters and largest matrix of 128 x 512 are those of `cnn`.
    - `resnet18`, `resnet34`, `resnet50`, and the small `resnet8`: see `ohmgrad.resnets`.

    Args:
        name: one of `MODELS`.
        shape: (channels, height, width) of an image.
        classes: number of classes.
        seed: of the initial weights; the global generator is left as it was.

    Raises:
        InputError: for an unknown name, or images too small for the CNN.
    """
    check_choice("model", name, MODELS)
    channels, height, width = shape
    inputs = channels * height * width
    if name in ("cnn", "lenet5") and min(height, width) < 16:
        raise InputError(
            f"model '{name}' needs images of at least 16 x 16, not {height} x {width}: use 'fcn'"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_integer("seed", seed))
        if name == "mlp":
            return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 32), nn.Sigmoid(), nn.Linear(32, classes))
        if name == "fcn":
            return nn.Sequential(
                nn.Flatten(),
                nn.Linear(inputs, 256),
                nn.Sigmoid(),
                nn.Linear(256, 128),
                nn.Sigmoid(),
                nn.Linear(128, classes),
            )
        if name in RESNETS:
            return resnet(name, channels, classes)
        first = (_Standard(0.1307, 0.3081),) if name == "lenet5" else ()
        flat = 32 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
        return nn.Sequential(
            *first,
            nn.Conv2d(channels, 16, 5),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(flat, 128),
            nn.Tanh(),
            nn.Linear(128, classes),
        )


class _Standard(nn.Module):
    """Pixels with a mean of 0 and a standard deviation of 1, where `mean` and `std` are those of the data."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std
