"""What a tile is made of: elements, weights, event counts, and what elements hold beside the weights."""

from __future__ import annotations

import abc
import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..devices import Device, Elements, draw
from ..devices.elements import check_shape
from ..errors import InputError, check_integer
from ..kernels import Cells, Periphery, Pulsing, ops
from ..kernels.checks import check_weights
from ..rng import Key
from .effective_weight import Numbers
from .memory import Hidden

if TYPE_CHECKING:
    from .tile import Tile

__all__ = ["EVENTS", "NUMBERS", "AbstractArray", "free_array", "tiles_of"]

#: what a tile counts; every primitive adds to these. `wait` adds nothing: time passes without lines or
#: converters. Arrays that a product sees together share its lines and converters, which count once
EVENTS = (
    "updates",  # calls of pulse and pulse_counts; rounds of program, pulses of a zero-shift
    # pulses that elements got; of a pair those on G+ and on G-. A reset is one for each element, which goes
    # up from below the value and down from elsewhere; in a pair one for each of the two
    "pulses_up",
    "pulses_down",
    # pulses that lines carried, x-lines and d-lines together. In pulse the lines of the trains; in
    # pulse_counts, program, resets and refreshes the selected line fires in every slot, the crossing ones
    # once per pulse of their element; in a zero-shift all fire in each slot
    "line_toggles",
    # pulse slots, one after the other: the time that updates take. The longest train of each sample; on each
    # selected line its largest count; a slot for each column that is reset
    "slots",
    # matrix-vector products that were asked for, one direction ...
    "forward_vectors",
    "backward_vectors",  # ... and the other
    # columns that were read: by read, calibrate, write-verify; and of both arrays of pairs, to find full ones
    "read_columns",
    "dac",  # conversions of one line, of all products and reads: every input ...
    "adc",  # ... and every output
    # vectors that bound management drove again, beside those asked for, as often as it did
    "driven_again",
    # of read_columns, those that write-verify read, in program and refresh: every column that holds an
    # element to be written, once a round, the last round too, which finds nothing to do
    "verify_columns",
)
_AT = {name: i for i, name in enumerate(EVENTS)}

#: cells of a tile without memory that are compared, to see whether it was written: all of up to so many, and
#: about so few of more
MANY_CELLS, FEW_CELLS = 2**12, 2**10

#: the tile that owns a tensor, by the tensor's id; a tile keeps its tensor alive
_OWNERS: weakref.WeakValueDictionary[tuple[int, int], Tile] = weakref.WeakValueDictionary()

#: all tiles that are there
_LIVE: weakref.WeakSet[AbstractArray] = weakref.WeakSet()
#: numbers of a tile: its own, and 255 for the arrays that algorithms have beside it
NUMBERS = 256


