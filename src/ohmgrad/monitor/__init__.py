"""Predictions beside real training: gradient noise, saturation, drift and the floor, tile by tile; live."""

from .averages import Averages
from .balance import Balance, balance, planes
from .live import Live
from .monitor import COLUMNS, Monitor

__all__ = ["COLUMNS", "Averages", "Balance", "Live", "Monitor", "balance", "planes"]
