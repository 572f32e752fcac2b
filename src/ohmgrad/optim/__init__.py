"""Algorithms, one a file; each an ordinary torch optimizer."""

from .base import AnalogOptimizer
from .gradient_counts import GradientCounts
from .mixed_precision import MixedPrecision
from .momentum import AnalogMomentum
from .multi_tile import MultiTile
from .residual import ResidualLearning
from .residual_v2 import ResidualLearningV2
from .sgd import AnalogSGD
from .sp_tracking import SPTracking
from .sp_tracking_chopped import ChoppedSPTracking
from .tiki_taka import TikiTaka

__all__ = [
    "AnalogMomentum",
    "AnalogOptimizer",
    "AnalogSGD",
    "ChoppedSPTracking",
    "GradientCounts",
    "MixedPrecision",
    "MultiTile",
    "ResidualLearning",
    "ResidualLearningV2",
    "SPTracking",
    "TikiTaka",
]
