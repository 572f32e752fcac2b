"""Parameter groups of a training: learning rates by name patterns, and of what stays digital."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ..crossbar import tiles_of
from ..errors import InputError, check_number, shown

__all__ = ["check_factors", "parameter_groups"]


def check_factors(factors: Any) -> None:
    """Check factors of the learning rate by pattern.

    Raises:
        InputError: when they are no mapping of patterns to positive numbers.
    """
    if not isinstance(factors, Mapping):
        raise InputError(f"lr_factors is {shown(factors)}, but must be a mapping of patterns to numbers")
    for pattern, factor in factors.items():
        if not isinstance(pattern, str):
            raise InputError(f"pattern {shown(pattern)} of lr_factors must be a name with * and ?")
        check_number(f"lr_factors of {pattern}", factor, low=0, open_low=True)


def parameter_groups(
    model: nn.Module,
    lr: float,
    factors: Mapping[str, float],
    digital_lr: float | None,
    *,
    strict: bool = True,
) -> list[dict[str, Any]]:
    """The parameters of a model in groups of one learning rate each, in order of their first parameter.

    A parameter has the factor of the first pattern that matches its name or its layer's, else 1, times
    `digital_lr` if it is given and the parameter is on no crossbar, else times `lr`.

    Args:
        model: the network, converted or not.
        lr, digital_lr: learning rates.
        factors: by pattern, with * and ?.
        strict: whether every pattern must match.

    Raises:
        InputError: for a pattern that matches nothing.
    """
    found: dict[float, list[nn.Parameter]] = {}
    layers: dict[str, None] = {}
    matched: set[str] = set()
    for name, parameter in model.named_parameters():
        layer = name.rpartition(".")[0]
        layers[layer] = None
        hits = [p for p in factors if fnmatchcase(name, p) or fnmatchcase(layer, p)]
        matched.update(hits)
        base = lr if digital_lr is None or tiles_of(parameter) else digital_lr
        found.setdefault(base * factors[hits[0]] if hits else base, []).append(parameter)
    for pattern in factors:
        if strict and pattern not in matched:
            raise InputError(
                f"pattern {pattern!r} of lr_factors matches no layer: the layers are {', '.join(layers)}"
            )
    return [{"params": parameters, "lr": rate} for rate, parameters in found.items()]
