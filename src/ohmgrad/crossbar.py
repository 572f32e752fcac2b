"""The tile: one array of elements with the primitives that hardware has. Algorithms use nothing else."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .devices import Device, Elements, draw
from .errors import InputError
from .handover import HandOver
from .periphery import Periphery, product
from .pulses import Pulsing, ops
from .rng import Key, Purpose

__all__ = ["EVENTS", "Tile", "tiles_of"]

#: what a tile counts; every primitive adds to these
EVENTS = (
    "updates",  # calls of pulse and pulse_counts
    "pulses_up",
    "pulses_down",
    # pulses that lines carried, x-lines and d-lines together. In pulse_counts the selected line fires in
    # every slot, the crossing ones once per pulse of their element; in a zero-shift all fire in each slot
    "line_toggles",
    "slots",  # pulse slots, one after the other: the time that updates take
    "forward_vectors",  # matrix-vector products, one direction ...
    "backward_vectors",  # ... and the other
    "read_columns",
    "dac",  # conversions of one line
    "adc",
)
_AT = {name: i for i, name in enumerate(EVENTS)}

#: the tile that owns a tensor, by the tensor's id; a tile keeps its tensor alive
_OWNERS: weakref.WeakValueDictionary[tuple[int, int], Tile] = weakref.WeakValueDictionary()


def tiles_of(parameter: Tensor) -> list[Tile]:
    """The tiles that hold a parameter, in order; empty for a digital parameter."""
    found: list[Tile] = []
    while (tile := _OWNERS.get((id(parameter), len(found)))) is not None:
        if tile.owner is not parameter:  # bound to another tensor since, and the id used again
            break
        found.append(tile)
    return found


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
        part, parts: this tile holds part `part` of `parts` equal blocks of outputs (grouped layers).
        backend: "auto", "reference" or "numba".

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
        parts: int = 1,
        backend: str = "auto",
    ) -> None:
        for name, number in (("seed", seed), ("array", array)):
            if not isinstance(number, int) or not 0 <= number < 2**32:
                raise InputError(f"{name} is {number!r}, but must be an integer in [0, 2^32)")
        self.owner = weight if isinstance(weight, Tensor) else torch.zeros(weight)
        self.device, self.part, self.parts = device, part, parts
        self.pulsing, self.periphery = pulsing or Pulsing(), periphery or Periphery()
        self.key, self.backend = Key(seed, array), backend
        #: counts of `EVENTS`, in that order; they also address the random numbers of the next update
        self.events: list[int] = [0] * len(EVENTS)
        #: tiles whose weights add to this one's in every product, each times its factor
        self.companions: list[tuple[float, Tile]] = []
        self._waiting = HandOver()
        self.elements: Elements = draw(device, (self.weight.shape[0], self.weight.shape[1]), self.key)
        self.backend_name = ops.backend_for(self.weight, self.elements, backend)
        self.check_held()
        self.weight.copy_(self.elements.clip(self.weight))
        self._register()

    def __setstate__(self, state: dict[str, Any]) -> None:  # a copied or unpickled tile
        self.__dict__.update(state)
        self._register()

    def __repr__(self) -> str:
        rows, cols = self.shape
        return f"Tile({rows} x {cols}, {describe(self.device)}, {self.pulsing.fidelity})"

    def _register(self) -> None:
        _OWNERS[id(self.owner), self.part] = self

    def bind(self, owner: Tensor) -> None:
        """Make `owner` (same shape, contiguous) the tensor that holds this tile's weights."""
        self.owner = owner
        self._register()

    def sibling(self, role: int, weight: Tensor | None = None) -> Tile:
        """Another array of the same kind beside this one: same device, settings and seed, own elements.

        Args:
            role: 1 to 255, so that its elements and random numbers are its own.
            weight: (rows, cols) float32 to hold its weights; zeros by default.
        """
        if not 1 <= role <= 255:
            raise InputError(f"role is {role!r}, but must be an integer in [1, 255]")
        return Tile(
            torch.zeros(self.shape) if weight is None else weight,
            self.device,
            pulsing=self.pulsing,
            periphery=self.periphery,
            seed=self.key.seed,
            array=(self.key.array + role) % 2**32,
            backend=self.backend,
        )

    # --- state -------------------------------------------------------------------------------------

    @property
    def weight(self) -> Tensor:
        """Weights (rows, cols), sharing memory with the parameter that holds them."""
        flat = self.owner.detach()
        if flat.dim() != 2:
            flat = flat.view(flat.shape[0], -1)
        if self.parts == 1:
            return flat
        rows = flat.shape[0] // self.parts
        return flat[self.part * rows : (self.part + 1) * rows]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.elements.shape

    def effective_weight(self) -> Tensor:
        """What a product sees: this tile's weights plus its companions' times their factors."""
        weight = self.weight
        for factor, other in self.companions:
            weight = torch.add(weight, other.weight, alpha=factor)
        return weight

    def count(self, name: str) -> int:
        """How often an event of `EVENTS` has happened."""
        return self.events[_AT[name]]

    def _add(self, **events: int) -> None:
        for name, number in events.items():
            self.events[_AT[name]] += number

    def check_held(self, w: Tensor | None = None) -> None:
        """Raise InputError unless `w`, (rows, cols), by default the tile's weights, fits: each within the
        nominal range or its element's own bounds, which spread may set farther out.
        """
        w = self.weight if w is None else w
        self._check_weights(w.masked_fill(w == self.elements.clip(w), 0.0))

    def _check_weights(self, w: Tensor) -> None:
        low, high = self.device.response.w_min, self.device.response.w_max
        inside = (w >= low) & (w <= high)  # false for NaN too
        if not bool(inside.all()):
            worst = float(w[~inside][0])
            raise InputError(
                f"weight {worst:g} is outside the device's range [{low:g}, {high:g}]: scale the weights "
                "into it (convert() does so with output scales), or use a device with a wider range"
            )

    # --- hand-over of factors ----------------------------------------------------------------------

    def give_factors_to(self, optimizer: object) -> None:
        """As long as `optimizer` lives, backward passes hand over factors and give no gradient."""
        self._waiting.takers.add(optimizer)

    @property
    def wants_factors(self) -> bool:
        """Whether an analog optimizer trains this tile."""
        return bool(self._waiting.takers)

    def hand_over(self, x: Tensor, d: Tensor) -> None:
        """Keep the factors of a backward pass, x (samples, cols) and d (samples, rows).

        Raises:
            InputError: when the weights were set to values that the elements cannot hold.
        """
        if self.owner._version != self._waiting.checked_version:  # torch has written; kernels leave it
            self.check_held()
            self._waiting.checked_version = self.owner._version
        self._waiting.add(x, d)

    def take_factors(self) -> tuple[Tensor, Tensor] | None:
        """The factors of all backward passes since the last call, in order, and forget them."""
        return self._waiting.take()

    def count_gradient(self) -> None:
        """Note a backward pass that gave a gradient; warns, looking now and then, of weights out of range."""
        self._waiting.count_gradient(self.check_held)

    # --- primitives that change weights ------------------------------------------------------------

    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing | None = None) -> None:
        """Parallel pulsed update, W += lr sum_b d_b x_b^T in expectation and to first order.

        Gokmen & Vlasov 2016; `ohmgrad.pulses.reference` has the equations at all fidelities.

        Args:
            x: (samples, cols); d: (samples, rows).
            lr: learning rate, negative to descend.
            pulsing: how this change becomes pulses; the tile's by default.

        Raises:
            InputError: when shapes do not match or a value is not finite; nothing is changed then.
        """
        how = pulsing or self.pulsing
        up, down, toggles, slots = ops.pulsed_update_(
            self.weight, self.elements, x, d, lr, how, self.key, self.events[0], self.backend
        )
        self._add(updates=1, pulses_up=up, pulses_down=down, line_toggles=toggles, slots=slots)

    def pulse_counts(self, n: Tensor) -> None:
        """Apply signed pulse counts, int64 (rows, cols); negative counts go down.

        Sent row by row, or column by column where that takes fewer slots: a line takes as many slots
        as the largest count on it.

        Raises:
            InputError: when the shape or the type does not match.
        """
        self._apply_counts(n)
        size = n.abs()
        slots = min(int(size.amax(1).sum()), int(size.amax(0).sum()))
        self._add(slots=slots, line_toggles=slots + int(size.sum()))

    def _apply_counts(self, n: Tensor) -> None:
        """Apply signed pulse counts and count the pulses; how lines carry them is the caller's."""
        ops.apply_counts_(
            self.weight, self.elements, n, self.pulsing.fidelity, self.key,
            self.count("updates"), self.backend,
        )  # fmt: skip
        up, down = int(n.clamp(min=0).sum()), int(-n.clamp(max=0).sum())
        self._add(updates=1, pulses_up=up, pulses_down=down)

    def program(self, target: Tensor, *, rounds: int = 20) -> Tensor:
        """Closed-loop write-verify: read, send the pulses that are missing, repeat.

        Each round sends round((target - w) / step(w)) pulses, at most 1000; it ends early when no
        element needs one. Reads are exact. Targets outside an element's bounds end near the bound.

        Args:
            target: (rows, cols), inside the device's nominal range.
            rounds: largest number of rounds.

        Returns:
            What is left, target - weight, (rows, cols).

        Raises:
            InputError: when a target is outside the range or the shape does not match.
        """
        if tuple(target.shape) != self.shape:
            raise InputError(f"target is {tuple(target.shape)}, but this tile is {self.shape}")
        self._check_weights(target)
        goal, e = self.elements.clip(target), self.elements
        for _ in range(rounds):
            left = goal - self.weight
            q = torch.where(left >= 0, e.q_plus(self.weight), e.q_minus(self.weight))
            # towards a soft bound the step vanishes: ask for no more pulses than a 1 % step needs
            n = (left / (e.dw_min * q.clamp(min=0.01))).round().clamp(-1000, 1000).long()
            if not bool(n.any()):
                break
            self.pulse_counts(n)
        return target - self.weight

    def reset(self, value: float = 0.0) -> None:
        """Set every element to `value`, or to its nearest bound.

        Raises:
            InputError: when the value is outside the device's range.
        """
        self._check_weights(torch.tensor([value]))
        self.weight.copy_(self.elements.clip(torch.full(self.shape, float(value))))

    def zero_shift(self, n: int) -> None:
        """n pairs of one pulse up and one down on every element: each drifts to its symmetric point.

        Kim et al. 2019 (arXiv 1907.10228). All elements are pulsed at once: a slot and a toggle of every
        line for each of the 2 n pulses. Raises InputError when n is not an integer >= 0.
        """
        _check_whole("number of pulse pairs", n, 0)
        one = torch.ones(self.shape, dtype=torch.int64)
        for _ in range(n):
            for counts in (one, -one):
                self._apply_counts(counts)
                self._add(slots=1, line_toggles=sum(self.shape))

    def count_products(self, forward: int = 0, backward: int = 0) -> None:
        """Count products that a layer computed in another way, such as a whole convolution."""
        rows, cols = self.shape
        self._add(
            forward_vectors=forward,
            backward_vectors=backward,
            dac=forward * cols + backward * rows,
            adc=forward * rows + backward * cols,
        )

    # --- primitives that read ----------------------------------------------------------------------

    def _check_vectors(self, name: str, vectors: Tensor, lines: int) -> None:
        """Raise InputError, naming the shapes, unless `vectors` is (samples, lines)."""
        if vectors.dim() != 2 or vectors.shape[1] != lines:
            got, size = tuple(vectors.shape), " x ".join(map(str, self.shape))
            raise InputError(f"{name} is {got}, but a tile of {size} needs {name} of (samples, {lines})")

    def forward(self, x: Tensor) -> Tensor:
        """Analog product of vectors with the weights, x W^T: (samples, cols) -> (samples, rows)."""
        self._check_vectors("x", x, self.shape[1])
        first = self.count("forward_vectors")
        self.count_products(forward=len(x))
        matrix = self.effective_weight().t()
        return product(x, matrix, self.periphery, Purpose.READ_FORWARD, self.key, first, self.backend)

    def backward(self, d: Tensor) -> Tensor:
        """Analog product in the other direction, d W: (samples, rows) -> (samples, cols)."""
        self._check_vectors("d", d, self.shape[0])
        first = self.count("backward_vectors")
        self.count_products(backward=len(d))
        matrix = self.effective_weight()
        return product(d, matrix, self.periphery, Purpose.READ_BACKWARD, self.key, first, self.backend)

    def read(self, columns: Sequence[int], repeats: int = 1) -> Tensor:
        """Read whole columns through the periphery, without noise or bound management.

        Each column is a product with a one-hot vector; `repeats` reads are averaged.

        Args:
            columns: k column numbers.
            repeats: reads of each column (>= 1).

        Returns:
            (rows, k).

        Raises:
            InputError: when a column does not exist or `repeats` is not an integer >= 1.
        """
        rows, cols = self.shape
        _check_whole("repeats", repeats, 1)
        for column in columns:
            if not 0 <= column < cols:
                raise InputError(f"column {column} does not exist: this tile has columns 0 to {cols - 1}")
        k, first = len(columns) * repeats, self.count("read_columns")
        self._add(read_columns=k, dac=k * cols, adc=k * rows)
        # a single column is the common case, and a slice takes a tenth of a gather's time
        picked = self.weight[:, columns[0]].clone().unsqueeze(1) if k == 1 else self.weight[:, list(columns)]
        if self.periphery.perfect:
            return picked
        one = torch.eye(len(columns)) if repeats == 1 else torch.eye(len(columns)).repeat(repeats, 1)
        plain = self.periphery.unmanaged
        out = product(one, picked.t(), plain, Purpose.READ_COLUMNS, self.key, first, self.backend)
        return out.t() if repeats == 1 else out.view(repeats, len(columns), rows).mean(0).t()


def _check_whole(what: str, value: int, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise InputError(f"{what} is {value!r}, but must be an integer >= {low}")


def describe(device: Device) -> str:
    """A device in a few words, for tables and `repr`."""
    response, spread, noise = device.response, device.spread, device.noise
    name = getattr(response, "family", type(response).__name__)
    words = [f"{name} [{response.w_min:g}, {response.w_max:g}]", f"{device.states:.0f} states"]
    words.append("alike" if spread.uniform else "d2d spread")
    if noise.std:
        words.append(f"c2c {100 * noise.std:g} % {noise.kind}")
    return ", ".join(words)
