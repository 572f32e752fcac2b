"""Algorithms, one a file; each an ordinary torch optimizer."""

from .base import AnalogOptimizer
from .calibration import calibrate_symmetric_points
from .sgd import AnalogSGD
from .tiki_taka import TikiTaka

__all__ = ["AnalogOptimizer", "AnalogSGD", "TikiTaka", "calibrate_symmetric_points"]
