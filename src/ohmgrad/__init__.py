"""ohmgrad: train neural networks on simulated analog in-memory hardware, at pulse fidelity."""

from . import data
from .crossbar import Tile
from .devices import ConstantStep, Custom, Device, LinearStep, Noise, SoftBounds, Spread
from .errors import InputError
from .monitor import Monitor
from .nn import AnalogConv2d, AnalogLinear, convert
from .optim import AGAD, AnalogOptimizer, AnalogSGD, ChoppedTTv2, TikiTaka, TTv2
from .periphery import NOISY_PERIPHERY, Periphery
from .pulses import Pulsing

__version__ = "0.2.0"

__all__ = [
    "AGAD",
    "NOISY_PERIPHERY",
    "AnalogConv2d",
    "AnalogLinear",
    "AnalogOptimizer",
    "AnalogSGD",
    "ChoppedTTv2",
    "ConstantStep",
    "Custom",
    "Device",
    "InputError",
    "LinearStep",
    "Monitor",
    "Noise",
    "Periphery",
    "Pulsing",
    "SoftBounds",
    "Spread",
    "TTv2",
    "TikiTaka",
    "Tile",
    "__version__",
    "convert",
    "data",
]
