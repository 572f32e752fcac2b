"""From a wanted change to pulses, and from pulses to a change."""

from .ops import apply_counts_, pulsed_update_
from .trains import FIDELITIES, Pulsing

__all__ = ["FIDELITIES", "Pulsing", "apply_counts_", "pulsed_update_"]
