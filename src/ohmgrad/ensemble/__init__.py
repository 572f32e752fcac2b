"""Thousands of small runs as one batched computation: grids of devices, step sizes, noises and seeds."""

from .algorithms import AnalogSGD, Digital, ResidualLearning, TikiTaka
from .arrays import Arrays
from .grid import Grid, grid, interval, soft_bounds
from .measures import Result
from .run import simulate
from .runs import Algorithm, Runs
from .samples import Samples, summed

__all__ = [
    "Algorithm",
    "AnalogSGD",
    "Arrays",
    "Digital",
    "Grid",
    "ResidualLearning",
    "Result",
    "Runs",
    "Samples",
    "TikiTaka",
    "grid",
    "interval",
    "simulate",
    "soft_bounds",
    "summed",
]
