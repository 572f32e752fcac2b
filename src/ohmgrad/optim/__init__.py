"""Algorithms, one a file; each an ordinary torch optimizer."""

from .agad import AGAD
from .base import AnalogOptimizer
from .calibration import calibrate_symmetric_points
from .cttv2 import ChoppedTTv2
from .eapu import EaPU
from .gradient_counts import GradientCounts
from .mixed_precision import MixedPrecision
from .momentum import AnalogMomentum
from .multi_tile import MultiTile
from .registry import ALGORITHMS
from .residual import ResidualLearning
from .residual_v2 import ResidualLearningV2
from .sgd import AnalogSGD
from .sign_rule import SignRule
from .sp_tracking import SPTracking
from .sp_tracking_chopped import ChoppedSPTracking
from .tiki_taka import TikiTaka
from .ttv2 import TTv2

__all__ = [
    "AGAD",
    "ALGORITHMS",
    "AnalogMomentum",
    "AnalogOptimizer",
    "AnalogSGD",
    "ChoppedSPTracking",
    "ChoppedTTv2",
    "EaPU",
    "GradientCounts",
    "MixedPrecision",
    "MultiTile",
    "ResidualLearning",
    "ResidualLearningV2",
    "SPTracking",
    "SignRule",
    "TTv2",
    "TikiTaka",
    "calibrate_symmetric_points",
]
