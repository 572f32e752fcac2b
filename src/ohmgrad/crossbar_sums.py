"""Arrays that a product sees together: W + sum_i f_i A_i, with or without building the sum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Companions", "product_with_sum", "weighted_sum"]


class _Array(Protocol):
    @property
    def weight(self) -> Tensor: ...


#: factors, numbers or one for each column (cols,), and arrays (rows, cols)
Companions = Iterable[tuple[float | Tensor, _Array]]


def weighted_sum(weight: Tensor, companions: Companions) -> Tensor:
    """W + sum_i f_i A_i, (rows, cols); W itself where there are no companions."""
    for factor, other in companions:
        if isinstance(factor, Tensor):
            weight = torch.addcmul(weight, other.weight, factor)
        else:
            weight = torch.add(weight, other.weight, alpha=factor)
    return weight


def product_with_sum(v: Tensor, weight: Tensor, companions: Companions, back: bool) -> Tensor:
    """Exact product with the sum, v (samples, cols) -> (samples, rows), or `back` the other way.

    A small product for each array costs less than a sum of the size of the arrays.
    """
    y = v @ (weight if back else weight.t())
    for factor, other in companions:
        if not isinstance(factor, Tensor):
            y = torch.addmm(y, v, other.weight if back else other.weight.t(), alpha=factor)
        elif back:
            y = torch.addcmul(y, v @ other.weight, factor)
        else:
            y = torch.addmm(y, v * factor, other.weight.t())
    return y
