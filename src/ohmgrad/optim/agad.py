"""AGAD, analog gradient accumulation with dynamic reference: choppers, and an estimate of where P rests.

Rasch, Carta, Fagbohungbe & Gokmen 2024 (10.1038/s41467-024-51221-z).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import check_number
from .base import AnalogOptimizer
from .buffers import add_to_buffer, check_buffer, check_choppers, chopped, flipped, period, plane
from .transfer import check_transfer, fast_array, next_columns, next_transfer, read_columns
from .work import Work

__all__ = ["AGAD"]


class AGAD(AnalogOptimizer):
    """c-TTv2 that compares every read with what P held when the chopper c_j last flipped; the network sees W.

        P' = P - fast_lr c g F(P) - |fast_lr g| G(P)             g = d^T x at W, c = c_j in column j

    and every `transfer_every` updates, for the next `columns` columns j of P,

        v    = P'[:, j]  (read through the periphery, averaged over `reads` reads)
        H'   = H[:, j] + transfer_lr c_j (v - r) / (granularity dw_min)       from the first flip on
        n    = trunc(H'), at most `max_pulses` either way;    W[:, j] gets n pulses
        H[:, j] = buffer_momentum H'   or   H' - (1 - buffer_momentum) n,   where n is not 0
        m    = m + min(tail / T, 1) (v - m)                      T = ceil(1/chop_prob), at least 2
        c_j  = -c_j and r = m   after every T reads of column j ("regular"), or with probability
                                chop_prob after each ("random")

    with m and the reference r planes like H. Since r is what P came to with the chopper the other way,
    v - r holds no offset of P, however large, and twice the signal where P has settled. The first phase
    of a column only measures its reference: W starts to move after about cols transfer_every /
    (columns chop_prob) updates.

    H is dimensionless: with granularity 1 it counts pulses of W, and W moves by transfer_lr c_j (v - r) in
    weight units per transfer, cut to max_pulses dw_min.

    P stays out of the network's weight (gamma = 0), as in the paper. There is no `transfer_model`, so that a
    Monitor predicts nothing: P is no average of the gradient.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of the transfer unless `transfer_lr` is given.
        fast_lr: learning rate of P (> 0).
        transfer_lr: of the transfer into H (> 0); None follows `lr` and so its schedule.
        transfer_every: updates between transfers (>= 1). aihwkit counts samples instead (units_in_mbatch):
            there, a transfer of a column follows every sample, as here of `columns` = batch size.
        columns: columns read per transfer, in turn (>= 1). aihwkit: n_reads_per_transfer, always 1.
        reads: reads of each column that are averaged (>= 1).
        chop_prob: how often a chopper flips, per read of its column, in (0, 1]. aihwkit: in_chop_prob.
        chopping: "regular" or "random". aihwkit: in_chop_random.
        tail: weight of the last reads of a phase in m (> 0): a read counts tail/T. aihwkit: tail_weightening.
        granularity: threshold of H, in dw_min of transferred change per pulse of W (> 0).
            aihwkit: buffer_granularity.
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
        >>> optimizer = AGAD(model.parameters(), lr=0.1, fast_lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("fast", planes=3, per_value_read=6)  # as counted by the paper: reference, H and mean

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
        chop_prob: float = 0.1,
        chopping: Literal["regular", "random"] = "regular",
        tail: float = 5.0,
        granularity: float = 1.0,
        buffer_momentum: float = 0.0,
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
            "chop_prob": chop_prob,
            "chopping": chopping,
            "tail": tail,
            "granularity": granularity,
            "buffer_momentum": buffer_momentum,
            "rest": rest,
            "max_pulses": max_pulses,
        }
        super().__init__(params, options, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Tile:
        """P."""
        return fast_array(self, tile, state)

    def check(self, group: dict[str, Any]) -> None:
        check_transfer(group)
        check_buffer(group)
        check_choppers(group)
        check_number("tail", group["tail"], low=0, open_low=True)

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        fast = self.auxiliary(tile, group, state)
        x, chopper = chopped(x, tile, state)
        fast.pulse(x, d, -group["fast_lr"])
        transfer = next_transfer(group, state)
        if transfer is None:
            return
        if "known" not in state:  # whether a column has a reference
            state["known"] = torch.zeros_like(chopper)  # 1 or 0: torch restores a state as floats
        known = state["known"]
        reference, mean = plane(tile, state, "reference"), plane(tile, state, "mean")
        columns = next_columns(tile, group["columns"], transfer)
        values = read_columns(fast, columns, group["reads"])
        signs = (known[columns] * chopper[columns]).unsqueeze(1)
        add_to_buffer(tile, group, state, columns, signs * (values - reference[columns]))
        before = mean[columns]
        mean[columns] = (values - before).mul_(min(group["tail"] / period(group), 1.0)).add_(before)
        flips = flipped(tile, group, columns, transfer)
        if flips is not None:
            chopper[flips] *= -1
            reference[flips] = mean[flips]
            known[flips] = 1.0
