"""Small trainings that the laws of algorithms look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..crossbar import Tile
from ..devices import Device, Noise, SoftBounds, Spread
from ..errors import InputError
from ..kernels import Pulsing
from ..nn import AnalogLinear, convert
from ..optim import AnalogOptimizer

__all__ = ["DEVICE", "LR", "Make", "arrays", "layer_of", "network", "optimizer_of", "same", "step", "weights"]

#: makes an optimizer from parameters or groups; called as make(params, lr=0.05)
Make = Callable[..., AnalogOptimizer]

#: asymmetric, with spread and noise: what the laws train on unless they say otherwise
DEVICE = Device(
    SoftBounds.symmetric(0.6), 0.002, Spread(dw_min=0.2, up_down=0.01, w_max=0.1, w_min=0.1), Noise(0.3)
)
LR = 0.05


def optimizer_of(make: Make, params: Any, lr: float = LR) -> AnalogOptimizer:
    """What `make` returns.

    Raises:
        InputError: when that is no AnalogOptimizer.
    """
    optimizer = make(params, lr=lr)
    if not isinstance(optimizer, AnalogOptimizer):
        raise InputError(
            f"make(params, lr) returned {type(optimizer).__name__}, but must return an "
            "ohmgrad.AnalogOptimizer: subclass it and override analog_step"
        )
    return optimizer


def layer_of(
    device: Device, rows: int, cols: int, fidelity: Any = "pulsed", *, max_bl: int = 31
) -> AnalogLinear:
    """A layer of zeros without bias or learned scales: what it shows is its array and nothing else."""
    how = Pulsing(fidelity, max_bl)
    layer = AnalogLinear(cols, rows, device, bias=False, pulsing=how, seed=11, array=0)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    with torch.no_grad():
        layer.weight.zero_()
    return layer


def network(seed: int = 11) -> Any:
    """6-5-3 with biases and learned output scales; the same weights each time, whatever torch's generator."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.copy_(
                0.3 * torch.arange(1 + number, 1 + number + p.numel()).float().mul(2.4).sin().view(p.shape)
            )
    return convert(model, DEVICE, seed=seed)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> float:
    """One step of least squares on 8 samples, which its number chooses; returns the loss."""
    x = (torch.arange(48).view(8, 6) * (0.7 + 0.1 * (number % 50))).sin()
    optimizer.zero_grad()
    loss = (model(x) - x[:, :3].flip(1) * 0.5 + 0.2).square().sum()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a: Any, b: Any) -> bool:
    """Whether two states, of nested dictionaries, lists, tensors and numbers, are equal bit for bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def arrays(optimizer: AnalogOptimizer) -> Iterator[Tile]:
    """All arrays of an optimizer: the tiles that the network sees, and those of `AnalogOptimizer.array`.

    What an algorithm keeps digitally, as a plain tensor in its state, is not among them.
    """
    for group in optimizer.param_groups:
        yield from (tile for tile, _ in optimizer.tiles_in(group))
    yield from optimizer.arrays()
