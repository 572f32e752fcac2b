"""Algorithms, one a file; each an ordinary torch optimizer."""

from .agad import AGAD
from .base import AnalogOptimizer
from .cttv2 import ChoppedTTv2
from .registry import ALGORITHMS
from .sgd import AnalogSGD
from .tiki_taka import TikiTaka
from .ttv2 import TTv2

__all__ = ["AGAD", "ALGORITHMS", "AnalogOptimizer", "AnalogSGD", "ChoppedTTv2", "TTv2", "TikiTaka"]
