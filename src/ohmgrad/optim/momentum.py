"""Analog SGD with momentum kept digitally: the baseline with a full-precision memory of gradients.

Momentum as in torch.optim.SGD (Sutskever et al., ICML 2013); the pulses as in `GradientCounts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from .base import AnalogOptimizer
from .buffers import by_chance, check_momentum, with_momentum
from .work import Work

__all__ = ["AnalogMomentum"]


class AnalogMomentum(AnalogOptimizer):
    """Momentum in a digital buffer M of the size of the weights; W moves by pulses.

        M' = momentum M + (1 - dampening) g                      g = d^T x; at first M' = g
        m  = M', or g + momentum M' with `nesterov`
        n  = -sign(m) floor(|lr m| / dw_min + u)                 u uniform on [0, 1)

    n pulses go to every element: E n dw_min = -lr m. Here the options of momentum are for analog and
    digital parameters alike, in torch's convention; weight decay is for digital ones.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate (>= 0).
        momentum: share of M that is kept, in [0, 1).
        dampening: share of the gradient that is left out, in [0, 1].
        nesterov: look ahead; needs momentum and no dampening.
        weight_decay: of digital parameters.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = AnalogMomentum(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    takes_matrix = True
    work = Work(planes=1, per_weight_sample=2, per_weight_update=2)  # d^T x, added to M; M scaled, in pulses

    def __init__(self, params: Iterable[Any], lr: float, *, momentum: float = 0.9, **digital: Any) -> None:
        super().__init__(params, {"lr": lr}, momentum=momentum, **digital)

    def check(self, group: dict[str, Any]) -> None:
        check_momentum(group)

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        m = with_momentum(tile, tile.digital_gradient(x, d), group, state)
        tile.pulse_counts(by_chance(tile, -float(group["lr"]) / tile.device.dw_min * m))
