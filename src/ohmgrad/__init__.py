"""ohmgrad: train neural networks on simulated analog in-memory hardware, at pulse fidelity."""

from . import data
from .crossbar import Tile
from .devices import ConstantStep, Custom, Device, LinearStep, Noise, SoftBounds, Spread
from .errors import InputError
from .monitor import Monitor
from .nn import AnalogConv2d, AnalogLinear, convert
from .optim import (
    AnalogMomentum,
    AnalogOptimizer,
    AnalogSGD,
    ChoppedSPTracking,
    GradientCounts,
    MixedPrecision,
    MultiTile,
    ResidualLearning,
    ResidualLearningV2,
    SPTracking,
    TikiTaka,
)
from .periphery import NOISY_PERIPHERY, Periphery
from .pulses import Pulsing

__version__ = "0.2.0"

__all__ = [
    "NOISY_PERIPHERY",
    "AnalogConv2d",
    "AnalogLinear",
    "AnalogMomentum",
    "AnalogOptimizer",
    "AnalogSGD",
    "ChoppedSPTracking",
    "ConstantStep",
    "Custom",
    "Device",
    "GradientCounts",
    "InputError",
    "LinearStep",
    "MixedPrecision",
    "Monitor",
    "MultiTile",
    "Noise",
    "Periphery",
    "Pulsing",
    "ResidualLearning",
    "ResidualLearningV2",
    "SPTracking",
    "SoftBounds",
    "Spread",
    "TikiTaka",
    "Tile",
    "__version__",
    "convert",
    "data",
]
