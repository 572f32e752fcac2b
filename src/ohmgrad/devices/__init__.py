"""The physics of one resistive element; knows no networks."""

from .describe import describe
from .device import Device
from .elements import PLANES, Elements, draw
from .families import (
    FAMILIES,
    AffineResponse,
    ConstantStep,
    Custom,
    ExpBounds,
    ExpStep,
    LinearStep,
    PiecewiseStep,
    PowStep,
    SoftBounds,
)
from .fitting import fit
from .measured import Measured
from .memory import ReadNoise, Retention, Stuck
from .pairs import OneSided, Reference
from .response import AbstractResponse
from .table import Table, tabulate
from .variability import Noise, Spread

__all__ = [
    "FAMILIES",
    "PLANES",
    "AbstractResponse",
    "AffineResponse",
    "ConstantStep",
    "Custom",
    "Device",
    "Elements",
    "ExpBounds",
    "ExpStep",
    "LinearStep",
    "Measured",
    "Noise",
    "OneSided",
    "PiecewiseStep",
    "PowStep",
    "ReadNoise",
    "Reference",
    "Retention",
    "SoftBounds",
    "Spread",
    "Stuck",
    "Table",
    "describe",
    "draw",
    "fit",
    "tabulate",
]
