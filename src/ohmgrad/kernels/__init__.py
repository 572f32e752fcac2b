"""From a wanted change to pulses, from pulses to a change, and from vectors to analog products."""

from .ops import apply_counts_, pulsed_update_
from .periphery import NOISY_PERIPHERY, Periphery
from .pulsing import FIDELITIES, Pulsing

__all__ = ["FIDELITIES", "NOISY_PERIPHERY", "Periphery", "Pulsing", "apply_counts_", "pulsed_update_"]
