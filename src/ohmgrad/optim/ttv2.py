"""Tiki-Taka version 2 (TTv2): a digital buffer between the fast array and the weights.

Gokmen 2021 (10.3389/frai.2021.699148).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor

from ..crossbar import Tile
from ..errors import check_choice, check_number
from .base import AnalogOptimizer
from .buffers import add_to_buffer, check_buffer
from .transfer import check_transfer, fast_array, next_columns, next_transfer, read_columns
from .work import Work

__all__ = ["TTv2"]


class TTv2(AnalogOptimizer):
    """Tiki-Taka version 2, on two arrays P (fast) and W and a digital plane H; the network sees W + gamma P.

        P' = P - fast_lr g F(P) - |fast_lr g| G(P)               g = d^T x at W + gamma P

    and every `transfer_every` updates, for the next `columns` columns j of P,

        v    = P'[:, j]  (read through the periphery, averaged over `reads` reads)
        H'   = H[:, j] + transfer_lr v / (granularity dw_min)
        n    = trunc(H'), at most `max_pulses` either way;    W[:, j] gets n pulses
        H[:, j] = buffer_momentum H'   or   H' - (1 - buffer_momentum) n,   where n is not 0

    H averages the reads of P, whose noise and offset of single reads never reach W: W moves by whole pulses,
    and by few of them. H is dimensionless: with granularity 1 it counts pulses of W, and W moves by
    transfer_lr v in weight units per transfer, as in `TikiTaka` with the same rate. That holds as long as
    transfer_lr |v| < max_pulses granularity dw_min; beyond, steps are cut to max_pulses dw_min.

    In the last line "forget" is the first form: what H holds beyond its threshold 1 is lost, and W moves
    by somewhat less than asked. "keep" loses nothing.

    No `transfer_model`, so that a Monitor predicts nothing: the buffer cancels reads of either sign, which
    predictions from E|v| do not see.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of the transfer unless `transfer_lr` is given.
        fast_lr: learning rate of P (> 0).
        transfer_lr: of the transfer into H (> 0); None follows `lr` and so its schedule.
        transfer_every: updates between transfers (>= 1).
        columns: columns read per transfer (>= 1). aihwkit: n_reads_per_transfer.
        reads: reads of each column that are averaged (>= 1).
        order: "sequential", or "random" (each transfer draws its first column). aihwkit: random_selection.
        gamma: share of P in the weight that the network sees (>= 0; 0 in the paper).
        granularity: threshold of H, in dw_min of transferred change per pulse of W (> 0); above 1 it
            averages over more reads and slows W by the same factor. aihwkit: thres_scale.
        buffer_momentum: share of H, or of the pulses sent, that stays in H, in [0, 1). aihwkit: momentum.
        rest: "forget" or "keep" what H holds beyond the pulses sent. aihwkit: forget_buffer.
        max_pulses: most pulses of one element per transfer (>= 1). aihwkit: transfer_update.desired_bl.
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = TTv2(model.parameters(), lr=0.1, fast_lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast", planes=1, per_value_read=2)  # scaled, added to H

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
        granularity: float = 1.0,
        buffer_momentum: float = 0.1,
        rest: Literal["forget", "keep"] = "forget",
        max_pulses: int = 1,
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
            "granularity": granularity,
            "buffer_momentum": buffer_momentum,
            "rest": rest,
            "max_pulses": max_pulses,
        }
        super().__init__(params, options, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Tile:
        """P."""
        return fast_array(self, tile, state, group["gamma"])

    def check(self, group: dict[str, Any]) -> None:
        check_transfer(group)
        check_buffer(group)
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
        values = read_columns(fast, columns, group["reads"])
        add_to_buffer(tile, group, state, columns, values)
