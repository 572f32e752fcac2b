"""Analog SGD: every gradient goes straight to the elements, as pulses.

Gokmen & Vlasov 2016 (10.3389/fnins.2016.00333); analysed by Wu et al. 2024 (arXiv 2406.12774, eq. 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from .base import AnalogOptimizer, TransferModel
from .work import Work

__all__ = ["AnalogSGD"]


class AnalogSGD(AnalogOptimizer):
    """Stochastic gradient descent by parallel pulsed updates.

        W' = W - lr g F(W) - |lr g| G(W)          g = d^T x

    to first order, sample by sample; on an asymmetric linear device W' = W - lr g - (lr/tau) |g| W.
    It stalls at an error that no learning rate removes, because every sample's gradient noise pulls W
    towards the symmetric point (Theorems 2 and 3 of Wu et al. 2024, arXiv v1 of 2406.12774).

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
        >>> optimizer = AnalogSGD(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    capturable = True
    work = Work()

    def __init__(self, params: Iterable[Any], lr: float, **digital: Any) -> None:
        super().__init__(params, {"lr": lr}, **digital)

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        tile.pulse(x, d, -float(group["lr"]))

    def transfer_model(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> TransferModel:
        return TransferModel(tile, float(group["lr"]))
