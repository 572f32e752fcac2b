"""What an optimizer is given beside an algorithm's own options: parameters, and options of digital ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ..errors import InputError, check_flag, check_number, shown

__all__ = ["LARGEST_RATE", "check_digital", "listed"]

#: learning rates are no larger: with steps of any use weights have left their range long before
LARGEST_RATE = 1e6


def listed(params: Any) -> list[Any]:
    """The entries of `params` that torch takes: tensors, named tensors or groups.

    Raises:
        InputError: when it has none, or others.
    """
    many = isinstance(params, Iterable) and not isinstance(params, (Tensor, str, bytes, Mapping))
    entries = list(params) if many else []
    if not entries or not all(isinstance(p, (Tensor, dict, tuple)) for p in entries):
        raise InputError(
            f"params is {shown(params)}, but must be parameters, as of model.parameters(), or groups of them"
        )
    return entries


def check_digital(group: dict[str, Any]) -> None:
    """Raise InputError when the learning rate, or an option of digital parameters, is out of range."""
    lr = group["lr"]
    check_number(
        "lr", float(lr) if isinstance(lr, Tensor) and lr.numel() == 1 else lr, low=0, high=LARGEST_RATE
    )
    check_number("momentum", group["momentum"], low=0, high=1)
    check_number("dampening", group["dampening"], low=0, high=1)
    check_number("weight_decay", group["weight_decay"], low=0)
    check_flag("nesterov", group["nesterov"])
