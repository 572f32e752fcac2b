"""How good a deployed model is against time since programming, over many programmings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..checked import checked
from ..ensemble.grid import interval
from ..errors import InputError, check_integer, shown
from ..ranges import OWN
from .chip import deploy
from .layers import plain_copy
from .technologies import Technology, technology_of

__all__ = ["OverTime", "accuracy_over_time", "checked_times"]


@dataclass(frozen=True, eq=False)
class OverTime:
    """Accuracies of a model on chips.

    Args:
        times: seconds since programming, (T,).
        accuracies: of each programming at each time, (programmings, T), float64.
        digital: of the plain model.
    """

    times: tuple[float, ...]
    accuracies: Tensor
    digital: float

    @property
    def mean(self) -> Tensor:
        """Mean over the programmings, (T,)."""
        return self.accuracies.mean(0)

    @property
    def interval(self) -> tuple[Tensor, Tensor]:
        """Ends of its 95 % interval by Student's t, (T,) each; NaN for a single programming."""
        return interval(self.accuracies.T)[1:]


@checked(model=OWN)
def accuracy_over_time(
    model: nn.Module,
    accuracy: Callable[[nn.Module], float],
    technology: str | Technology = "pcm",
    *,
    times: Iterable[float] | None = None,
    programmings: int = 10,
    compensation: bool = True,
    progress: Callable[[int, int], None] = lambda *_: None,
    **how: Any,
) -> OverTime:
    """Deploy a model several times and look at it at several times.

    Args:
        model: plain or analog.
        accuracy: what a model is worth, a number: its accuracy on a test set, for instance.
        technology: as for `deploy`.
        times: seconds since programming; None for the technology's own, from the first read on.
        programmings: how many chips.
        compensation: see `Deployed.at`.
        progress: called with (chips and times done, all).
        **how: seed, clip, include and exclude, as for `deploy`.

    Raises:
        InputError: as `deploy`, before anything is computed.
    """
    technology = technology_of(technology)
    programmings = check_integer("programmings", programmings, 1, 2**32)
    chosen = checked_times(times, technology)
    first = deploy(model, technology, **how)
    digital = _worth(accuracy, plain_copy(model))
    found = torch.zeros(programmings, len(chosen), dtype=torch.float64)
    for n in range(programmings):
        chip = first if n == 0 else deploy(model, technology, programming=n, **how)
        for i, seconds in enumerate(chosen):
            found[n, i] = _worth(accuracy, chip.at(seconds, compensation=compensation))
            progress(n * len(chosen) + i + 1, found.numel())
    return OverTime(chosen, found, digital)


def _worth(accuracy: Callable[[nn.Module], float], model: nn.Module) -> float:
    found: Any = accuracy(model)
    try:
        return float(found)
    except (TypeError, ValueError):
        raise InputError(f"accuracy gave {shown(found)}, but must give a number") from None


def checked_times(times: Iterable[float] | None, technology: Technology) -> tuple[float, ...]:
    """Times that a technology knows of, in their order, each once; its own for None.

    Raises:
        InputError: for one that it does not know of, or none at all.
    """
    if times is None:
        return technology.times
    chosen = tuple(sorted({technology.check_time(t) for t in times}))
    if not chosen:
        raise InputError("times is empty, but must have at least one: leave it out for the usual ones")
    return chosen
