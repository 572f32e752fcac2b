"""What a batch of runs is, and what an algorithm must offer to be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..devices import Device
from ..errors import LARGEST, InputError, check_integer, check_number, shown
from ..kernels import Pulsing
from ..theory.problem import GradientNoise, WeightNoise
from .arrays import Arrays

__all__ = ["Algorithm", "Runs"]


@dataclass(frozen=True)
class Runs:
    """A block of R of the T runs of a batch, as an algorithm's `init` gets it.

    Args:
        n: weights of each run.
        seeds: of the runs.
        start: starting weights, float64 (R, n).
        devices: of the runs; none for digital runs.
        noises: of the runs, all of one kind.
        pulsing: how wanted changes become pulses.
        total: T; first, stride: the runs are those numbered first, first + stride, ... in the batch.
    """

    n: int
    seeds: tuple[int, ...]
    start: Tensor
    devices: tuple[Device, ...]
    noises: tuple[GradientNoise, ...] | tuple[WeightNoise, ...]
    pulsing: Pulsing
    total: int
    first: int = 0
    stride: int = 1

    def __len__(self) -> int:
        """Number of runs R."""
        return len(self.seeds)

    def block(self, first: int, stride: int) -> Runs:
        """Every `stride`-th run of a whole batch."""
        part = slice(first, None, stride)
        return replace(
            self,
            seeds=self.seeds[part],
            start=self.start[part].contiguous(),
            devices=self.devices[part],
            noises=self.noises[part],
            first=first,
            stride=stride,
        )

    def array(self, role: int = 0, start: Tensor | None = None) -> Arrays:
        """An array of n elements in every run, of the run's device.

        Args:
            role: 0 for the weights, 1 to 255 for each further array; addresses its elements.
            start: (R, n), or None for the runs' start at role 0 and zeros at other roles.

        Raises:
            InputError: when the runs have no device, or the start is outside a device's range.
        """
        if not self.devices:
            raise InputError("these runs have no device: give simulate() one, device=Device(...)")
        role = check_integer("role", role, 0, 255)
        if start is None:
            start = torch.zeros_like(self.start) if role else self.start
        return Arrays(self.devices, self.n, self.seeds, array=role, pulsing=self.pulsing, start=start)

    def rate(self, name: str, value: float | Tensor) -> Tensor:
        """The rate of each of these runs, float64 (R,), from a number or a tensor (T,) for the batch.

        Raises:
            InputError: when it is negative or not finite, or the shape does not match.
        """
        try:
            rate = torch.as_tensor(value, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(
                f"{name} is {shown(value)}, but must be a number or of ({self.total},)"
            ) from None
        if rate.dim() > 1 or (rate.dim() == 1 and len(rate) not in (1, self.total)):
            raise InputError(f"{name} is {tuple(rate.shape)}, but must be a number or of ({self.total},)")
        if isinstance(value, bool) or not bool(((rate >= 0) & (rate <= LARGEST)).all()):
            worst = rate.reshape(-1)[~((rate >= 0) & (rate <= LARGEST)).reshape(-1)]
            check_number(name, float(worst[0]) if len(worst) else value, low=0)
        return rate.expand(self.total)[self.first :: self.stride].contiguous()


class Algorithm(Protocol):
    """What `simulate` runs: any object with these three methods.

    A batch is computed in blocks of R runs, each with a state of its own: a mapping of names to `Arrays`
    (analog), tensors (R, n) (digital) and whatever else. `step` changes it in place. The engine takes the
    gradient at `weight(state)` and adds the noise, so that all algorithms see the same noise at the same
    seed. Rates that differ between runs go through `runs.rate`, which picks those of the block.

    The gradient is a tensor (R, n), or `Samples` where the objective has samples: an array's `pulse` takes
    both, and `summed` makes a tensor of both.

    Example: Analog SGD with momentum in a digital buffer.

        >>> from dataclasses import dataclass
        >>> from ohmgrad.ensemble import summed
        >>> @dataclass(frozen=True)
        ... class Momentum:
        ...     lr: float
        ...     def init(self, runs):
        ...         lr = runs.rate("lr", self.lr)
        ...         return {"W": runs.array(), "M": torch.zeros_like(runs.start), "lr": lr}
        ...     def weight(self, state):
        ...         return state["W"].weight
        ...     def step(self, state, gradient):
        ...         state["M"].mul_(0.9).add_(summed(gradient))
        ...         state["W"].pulse(state["M"], -state["lr"])
    """

    def init(self, runs: Runs) -> Mapping[str, Any]:
        """The state before the first step; checks the options."""
        ...

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        """The weights at which loss and gradient are taken, float64 (R, n); read only."""
        ...

    def step(self, state: Mapping[str, Any], gradient: Any) -> None:
        """One step with the stochastic gradient: float64 (R, n), or `Samples`."""
        ...
