"""Residual Learning (version 1): W learns the target, and a second array P the residual that W leaves.

Wu et al., NeurIPS 2025 (arXiv 2502.06309, section 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from .base import AnalogOptimizer, TransferModel
from .transfer import (
    check_residual,
    check_whole,
    fast_array,
    next_columns,
    next_transfer,
    read_columns,
    read_noise,
    residual_rate,
    write_columns,
)
from .work import Work

__all__ = ["ResidualLearning"]


class ResidualLearning(AnalogOptimizer):
    """Residual Learning on two arrays; the network sees W + gamma P.

    It solves min_W |P*(W)|^2 with P*(W) the minimum over P of f(W + gamma P), the residual:

        P' = P - alpha g F(P) - |alpha g| G(P)                   g = d^T x at W + gamma P

    and every `transfer_every` updates, for the next `columns` columns,

        W' = W + beta P' F(W) - |beta P'| G(W)

    both by pulses. The recursion is Tiki-Taka's, with gamma > 0: all is at rest where every sample's
    gradient is 0. Elsewhere sum_s |g_s| draws P to its symmetric point, and W follows. Exact convergence
    needs a symmetric point of 0 (the paper's Assumption 5; a reference that was subtracted), or
    `SPTracking`. Without gradient noise a shift does no harm while sum_s g_s can balance that drift: at
    any shift with one gradient for all samples, else at small shifts only; beyond, W runs away
    (`ohmgrad reproduce RL-S1`). The paper moves all of P in every update (columns=None); hardware moves
    columns.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of P unless `alpha` is given.
        alpha: learning rate of P (> 0); None follows `lr` and so its schedule.
        beta: learning rate of the transfer into W (> 0); the paper's theory takes alpha gamma^1.5.
        gamma: share of P in the weight that the network sees (> 0).
        transfer_every: updates between transfers (>= 1).
        columns: columns read per transfer (>= 1), in turn; None for all.
        reads: reads of each column that are averaged (>= 1).
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    aihwkit's TransferCompound calls them fast_lr (alpha), transfer_lr (beta), gamma, transfer_every,
    n_reads_per_transfer (columns) and, of the columns, transfer_columns.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = ResidualLearning(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast")

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
        check_whole(group, "reads")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        fast = self.auxiliary(tile, group, state)
        fast.pulse(x, d, -residual_rate(group))
        transfer = next_transfer(group, state)
        if transfer is not None:
            columns = next_columns(tile, group["columns"], transfer)
            write_columns(tile, columns, read_columns(fast, columns, group["reads"]), group["beta"])

    def transfer_model(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> TransferModel:
        cols = tile.shape[1]
        share = min((group["columns"] or cols) / cols, 1.0) / group["transfer_every"]
        fast = self.auxiliary(tile, group, state)
        return TransferModel(
            fast, residual_rate(group), share * group["beta"], read_noise(tile, group["reads"])
        )
