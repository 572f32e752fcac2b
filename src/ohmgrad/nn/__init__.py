"""Layers on crossbars, and the conversion of whole models."""

from .attention import AnalogMultiheadAttention
from .conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from .convert import analog_layers, convert, left_digital
from .functional import AnalogLayer
from .hold import hold
from .left_digital import LeftDigitalWarning
from .linear import AnalogLinear
from .on_boards import on_boards
from .recurrent import AnalogGRU, AnalogLSTM, AnalogRNN
from .to_digital import to_digital

__all__ = [
    "AnalogConv1d",
    "AnalogConv2d",
    "AnalogConv3d",
    "AnalogGRU",
    "AnalogLSTM",
    "AnalogLayer",
    "AnalogLinear",
    "AnalogMultiheadAttention",
    "AnalogRNN",
    "LeftDigitalWarning",
    "analog_layers",
    "convert",
    "hold",
    "left_digital",
    "on_boards",
    "to_digital",
]
