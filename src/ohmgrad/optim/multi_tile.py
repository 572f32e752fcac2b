"""Multi-tile residual learning: each array learns what the coarser ones before it leave.

Li et al. 2025 (arXiv 2510.02516), for elements with few states.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from ..errors import check_integer, check_number
from .base import AnalogOptimizer
from .moves import check_residual, check_whole, next_columns, read_columns, residual_rate, write_columns

__all__ = ["MultiTile"]


class MultiTile(AnalogOptimizer):
    """N + 1 arrays of falling weight, on as many time scales; the network sees sum_n gamma^n W_n.

        W_N' = W_N - alpha g F(W_N) - |alpha g| G(W_N)           g = d^T x at the sum

    in every update, and for the next `columns` columns of W_n+1, n = N-1 ... 0,

        W_n' = W_n + beta W_n+1' F(W_n) - |beta W_n+1'| G(W_n)

    all by pulses. Transfers out of W_N come every `transfer_every` updates, out of W_n+1 after every
    `inner` transfers into it, so that coarse arrays rest while finer ones settle on what is left; W_0 are
    the weights of the model, the others start from 0. The error that the granularity leaves shrinks by a
    power of gamma with every array.

    The optional warm start of the paper fills the arrays one after the other: W_N, collecting the gradient,
    is moved into W_0, then W_1 ... W_N-1, and each turn ends when the loss does not fall any more. An
    optimizer does not see the loss, so here each turn lasts `warm_start` updates.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of W_N unless `alpha` is given.
        tiles: number of arrays, N + 1, in [2, 255].
        alpha: learning rate of W_N (> 0); None follows `lr` and so its schedule.
        beta: learning rate of all transfers (> 0).
        gamma: weight of an array relative to the one before, in (0, 1]; the paper finds a little more than
            1 / states best, so that the range of an array covers a step of the one before.
        transfer_every: updates between transfers out of W_N (>= 1), the paper's T_N.
        inner: transfers into an array between transfers out of it (>= 1), the paper's T_n.
        columns: columns per transfer (>= 1), in turn; None for all.
        warm_start: updates of each turn of the warm start; 0 for none.
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    In aihwkit's TransferCompound, which counts the arrays from the last: fast_lr (alpha), transfer_lr_vec
    (beta), gamma_vec, transfer_every_vec (transfer_every inner^n).

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> few = Device(SoftBounds.symmetric(0.6), dw_min=1.2 / 16)
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), few)
        >>> optimizer = MultiTile(model.parameters(), lr=0.1, tiles=3, gamma=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        tiles: int = 3,
        alpha: float | None = None,
        beta: float = 0.1,
        gamma: float = 0.2,
        transfer_every: int = 2,
        inner: int = 5,
        columns: int | None = 1,
        warm_start: int = 0,
        **digital: Any,
    ) -> None:
        options = {
            "lr": lr,
            "tiles": tiles,
            "alpha": alpha,
            "beta": beta,
            "gamma": gamma,
            "transfer_every": transfer_every,
            "inner": inner,
            "columns": columns,
            "warm_start": warm_start,
        }
        super().__init__(params, options, **digital)

    def beside(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> list[Tile]:
        """W_1 ... W_N beside the tile, which is W_0."""
        finer = [self.array(tile, state, f"tile_{n}", role=n) for n in range(1, group["tiles"])]
        tile.companions = [(group["gamma"] ** n, array) for n, array in enumerate(finer, 1)]
        return finer

    def check(self, group: dict[str, Any]) -> None:
        group["tiles"] = check_integer("tiles", group["tiles"], 2, 255)
        check_residual(group)
        check_number("gamma", group["gamma"], low=0, high=1, open_low=True)
        check_whole(group, "inner")
        check_whole(group, "warm_start", low=0)

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        arrays = [tile, *self.beside(tile, group, state)]
        arrays[-1].pulse(x, d, -residual_rate(group))
        updates = state["updates"] = state.get("updates", 0) + 1
        last, warm, every = len(arrays) - 1, group["warm_start"], group["transfer_every"]
        if updates <= last * warm:
            if updates % every == 0:
                turn = (updates - 1) // warm
                self._transfer(arrays[last], arrays[turn], group, updates // every - 1)
            return
        updates -= last * warm
        for n in range(last - 1, -1, -1):
            if updates % every:
                return
            self._transfer(arrays[n + 1], arrays[n], group, updates // every - 1)
            every *= group["inner"]

    @staticmethod
    def _transfer(source: Tile, into: Tile, group: dict[str, Any], number: int) -> None:
        columns = next_columns(into, group["columns"], number)
        write_columns(into, columns, read_columns(source, columns), group["beta"])
