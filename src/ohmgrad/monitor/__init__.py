"""Predictions beside real training: gradient noise, saturation, drift and the floor, tile by tile."""

from .averages import Averages
from .balance import Balance, balance, planes
from .monitor import COLUMNS, Monitor

__all__ = ["COLUMNS", "Averages", "Balance", "Monitor", "balance", "planes"]
