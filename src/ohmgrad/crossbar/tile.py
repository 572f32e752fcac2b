"""The tile: one array of elements with the primitives that hardware has. Algorithms use nothing else."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..checked import checked
from ..devices import Device, Elements, draw
from ..devices.elements import check_shape
from ..errors import InputError, check_integer
from ..kernels import Cells, Periphery, Pulsing, ops
from ..kernels.reference.digital import most_counts
from ..ranges import COUNT, SEED, WHOLE
from ..rng import Key
from .board import Board
from .contents import Contents, contents_of
from .effective_weight import Numbers, companions_on, warn_of_copies, weighted_sum
from .events import Counters, known_to_be_no_update
from .memory_state import MemoryState
from .pair_state import PairState
from .picture import tile_html, tile_text

__all__ = ["Tile", "tiles_of"]


class Tile:
    """One crossbar of resistive elements: rows are d-lines (outputs), columns x-lines (inputs).

    Args:
        weight: parameter or tensor that holds the weights, float32 and contiguous; the tile works in
            place. Its first dimension are the outputs; the others, flattened, are the inputs. Or a
            shape (rows, cols), for a new array of zeros.
        device: specification from which the elements are drawn.
        pulsing: how wanted changes become pulses.
        periphery: the circuits around; perfect by default.
        seed, array: address of all random numbers of this tile, 32-bit each.
        part: number of this tile among those that hold `weight`, from 0.
        block: rows and columns of `weight`, as slices, that this tile holds; None for all.
        backend: "auto", "reference", "numba" or "triton", see `Cells.of`.
        memory: of a tile of the same device, to go on from; `weight` is then as it was there.

    Raises:
        InputError: when weights lie outside the nominal range of the device, or an argument is wrong.

    Weights inside the nominal range but outside an element's own bounds start at that bound.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> tile = Tile((2, 3), Device(SoftBounds.symmetric(0.6), dw_min=0.01), seed=1)
        >>> tile.pulse(torch.ones(1, 3), torch.ones(1, 2), lr=0.05)
        >>> tile.count("pulses_up")
        30
    """

    @checked(seed=SEED, array=SEED, part=WHOLE)
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
        owner = weight if isinstance(weight, Tensor) else torch.zeros(check_shape(weight))
        self.contents = Contents(owner, part, block, device)
        self._watched = self.contents.watched
        self.memory = self.contents.memory  #: beside the weights, by name, see `planes`; checkpoints save it
        self.shape = self._watched.shape  #: (rows, cols)
        self.device, self.block, self.backend = device, block, backend
        self.pulsing, self.periphery = pulsing or Pulsing(), periphery or Periphery()
        self.numbered_freely = False  # whether it is the next free one, so that a state may bring its own
        self.counters = Counters(*self.shape, owner.device)
        #: tiles whose weights add to this one's in every product, each times its factor or one a column
        self.companions: list[tuple[float | Tensor, Tile | Numbers]] = []
        self.key = Key(int(seed), int(array))
        self.renumber(self.key.array)
        _TILES[id(self.contents)] = self
        self.contents.restore(memory or {})

    def __setstate__(self, state: dict[str, Any]) -> None:  # a copied or unpickled tile
        vars(self).update(state)
        # no optimizer works on copies of the arrays; a copy of it puts its own there
        self.companions = [(factor, Numbers(array.weight)) for factor, array in self.companions]
        _TILES[id(self.contents)] = self

    __repr__, _repr_html_ = tile_text, tile_html  # pyright: ignore[reportAssignmentType]  # named tile there

    def renumber(self, array: int) -> None:
        """Take the elements and random numbers of an array; the weights are to be loaded anew."""
        self.key = Key(self.key.seed, array)
        self._have(draw(self.device, self.shape, self.key))

    def _have(self, elements: Elements) -> None:
        """Have these elements, drawn on the host for all devices alike, where the weights are."""
        self.elements = elements.to(self.owner.device)
        self.cells = Cells.of(self.elements, self.key, self.backend)
        self.contents.renew(self.cells)

    def _follow(self) -> None:
        """Have elements, what they hold, and counts on the device to which the weights went."""
        place = self.owner.device
        if self.events.device != place:
            self.companions = companions_on(self.companions, place)
            self.counters.to(place)
            self.memory.update({name: plane.to(place) for name, plane in self.memory.items()})
            self._have(self.elements)

    def sibling(
        self, role: int, weight: Tensor | None = None, memory: Mapping[str, Any] | None = None
    ) -> Tile:
        """An auxiliary array of the same kind: same device, settings and seed; elements by `role`, 1 to 255.

        `weight`, (rows, cols) float32, is its weights; zeros by default. `memory` is of an earlier one.
        """
        role = check_integer("role", role, 1, 255)
        w = torch.zeros(self.shape, device=self.owner.device) if weight is None else weight
        other = Tile(
            w, self.device, pulsing=self.pulsing, periphery=self._circuits, seed=self.key.seed,
            array=(self.key.array + role) % 2**32, backend=self.backend, memory=memory,
        )  # fmt: skip
        if "fixed" in self.memory and "fixed" not in other.memory:
            other.hold(~self.memory["fixed"].isnan())
        if (placed := self.contents.placed) is not None:
            other.contents.put_on(placed.beside(role, other.key.array))
        return other

    @property
    def board(self) -> Board | None:
        """The board that has the elements; None where they are simulated."""
        return self.contents.board

    @property
    def periphery(self) -> Periphery:
        """The circuits around, before elements with the read noise of the device; set them without it."""
        return self._periphery

    @periphery.setter
    def periphery(self, circuits: Periphery) -> None:
        noise, self._circuits = self.device.read_noise, circuits
        self._periphery = circuits.seeing(noise.fast * self.device.dw_min if noise else 0.0)

    # --- weights, and the parameter that holds them -------------------------------------------------

    @property
    def owner(self) -> Tensor:
        """The parameter or tensor that holds the weights."""
        return self._watched.owner

    @property
    def weight(self) -> Tensor:
        """Weights (rows, cols), sharing memory with the owner."""
        return self._watched.view

    @property
    def held(self) -> Tensor:
        """What the elements hold, (rows, cols): the weights, before write noise and reference."""
        return self.contents.cell_state.held(self.weight)

    def part_of(self, owner: Tensor) -> Tensor:
        """What this tile holds, (rows, cols), of a tensor shaped as its owner; a view."""
        return self._watched.part_of(owner)

    def effective_weight(self) -> Tensor:
        """What a product sees: this tile's weights plus its companions' times their factors."""
        return weighted_sum(self.weight, self.companions)

    def sync(self) -> None:
        """Have the elements hold weights that were written since the last primitive.

        Weights beyond an element's own bound are set to that bound. Raises InputError when they are outside
        the device's range; nothing is changed then.
        """
        if self._watched.synced == self._watched.signature():
            return
        for tile in (self,) if self.block is None else tiles_of(self.owner):
            tile._follow()
        self.contents.load_written()
        warn_of_copies(self.companions)

    # --- events -------------------------------------------------------------------------------------

    @property
    def events(self) -> Tensor:
        """Counts of `EVENTS`, int64 (len(EVENTS),); checkpoints hold this tensor."""
        return self.counters.events

    @checked
    def count(self, name: str) -> int:
        """How often an event of `EVENTS` has happened; raises as `check_status`."""
        self.check_status()
        return int(self.counters.counter(name))

    def check_status(self) -> None:  # asked by `count`, checkpoints and `optimizer.events()`
        """As `ops.check_status`."""
        self.contents.cell_state.check_status()

    # --- primitives that change weights -------------------------------------------------------------

    def pulse(
        self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing | None = None, is_update: Tensor | None = None
    ) -> None:
        """Parallel pulsed update, W += lr sum_b d_b x_b^T in expectation and to first order.

        Gokmen & Vlasov 2016; `ohmgrad.kernels.reference.pulses` has the equations at all fidelities.

        Args:
            x: (samples, cols); d: (samples, rows).
            lr: learning rate, negative to descend.
            pulsing: how this change becomes pulses; the tile's by default.
            is_update: whether this is an update at all, bool (0-d): false where d is zero everywhere, so that
                the next update has its random numbers. None for true.

        Raises InputError when shapes do not match or a value is not finite; nothing is changed then.
        """
        if known_to_be_no_update(is_update):
            return
        self.sync()
        how = self.pulsing if pulsing is None else pulsing
        self.contents.cell_state.pulse(self._watched.view, x, d, lr, how, self.counters)
        self.counters.record_pulses(self.cells, x, d, lr, how)
        self._finish_update(is_update)

    def pulse_counts(self, n: Tensor, is_update: Tensor | None = None) -> None:
        """Apply signed pulse counts, int64 (rows, cols), line by line; negative counts go down.

        `is_update`: as for `pulse`, false only where n is zero.

        Raises InputError when the shape or the type does not match, or a count is above 10,000 and above what
        crosses the device's range ten times.
        """
        if known_to_be_no_update(is_update):
            return
        self._apply_counts(n, is_update)
        self.counters.add_lines(n)

    def _apply_counts(self, n: Tensor, is_update: Tensor | None = None) -> None:
        """Apply signed pulse counts and count the pulses; how lines carry them is the caller's."""
        self.sync()
        self.contents.cell_state.apply_counts(self._watched.view, n, self.pulsing.fidelity, self.counters)
        self.counters.record_counts(n)
        self._finish_update(is_update)

    def _finish_update(self, is_update: Tensor | None = None) -> None:
        self.counters.updates.add_(1 if is_update is None else is_update)
        if isinstance(self.contents.cell_state, PairState):
            self.contents.cell_state.refresh(self._watched.view, self.pulsing.fidelity, self.counters)
        self.contents.mark_synced()

    @checked(rounds=WHOLE)
    def program(self, target: Tensor, *, rounds: int = 20) -> Tensor:
        """Closed-loop write-verify: read, send the pulses that are missing, repeat.

        Each round, of at most `rounds`, reads every column and sends round((target - w) / step(w)) pulses, at
        most 1000; it ends early when no element needs one. Reads are exact. Targets outside an element's
        bounds end near the bound. One-sided pairs are reset first.

        `target` is (rows, cols), each inside the device's nominal range or its element's own bounds. Returns
        target - weight, (rows, cols). Raises InputError when a target is out of range or of shape.
        """
        if tuple(target.shape) != self.shape:
            raise InputError(f"target is {tuple(target.shape)}, but this tile is {self.shape}")
        self.contents.check_fits(target)
        self.sync()
        weight, goal = self.weight, self.contents.but_frozen(target)
        self.contents.cell_state.program(weight, goal, rounds, self.pulsing.fidelity, self.counters)
        self.contents.mark_synced()
        return target - weight

    @checked
    def reset(self, value: float = 0.0) -> None:
        """Set every element to `value`, in the range, or its nearest bound: one strong pulse for each."""
        goal = torch.full(self.shape, float(value), device=self.owner.device)
        self.contents.check_range(goal)
        self.sync()
        pair, up = self.device.pair is not None, self.weight < value  # of a pair both get a pulse
        columns = torch.arange(goal.numel(), device=goal.device) % self.shape[1]
        self.counters.add_selected(columns, (up | pair).long().flatten(), (~up | pair).long().flatten())
        self.weight.copy_(self.contents.but_frozen(self.contents.cell_state.nearest(goal)))
        self.contents.load_weights()

    @checked
    def hold(self, mask: Tensor | None) -> None:
        """Hold single weights where they are: pulses on them are sent and counted, and do not move them.

        Nor do time, programming and `reset`; only weights that are written or loaded do, which are then held.
        Auxiliary arrays that products see are held at the same places.
        `mask` is bool (rows, cols), true for the weights to hold; None lets all go. Raises InputError if not.
        """
        self.contents.check_mask(mask)
        self.sync()
        self.contents.hold(mask)
        for _, other in self.companions:
            if isinstance(other, Tile):
                other.hold(mask)

    @checked(n=WHOLE)
    def zero_shift(self, n: int) -> None:
        """n pairs of one pulse up and one down on every element: each drifts to its symmetric point.

        Kim et al. 2019 (arXiv 1907.10228). A slot and a toggle of every line for each pulse; n >= 0.
        """
        one = torch.ones(self.shape, dtype=torch.int64, device=self.owner.device)
        for _ in range(n):
            for counts in (one, -one):
                self._apply_counts(counts)
                self.counters.add(slots=1, line_toggles=sum(self.shape))

    def wait(self, steps: int = 1) -> None:
        """Let time pass, see `Retention`, `ReadNoise`: optimizers let arrays wait a step (>= 1) in each."""
        check_integer("steps", steps, 1)
        if "clock" in self.memory:
            self.sync()
            self.contents.with_planes().wait(self.weight, steps)
            self.contents.mark_synced()

    @checked(n=WHOLE, reads=COUNT)
    def calibrate(self, n: int, *, reads: int = 1) -> None:
        """Zero-shift, then take the weights as they are read as reference: what is seen starts at 0 there.

        Kim et al. 2019 (arXiv 1907.10228). From then on the tile is a pair, weight = element - reference,
        whose symmetric point is 0 but for what n pairs of pulses (one up, one down) leave and the noise of
        `reads` (>= 1) reads of every column, which are averaged; see `Reference`. Raises
        InputError when an argument is wrong, or the device is one-sided.
        """
        if self.device.pair is not None:
            raise InputError("a one-sided pair has no symmetric point to calibrate: use another device")
        self.sync()
        self.zero_shift(n)
        state = self.contents.with_planes()
        assert isinstance(state, MemoryState)
        state.calibrate(self.weight, self.read(range(self.shape[1]), reads))
        self.contents.mark_synced()

    # --- what a digital unit beside the tile does ---------------------------------------------------

    @property
    def most_pulses(self) -> int:
        """Largest number of pulses that an element may get at once, see `pulse_counts`."""
        return most_counts(self.elements)

    def digital_gradient(self, x: Tensor, d: Tensor) -> Tensor:
        """d^T x, (rows, cols) float32, of x (samples, cols) and d (samples, rows), in their order."""
        return ops.digital_gradient(x, d, self.cells)

    def random_words(self, purpose: int, marked: Tensor | None = None) -> Tensor:
        """Uniform 32-bit words of the tile's next update, int64 (rows, cols), see `ops.random_words`."""
        return ops.random_words(self.cells, self.counters.updates, purpose, marked)

    # --- primitives that read -----------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Analog product x W^T: (samples, cols) -> (samples, rows)."""
        return self._product(x, "forward")

    def backward(self, d: Tensor) -> Tensor:
        """Analog product in the other direction, d W: (samples, rows) -> (samples, cols)."""
        return self._product(d, "backward")

    def _product(self, vectors: Tensor, direction: str) -> Tensor:
        state, circuits = self.contents.cell_state, self.periphery
        return state.product(self.weight, vectors, direction, self.companions, circuits, self.counters)

    def read(
        self, columns: slice | Tensor | Sequence[int], repeats: int = 1, n_read: Tensor | None = None
    ) -> Tensor:
        """Read whole columns through the periphery, without noise or bound management.

        Each column is a product with a one-hot vector; `repeats` (>= 1) reads are averaged.

        Args:
            columns: k columns, a slice or their numbers; (rows, k) is returned.
            n_read: how many of the columns are read, 0-d: the first ones, and the values of the others mean
                nothing; with one repeat. None for all.

        Raises InputError when a column does not exist or `repeats` is not such a number.
        """
        state, circuits = self.contents.cell_state, self.periphery
        return state.read(self.weight, columns, repeats, n_read, circuits, self.counters)


#: the tile of contents, by their id; a tile keeps its contents alive
_TILES: weakref.WeakValueDictionary[int, Tile] = weakref.WeakValueDictionary()


def tiles_of(parameter: Tensor) -> list[Tile]:
    """The tiles that hold a parameter, in order; none of a digital one."""
    holders = contents_of(parameter)
    return [_TILES[id(contents)] for contents in holders] if holders else []
