"""Dynamics, fixed points, error floors and bounds of analog training; needs devices only."""

from .advice import Rates, analog_sgd_lr, tiki_taka_rates, zero_shift_accuracy, zero_shift_pulses
from .bounds import (
    Bound,
    amplification_sum,
    analog_sgd_bound,
    sample_sigma,
    saturation_sum,
    tiki_taka_bound,
)
from .dynamics import Averages, Step, analog_step, digital_step, residual_step, simulate
from .fixed_points import (
    Prediction,
    analog_sgd,
    digital_sgd,
    residual_learning,
    speed_ratio,
    tiki_taka,
)
from .lower_bound import LowerBound, SkewedNoise, lower_bound
from .penalty import implicit_penalty, penalised_minimum
from .problem import GradientNoise, Logistic, Objective, Quadratic, UserObjective, WeightNoise, least_squares
from .theorems import (
    Statement,
    TikiTakaStatement,
    bounded_weight,
    descent_range,
    sample_range,
    scalar_descent,
    scalar_sample_range,
    stochastic_range,
    tiki_taka_statement,
)

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
    "SkewedNoise",
    "Statement",
    "Step",
    "TikiTakaStatement",
    "UserObjective",
    "WeightNoise",
    "amplification_sum",
    "analog_sgd",
    "analog_sgd_bound",
    "analog_sgd_lr",
    "analog_step",
    "bounded_weight",
    "descent_range",
    "digital_sgd",
    "digital_step",
    "implicit_penalty",
    "least_squares",
    "lower_bound",
    "penalised_minimum",
    "residual_learning",
    "residual_step",
    "sample_range",
    "sample_sigma",
    "saturation_sum",
    "scalar_descent",
    "scalar_sample_range",
    "simulate",
    "speed_ratio",
    "stochastic_range",
    "tiki_taka",
    "tiki_taka_bound",
    "tiki_taka_rates",
    "tiki_taka_statement",
    "zero_shift_accuracy",
    "zero_shift_pulses",
]
