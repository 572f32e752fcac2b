"""Gradient counts: the digital gradient of a minibatch, rounded by chance to whole pulses.

As in MLP and DNN+NeuroSim (Chen et al. 2018, 10.1109/TCAD.2018.2789723; Peng et al. 2021,
10.1109/TCAD.2020.3043731), where the change of a weight is a number of pulses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from .base import AnalogOptimizer
from .buffers import by_chance
from .work import Work

__all__ = ["GradientCounts"]


class GradientCounts(AnalogOptimizer):
    """Stochastic gradient descent by counts of pulses, without a memory of any kind.

        n = -sign(g) floor(|lr g| / dw_min + u)                  g = d^T x, u uniform on [0, 1)

    with g summed over the minibatch first: samples that disagree cancel digitally, where parallel pulsed
    updates (`AnalogSGD`) send pulses in both directions. E n dw_min = -lr g, so that small gradients
    are not lost on the average; the rounding adds a variance of at most dw_min^2 / 4. NeuroSim rounds to
    the nearest count instead, and loses what is below half a pulse.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate (>= 0).
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = GradientCounts(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    takes_matrix = True
    capturable = True
    work = Work(planes=1, per_weight_sample=2, per_weight_update=1)  # d^T x; in pulses

    def __init__(self, params: Iterable[Any], lr: float, **digital: Any) -> None:
        super().__init__(params, {"lr": lr}, **digital)

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        pulses = -float(group["lr"]) / tile.device.dw_min
        tile.pulse_counts(by_chance(tile, tile.digital_gradient(x, d).mul_(pulses)))
