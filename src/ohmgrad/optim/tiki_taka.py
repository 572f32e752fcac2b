"""Tiki-Taka (TTv1): a fast array collects the gradient, and moves slowly into the array of weights.

Gokmen & Haensch 2020 (10.3389/fnins.2020.00103); said to converge exactly by Wu et al. 2024
(arXiv v1 of 2406.12774, Theorem 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor

from ..crossbar import Tile
from ..errors import check_choice, check_number
from .base import AnalogOptimizer, TransferModel
from .transfer import (
    check_transfer,
    fast_array,
    next_columns,
    next_transfer,
    read_columns,
    read_noise,
    transfer_rate,
    write_columns,
)
from .work import Work

__all__ = ["TikiTaka"]


class TikiTaka(AnalogOptimizer):
    """Tiki-Taka version 1, on two arrays P (fast) and W; the network sees W + gamma P.

        P' = P - fast_lr g F(P) - |fast_lr g| G(P)               g = d^T x at W + gamma P

    and every `transfer_every` updates, for the next `columns` columns j of P,

        v = P'[:, j]  (read through the periphery, averaged over `reads` reads)
        W'[:, j] = W[:, j] + transfer_lr v F(W[:, j]) - |transfer_lr v| G(W[:, j])

    both by pulses. P is a leaky average of the gradient that forgets towards its symmetric point, 0;
    where it averages to zero W rests, so that W's asymmetry does no harm.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of the transfer unless `transfer_lr` is given.
        fast_lr: learning rate of P (> 0).
        transfer_lr: of the transfer into W (> 0); None follows `lr` and so its schedule.
        transfer_every: updates between transfers (>= 1).
        columns: columns read per transfer (>= 1).
        reads: reads of each column that are averaged (>= 1).
        order: "sequential", or "random" (each transfer draws its first column).
        gamma: share of P in the weight that the network sees (>= 0; 0 in the theory).
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = TikiTaka(model.parameters(), lr=0.1, fast_lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        fast_lr: float = 0.01,
        transfer_lr: float | None = None,
        transfer_every: int = 1,
        columns: int = 1,
        reads: int = 1,
        order: Literal["sequential", "random"] = "sequential",
        gamma: float = 0.0,
        **digital: Any,
    ) -> None:
        options = {
            "lr": lr,
            "fast_lr": fast_lr,
            "transfer_lr": transfer_lr,
            "transfer_every": transfer_every,
            "columns": columns,
            "reads": reads,
            "order": order,
            "gamma": gamma,
        }
        super().__init__(params, options, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Tile:
        """P."""
        return fast_array(self, tile, state, group["gamma"])

    def check(self, group: dict[str, Any]) -> None:
        check_transfer(group)
        check_number("gamma", group["gamma"], low=0)
        check_choice("order", group["order"], ("sequential", "random"))

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        fast = self.auxiliary(tile, group, state)
        fast.pulse(x, d, -group["fast_lr"])
        transfer = next_transfer(group, state)
        if transfer is None:
            return
        columns = next_columns(tile, group["columns"], transfer, group["order"])
        write_columns(tile, columns, read_columns(fast, columns, group["reads"]), transfer_rate(group))

    def transfer_model(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> TransferModel:
        share = min(group["columns"] / tile.shape[1], 1.0) / group["transfer_every"]
        fast = self.auxiliary(tile, group, state)
        noise = read_noise(tile, group["reads"])
        return TransferModel(fast, float(group["fast_lr"]), share * transfer_rate(group), noise)
