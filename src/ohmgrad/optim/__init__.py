"""Algorithms, one a file; each an ordinary torch optimizer."""

from .base import AnalogOptimizer
from .gradient_counts import GradientCounts
from .mixed_precision import MixedPrecision
from .momentum import AnalogMomentum
from .sgd import AnalogSGD
from .tiki_taka import TikiTaka

__all__ = [
    "AnalogMomentum",
    "AnalogOptimizer",
    "AnalogSGD",
    "GradientCounts",
    "MixedPrecision",
    "TikiTaka",
]
