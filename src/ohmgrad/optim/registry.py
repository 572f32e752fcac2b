"""Algorithms by the name that run files and the command line know them by."""

from __future__ import annotations

import inspect
from collections.abc import Callable

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

__all__ = ["ALGORITHMS", "options_of"]

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


def options_of(name: str) -> tuple[str, ...]:
    """The options of an algorithm of `ALGORITHMS` beside lr and those of digital parameters."""
    parameters = inspect.signature(ALGORITHMS[name]).parameters
    return tuple(n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY)
