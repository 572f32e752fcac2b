"""Residual learning that tracks the symmetric point of P while it trains (RIDER).

Xiao et al. 2026 (arXiv 2602.21321, algorithm 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..crossbar import Tile
from ..crossbar.effective_weight import Numbers
from ..errors import check_number
from .base import AnalogOptimizer
from .transfer import (
    check_residual,
    check_whole,
    next_columns,
    next_transfer,
    read_columns,
    residual_rate,
    write_columns,
)
from .work import Work

__all__ = ["SPTracking"]


class SPTracking(AnalogOptimizer):
    """Dynamic symmetric-point tracking on arrays P and W; the network sees W + gamma (P - Q), Q digital.

        P' = P - alpha g F(P) - |alpha g| G(P)                   g = d^T x at W + gamma (P - Q)

    and every `transfer_every` updates, for the next `columns` columns,

        W' = W + beta (P' - Q) F(W) - |beta (P' - Q)| G(W)
        Q' = (1 - eta) Q + eta P'

    P and W move by pulses. Gradient noise draws P towards its symmetric point; where the mean gradient is
    zero that is all that moves P, and its running mean Q becomes the reference that residual learning
    needs, without any calibration before.

    W and Q both add up P' - Q, so that where W answers ideally W - W_0 = (beta / eta) (Q - Q_0) in every
    update: an element whose weight has far to go takes Q with it. With beta << eta, Q finds the symmetric
    point and W hardly moves; with beta >> eta it is the other way round. `ChoppedSPTracking` is free of
    this, and the one to train with.

    The paper reads all of P in every update; columns in turn are our reading for hardware. Q is subtracted
    exactly in the products, as in the paper's algorithm; keeping a copy of it on an array is part of
    `ChoppedSPTracking`.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of P unless `alpha` is given.
        alpha: learning rate of P (> 0); None follows `lr` and so its schedule.
        beta: learning rate of the transfer into W (> 0).
        gamma: share of P - Q in the weight that the network sees (> 0).
        eta: share of a read in the running mean Q, in (0, 1).
        transfer_every: updates between transfers (>= 1).
        columns: columns read per transfer (>= 1), in turn; None for all.
        reads: reads of each column that are averaged (>= 1).
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    aihwkit has no such compound; of its transfer compounds' names, fast_lr is alpha and transfer_lr beta.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = SPTracking(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast", planes=1, per_value_read=3, per_weight_vector=2)  # the moving average; products see Q

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        alpha: float | None = None,
        beta: float = 0.1,
        gamma: float = 0.1,
        eta: float = 0.02,
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
            "eta": eta,
            "transfer_every": transfer_every,
            "columns": columns,
            "reads": reads,
        }
        super().__init__(params, options, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> tuple[Tile, Tensor]:
        """P, and the digital Q (rows, cols)."""
        p = self.array(tile, state, "fast", role=1)
        q = state.get("q")
        if q is None:
            q = state["q"] = torch.zeros(tile.shape, device=tile.events.device)
        tile.companions = [(group["gamma"], p), (-group["gamma"], Numbers(q))]
        return p, q

    def check(self, group: dict[str, Any]) -> None:
        check_residual(group)
        check_number("eta", group["eta"], low=0, high=1, open_low=True, open_high=True)
        check_whole(group, "reads")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        p, q = self.auxiliary(tile, group, state)
        p.pulse(x, d, -residual_rate(group))
        transfer = next_transfer(group, state)
        if transfer is None:
            return
        columns = next_columns(tile, group["columns"], transfer)
        q = q.t()
        before = q[columns]
        moved = read_columns(p, columns, group["reads"]) - before
        write_columns(tile, columns, moved, group["beta"])
        q[columns] = before + group["eta"] * moved
