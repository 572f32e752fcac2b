"""A network and a data set of your own, for every command that takes their names:

    ohmgrad train --model my_network.py:small --data my_network.py:stripes --epochs 3

A network is a function or class, called as NAME(shape, classes), shape (channels, height, width). A data
set is train_x, train_y, test_x, test_y, a function that gives them, or an `ohmgrad.datasets.Dataset`.
"""

import torch
from torch import nn

import ohmgrad as og


def small(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """One layer between the pixels and the classes."""
    inputs = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, classes))


def stripes() -> tuple[torch.Tensor, ...]:
    """Noisy images (n, 1, 6, 6) of horizontal stripes, vertical ones, or none, and labels (n,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (400,), generator=generator)
    line = (torch.arange(6) % 2).float() - 0.5
    kinds = torch.stack([line[:, None].expand(6, 6), line.expand(6, 6), torch.zeros(6, 6)])
    images = (kinds[labels] + 0.3 * torch.randn(400, 6, 6, generator=generator))[:, None]
    return images[:300], labels[:300], images[300:], labels[300:]


def main() -> float:
    train_x, train_y, test_x, test_y = stripes()
    model = og.convert(small((1, 6, 6), 3), og.Device(og.ConstantStep(), dw_min=0.001))
    optimizer = og.AnalogSGD(model.parameters(), lr=0.2)
    for x, y in og.datasets.batches(train_x, train_y, 5, seed=0, epoch=0):
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return float((model(test_x).argmax(1) != test_y).float().mean())  # the share of wrong answers
