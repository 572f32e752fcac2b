"""Residual Learning version 2: a digital filter between P and W, against read noise and granularity.

Wu et al., NeurIPS 2025 (arXiv 2502.06309, section 5).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import check_number
from .base import AnalogOptimizer
from .buffers import plane
from .transfer import (
    check_residual,
    check_whole,
    fast_array,
    next_columns,
    next_transfer,
    read_columns,
    residual_rate,
    write_columns,
)
from .work import Work

__all__ = ["ResidualLearningV2"]


class ResidualLearningV2(AnalogOptimizer):
    """Residual Learning with a digital buffer H; the network sees W + gamma P.

        P' = P - alpha g F(P) - |alpha g| G(P)                   g = d^T x at W + gamma P

    and every `transfer_every` updates, for the next `columns` columns,

        H' = (1 - beta) H + beta (P' + e)                        e the noise of the read
        W' = W + beta s F(W) - |beta s| G(W)                     s = H' where |H'| > dw_min, else 0

    P and W move by pulses. A symmetric point of P other than 0 does the harm that it does in
    `ResidualLearning`. The moving average takes the noise of the reads away, which would draw W
    towards its symmetric point as gradient noise does in Analog SGD; the threshold spares W pulses for
    residuals below its granularity.

    The average delays W. Where P forgets nothing (no asymmetry, or no noise), W and P swing round the
    solution, and the swing dies out only if share beta (1 - gamma) < alpha h gamma^2, with h the curvature
    and share = columns / (cols transfer_every); beyond, P swings from bound to bound. Wide arrays, moved by
    a column at a time, are far on the safe side; small ones, or columns=None, need a smaller beta.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of P unless `alpha` is given.
        alpha: learning rate of P (> 0); None follows `lr` and so its schedule.
        beta: share of a read in the average, and learning rate of the transfer into W, in (0, 1].
        gamma: share of P in the weight that the network sees (> 0).
        transfer_every: updates between transfers (>= 1).
        columns: columns read per transfer (>= 1), in turn; None for all.
        reads: reads of each column that are averaged (>= 1).
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    In aihwkit the authors' programs take ChoppedTransferCompound with buffer_as_momentum: fast_lr (alpha),
    transfer_lr (beta), 1 - momentum (beta of the average), gamma, in_chop_prob = 0.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = ResidualLearningV2(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast", planes=1, per_value_read=3)  # the moving average

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        alpha: float | None = None,
        beta: float = 0.1,
        gamma: float = 0.4,
        transfer_every: int = 1,
        columns: int | None = 1,
        reads: int = 1,
        **digital: Any,
    ) -> None:
        options = {
            "lr": lr,
            "alpha": alpha,
            "beta": beta,
            "gamma": gamma,
            "transfer_every": transfer_every,
            "columns": columns,
            "reads": reads,
        }
        super().__init__(params, options, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Tile:
        """P."""
        return fast_array(self, tile, state, group["gamma"])

    def check(self, group: dict[str, Any]) -> None:
        check_residual(group)
        check_number("beta", group["beta"], low=0, high=1, open_low=True)
        check_whole(group, "reads")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        fast = self.auxiliary(tile, group, state)
        fast.pulse(x, d, -residual_rate(group))
        transfer = next_transfer(group, state)
        if transfer is None:
            return
        columns = next_columns(tile, group["columns"], transfer)
        h, beta = plane(tile, state, "filtered"), group["beta"]
        filtered = h[columns]
        filtered = filtered + beta * (read_columns(fast, columns, group["reads"]) - filtered)
        h[columns] = filtered
        write_columns(tile, columns, torch.hardshrink(filtered, tile.device.dw_min), beta)
