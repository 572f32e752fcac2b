"""Mixed precision: the gradient is accumulated digitally, and whole pulses are written.

Nandakumar et al. 2020 (10.3389/fnins.2020.00406).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import check_number
from .base import AnalogOptimizer
from .buffers import whole_pulses_
from .states import check_plane
from .transfer import check_whole, next_lines
from .work import Work

__all__ = ["MixedPrecision"]


class MixedPrecision(AnalogOptimizer):
    """A digital accumulator chi in weight units, of the size of the weights, for every array.

        chi' = chi - lr g                                        g = d^T x

    and every `transfer_every` updates, in the next `rows` rows,

        n = trunc(chi' / granularity)     pulses to every element
        chi'' = chi' - n granularity      the rest stays

    Small gradients are not lost, and no random numbers are drawn; but all of d^T x is digital work, and
    W itself stays on elements that answer up and down pulses differently.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate (>= 0).
        granularity: chi that makes a pulse, in weight units (> 0); None is the device's dw_min.
        transfer_every: updates between transfers (>= 1).
        rows: rows written per transfer (>= 1), in turn; None for all.
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    aihwkit's MixedPrecisionCompound calls them granularity (0 for None), transfer_every and
    n_rows_per_transfer (-1 for None); its first transfer comes one update later.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = MixedPrecision(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    takes_matrix = True
    work = Work(planes=1, per_weight_sample=2)  # d^T x, added to chi

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        granularity: float | None = None,
        transfer_every: int = 1,
        rows: int | None = None,
        **digital: Any,
    ) -> None:
        options = {"lr": lr, "granularity": granularity, "transfer_every": transfer_every, "rows": rows}
        super().__init__(params, options, **digital)

    def check(self, group: dict[str, Any]) -> None:
        if group["granularity"] is not None:
            check_number("granularity", group["granularity"], low=0, open_low=True)
        check_whole(group, "transfer_every")
        if group["rows"] is not None:
            check_whole(group, "rows")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        chi = state.get("chi")
        if chi is None:
            chi = torch.zeros(tile.shape, device=tile.events.device)
        check_plane(tile, "the accumulator", chi)
        chi += tile.digital_gradient(x, d).mul_(-float(group["lr"]))
        updates = state.get("updates", 0) + 1
        state.update(chi=chi, updates=updates)  # not when the gradient raised
        transfer, left = divmod(updates, group["transfer_every"])
        if left:
            return
        granularity, total = group["granularity"] or tile.device.dw_min, tile.shape[0]
        k = min(group["rows"] or total, total)
        rows = next_lines((transfer - 1) * k, k, total)
        part = chi[rows]
        n = whole_pulses_(part, granularity, tile.most_pulses)
        if k < total:
            chi[rows] = part  # which is a copy where rows wrap
            some, n = n, torch.zeros(tile.shape, dtype=torch.int64, device=n.device)
            n[rows] = some
        tile.pulse_counts(n)
