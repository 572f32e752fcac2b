"""What training costs on hardware: events times the coefficients of a hardware description."""

from .counts import ArrayEvents, array_events

__all__ = ["ArrayEvents", "array_events"]
