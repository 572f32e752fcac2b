"""Algorithms by the name that run files and the command line know them by."""

from __future__ import annotations

import inspect

from .agad import AGAD
from .base import AnalogOptimizer
from .cttv2 import ChoppedTTv2
from .sgd import AnalogSGD
from .tiki_taka import TikiTaka
from .ttv2 import TTv2

__all__ = ["ALGORITHMS", "options_of"]

ALGORITHMS: dict[str, type[AnalogOptimizer]] = {
    "sgd": AnalogSGD,
    "tiki-taka": TikiTaka,
    "ttv2": TTv2,
    "c-ttv2": ChoppedTTv2,
    "agad": AGAD,
}


def options_of(name: str) -> tuple[str, ...]:
    """The options of an algorithm of `ALGORITHMS` beside lr and those of digital parameters."""
    parameters = inspect.signature(ALGORITHMS[name]).parameters
    return tuple(n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY)
