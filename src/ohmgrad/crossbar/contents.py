"""What the elements of tiles hold, and which hold what parameter: written, saved and restored."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import Device
from ..errors import InputError, check_integer
from ..kernels import Cells, Periphery
from .board import Board, Placed
from .board_state import BoardState
from .cell_state import PlainState
from .events import Counters
from .memory_state import MemoryState
from .pair_state import PairState
from .watched_weight import WatchedWeight

__all__ = ["NUMBERS", "Contents", "contents_of", "free_array"]

#: numbers of a tile: its own, and 255 for the auxiliary arrays that algorithms have
NUMBERS = 256


class Contents:
    """The weights of a tile, and what its elements hold beside them.

    Args:
        owner: parameter or tensor that holds the weights, see `WatchedWeight`.
        part: number of the tile among those of `owner`, from 0.
        block: rows and columns of `owner` that the tile has, as slices; None for all.
        device: of the elements. `renew` gives the elements, and `restore` their weights.
    """

    def __init__(self, owner: Tensor, part: int, block: tuple[slice, slice] | None, device: Device) -> None:
        self.watched = WatchedWeight(owner, block)
        self.part, self.device = part, device
        #: planes beside the weights, see `planes`; always the same dictionary, which others save
        self.memory: dict[str, Any] = {}
        #: the board that has the elements, and who gave it; None where they are simulated
        self.board: Board | None = None
        self.placed: Placed | None = None

    def __getstate__(self) -> dict[str, Any]:
        if self.board is None:
            return vars(self)
        return {**vars(self), "board": None, "placed": None, "cell_state": None}  # a copy is on no board

    def __setstate__(self, state: dict[str, Any]) -> None:  # of a copy
        vars(self).update(state)
        if self.cell_state is None:
            self._choose()
        self._register()

    def _register(self) -> None:
        _CONTENTS_OF[id(self.watched.owner), self.part] = self
        _LIVE.add(self)

    def renew(self, cells: Cells) -> None:
        """Have these elements; their weights are to be loaded anew."""
        self.cells = cells
        self._choose()
        self._register()

    def _choose(self, plain: bool = True) -> None:
        """Choose the kind of state; elements that may hold a weight alone only do so if `plain`."""
        #: what the elements hold, and what pulses and time do to it
        self.cell_state: PlainState | MemoryState | PairState | BoardState
        if self.board is not None:
            self.cell_state = BoardState(self.board, self.device, self.cells)
        elif self.device.pair is not None:
            self.cell_state = PairState(self.device, self.cells, self.memory)
        elif plain and self.device.memoryless and not self.memory:
            self.cell_state = PlainState(self.cells)
        else:
            self.cell_state = self._remembering(self.memory)
        # where elements hold more than the weights, a write that goes unseen is lost, else not clipped
        self.watched.compare(every_cell=not isinstance(self.cell_state, PlainState))

    def _remembering(self, memory: dict[str, Any]) -> MemoryState:
        return MemoryState(self.device, self.cells, memory, self.watched.block is not None)

    def with_planes(self) -> MemoryState | PairState:
        """The state, of elements that can hold more than a weight from now on; raises on boards."""
        if isinstance(self.cell_state, BoardState):
            raise InputError(
                "weights on a board cannot be held or calibrated from here: hold them on the board, and let "
                "it subtract its own reference"
            )
        if isinstance(self.cell_state, PlainState):
            self._choose(plain=False)
        assert not isinstance(self.cell_state, (PlainState, BoardState))
        return self.cell_state

    def _plain_again(self) -> None:
        """Have elements hold a weight alone again, where the device allows it and no plane is left."""
        if self.device.memoryless and not self.memory:
            self._choose()

    # --- boards -------------------------------------------------------------------------------------

    def put_on(self, placed: Placed) -> None:
        """Have the elements on a board, see `nn.on_boards`; what simulated ones held beside is forgotten."""
        self.board, self.placed = placed.board(), placed
        self.memory.clear()
        self._choose()
        if placed.program:
            self.check_fits()
            self.load_weights()
        else:
            self.mark_synced()

    def reread(self, counters: Counters) -> None:
        """Have the weights here be what the board holds, as it reads them; nothing without a board."""
        if isinstance(self.cell_state, BoardState):
            w = self.watched.view
            w.copy_(self.cell_state.read(w, slice(None), 1, None, Periphery(), counters))
            self.mark_synced()

    # --- weights ------------------------------------------------------------------------------------

    def check_fits(self, w: Tensor | None = None, calibrated: bool = True) -> None:
        """Raise InputError unless `w`, (rows, cols), by default the weights, fits: each within the nominal
        range or its element's own bounds, which spread may set farther out; `calibrated` as for `CellState`.
        """
        w = self.watched.view if w is None else w
        self.check_range(w.masked_fill(self.cell_state.fits(w, calibrated), 0.0))

    def check_range(self, w: Tensor) -> None:
        """Raise InputError unless all of `w` is in the nominal range."""
        low, high = self.device.response.w_min, self.device.response.w_max
        inside = (w >= low) & (w <= high)  # false for NaN too
        if not bool(inside.all()):
            worst = float(w[~inside][0])
            raise InputError(
                f"weight {worst:g} is outside the device's range [{low:g}, {high:g}]: scale the weights "
                "into it (convert() does so with output scales), or use a device with a wider range"
            )

    def load_weights(self) -> None:
        """Have the elements hold the weights as they are now, which fit, or their nearest bound."""
        self.cell_state.load_weights(self.watched.view)
        self.mark_synced()

    def load_written(self) -> None:
        """Have the elements of all tiles of the owner hold the weights that somebody has written.

        Raises:
            InputError: as `check_fits`; nothing is changed then.
        """
        holders = self._of_one_owner()
        for holder in holders:
            holder.check_fits()
        for holder in holders:
            holder.load_weights()

    def mark_synced(self) -> None:
        """Note that the elements hold the weights as they are, of all tiles of the owner."""
        now = self.watched.synced = self.watched.signature()
        if self.watched.block is not None:  # a write of torch's makes a new version for all
            for other in (holder.watched for holder in self._of_one_owner()):
                other.synced = other.synced and (now[0], *other.synced[1:])

    def _of_one_owner(self) -> Sequence[Contents]:
        return (self,) if self.watched.block is None else contents_of(self.watched.owner)

    def bind(self, owner: Tensor) -> None:
        """Make `owner` (same shape, contiguous) the tensor that holds the weights."""
        self.watched.bind(owner)
        self._register()

    def check_bindable(self, owner: Tensor) -> None:
        """Raise InputError unless `owner` can hold the weights: in type, shape and range, and no other
        layer's tile works on it."""
        self.watched.check_layout(owner)
        other = _CONTENTS_OF.get((id(owner), self.part))
        if other is not None and other is not self and other.watched.owner is owner:
            raise InputError(
                "two analog layers share one weight, but a crossbar holds its own: untie them, or use one "
                "layer in both places"
            )
        self.check_fits(self.watched.part_of(owner))

    def but_frozen(self, target: Tensor) -> Tensor:
        """`target` (rows, cols), but of held weights the values that they have."""
        fixed = self.memory.get("fixed")
        return target if fixed is None else torch.where(fixed.isnan(), target, fixed)

    def check_mask(self, mask: Tensor | None) -> None:
        """Raise InputError unless `mask` is bool (rows, cols) or None."""
        shape = self.watched.shape
        if mask is not None and (mask.dtype != torch.bool or tuple(mask.shape) != shape):
            got = f"{tuple(mask.shape)} of {mask.dtype}"
            raise InputError(f"mask is {got}, but a tile of {shape} needs one of bool in its shape")

    def hold(self, mask: Tensor | None) -> None:
        """Hold the weights where `mask`, bool (rows, cols), is true; None lets all go."""
        self.with_planes().hold(self.watched.view, mask)
        self._plain_again()
        self.mark_synced()

    @property
    def calibrated(self) -> bool:
        """Whether there is a reference that the device does not ask for."""
        return self.device.reference is None and "reference" in self.memory

    # --- checkpoints --------------------------------------------------------------------------------

    def check_state(self, w: Tensor, memory: dict[str, Any]) -> None:
        """Raise InputError unless weights `w` (rows, cols) and `memory` of a checkpoint can be restored.

        Planes of other weights, which somebody has changed since, are taken out of `memory`, but for the mask
        of held ones: elements then hold `w`.
        """
        if self.board is not None and "fixed" in memory:
            raise InputError(
                "the state has held weights, which pulses of a board would move: hold them there"
            )
        if memory and self.board is None:
            state = self._remembering({}) if isinstance(self.cell_state, PlainState) else self.cell_state
            assert not isinstance(state, BoardState)
            state.check(memory)
            seen = state.seen(memory)
            if seen is not None and torch.equal(seen, w):
                return
            for name in {*memory} - {"fixed"} if seen is not None else ():
                del memory[name]
            if (fixed := memory.get("fixed")) is not None:
                reached = state.nearest(w, calibrated=False)
                memory["fixed"] = torch.where(fixed.isnan(), fixed, reached)
        self.check_fits(w, calibrated=False)

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take over `memory` from a checkpoint, and make the weights from it.

        It is the whole truth: a reference of a calibration that the checkpoint does not have is forgotten.
        With an empty one, or a mask of held weights alone, the elements then hold the weights as they are.

        Raises:
            InputError: when it, or the weights without a reference, do not fit these elements.
        """
        if self.board is None and {*memory} - {"fixed"}:
            self.with_planes().restore(self.watched.view, memory)
            self.mark_synced()
            return
        if self.calibrated and isinstance(self.cell_state, MemoryState):
            self.cell_state.forget_calibration()
            self._plain_again()
        self.check_fits()
        self.load_weights()
        if memory and self.board is None:
            self.hold(~memory["fixed"].isnan())


#: what holds a tensor, by the tensor's id and the part; it keeps its tensor alive
_CONTENTS_OF: weakref.WeakValueDictionary[tuple[int, int], Contents] = weakref.WeakValueDictionary()
#: the contents of all tiles that are there
_LIVE: weakref.WeakSet[Contents] = weakref.WeakSet()


def contents_of(parameter: Tensor) -> list[Contents]:
    """What holds a parameter, part by part; empty for a digital parameter.

    `Contents.renew` registers it here, and the tile that has it in `tile._TILES`.
    """
    found: list[Contents] = []
    while (holder := _CONTENTS_OF.get((id(parameter), len(found)))) is not None:
        if holder.watched.owner is not parameter:  # bound to another tensor since, and the id used again
            break
        found.append(holder)
    return found


def free_array(seed: int, tiles: int) -> int:
    """The lowest number from which on `tiles` tiles, `NUMBERS` apart, share none with one that is there."""
    check_integer("seed", seed, 0, 2**32 - 1)
    keys = [key for contents in _LIVE for key in contents.cells.keys]
    taken = {key.array // NUMBERS for key in keys if key.seed == seed}
    first = 0
    while clash := taken.intersection(range(first, first + tiles)):
        first = max(clash) + 1
    return first * NUMBERS
