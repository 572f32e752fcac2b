"""Layers on crossbars, and the conversion of whole models."""

from .attention import AnalogMultiheadAttention
from .conv import AnalogConv2d
from .convert import analog_layers, convert
from .functional import AnalogLayer, analog_product
from .linear import AnalogLinear
from .recurrent import AnalogGRU, AnalogLSTM, AnalogRNN

__all__ = [
    "AnalogConv2d",
    "AnalogGRU",
    "AnalogLSTM",
    "AnalogLayer",
    "AnalogLinear",
    "AnalogMultiheadAttention",
    "AnalogRNN",
    "analog_layers",
    "analog_product",
    "convert",
]
