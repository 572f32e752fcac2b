"""What an algorithm does beside the primitives of its tiles, which events do not tell."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Work"]


class Work(NamedTuple):
    """Where the gradient goes, and the digital work of an algorithm, for `ohmgrad.cost`.

    Operations are multiplications and additions. Comparisons, signs, rounding and random numbers are not
    counted, as in table 1 of Rasch et al. 2024 (10.1038/s41467-024-51221-z).
    """

    #: the array that the gradient is written to: "weights", the name of an auxiliary array, "last" of
    #: several, or "all". Pulses on it are the update; pulses on others, and reads, are the transfer
    gradient_on: str = "weights"
    #: numbers that are kept for every weight
    planes: int = 0
    #: operations for every weight and sample: 2 where d^T x is digital
    per_weight_sample: int = 0
    #: operations for every weight in an update
    per_weight_update: int = 0
    #: operations for every value that is read of an array
    per_value_read: int = 0
    #: operations for every weight and vector of a product, where numbers are added to what the arrays give
    per_weight_vector: int = 0
