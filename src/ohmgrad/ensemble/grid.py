"""A product of configurations and seeds as one batch, and its statistics per configuration."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..checked import checked
from ..devices import Device, SoftBounds
from ..errors import InputError, check_choice, check_number, shown
from ..kernels import Pulsing
from ..ranges import ANYTHING, Range
from ..theory.arguments import check_objective
from ..theory.problem import GradientNoise, Objective, WeightNoise
from .measures import Result
from .run import check_seeds, simulate

__all__ = ["QUANTILES", "Grid", "grid", "interval", "soft_bounds"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

#: axes that belong to neither algorithm nor device
OTHERS = ("sigma", "weight_noise", "start")


@checked
def soft_bounds(tau: float, states: float = 1200) -> Device:
    """The paper's device: soft bounds [-tau, tau] with so many states, all elements alike, no noise.

    Raises:
        InputError: when tau or states is not above 0.
    """
    check_number("tau", tau, low=0, open_low=True)
    check_number("states", states, low=0, open_low=True)
    return Device(SoftBounds.symmetric(tau), dw_min=2 * tau / states)


@checked(values=ANYTHING, share=Range(0, 1, open_low=True, open_high=True))
def interval(values: Tensor, share: float = 0.95) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over the last dimension, and its confidence interval by Student's t: mean, low, high.

    Values are taken as independent draws. The interval is exact for Gaussian values, and holds for
    others as their number grows. With one value there is none, and its ends are NaN.

    Args:
        values: (..., S); share: confidence, in (0, 1).
    """
    from scipy.special import stdtrit  # at hand with scikit-learn; slow to import

    s = values.shape[-1] if values.dim() else 0
    if not s:
        raise InputError(f"values are {tuple(values.shape)}, but must be (..., S) with at least one value")
    mean = values.mean(-1)
    if s < 2:
        return mean, torch.full_like(mean, math.nan), torch.full_like(mean, math.nan)
    half = float(stdtrit(s - 1, (1 + share) / 2)) * values.std(-1) / math.sqrt(s)
    return mean, mean - half, mean + half


@dataclass(frozen=True, eq=False)
class Grid:
    """A batch of C configurations with S seeds each; run c S + s is configuration c with seed s.

    Args:
        configurations: C mappings of axis to value.
        seeds: S seeds.
        result: of all runs.
    """

    configurations: list[dict[str, Any]]
    seeds: tuple[int, ...]
    result: Result

    @checked(values=ANYTHING)
    def by_configuration(self, values: Tensor) -> Tensor:
        """A quantity of all runs, (C S, ...), as (C, S, ...)."""
        return values.view(len(self.configurations), len(self.seeds), *values.shape[1:])

    @checked
    def values(self, quantity: str) -> Tensor:
        """A quantity of the result with one number for each run, (C, S).

        Args:
            quantity: a field of `Result` such as "tail_loss", "pulses", or "saturation.P".

        Raises:
            InputError: when there is no such quantity.
        """
        name, _, part = quantity.partition(".")
        scalars = [f.name for f in dataclasses.fields(Result) if f.name.startswith(("tail_", "mean_"))]
        scalars.remove("tail_weight")
        parts = [f"{f}.{k}" for f in ("saturation", "peak", "clipped") for k in getattr(self.result, f)]
        check_choice("quantity", quantity, [*scalars, "pulses", *parts])
        found = getattr(self.result, name)
        return self.by_configuration((found[part] if part else found).double())

    @checked
    def table(self, quantity: str = "tail_squared_gradient") -> list[dict[str, Any]]:
        """One row for each configuration: its values, mean, 95 % interval of the mean, and quantiles.

        The columns after the axes are mean, low, high (Student's t), q05, q25, q50, q75, q95 and runs.

        Raises:
            InputError: when there is no such quantity.
        """
        values = self.values(quantity)
        mean, low, high = interval(values)
        share = torch.quantile(values, torch.tensor(QUANTILES, dtype=values.dtype), dim=1)
        names = [f"q{100 * q:02.0f}" for q in QUANTILES]
        return [
            {
                **configuration,
                "mean": float(mean[c]),
                "low": float(low[c]),
                "high": float(high[c]),
                **{name: float(share[i, c]) for i, name in enumerate(names)},
                "runs": len(self.seeds),
            }
            for c, configuration in enumerate(self.configurations)
        ]


