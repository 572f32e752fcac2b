"""Tiki-Taka (TTv1): a fast array collects the gradient, and moves slowly into the array of weights.

Gokmen & Haensch 2020 (10.3389/fnins.2020.00103); shown to converge exactly by Wu et al. 2024
(arXiv 2406.12774, Theorem 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import InputError, check_choice, check_number
from ..rng import Purpose, words
from .base import AnalogOptimizer, Road

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
        self._fast_arrays()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._fast_arrays()  # the next product sees the restored P

    def _fast_arrays(self) -> None:
        for group in self.param_groups:
            for tile, state in self.tiles_in(group):
                self._fast(tile, group, state)

    def check(self, group: dict[str, Any]) -> None:
        check_number("fast_lr", group["fast_lr"], low=0, open_low=True)
        if group["transfer_lr"] is not None:
            check_number("transfer_lr", group["transfer_lr"], low=0, open_low=True)
        check_number("gamma", group["gamma"], low=0)
        check_choice("order", group["order"], ("sequential", "random"))
        for name in ("transfer_every", "columns", "reads"):
            if type(group[name]) is not int or group[name] < 1:  # True is an int to isinstance
                raise InputError(f"{name} is {group[name]!r}, but must be an integer of at least 1")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        fast = self._fast(tile, group, state)
        fast.pulse(x, d, -group["fast_lr"])
        updates = state["updates"] = state.get("updates", 0) + 1
        if updates % group["transfer_every"]:
            return
        lr = self._transfer_lr(group)
        columns = self._columns(tile, group, updates // group["transfer_every"] - 1)
        values = fast.read(columns, group["reads"])
        lines = np.zeros((len(columns), tile.shape[1]), np.float32)  # one line on in each sample
        lines[np.arange(len(columns)), columns] = 1.0
        tile.pulse(torch.from_numpy(lines), values.t(), lr)

    def road(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Road:
        share = min(group["columns"] / tile.shape[1], 1.0) / group["transfer_every"]
        p = tile.periphery  # noise of a one-hot read: outputs, elements, rounding of the ADC
        noise = math.sqrt((p.out_noise**2 + p.weight_noise**2 + p.out_step**2 / 12) / group["reads"])
        fast = self._fast(tile, group, state)
        return Road(fast, float(group["fast_lr"]), share * self._transfer_lr(group), noise)

    @staticmethod
    def _transfer_lr(group: dict[str, Any]) -> float:
        return float(group["lr"] if group["transfer_lr"] is None else group["transfer_lr"])

    def _fast(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Tile:
        fast = self.array(tile, state, "fast", role=1)
        tile.companions = [(group["gamma"], fast)] if group["gamma"] else []
        return fast

    @staticmethod
    def _columns(tile: Tile, group: dict[str, Any], transfer: int) -> list[int]:
        """Columns of the transfer with this number: the next ones, or from a random start."""
        cols = tile.shape[1]
        start = transfer * group["columns"]
        if group["order"] == "random":
            start = int(words(1, 0, transfer, Purpose.COLUMN_ORDER, tile.key))
        return [(start + i) % cols for i in range(min(group["columns"], cols))]
