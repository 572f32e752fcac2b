"""The weights of a tile: a parameter or a block of it, watched for writes that nobody told torch of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..errors import InputError
from ..kernels import ops
from ..kernels.checks import check_weights

__all__ = ["WatchedWeight"]

#: cells that are compared, where elements hold their weight and nothing else: all of up to so many, and
#: about so few of more
MANY_CELLS, FEW_CELLS = 2**12, 2**10


class WatchedWeight:
    """Weights (rows, cols) in the memory of a tensor that others may write to, replace, or give away.

    A write shows in torch's version counter, in the address, or in a fingerprint of the weights. Weights that
    are no parameter, as those of arrays that an optimizer keeps, have no fingerprint. Nor have those on a
    card, where the host would wait for it: there a write through `.data` goes unseen.

    Args:
        owner: parameter or tensor, float32 and contiguous. Its first dimension are the rows; the others,
            flattened, are the columns.
        block: rows and columns of `owner`, as slices; None for all.

    Raises:
        InputError: when no back end serves a tensor of this kind.
    """

    def __init__(self, owner: Tensor, block: tuple[slice, slice] | None) -> None:
        check_weights(owner)
        if not owner.numel():
            raise InputError(f"weights are {tuple(owner.shape)}, but an array needs a row and a column")
        self.owner, self.block = owner, block
        self.shape = self.view.shape[0], self.view.shape[1]
        self._every_cell = False
        #: what `signature` gave when elements held the weights; None before
        self.synced: tuple[int, int, int] | None = None
        self._address: int | None = None
        self._fingerprint: Callable[[], int] | None = None
        #: whether others may write to the weights, or put others in their place
        self._open = isinstance(owner, nn.Parameter)

    def __getstate__(self) -> dict[str, Any]:
        try:
            in_sync = self.synced == self.signature()
        except InputError:
            in_sync = False
        return {**vars(self), "synced": in_sync, "_address": None, "_fingerprint": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.synced = self.signature() if state["synced"] else None  # a copy has another address

    @property
    def view(self) -> Tensor:
        """The weights (rows, cols), sharing memory with their owner."""
        owner = self.owner
        return owner.detach() if self.block is None and owner.dim() == 2 else self.part_of(owner)

    def part_of(self, owner: Tensor) -> Tensor:
        """The part (rows, cols) of a tensor shaped as the owner; a view."""
        flat = owner.detach()
        if flat.dim() != 2:
            flat = flat.view(flat.shape[0], -1)
        return flat if self.block is None else flat[self.block]

    def check_layout(self, owner: Tensor) -> None:
        """Raise InputError unless `owner` can take the place of the owner."""
        check_weights(owner)
        if self.part_of(owner).shape != self.shape:
            raise InputError(f"weight is {tuple(owner.shape)}, but its tile is {self.shape}: keep its shape")

    def bind(self, owner: Tensor) -> None:
        """Have the weights in `owner` from now on."""
        self.owner, self.synced, self._address = owner, None, None
        self._open = isinstance(owner, nn.Parameter)

    def compare(self, every_cell: bool) -> None:
        """Look at every cell, where a write that goes unseen would be lost; or at some of many."""
        self._every_cell, self._address = every_cell, None

    def signature(self) -> tuple[int, int, int]:
        """Version, address and fingerprint of the weights, which are others once somebody has written.

        Raises:
            InputError: when the weights have a place, type or layout that kernels cannot take.
        """
        owner = self.owner
        if self._address is not None and not self._open:
            return owner._version, self._address, 0
        address = owner.data_ptr()
        if address != self._address:
            self.check_layout(owner)
            self._address = address
            cells = self.shape[0] * self.shape[1]
            whole = self._every_cell or cells <= MANY_CELLS
            every = 1 if whole else 1 + cells // (2 * FEW_CELLS) * 2
            watched = self._open and owner.device.type == "cpu"
            self._fingerprint = ops.fingerprint_of(self.view, every) if watched else None
        seen = 0 if self._fingerprint is None else self._fingerprint()
        return owner._version, address, seen
