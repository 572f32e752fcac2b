"""A device given by two plain callables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError, python_numbers, said, shown
from ..response import AbstractResponse, check_range

__all__ = ["Custom"]


@dataclass(frozen=True)
class Custom(AbstractResponse):
    """A device given by two plain callables.

    Smooth ones are tabulated (`ohmgrad.devices.table`) and run everywhere; steps that jump, or whose
    slope is infinite somewhere, run on the reference backend, every pulse on its own.

    Args:
        up: q+(w) for a float tensor w of any shape, returning the same shape, in units of dw_min;
            finite and not negative from w_min to w_max.
        down: q-(w) likewise.
        w_min, w_max: weight range with hard clipping, w_min < 0 < w_max.

    Raises:
        InputError: when a callable is not one, fails or returns something else on a grid over the
            range, or the range is wrong.

    Example:
        >>> import torch
        >>> power = Custom(lambda w: (1 - w) ** 2, lambda w: (1 + w) ** 2)
        >>> power.G(torch.tensor(0.5))
        tensor(1.)
    """

    up: Callable[[Tensor], Tensor]
    down: Callable[[Tensor], Tensor]
    w_min: float = -1.0
    w_max: float = 1.0

    def __post_init__(self) -> None:
        python_numbers(self)
        for name in ("up", "down"):
            if not callable(getattr(self, name)):
                raise InputError(
                    f"{name} is {shown(getattr(self, name))}, but must be a function of a tensor of "
                    "weights that returns the step in units of dw_min"
                )
        check_range(self.w_min, self.w_max)
        for name in ("up", "down"):
            self._check_values(name)

    def _check_values(self, name: str) -> None:
        """Raise InputError unless the callable gives finite steps >= 0 of the right shape on a grid."""
        grid = torch.linspace(self.w_min, self.w_max, 33, dtype=torch.float64).view(3, 11)
        needs = (
            f"but a tensor of steps, the same shape, finite and >= 0 from {self.w_min:g} to {self.w_max:g}"
        )
        try:
            q = getattr(self, name)(grid.clone())
        except Exception as error:  # whatever a user's function may raise
            text = said(error) or "no message"
            raise InputError(f"{name} raised {type(error).__name__} ({text}), {needs} is needed") from error
        if not isinstance(q, Tensor) or q.shape != grid.shape:
            what = f"a tensor of shape {tuple(q.shape)}" if isinstance(q, Tensor) else f"{shown(q)}"
            raise InputError(f"{name} returned {what} for weights of {tuple(grid.shape)}, {needs} is needed")
        bad = ~(torch.isfinite(q) & (q >= -1e-9))  # the room is for rounding at a bound
        if bool(bad.any()):
            raise InputError(f"{name}({float(grid[bad][0]):g}) is {float(q[bad][0]):g}, {needs} is needed")

    def q_plus(self, w: Tensor) -> Tensor:
        """The user's q+ at `w`."""
        return self.up(w)

    def q_minus(self, w: Tensor) -> Tensor:
        """The user's q- at `w`."""
        return self.down(w)
