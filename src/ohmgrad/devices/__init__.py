"""The physics of one resistive element; knows no networks."""

from .device import Device
from .elements import Elements, draw
from .families import (
    FAMILIES,
    AffineResponse,
    ConstantStep,
    Custom,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    SoftBounds,
)
from .measured import Measured
from .response import AbstractResponse
from .table import Table, tabulate
from .variability import Noise, Spread

__all__ = [
    "FAMILIES",
    "AbstractResponse",
    "AffineResponse",
    "ConstantStep",
    "Custom",
    "Device",
    "Elements",
    "ExpStep",
    "LinearStep",
    "Measured",
    "Noise",
    "PiecewiseStep",
    "PowStep",
    "SoftBounds",
    "Spread",
    "Table",
    "draw",
    "tabulate",
]
