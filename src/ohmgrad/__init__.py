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
from .nn import (
    AnalogConv1d,
    AnalogConv2d,
    AnalogConv3d,
    AnalogGRU,
    AnalogLinear,
    AnalogLSTM,
    AnalogMultiheadAttention,
    AnalogRNN,
    convert,
    hold,
)
from .optim import (
    AGAD,
    AnalogMomentum,
    AnalogOptimizer,
    AnalogSGD,
    ChoppedSPTracking,
    ChoppedTTv2,
    GradientCounts,
    MixedPrecision,
    MultiTile,
    ResidualLearning,
    ResidualLearningV2,
    SPTracking,
    TikiTaka,
    TTv2,
)
from .periphery import NOISY_PERIPHERY, Periphery
from .pulses import Pulsing

__version__ = "0.3.1"

__all__ = [
    "AGAD",
    "NOISY_PERIPHERY",
    "AnalogConv1d",
    "AnalogConv2d",
    "AnalogConv3d",
    "AnalogGRU",
    "AnalogLSTM",
    "AnalogLinear",
    "AnalogMomentum",
    "AnalogMultiheadAttention",
    "AnalogOptimizer",
    "AnalogRNN",
    "AnalogSGD",
    "ChoppedSPTracking",
    "ChoppedTTv2",
    "ConstantStep",
    "Custom",
    "Device",
    "ExpStep",
    "GradientCounts",
    "InputError",
    "LinearStep",
    "Measured",
    "MixedPrecision",
    "Monitor",
    "MultiTile",
    "Noise",
    "Periphery",
    "PiecewiseStep",
    "PowStep",
    "Pulsing",
    "ResidualLearning",
    "ResidualLearningV2",
    "SPTracking",
    "SoftBounds",
    "Spread",
    "TTv2",
    "TikiTaka",
    "Tile",
    "__version__",
    "convert",
    "data",
    "hold",
]
