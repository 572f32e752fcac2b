"""The families of response functions. A new one is a frozen dataclass in a file of its own and a row in
FAMILIES; affine ones run in closed form, all others from a table."""

from __future__ import annotations

from ..response import AbstractResponse
from .affine import AffineResponse, ConstantStep, LinearStep, SoftBounds
from .custom import Custom
from .exp_bounds import ExpBounds
from .exp_step import ExpStep
from .piecewise_step import PiecewiseStep
from .pow_step import PowStep

__all__ = [
    "FAMILIES",
    "AffineResponse",
    "ConstantStep",
    "Custom",
    "ExpBounds",
    "ExpStep",
    "LinearStep",
    "PiecewiseStep",
    "PowStep",
    "SoftBounds",
]

#: families that a YAML file can name
FAMILIES: dict[str, type[AbstractResponse]] = {
    "soft_bounds": SoftBounds,
    "linear_step": LinearStep,
    "constant_step": ConstantStep,
    "exp_step": ExpStep,
    "exp_bounds": ExpBounds,
    "pow_step": PowStep,
    "piecewise_step": PiecewiseStep,
}
