"""Multi-tile residual learning: each array learns what the coarser ones before it leave.

Li et al. 2025 (arXiv 2510.02516), for elements with few states.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor

from ..crossbar import Tile
from ..errors import check_integer, check_number
from .base import AnalogOptimizer
from .transfer import check_residual, check_whole, next_columns, read_columns, residual_rate, write_columns
from .work import Work

__all__ = ["MultiTile"]


class MultiTile(AnalogOptimizer):
    """N + 1 arrays of falling weight, on as many time scales; the network sees sum_n gamma^n W_n.

        W_N' = W_N - alpha g F(W_N) - |alpha g| G(W_N)           g = d^T x at the sum

    in every update, and for the next `columns` columns of W_n+1, n = N-1 ... 0,

        W_n' = W_n + beta_n W_n+1' F(W_n) - |beta_n W_n+1'| G(W_n)      beta_n = beta beta_ratio^(N-1-n)

    all by pulses. Transfers out of W_N come every `transfer_every` updates, out of W_n+1 after every
    `inner` transfers into it, so that coarse arrays rest while finer ones settle on what is left; W_0 are
    the weights of the model, the others start from 0. The error that the granularity leaves shrinks by a
    power of gamma with every array.

    The optional warm start of the paper fills the arrays one after the other: W_N, collecting the gradient,
    is moved into W_0, then W_1 ... W_N-1, and each turn ends when the loss does not fall any more. With
    "plateau" it does, by the losses that `end_epoch` is told: the first four turns where an epoch's loss is
    above the one before, later ones where two of the last five epochs' are. Otherwise each turn lasts
    `warm_start` updates.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters, and of W_N unless `alpha` is given.
        tiles: number of arrays, N + 1, in [2, 255].
        alpha: learning rate of W_N (> 0); None follows `lr` and so its schedule.
        beta: learning rate of the transfers out of W_N (> 0).
        beta_ratio: learning rate of the transfers into an array, relative to those out of it (> 0).
        gamma: weight of an array relative to the one before, in (0, 1]; the paper finds a little more than
            1 / states best, so that the range of an array covers a step of the one before.
        transfer_every: updates between transfers out of W_N (>= 1), the paper's T_N.
        inner: transfers into an array between transfers out of it (>= 1), the paper's T_n.
        columns: columns per transfer (>= 1), in turn; None for all.
        warm_start: updates of each turn of the warm start, 0 for none, or "plateau".
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    In aihwkit's TransferCompound, which counts the arrays from the last: fast_lr (alpha), transfer_lr_vec
    (beta beta_ratio^n), gamma_vec, transfer_every_vec (transfer_every inner^n).

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> few = Device(SoftBounds.symmetric(0.6), dw_min=1.2 / 16)
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), few)
        >>> optimizer = MultiTile(model.parameters(), lr=0.1, tiles=3, gamma=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    work = Work("last")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        tiles: int = 3,
        alpha: float | None = None,
        beta: float = 0.1,
        beta_ratio: float = 1.0,
        gamma: float = 0.2,
        transfer_every: int = 2,
        inner: int = 5,
        columns: int | None = 1,
        warm_start: int | Literal["plateau"] = 0,
        **digital: Any,
    ) -> None:
        options = {
            "lr": lr,
            "tiles": tiles,
            "alpha": alpha,
            "beta": beta,
            "beta_ratio": beta_ratio,
            "gamma": gamma,
            "transfer_every": transfer_every,
            "inner": inner,
            "columns": columns,
            "warm_start": warm_start,
        }
        super().__init__(params, options, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> list[Tile]:
        """W_1 ... W_N; the tile is W_0."""
        finer = [self.array(tile, state, f"tile_{n}", role=n) for n in range(1, group["tiles"])]
        tile.companions = [(group["gamma"] ** n, array) for n, array in enumerate(finer, 1)]
        return finer

    def check(self, group: dict[str, Any]) -> None:
        group["tiles"] = check_integer("tiles", group["tiles"], 2, 255)
        check_residual(group)
        check_number("gamma", group["gamma"], low=0, high=1, open_low=True)
        check_number("beta_ratio", group["beta_ratio"], low=0, open_low=True)
        check_whole(group, "inner")
        if not isinstance(group["warm_start"], str) or group["warm_start"] != "plateau":
            check_whole(group, "warm_start", low=0)

    def end_epoch(self, loss: float) -> None:
        """Tell the mean training loss of an epoch, by which a warm start until "plateau" goes on.

        Raises:
            InputError: when it is no number; that of a training that diverged is one.
        """
        loss = loss if isinstance(loss, float) else float(check_number("loss", loss))
        for group in self.param_groups:
            if not isinstance(group["warm_start"], str) or group["warm_start"] != "plateau":
                continue
            for _, state in self.tiles_in(group):
                losses = state["losses"] = [*state.get("losses", []), loss][-_WINDOW:]
                turn = state.get("turn", 0)
                if turn < group["tiles"] - 1 and _plateau(losses, turn):
                    state["turn"] = turn + 1

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        arrays = [tile, *self.auxiliary(tile, group, state)]
        arrays[-1].pulse(x, d, -residual_rate(group))
        updates = state["updates"] = state.get("updates", 0) + 1
        last, warm, every = len(arrays) - 1, group["warm_start"], group["transfer_every"]
        turn = (updates - 1) // warm if warm and warm != "plateau" else last
        if warm == "plateau":
            turn = state.get("turn", 0)
        if turn < last:
            if updates % every == 0:
                self._transfer(arrays[last], arrays[turn], group, updates // every - 1, group["beta"])
            return
        if warm != "plateau":
            updates -= last * warm  # transfers are counted from the end of the warm start
        rate = group["beta"]
        for n in range(last - 1, -1, -1):
            if updates % every:
                return
            self._transfer(arrays[n + 1], arrays[n], group, updates // every - 1, rate)
            every *= group["inner"]
            rate *= group["beta_ratio"]

    @staticmethod
    def _transfer(source: Tile, into: Tile, group: dict[str, Any], number: int, rate: float) -> None:
        columns = next_columns(into, group["columns"], number)
        write_columns(into, columns, read_columns(source, columns), rate)


#: losses that decide whether a later turn ends
_WINDOW = 6


def _plateau(losses: Sequence[float], turn: int) -> bool:
    """Whether the loss does not fall any more, by the epochs so far, at most `_WINDOW` of them."""
    rises = [after > before for before, after in pairwise(losses)]
    if turn <= 3:
        return bool(rises) and rises[-1]
    return len(losses) == _WINDOW and sum(rises) >= 2
