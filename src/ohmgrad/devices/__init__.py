"""The physics of one resistive element; knows no networks."""

from .device import Device
from .elements import Elements, draw
from .families import FAMILIES, AffineResponse, ConstantStep, Custom, LinearStep, SoftBounds
from .memory import Retention, Stuck
from .pairs import OneSided, Reference
from .response import AbstractResponse
from .variability import Noise, Spread

__all__ = [
    "FAMILIES",
    "AbstractResponse",
    "AffineResponse",
    "ConstantStep",
    "Custom",
    "Device",
    "Elements",
    "LinearStep",
    "Noise",
    "OneSided",
    "Reference",
    "Retention",
    "SoftBounds",
    "Spread",
    "Stuck",
    "draw",
]