def free_array(seed: int, tiles: int) -> int:
    """The lowest number from which on `tiles` tiles, `NUMBERS` apart, share none with one that is there."""
    taken = {tile.key.array // NUMBERS for tile in _LIVE if tile.key.seed == seed}
    first = 0
    while clash := taken.intersection(range(first, first + tiles)):
        first = max(clash) + 1
    return first * NUMBERS


def tiles_of(parameter: Tensor) -> list[Tile]:
    """The tiles that hold a parameter, in order; empty for a digital parameter."""
    found: list[Tile] = []
    while (tile := _OWNERS.get((id(parameter), len(found)))) is not None:
        if tile.owner is not parameter:  # bound to another tensor since, and the id used again
            break
        found.append(tile)
    return found


class AbstractArray(abc.ABC):
    """The state of a `Tile`, which adds the primitives; arguments as there."""

    def __init__(
        self,
        weight: Tensor | tuple[int, int],
        device: Device,
        *,
        pulsing: Pulsing | None = None,
        periphery: Periphery | None = None,
        seed: int = 0,
        array: int = 0,
        part: int = 0,
        block: tuple[slice, slice] | None = None,
        backend: str = "auto",
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        seed = check_integer("seed", seed, 0, 2**32 - 1)
        array = check_integer("array", array, 0, 2**32 - 1)
        self.owner = weight if isinstance(weight, Tensor) else torch.zeros(check_shape(weight))
        self.device, self.part, self.block = device, part, block
        self.pulsing, self.periphery = pulsing or Pulsing(), periphery or Periphery()
        self.key, self.backend = Key(seed, array), backend
        #: whether the number is the next free one, so that a state may bring its own
        self.numbered_freely = False
        self.count_in(torch.zeros(len(EVENTS), dtype=torch.int64))
        #: tiles whose weights add to this one's in every product, each times its factor or one a column
        self.companions: list[tuple[float | Tensor, Tile | Numbers]] = []
        self._draw()
        check_weights(self.owner)
        #: what the elements hold where that is not the weights, see `crossbar_memory`; empty if it is
        self.memory: dict[str, Any] = {}
        #: what lies around the elements' responses; None for a device that only answers pulses
        self.hidden: Hidden | None = None
        #: version, place and fingerprint of the weights as the last primitive left them
        self._left: tuple[int, int, int] | None = None
        self._place: int | None = None
        self._bits: Tensor | None = None
        self._every = 1
        if not device.memoryless:
            self._hide().begin(self._tile)
        self._register()
        if memory:
            self.restore(memory)
        else:
            self._take_over()

    def __getstate__(self) -> dict[str, Any]:
        return {
            **vars(self),
            "_left": self._unchanged(),
            "_place": None,
            "_bits": None,
            "updates": None,
            "pulses": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:  # a copied or unpickled tile
        vars(self).update(state)
        self.count_in(self.events)
        # no optimizer works on copies of the arrays; a copy of it puts its own there
        self.companions = [(factor, Numbers(array.weight)) for factor, array in self.companions]
        self._left = self._look() if state["_left"] else None
        self._register()

    @property
    @abc.abstractmethod
    def _tile(self) -> Tile:
        """Itself, as the tile that it is."""

    def _register(self) -> None:
        _OWNERS[id(self.owner), self.part] = self._tile
        _LIVE.add(self)

    def bind(self, owner: Tensor) -> None:
        """Make `owner` (same shape, contiguous) the tensor that holds this tile's weights."""
        self.owner, self._left, self._place = owner, None, None
        self._register()

    def renumber(self, array: int) -> None:
        """Take the elements and random numbers of another array; the weights are to be loaded anew."""
        self.key = Key(self.key.seed, array)
        self._draw()
        if self.hidden is not None:
            self._hide()

    def _draw(self) -> None:
        shape = self.weight.shape[0], self.weight.shape[1]
        self.elements: Elements = draw(self.device, shape, self.key)
        self.cells = Cells.of(self.elements, self.key, self.backend)

    def check_bindable(self, owner: Tensor) -> None:
        """Raise InputError unless `owner` can hold this tile's weights: in type, shape and range, and no
        other layer's tile works on it."""
        self._check_layout(owner)
        other = _OWNERS.get((id(owner), self.part))
        if other is not None and other is not self and other.owner is owner:
            raise InputError(
                "two analog layers share one weight, but a crossbar holds its own: untie them, or use one "
                "layer in both places"
            )
        self.check_held(self.part_of(owner))

    def _check_layout(self, owner: Tensor) -> None:
        check_weights(owner)
        if self.part_of(owner).shape != self.shape:
            raise InputError(f"weight is {tuple(owner.shape)}, but its tile is {self.shape}: keep its shape")

    @property
    def weight(self) -> Tensor:
        """Weights (rows, cols), sharing memory with the parameter that holds them."""
        return self.part_of(self.owner)

    def part_of(self, owner: Tensor) -> Tensor:
        """What this tile holds, (rows, cols), of a tensor shaped as its owner; a view."""
        flat = owner.detach()
        if flat.dim() != 2:
            flat = flat.view(flat.shape[0], -1)
        return flat if self.block is None else flat[self.block]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.elements.shape

    def count(self, name: str) -> int:
        """How often an event of `EVENTS` has happened."""
        return int(self.events[_AT[name]])

    def counter(self, name: str) -> Tensor:
        """The count of an event of `EVENTS`, int64 (0-d), sharing memory with `events`."""
        return self.events[_AT[name]]

    def count_events(self, **events: int | Tensor) -> None:
        """Add to counts of `EVENTS`, without asking for their values."""
        for name, number in events.items():
            self.events[_AT[name]] += number

    def count_in(self, events: Tensor) -> None:
        """Go on counting in `events`, int64 (len(EVENTS),): what a checkpoint holds is counted in place."""
        #: counts of `EVENTS`, in that order; they also address the random numbers of the next update
        self.events = events
        #: number of the next update, int64 (0-d); and pulses up and down, line toggles, slots: int64 (4,)
        self.updates, self.pulses = events[_AT["updates"]], events[1:5]

    def count_from(self, events: Any) -> None:
        """Go on from `events`, integers; what an earlier version did not count starts at 0.

        Raises:
            InputError: when they are more than this version counts.
        """
        kept = torch.as_tensor(events, dtype=torch.int64)
        if len(kept) > len(EVENTS):
            raise InputError(
                f"the state counts {len(kept)} events, but this version counts {len(EVENTS)}: use the one "
                "that saved it"
            )
        self.events.zero_()
        self.events[: len(kept)] = kept

    def check_held(self, w: Tensor | None = None, calibrated: bool = True) -> None:
        """Raise InputError unless `w`, (rows, cols), by default the tile's weights, fits: each within the
        nominal range or its element's own bounds, which spread may set farther out; as if the tile were not
        calibrated, on request.
        """
        w = self.weight if w is None else w
        if self.hidden is None:
            fits = w == self.elements.clip(w)
        else:
            fits = self.hidden.fits(self._tile, w, calibrated)
        self._check_weights(w.masked_fill(fits, 0.0))

    def _check_weights(self, w: Tensor) -> None:
        low, high = self.device.response.w_min, self.device.response.w_max
        inside = (w >= low) & (w <= high)  # false for NaN too
        if not bool(inside.all()):
            worst = float(w[~inside][0])
            raise InputError(
                f"weight {worst:g} is outside the device's range [{low:g}, {high:g}]: scale the weights "
                "into it (convert() does so with output scales), or use a device with a wider range"
            )

    @property
    def held(self) -> Tensor:
        """What the elements hold, (rows, cols): the weights, before write noise and reference."""
        return self.weight if self.hidden is None else self.hidden.held(self._tile)

    def _hide(self) -> Hidden:
        self._place = None  # from here on all cells are compared, see `_look`
        self.hidden = Hidden(self.device, self.cells)
        return self.hidden

    def _look(self) -> tuple[int, int, int]:
        """Version, place and fingerprint of the weights: what any write changes, also one through `.data`.

        Of weights that are no parameter, as those of arrays that an optimizer keeps, the version alone.

        Raises:
            InputError: when the weights have another place, type or layout than kernels can take.
        """
        owner = self.owner
        if self._place is not None and self._bits is None:
            return owner._version, self._place, 0
        place = owner.data_ptr()
        if place != self._place:
            self._check_layout(owner)
            self._place = place
            self._bits = self.weight if isinstance(owner, nn.Parameter) else None
            # a write that goes unseen is lost where elements hold more than the weights, else not clipped
            whole = self.hidden is not None
            cells = self.weight.numel()
            self._every = 1 if whole or cells <= MANY_CELLS else 1 + cells // (2 * FEW_CELLS) * 2
        seen = 0 if self._bits is None else ops.fingerprint(self._bits, self._every)
        return owner._version, place, seen

    def _unchanged(self) -> bool:
        """Whether the weights are as the last primitive left them."""
        try:
            return self._left == self._look()
        except InputError:
            return False

    def sync(self) -> None:
        """Have the elements hold weights that were written, by torch, since the last primitive.

        Weights beyond an element's own bound are set to that bound.

        Raises:
            InputError: when they are outside the device's range; nothing is changed then.
        """
        if self._left == self._look():
            return
        tiles = self._of_one_owner()
        for tile in tiles:
            tile.check_held()
        for tile in tiles:
            tile.load_weights()
        if self.companions and all(isinstance(array, Numbers) for _, array in self.companions):
            warnings.warn(
                "weights of a copy of a model were written, but what arrays of an optimizer (gamma > 0) "
                "add to them stayed: average or copy ohmgrad.to_digital(model)",
                stacklevel=4,
            )

    def _of_one_owner(self) -> Sequence[AbstractArray]:
        """The tiles of one parameter, this one among them."""
        return tiles_of(self.owner) if self.block is not None else (self,)

    def wrote(self) -> None:
        """Note that the weights go with what the elements hold, of all tiles of one parameter."""
        self._left = version, _, _ = self._look()
        if self.block is not None:  # torch's writes make a new version for all of them
            for tile in self._of_one_owner():
                if tile._left is not None:
                    tile._left = version, *tile._left[1:]

    def load_weights(self) -> None:
        """Have the elements hold the weights as they are now, or are at their nearest bound."""
        if self.hidden is not None:
            self.hidden.settle(self._tile)
            return
        inside = self.elements.clip(self.weight)
        if not torch.equal(inside, self.weight):
            self.weight.copy_(inside)
        self.wrote()

    def _take_over(self) -> None:
        """`load_weights`, of weights that fit."""
        self.check_held()
        self.load_weights()

    @property
    def calibrated(self) -> bool:
        """Whether it has a reference that the device does not ask for, see `Tile.calibrate`."""
        return self.device.reference is None and "reference" in self.memory

    def check_state(self, w: Tensor, memory: dict[str, Any]) -> None:
        """Raise InputError unless weights `w` (rows, cols) and `memory` of a checkpoint can be restored.

        Forgets a memory of other weights, which somebody has changed since, but for the mask of held ones:
        elements then hold `w`.
        """
        if memory:
            hidden = self.hidden or Hidden(self.device, self.cells)
            hidden.check(self._tile, memory)
            seen = hidden.seen(memory)
            if seen is not None and torch.equal(seen, w):
                return
            for name in {*memory} - {"fixed"} if seen is not None else ():
                del memory[name]
            if (fixed := memory.get("fixed")) is not None:
                reached = hidden.reach(self._tile, w, calibrated=False)
                memory["fixed"] = torch.where(fixed.isnan(), fixed, reached)
        self.check_held(w, calibrated=False)

    def restore(self, memory: Mapping[str, Any]) -> None:
        """Take over `memory` from a checkpoint, and make the weights from it.

        It is the whole truth: a calibrated tile loses a reference that the checkpoint does not have. With an
        empty one, or a mask of held weights alone, the elements then hold the weights as they are.

        Raises:
            InputError: when it, or the weights without a reference, do not fit this tile.
        """
        mask = ~memory["fixed"].isnan() if {*memory} == {"fixed"} else None
        if memory and mask is None:
            (self.hidden or self._hide()).restore(self._tile, memory)
            return
        if self.calibrated and self.hidden is not None:
            self.hidden.drop_calibration(self._tile)
            if self.device.memoryless and not self.memory:
                self.hidden = None
        self._take_over()
        if mask is not None:
            (self.hidden or self._hide()).hold(self._tile, mask)
