"""Piecewise step: the response by its values on an even grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import InputError, check_number, python_numbers, shown
from ..response import MOST_FACTOR, AbstractResponse, check_range

__all__ = ["PiecewiseStep", "interpolate"]


def interpolate(values: Tensor, low: float, high: float, w: Tensor) -> Tensor:
    """Linear between `values` (nodes,) on an even grid from `low` to `high`, constant outside; as `w`."""
    n = len(values) - 1
    p = ((w.double() - low) * (n / (high - low))).clamp(0, n)
    i = p.nan_to_num(0.0).long().clamp(max=n - 1)  # NaN gives NaN
    t = p - i
    return (values[i] * (1 - t) + values[i + 1] * t).to(w.dtype)


@dataclass(frozen=True)
class PiecewiseStep(AbstractResponse):
    """Piecewise step: values of q+ and q- on an even grid over the range, linear in between.

    The first node lies at w_min and the last at w_max, as in aihwkit's `PiecewiseStepDevice`
    (`piecewise_up`, `piecewise_down`). dw_min is the step where the value is 1.

    Args:
        w_min, w_max: weight range with hard clipping, w_min < 0 < w_max.
        nodes_up, nodes_down: 2 to 1025 values each, equally many, in units of dw_min (>= 0).

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> import torch
        >>> PiecewiseStep(nodes_up=(1.5, 1.0, 1.5)).q_plus(torch.tensor(0.5))
        tensor(1.2500)
    """

    w_min: float = -1.0
    w_max: float = 1.0
    nodes_up: Sequence[float] = (1.0, 1.0, 1.0)
    nodes_down: Sequence[float] = (1.0, 1.0, 1.0)
    family: ClassVar[str] = "piecewise_step"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_range(self.w_min, self.w_max)
        for name in ("nodes_up", "nodes_down"):
            nodes = getattr(self, name)
            if isinstance(nodes, str) or not isinstance(nodes, Sequence) or not 2 <= len(nodes) <= 1025:
                raise InputError(
                    f"{name} is {shown(nodes)}, but must be 2 to 1025 numbers, from w_min to w_max"
                )
            for node in nodes:
                check_number(f"a value of {name}", node, low=0, high=MOST_FACTOR)
            object.__setattr__(self, name, tuple(float(node) for node in nodes))  # to be hashable
        if len(self.nodes_up) != len(self.nodes_down):
            raise InputError(
                f"nodes_up has {len(self.nodes_up)} values and nodes_down {len(self.nodes_down)}, but both "
                "lie on one grid: give equally many"
            )

    @property
    def intervals(self) -> int:
        """Intervals between nodes, of which a table takes a multiple and so keeps the kinks."""
        return len(self.nodes_up) - 1

    def _at(self, nodes: Sequence[float], w: Tensor) -> Tensor:
        return interpolate(torch.tensor(nodes, dtype=torch.float64), self.w_min, self.w_max, w)

    def q_plus(self, w: Tensor) -> Tensor:
        """The line between the nodes of nodes_up around `w`, in units of dw_min."""
        return self._at(self.nodes_up, w)

    def q_minus(self, w: Tensor) -> Tensor:
        """The line between the nodes of nodes_down around `w`, in units of dw_min."""
        return self._at(self.nodes_down, w)
