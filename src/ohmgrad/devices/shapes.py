"""Elements of several shapes: slopes, exponents and tilts that differ from element to element.

An array has `MOST` shapes, and every element is one of them, by its address. Their numbers (z up, z down) are
quantiles of the normal law, in an order (Hammersley's, with flipped digits) in which both directions are
uncorrelated; each direction has mean 0 and variance 1, and reaches 2.4 standard deviations. The step at w = 0
and the bounds stay: these are spread by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .families import FAMILIES, ExpBounds, ExpStep, LinearStep, PiecewiseStep, PowStep
from .response import AbstractResponse

__all__ = ["FEWEST", "MOST", "check_shapes", "numbers", "shaped"]

#: shapes of an array: powers of 4, so that both directions are uncorrelated; the fewer where tables are long
MOST, FEWEST = 64, 16
#: family -> name of what the spread is of, without the direction, and the range in which elements keep it
_PARAMETERS: dict[type, tuple[str, float, float]] = {
    LinearStep: ("slope", -1.0, 1.0),
    ExpStep: ("gamma", -100.0, 100.0),
    ExpBounds: ("gamma", 0.01, 10.0),
    PowStep: ("gamma", 0.5, 20.0),
}


def numbers(count: int) -> tuple[Tensor, Tensor]:
    """Standard normal numbers of `count` shapes (a power of 4), for up and for down: float64 (count,)."""
    digits = int(math.log2(count))
    i = torch.arange(count)
    back = sum((i >> k & 1) << (digits - 1 - k) for k in range(digits)) ^ (2 ** (digits // 2) - 1)
    z = (torch.stack([i, torch.as_tensor(back)]).double() + 0.5) / count
    z = torch.special.ndtri(z)
    up, down = z / z.square().mean(1, keepdim=True).sqrt()
    return up, down


def shaped(response: AbstractResponse, up: float, down: float, count: int = MOST) -> list[Any]:
    """The `count` shapes of a response whose parameters have the standard deviations `up` and `down`."""
    return [
        _moved(response, up * a, down * b) for a, b in zip(*(z.tolist() for z in numbers(count)), strict=True)
    ]


def check_shapes(response: AbstractResponse, up: float, down: float) -> None:
    """Raise InputError unless all shapes of a response are responses with steps at w = 0.

    Args:
        up, down: standard deviations, `Spread.shape_up` and `shape_down`.
    """
    given = f"the spread has shape_up {up:g} and shape_down {down:g}"
    if type(response) not in {*_PARAMETERS, PiecewiseStep}:
        names = ", ".join(cls.__name__ for cls in FAMILIES.values() if cls in {*_PARAMETERS, PiecewiseStep})
        raise InputError(
            f"{given}, but {type(response).__name__} has no slope or exponent that could be spread: use one "
            f"of {names} (soft bounds are a LinearStep of slope 1)"
        )
    zero = torch.zeros(1, dtype=torch.float64)
    for one in shaped(response, up, down):
        steps = float(one.q_plus(zero)), float(one.q_minus(zero))
        if not min(steps) > 0:
            raise InputError(f"{given}, which gives elements without a step at w = 0 ({one}): lower them")


def _moved(response: Any, up: float, down: float) -> Any:
    """A response whose shape parameters are moved by `up` and `down`."""
    if isinstance(response, PiecewiseStep):
        way = torch.linspace(response.w_min, response.w_max, len(response.nodes_up), dtype=torch.float64)
        way = 2 * way / (response.w_max - response.w_min)
        return replace(
            response,
            nodes_up=_tilted(response.nodes_up, -up * way),
            nodes_down=_tilted(response.nodes_down, down * way),
        )
    name, low, high = _PARAMETERS[type(response)]
    moved = {"up": up, "down": down}
    values = {f"{name}_{side}": getattr(response, f"{name}_{side}") + by for side, by in moved.items()}
    return replace(response, **{key: min(max(value, low), high) for key, value in values.items()})


def _tilted(nodes: Sequence[float], log: Tensor) -> list[float]:
    return (torch.tensor(nodes, dtype=torch.float64) * log.exp()).tolist()
