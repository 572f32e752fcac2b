"""Algorithms by the name that run files and the command line know them by, or in a file of one's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import cast

from ..errors import InputError, check_choice, shown
from ..user_files import is_in_file, object_in
from .agad import AGAD
from .base import AnalogOptimizer
from .cttv2 import ChoppedTTv2
from .eapu import EaPU
from .gradient_counts import GradientCounts
from .mixed_precision import MixedPrecision
from .momentum import AnalogMomentum
from .multi_tile import MultiTile
from .residual import ResidualLearning
from .residual_v2 import ResidualLearningV2
from .sgd import AnalogSGD
from .sign_rule import SignRule
from .sp_tracking import SPTracking
from .sp_tracking_chopped import ChoppedSPTracking
from .tiki_taka import TikiTaka
from .ttv2 import TTv2

__all__ = ["ALGORITHMS", "algorithm_of", "options_of"]

#: each takes parameters, lr, its own options by keyword, and those of digital parameters
ALGORITHMS: dict[str, Callable[..., AnalogOptimizer]] = {
    "sgd": AnalogSGD,
    "tiki-taka": TikiTaka,
    "ttv2": TTv2,
    "c-ttv2": ChoppedTTv2,
    "agad": AGAD,
    "mixed-precision": MixedPrecision,
    "gradient-counts": GradientCounts,
    "momentum": AnalogMomentum,
    "sign-rule": SignRule,
    "eapu": EaPU,
    "residual": ResidualLearning,
    "residual-v2": ResidualLearningV2,
    "multi-tile": MultiTile,
    "sp-tracking": SPTracking,
    "sp-tracking-chopped": ChoppedSPTracking,
}


def algorithm_of(name: str, *others: str) -> Callable[..., AnalogOptimizer]:
    """The algorithm of a name in `ALGORITHMS`, or the class in FILE.py:CLASS; called with parameters and lr.

    Args:
        name: the name.
        others: names that the caller takes, too, for the message of an unknown one.

    Raises:
        InputError: for an unknown name, or a file without such a class.
    """
    if not is_in_file(name):
        names = (*others, *ALGORITHMS)
        return ALGORITHMS[check_choice("algorithm", name, names, "FILE.py:CLASS, one of your own")]
    found = object_in(name)
    if not callable(found) or (isinstance(found, type) and not issubclass(found, AnalogOptimizer)):
        kind = f"the class {found.__name__}" if isinstance(found, type) else shown(found)
        raise InputError(f"{name} is {kind}, but must be a class that extends ohmgrad.AnalogOptimizer")
    return cast("Callable[..., AnalogOptimizer]", found)


def options_of(name: str) -> tuple[str, ...]:
    """The options of an algorithm beside lr and those of digital parameters.

    Raises:
        InputError: as `algorithm_of`.
    """
    _, *rest = inspect.signature(algorithm_of(name)).parameters.values()
    named = (p for p in rest if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
    return tuple(p.name for p in named if p.name != "lr")