def grid(
    objective: Objective,
    algorithm: Callable[..., Any],
    axes: Mapping[str, Any],
    *,
    seeds: Sequence[int],
    steps: int,
    device: Callable[..., Device] | None = soft_bounds,
    law: Literal["gaussian", "two-point"] = "gaussian",
    batch: int | None = None,
    pulsing: Pulsing | None = None,
    record: int | Sequence[int] | None = None,
    tail: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Grid:
    """All combinations of the axes' values, each with all seeds, as one batch.

    An axis goes where its name belongs: to an option of the algorithm (lr, or fast_lr, transfer_lr and
    gamma), to a parameter of `device` (tau, states), to the noise (sigma for `GradientNoise`, weight_noise
    for `WeightNoise`) or to the start. Seeds are the same for every configuration, and so are noise and
    minibatches: differences between configurations are sharper than each one's interval.

    Args:
        objective: f.
        algorithm: a class of algorithm, such as `AnalogSGD`; rates reach it as tensors (T,).
        axes: for each name a list, tuple, range, or one-dimensional array or tensor of values, or a single
            value. A single start of (n,) goes in a list.
        seeds: S seeds; steps: K.
        device: makes a device from the axes that bear its parameters' names; None for digital runs.
        law: of the gradient noise; weight noise is Gaussian.
        batch: samples of a step, as for `simulate`.
        pulsing, record, tail, progress: as for `simulate`, with the same warning where updates need more
            than `max_bl` pulses; `values("clipped.W")` has their share.

    Raises:
        InputError: when an axis is unknown or has no values, one that is needed is missing, or as
            `simulate`.

    Example:
        >>> from ohmgrad.ensemble import AnalogSGD
        >>> from ohmgrad.theory.problem import Quadratic
        >>> f = Quadratic(torch.eye(1), torch.tensor([0.5]))
        >>> found = grid(f, AnalogSGD, {"tau": [1.0, 2.0], "sigma": 1.0, "lr": 0.03}, law="two-point",
        ...              seeds=range(100), steps=500, pulsing=Pulsing("mean"))
        >>> [round(row["mean"], 2) for row in found.table("tail_loss")]
        [0.04, 0.02]
    """
    check_objective(objective)
    if not callable(algorithm):
        raise InputError(
            f"algorithm is {shown(algorithm)}, but must be a class, such as AnalogSGD; rates are axes"
        )
    if device is not None and not callable(device):
        raise InputError(
            f"device is of type {type(device).__name__}, but must be a function that makes one from axes, "
            "such as lambda: device"
        )
    if not isinstance(axes, Mapping):
        raise InputError(f"axes are {shown(axes)}, but must be a mapping of names to values")
    kept = check_seeds(seeds)
    options = _parameters("algorithm", algorithm)
    own = {} if device is None else _parameters("device", device)
    known = {**options, **own, **dict.fromkeys(OTHERS)}
    for name in axes:
        check_choice("axis", name, known)
    taken = [name for name in options if name in own or name in OTHERS]
    if taken:
        raise InputError(f"axis {taken[0]!r} belongs to both algorithm and device: rename one of them")
    if "sigma" in axes and "weight_noise" in axes:
        raise InputError("sigma and weight_noise are both axes, but a grid has one kind of noise: drop one")
    if "weight_noise" in axes and law != "gaussian":
        raise InputError(f"law is {shown(law)}, but weight noise is Gaussian: leave law out")
    missing = [name for name, needed in {**options, **own}.items() if needed and name not in axes]
    if missing:
        raise InputError(f"no value of {missing[0]!r}: add it to the axes, such as {missing[0]!r}: [...]")
    listed = {name: _listed(name, values) for name, values in axes.items()}
    configurations = [dict(zip(listed, c, strict=True)) for c in itertools.product(*listed.values())]
    each = [c for c in configurations for _ in kept]
    rates = {
        name: torch.tensor([_number(name, c[name]) for c in each], dtype=torch.float64)
        for name in options
        if name in axes
    }
    start: float | Tensor = 0.0
    if "start" in axes:
        start = torch.stack([_start(c["start"], objective.n) for c in each])
    devices = None
    if device is not None:
        made = [device(**{k: v for k, v in c.items() if k in own}) for c in configurations]
        devices = [d for d in made for _ in kept]
    noises: Any = [GradientNoise(_number("sigma", c.get("sigma", 0.0)), law) for c in each]
    if "weight_noise" in axes:
        noises = [WeightNoise(_number("weight_noise", c["weight_noise"])) for c in each]
    result = simulate(
        objective,
        algorithm(**rates),
        seeds=kept * len(configurations),
        steps=steps,
        device=devices,
        noise=noises,
        batch=batch,
        start=start,
        pulsing=pulsing,
        record=record,
        tail=tail,
        progress=progress,
    )
    return Grid(configurations, kept, result)


def _parameters(what: str, function: Callable[..., Any]) -> dict[str, bool]:
    """Names of a function's parameters, and whether each needs a value."""
    parameters = inspect.signature(function).parameters.values()
    for p in parameters:
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            raise InputError(
                f"{what} takes {p}, but must name its parameters: they tell which axes are its own"
            )
    return {p.name: p.default is inspect.Parameter.empty for p in parameters}


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, (np.ndarray, Tensor)):
        if values.ndim > 1:
            raise InputError(
                f"axis {name!r} is {tuple(values.shape)}, but must be one-dimensional, or a list"
            )
        values = values.tolist()
    found = list(values) if isinstance(values, (list, tuple, range)) else [values]
    if not found:
        raise InputError(f"axis {name!r} has no values")
    return found


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"axis {name!r} has the value {shown(value)}, but must hold numbers") from None


def _start(value: Any, n: int) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float64).expand(n)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"start is {shown(value)}, but must be a number or ({n},)") from None
