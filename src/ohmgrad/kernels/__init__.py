"""From a wanted change to pulses, from pulses to a change, and from vectors to analog products."""

from .cells import BACKENDS, Cells
from .periphery import NOISY_PERIPHERY, Periphery
from .pulsing import FIDELITIES, Pulsing

__all__ = ["BACKENDS", "FIDELITIES", "NOISY_PERIPHERY", "Cells", "Periphery", "Pulsing"]
