"""Layers on crossbars, and the conversion of whole models."""

from .conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from .convert import analog_layers, convert
from .functional import AnalogLayer, analog_product
from .linear import AnalogLinear

__all__ = [
    "AnalogConv1d",
    "AnalogConv2d",
    "AnalogConv3d",
    "AnalogLayer",
    "AnalogLinear",
    "analog_layers",
    "analog_product",
    "convert",
]
