"""Arguments of the wrong kind, refused with what to pass instead."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, check_integer
from .problem import GradientNoise, Objective, WeightNoise

__all__ = ["check_objective", "check_samples"]


def check_objective(value: Objective) -> None:
    """An instance of an objective.

    Raises:
        InputError: otherwise.
    """
    if not isinstance(value, Objective):
        raise _wrong("objective", value, "an Objective: Quadratic, Logistic, or UserObjective(function, n)")


def check_samples(objective: Objective, noise: GradientNoise | WeightNoise, batch: int | None) -> int | None:
    """Noise and batch that fit an objective; returns the batch, None where it is full.

    Raises:
        InputError: when the noise is of another kind, or an objective without samples is given weight noise
            or a batch, or the batch is not within 1 and the number of samples, or lines do not fit the
            weights.
    """
    if not isinstance(noise, GradientNoise | WeightNoise):
        raise _wrong("noise", noise, "GradientNoise(sigma), sigma per entry")
    lines = objective.lines
    if lines is None:
        if isinstance(noise, WeightNoise) or batch is not None:
            what = "weight noise" if isinstance(noise, WeightNoise) else "a batch"
            raise InputError(f"{what} needs an objective with samples, such as least_squares(A, w)")
        return None
    if lines.dim() != 2 or lines.shape[1] != objective.n or not len(lines):
        raise InputError(
            f"lines of the objective are {tuple(lines.shape)}, but must be (samples, {objective.n})"
        )
    if batch is None:
        return None
    batch = check_integer("batch", batch, 1, objective.samples)
    return None if batch == objective.samples else batch


def _wrong(name: str, value: Any, wanted: str) -> InputError:
    kind = f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"
    return InputError(f"{name} is {kind}, but must be {wanted}")
