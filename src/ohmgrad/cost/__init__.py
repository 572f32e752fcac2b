"""What training costs on hardware: events times the coefficients of a hardware description."""

from .counts import ArrayEvents, array_events, since
from .hardware import NAMES, Hardware, Source, hardware
from .training import PHASES, Baseline, Cost, Part, baseline, cost_of

__all__ = [
    "NAMES", "PHASES", "ArrayEvents", "Baseline", "Cost", "Hardware", "Part", "Source", "array_events",
    "baseline", "cost_of", "hardware", "since",
]  # fmt: skip
