"""After training: a model on a chip that drifts, and training that knows of it."""

from .chip import Deployed, deploy
from .hardware_aware import InputRange, NoisyWeight, hardware_aware
from .over_time import OverTime, accuracy_over_time
from .technologies import DAY, PCM, TECHNOLOGIES, YEAR, ReRAM, Technology

__all__ = [
    "DAY", "PCM", "TECHNOLOGIES", "YEAR", "Deployed", "InputRange", "NoisyWeight", "OverTime", "ReRAM",
    "Technology", "accuracy_over_time", "deploy", "hardware_aware",
]  # fmt: skip
