"""Arguments of the wrong kind, refused with what to pass instead."""

from __future__ import annotations

from typing import Any

from ..devices import AbstractResponse, Device
from ..errors import InputError, check_integer
from .problem import GradientNoise, Objective, Quadratic, WeightNoise

__all__ = ["check_device", "check_noise", "check_objective", "check_problem", "check_response",
           "check_samples"]  # fmt: skip


def check_response(*responses: AbstractResponse | None) -> None:
    """Each is a response, or None.

    Raises:
        InputError: otherwise; for a device it says where its response is.
    """
    for value in responses:
        if isinstance(value, Device):
            raise InputError(
                "a Device was given where a response is needed: pass device.nominal.response (and "
                "dw_min=device.dw_min to functions that take it)"
            )
        if value is not None and not isinstance(value, AbstractResponse):
            raise _wrong(
                "response", value, "a response: an instance such as SoftBounds.symmetric(1.0), or Custom"
            )


def check_device(value: Device) -> None:
    """A device.

    Raises:
        InputError: otherwise.
    """
    if isinstance(value, AbstractResponse):
        raise InputError("a response was given where a Device is needed: pass Device(response, dw_min=...)")
    if not isinstance(value, Device):
        raise _wrong("device", value, "a Device, such as Device(SoftBounds.symmetric(1.0), dw_min=0.001)")


def check_problem(value: Quadratic) -> None:
    """A quadratic problem.

    Raises:
        InputError: otherwise.
    """
    if not isinstance(value, Quadratic):
        raise _wrong("problem", value, "a Quadratic: use its Hessian at the minimum, Quadratic(H, w)")


def check_objective(value: Objective) -> None:
    """An instance of an objective.

    Raises:
        InputError: otherwise.
    """
    if not isinstance(value, Objective):
        raise _wrong("objective", value, "an Objective: Quadratic, Logistic, or UserObjective(function, n)")


def check_noise(value: GradientNoise) -> None:
    """Gradient noise.

    Raises:
        InputError: otherwise.
    """
    if not isinstance(value, GradientNoise):
        raise _wrong("noise", value, "GradientNoise(sigma), sigma per entry")


def check_samples(objective: Objective, noise: GradientNoise | WeightNoise, batch: int | None) -> int | None:
    """Noise and batch that fit an objective; returns the batch, None where it is full.

    Raises:
        InputError: when the noise is of another kind, or an objective without samples is given weight noise
            or a batch, or the batch is not within 1 and the number of samples, or lines do not fit the
            weights.
    """
    if not isinstance(noise, WeightNoise):
        check_noise(noise)
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
