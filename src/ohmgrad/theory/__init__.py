"""Dynamics, fixed points, error floors and bounds of analog training; needs devices only."""

from .advice import Rates, analog_sgd_lr, tiki_taka_rates, zero_shift_accuracy, zero_shift_pulses
from .bounds import Bound, LowerBound, analog_sgd_bound, lower_bound, saturation_sum, tiki_taka_bound
from .dynamics import Averages, Step, analog_step, digital_step, residual_step, simulate
from .fixed_points import (
    Prediction,
    analog_sgd,
    digital_sgd,
    residual_learning,
    speed_ratio,
    tiki_taka,
)
from .penalty import implicit_penalty, penalised_minimum
from .problem import GradientNoise, Logistic, Objective, Quadratic, UserObjective, WeightNoise, least_squares

__all__ = [
    "Averages",
    "Bound",
    "GradientNoise",
    "Logistic",
    "LowerBound",
    "Objective",
    "Prediction",
    "Quadratic",
    "Rates",
    "Step",
    "UserObjective",
    "WeightNoise",
    "analog_sgd",
    "analog_sgd_bound",
    "analog_sgd_lr",
    "analog_step",
    "digital_sgd",
    "digital_step",
    "implicit_penalty",
    "least_squares",
    "lower_bound",
    "penalised_minimum",
    "residual_learning",
    "residual_step",
    "saturation_sum",
    "simulate",
    "speed_ratio",
    "tiki_taka",
    "tiki_taka_bound",
    "tiki_taka_rates",
    "zero_shift_accuracy",
    "zero_shift_pulses",
]
