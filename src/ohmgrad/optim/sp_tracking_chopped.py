"""Symmetric-point tracking with choppers and a reference on an array of its own (E-RIDER).

Xiao et al. 2026 (arXiv 2602.21321, algorithm 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from ..errors import check_number
from .base import AnalogOptimizer
from .buffers import chopped, chopper, drawn_flips, plane
from .transfer import (
    check_residual,
    check_whole,
    next_columns,
    next_transfer,
    program_columns,
    read_columns,
    residual_rate,
    write_columns,
)
from .work import Work

__all__ = ["ChoppedSPTracking"]


class ChoppedSPTracking(AnalogOptimizer):
    """Chopped and filtered symmetric-point tracking; the network sees W + gamma c (P - R).

    Three arrays: W, P and the reference R; Q is digital, and c = +-1 is a chopper for every column:

        P' = P - alpha c g F(P) - |alpha g| G(P)                 g = d^T x at W + gamma c (P - R)

    and every `transfer_every` updates, for the next `columns` columns,

        W' = W + beta c (P' - R) F(W) - |beta (P' - R)| G(W)
        Q' = (1 - eta) Q + eta P'
        c' = -c with probability `chop_prob`, and then R is programmed to Q'

    The chopper turns the gradient's part of P into a signal of high frequency, while the drift towards the
    symmetric point keeps its sign: the filter Q takes the first away, and R is the symmetric point. P and W
    move by pulses; R is written in a closed loop, read and pulsed up to four times.

    The paper has one chopper and moves all of P in every update; one for every column, flipped when the
    column was read, is our reading for hardware (and what aihwkit does in its chopped transfers).

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of P unless `alpha` is given.
        alpha: learning rate of P (> 0); None follows `lr` and so its schedule.
        beta: learning rate of the transfer into W (> 0).
        gamma: share of P - R in the weight that the network sees (> 0).
        eta: share of a read in the running mean Q, in (0, 1).
        chop_prob: probability that a column's chopper flips at a transfer (the paper's p), in (0, 1].
        transfer_every: updates between transfers (>= 1).
        columns: columns read per transfer (>= 1), in turn; None for all.
        reads: reads of each column that are averaged (>= 1).
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Of aihwkit's ChoppedTransferCompound: fast_lr (alpha), transfer_lr (beta), gamma, in_chop_prob.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = ChoppedSPTracking(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast", planes=1, per_value_read=2)  # the moving average, for two values read

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        alpha: float | None = None,
        beta: float = 0.1,
        gamma: float = 0.1,
        eta: float = 0.02,
        chop_prob: float = 0.05,
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
            "chop_prob": chop_prob,
            "transfer_every": transfer_every,
            "columns": columns,
            "reads": reads,
        }
        super().__init__(params, options, **digital)

    def auxiliary(
        self, tile: Tile, group: dict[str, Any], state: dict[str, Any]
    ) -> tuple[Tile, Tile, Tensor]:
        """P, R and the digital Q (cols, rows)."""
        p = self.array(tile, state, "fast", role=1)
        r = self.array(tile, state, "reference", role=2)
        seen = tile.companions
        if not (seen and seen[0][1] is p and state.get("seen") == group["gamma"]):  # else nothing changed
            share = group["gamma"] * chopper(tile, state)
            tile.companions = [(share, p), (-share, r)]
            state["seen"] = group["gamma"]
        return p, r, plane(tile, state, "q")

    def check(self, group: dict[str, Any]) -> None:
        check_residual(group)
        check_number("eta", group["eta"], low=0, high=1, open_low=True, open_high=True)
        check_number("chop_prob", group["chop_prob"], low=0, high=1, open_low=True)
        check_whole(group, "reads")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        p, r, q = self.auxiliary(tile, group, state)
        x, chop = chopped(x, tile, state)
        p.pulse(x, d, -residual_rate(group))
        transfer = next_transfer(group, state)
        if transfer is None:
            return
        columns = next_columns(tile, group["columns"], transfer)
        read = read_columns(p, columns, group["reads"])
        residual = (read - read_columns(r, columns, group["reads"])) * chop[columns].unsqueeze(1)
        write_columns(tile, columns, residual, group["beta"])
        kept = q[columns]
        q[columns] = kept + group["eta"] * (read - kept)
        flips = drawn_flips(tile, columns, transfer, group["chop_prob"])
        if flips is not None:
            chop[flips] *= -1
            program_columns(r, flips, q[flips])
            state["seen"] = None
            self.auxiliary(tile, group, state)  # the next product sees the new choppers
