"""The values of a tabulated cell, numbered: columns of its record on the sparse path, rows of a block on the
dense one."""

from __future__ import annotations

__all__ = [
    "A_DOWN", "A_UP", "BASE", "BOTTOM", "B_DOWN", "B_UP", "CENTRE", "C_DOWN", "C_UP", "DOWN", "LOWER",
    "MEAN", "MEAN_MAX", "MEAN_MIN", "NEEDS", "SD_A_DOWN", "SD_A_UP", "SD_B_DOWN", "SD_B_UP", "SD_C_DOWN",
    "SD_C_UP", "TOP", "UNIFORM", "UP", "UPPER", "VALID_RADIUS", "VALUES", "VAR", "VAR_MAX"
]  # fmt: skip

# State: mean, variance, highest and lowest mean, largest variance, whether the cell needs pulse by pulse.
MEAN, VAR, MEAN_MAX, MEAN_MIN, VAR_MAX, NEEDS = range(6)
# Parameters: intervals per weight above and below zero; middle of the interval whose parabola is in use, in
# intervals from w = 0; the parabola up and down, three values times the pulse at w = 0, and the standard
# deviation of a pulse, of measured steps also a parabola; its valid radius.
TOP, BOTTOM, CENTRE = range(6, 9)
A_UP, B_UP, C_UP, SD_A_UP, SD_B_UP, SD_C_UP = range(9, 15)
A_DOWN, B_DOWN, C_DOWN, SD_A_DOWN, SD_B_DOWN, SD_C_DOWN = range(15, 21)
VALID_RADIUS, UP, DOWN, LOWER, UPPER, BASE = range(21, 27)
# The next four uniform numbers of a measured cell that is drawn pulse by pulse; `VAR` is then the number of
# pulses it has had. Until then the first of them is the number of its pulses.
UNIFORM = 27
VALUES = 32
