"""Arrays that a product sees together: W + sum_i f_i A_i."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import InputError

__all__ = ["Companions", "Numbers", "companions_on", "warn_of_copies", "weighted_sum"]


class _Array(Protocol):
    @property
    def weight(self) -> Tensor: ...


class Numbers(NamedTuple):
    """What products see beside the weights where no array holds it, as after loading a model alone."""

    #: (rows, cols)
    weight: Tensor


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


def companions_on(
    companions: Iterable[tuple[float | Tensor, Any]], place: torch.device
) -> list[tuple[float | Tensor, Any]]:
    """The same numbers on a device.

    Raises:
        InputError: when there are arrays, which an optimizer has.
    """
    found: list[tuple[float | Tensor, Any]] = []
    for factor, array in companions:
        if not isinstance(array, Numbers):
            raise InputError(
                f"weights went to {place} after their optimizer was made, whose arrays are on "
                f"{array.weight.device}: move the model first, and make the optimizer then"
            )
        there = factor.to(place) if isinstance(factor, Tensor) else factor
        found.append((there, Numbers(array.weight.to(place))))
    return found


def warn_of_copies(companions: Collection[tuple[float | Tensor, _Array]]) -> None:
    """Warn that weights were written to which copies of an optimizer's arrays add, where there are any."""
    if companions and all(isinstance(array, Numbers) for _, array in companions):
        warnings.warn(
            "weights of a copy of a model were written, but what arrays of an optimizer (gamma > 0) "
            "add to them stayed: average or copy ohmgrad.to_digital(model)",
            stacklevel=5,
        )
