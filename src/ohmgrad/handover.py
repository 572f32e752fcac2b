"""What passes from a layer's backward to an optimizer's step: the factors (x, d) of one tile."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from .errors import InputError

__all__ = ["MANY_PASSES", "HandOver"]

#: backward passes without a step after which it is worth a warning
MANY_PASSES = 64


class HandOver:
    """Factors of backward passes that wait for a step, and who takes them.

    Copies and pickles start afresh: they have no optimizer yet, and nothing waits.
    """

    def __init__(self) -> None:
        #: analog optimizers that train the tile; one that is dropped is here no more
        self.takers: weakref.WeakSet[object] = weakref.WeakSet()
        self._factors: list[tuple[Tensor, Tensor]] = []
        self._passes, self._last_pass = 0, -1
        self._gradients, self._warned = 0, False
        #: version of the weights that were last found to fit; torch's writing makes a new one
        self.checked_version = -1

    def __reduce__(self) -> tuple[type[HandOver], tuple[()]]:
        return HandOver, ()

    def add(self, x: Tensor, d: Tensor) -> None:
        """Keep the factors of a product, without their graph; warn when those of many passes pile up."""
        this_pass = torch._C._current_graph_task_id()  # one pass may go through a layer many times
        if this_pass != self._last_pass:
            self._last_pass = this_pass
            self._passes += 1
            if self._passes == MANY_PASSES:
                warnings.warn(
                    f"factors of {MANY_PASSES} backward passes wait for a step: call step() or zero_grad() "
                    "of the analog optimizer; as long as it lives, no other optimizer trains analog weights",
                    stacklevel=3,
                )
        # .data, as a detach() costs twice the time; nobody writes to factors
        self._factors.append((x.data if x.requires_grad else x, d.data if d.requires_grad else d))

    def count_gradient(self, check: Callable[[], None]) -> None:
        """Note a product that gave a gradient; every so often warn if `check` raises, once."""
        self._gradients += 1
        if self._gradients % MANY_PASSES != 1 or self._warned:
            return
        try:
            check()
        except InputError:
            self._warned = True
            warnings.warn(
                "analog weights have left the device's range, since a digital optimizer trains them: train "
                "with ohmgrad.AnalogSGD or ohmgrad.TikiTaka",
                stacklevel=3,
            )

    def take(self) -> tuple[Tensor, Tensor] | None:
        """All factors since the last call, in order, and forget them."""
        kept, self._factors = self._factors, []
        self._passes = 0
        if not kept:
            return None
        if len(kept) == 1:
            return kept[0]
        return torch.cat([x for x, _ in kept]), torch.cat([d for _, d in kept])
