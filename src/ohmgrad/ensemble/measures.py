"""What is measured along a batch of runs: at recorded steps, over the tail, and over all steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, is_integer, shown
from .arrays import Arrays

__all__ = ["Meter", "Result", "merge", "recorded_steps"]


@dataclass(frozen=True, eq=False)
class Result:
    """What `simulate` measured of T runs of n weights; W_k are the weights that the objective sees.

    Args:
        steps: int64 (R,), the recorded steps k; 0 is the start.
        loss, squared_gradient: f(W_k) and ||grad f(W_k)||^2 at them, (T, R).
        tail_loss, tail_squared_gradient: their means over the last `tail` iterates, (T,).
        tail_weight: mean of W_k over the tail, (T, n); tail_peak: mean of max_i |W_k,i|, (T,).
        mean_squared_gradient: (1/K) sum_{k<K} ||grad f(W_k)||^2, the left side of the theorems, (T,).
        saturation: for each array S = (1/K) sum_{k<K} r_k^2/(1 - r_k^2), (T,), with r_k the largest
            |w|/|bound ahead| of its elements: S_K of Theorem 2 for "W" of Analog SGD. Infinite if an element
            stood at its bound.
        peak: for each array the largest r_k, (T,): W_max/tau of Theorem 2, P_max/tau of Theorem 4 (arXiv
            2406.12774v1).
        clipped: for each array the share of its updates, sample by sample, that needed more than `max_bl`
            pulses for their largest change, |lr d| max_i |x_i| > max_bl dw_min, (T,): lines are clipped
            there, and the step falls short. Zero at fidelity "mean".
        weight: W_K, (T, n).
        arrays: weights of each array at the end, (T, n).
        events: for each array pulses up, pulses down, line toggles and slots, int64 (T, 4).
    """

    steps: Tensor
    loss: Tensor
    squared_gradient: Tensor
    tail_loss: Tensor
    tail_squared_gradient: Tensor
    tail_weight: Tensor
    tail_peak: Tensor
    mean_squared_gradient: Tensor
    saturation: dict[str, Tensor]
    peak: dict[str, Tensor]
    clipped: dict[str, Tensor]
    weight: Tensor
    arrays: dict[str, Tensor]
    events: dict[str, Tensor]

    @property
    def pulses(self) -> Tensor:
        """Pulses of all arrays, up and down, int64 (T,)."""
        zero = torch.zeros(len(self.tail_loss), dtype=torch.int64)
        return sum((e[:, :2].sum(1) for e in self.events.values()), zero)


def merge(parts: list[Result]) -> Result:
    """Blocks of a batch as one: part b holds the runs b, b + B, ... of B parts."""
    runs = sum(len(part.tail_loss) for part in parts)

    def whole(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: whole([v[name] for v in values]) for name in values[0]}
        out = values[0].new_empty(runs, *values[0].shape[1:])
        for b, value in enumerate(values):
            out[b :: len(parts)] = value
        return out

    found = {f.name: whole([getattr(part, f.name) for part in parts]) for f in fields(Result)[1:]}
    return Result(steps=parts[0].steps, **found)


def recorded_steps(record: int | Sequence[int] | None, steps: int) -> list[int]:
    """The steps to record, in order: 0, the last one, and every `record`-th or those listed.

    Raises:
        InputError: when the interval is not positive or a step does not exist.
    """
    if record is None:
        record = -(-steps // 100)
    if not isinstance(record, Iterable) or isinstance(record, (str, bytes, Mapping, Tensor)):
        interval: Any = record
        if not is_integer(interval) or not 1 <= interval < 2**31:
            raise InputError(f"record is {shown(record)}, but must be an interval of at least 1, or steps")
        return [*range(0, steps, int(interval)), steps]
    record = list(record)
    wrong = [k for k in record if not (is_integer(k) and 0 <= k <= steps)]
    if wrong:
        raise InputError(
            f"step {shown(wrong[0])} cannot be recorded: the steps are the integers 0 to {steps}"
        )
    return sorted({0, steps, *(int(k) for k in record)})


class Meter:
    """Collects a `Result`, step by step.

    Args:
        runs, n: numbers of runs and of weights; steps: K; tail: iterates in the tail averages.
        recorded: steps, in order, the last one K.
        state: the algorithm's, for the saturation of its arrays.
    """

    def __init__(
        self, runs: int, n: int, steps: int, tail: int, recorded: list[int], state: Mapping[str, Any]
    ) -> None:
        self.steps, self.tail, self.recorded = steps, tail, recorded
        self._at = {k: i for i, k in enumerate(recorded)}
        self._loss = torch.zeros(runs, len(recorded), dtype=torch.float64)
        self._square = torch.zeros_like(self._loss)
        self._tail = torch.zeros(3, runs, dtype=torch.float64)  # loss, squared gradient, peak
        self._weight = torch.zeros(runs, n, dtype=torch.float64)
        self._sum = torch.zeros(runs, dtype=torch.float64)
        self._now = np.empty(runs)
        arrays = {name: a for name, a in state.items() if isinstance(a, Arrays)}
        self._arrays = {
            name: (
                a,
                *(1 / bound.double().numpy() for bound in a.bounds),
                np.zeros(runs),
                np.zeros(runs),
            )
            for name, a in arrays.items()
        }

    def in_tail(self, k: int) -> bool:
        """Whether iterate k belongs to the tail averages."""
        return k > self.steps - self.tail

    def wants_loss(self, k: int) -> bool:
        """Whether the loss of iterate k is measured."""
        return self.in_tail(k) or k in self._at

    def add(self, k: int, w: Tensor, loss: Tensor | None, gradient: Tensor) -> None:
        """Iterate k: weights (T, n), loss (T,) where wanted, mean gradient (T, n)."""
        from . import compiled

        compiled.squares(gradient.numpy(), self._now)
        square = torch.from_numpy(self._now)
        if k < self.steps:
            self._sum += square
            for array, below, above, total, peak in self._arrays.values():
                compiled.measure(array.w.numpy(), below, above, total, peak)
        if loss is None:
            return
        if k in self._at:
            self._loss[:, self._at[k]], self._square[:, self._at[k]] = loss, square
        if self.in_tail(k):
            self._tail[0] += loss
            self._tail[1] += square
            self._tail[2] += w.abs().amax(1)
            self._weight += w

    def result(self, weight: Tensor) -> Result:
        """All that was measured."""
        loss, square, peak = (self._tail / self.tail).unbind(0)
        return Result(
            steps=torch.tensor(self.recorded),
            loss=self._loss,
            squared_gradient=self._square,
            tail_loss=loss,
            tail_squared_gradient=square,
            tail_weight=self._weight / self.tail,
            tail_peak=peak,
            mean_squared_gradient=self._sum / self.steps,
            saturation={name: torch.from_numpy(a[3]) / self.steps for name, a in self._arrays.items()},
            clipped={name: a[0].clipped.double() / max(1, a[0].parallel) for name, a in self._arrays.items()},
            peak={name: torch.from_numpy(a[4]) for name, a in self._arrays.items()},
            weight=weight.clone(),
            arrays={name: a[0].weight.clone() for name, a in self._arrays.items()},
            events={name: a[0].events for name, a in self._arrays.items()},
        )
