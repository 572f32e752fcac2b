"""ohmgrad: train neural networks on simulated analog in-memory hardware, at pulse fidelity."""

from . import data
from .crossbar import Tile
from .devices import (
    ConstantStep,
    Custom,
    Device,
    ExpStep,
    LinearStep,
    Measured,
    Noise,
    PiecewiseStep,
    PowStep,
    SoftBounds,
    Spread,
)
from .errors import InputError
from .monitor import Monitor
from .nn import AnalogConv2d, AnalogLinear, convert
from .optim import AnalogOptimizer, AnalogSGD, TikiTaka
from .periphery import NOISY_PERIPHERY, Periphery
from .pulses import Pulsing

__version__ = "0.2.0"

__all__ = [
    "NOISY_PERIPHERY",
    "AnalogConv2d",
    "AnalogLinear",
    "AnalogOptimizer",
    "AnalogSGD",
    "ConstantStep",
    "Custom",
    "Device",
    "ExpStep",
    "InputError",
    "LinearStep",
    "Measured",
    "Monitor",
    "Noise",
    "Periphery",
    "PiecewiseStep",
    "PowStep",
    "Pulsing",
    "SoftBounds",
    "Spread",
    "TikiTaka",
    "Tile",
    "__version__",
    "convert",
    "data",
]
