"""The tile: one array of elements with the primitives that hardware has. Algorithms use nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, check_integer, is_integer, shown
from ..kernels import Pulsing, ops
from ..kernels.reference.digital import most_counts
from ..rng import Purpose
from .array import EVENTS, AbstractArray, tiles_of
from .effective_weight import weighted_sum
from .programming import count_selected, describe, program, refresh

__all__ = ["EVENTS", "Tile", "tiles_of"]


class Tile(AbstractArray):
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
        backend: "auto", "reference" or "numba".
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

    @property
    def _tile(self) -> Tile:
        return self

    def __repr__(self) -> str:
        rows, cols = self.shape
        return f"Tile({rows} x {cols}, {describe(self.device)}, {self.pulsing.fidelity})"

    def sibling(
        self, role: int, weight: Tensor | None = None, memory: Mapping[str, Any] | None = None
    ) -> Tile:
        """Another array of the same kind beside this one: same device, settings and seed, own elements.

        Args:
            role: 1 to 255, so that its elements and random numbers are its own.
            weight: (rows, cols) float32 to hold its weights; zeros by default.
            memory: what its elements hold, from an earlier one.
        """
        role = check_integer("role", role, 1, 255)
        other = Tile(
            torch.zeros(self.shape) if weight is None else weight,
            self.device,
            pulsing=self.pulsing,
            periphery=self.periphery,
            seed=self.key.seed,
            array=(self.key.array + role) % 2**32,
            backend=self.backend,
            memory=memory,
        )
        if "fixed" in self.memory and "fixed" not in other.memory:
            other.hold(~self.memory["fixed"].isnan())
        return other

    def effective_weight(self) -> Tensor:
        """What a product sees: this tile's weights plus its companions' times their factors."""
        return weighted_sum(self.weight, self.companions)

    def _refresh(self) -> None:
        pair = self.device.pair
        if pair is not None and self.hidden is not None and self.count("updates") % pair.refresh_every == 0:
            refresh(self, self.hidden)

    # --- primitives that change weights ------------------------------------------------------------

    def pulse(
        self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing | None = None, counted: Tensor | None = None
    ) -> None:
        """Parallel pulsed update, W += lr sum_b d_b x_b^T in expectation and to first order.

        Gokmen & Vlasov 2016; `ohmgrad.kernels.reference.pulses` has the equations at all fidelities.

        Args:
            x: (samples, cols); d: (samples, rows).
            lr: learning rate, negative to descend.
            pulsing: how this change becomes pulses; the tile's by default.
            counted: whether this is an update at all, bool (0-d): false where d is zero everywhere, so that
                the next update has its random numbers. None for true.

        Raises:
            InputError: when shapes do not match or a value is not finite; nothing is changed then.
        """
        if _known_to_be_none(counted):
            return
        how = pulsing or self.pulsing
        self.sync()
        if self.hidden is None:
            ops.pulsed_update_(self.weight, self.cells, x, d, lr, how, self.updates, self.pulses)
            self.wrote()
        else:
            self.hidden.pulse(self, x, d, lr, how)
        self.updates.add_(1 if counted is None else counted)
        self._refresh()

    def pulse_counts(self, n: Tensor, counted: Tensor | None = None) -> None:
        """Apply signed pulse counts, int64 (rows, cols); negative counts go down.

        Sent row by row, or column by column where that takes fewer slots: a line takes as many slots
        as the largest count on it.

        Args:
            counted: whether this is an update at all, bool (0-d), false only where n is zero everywhere, as
                for `pulse`.

        Raises:
            InputError: when the shape or the type does not match, or a count is above 10,000 and above what
                crosses the device's range ten times.
        """
        if _known_to_be_none(counted):
            return
        self._apply_counts(n, counted)
        size = n.abs()
        slots = torch.minimum(size.amax(1).sum(), size.amax(0).sum())
        self.count_events(slots=slots, line_toggles=slots + size.sum())

    def _apply_counts(self, n: Tensor, counted: Tensor | None = None) -> None:
        """Apply signed pulse counts and count the pulses; how lines carry them is the caller's."""
        self.sync()
        if self.hidden is None:
            ops.apply_counts_(
                self.weight, self.cells, n, self.pulsing.fidelity, self.updates, self.pulses, self.most_pulses
            )
            self.wrote()
        else:
            self.hidden.apply_counts(self, n)
        self.updates.add_(1 if counted is None else counted)
        self._refresh()

    def program(self, target: Tensor, *, rounds: int = 20) -> Tensor:
        """Closed-loop write-verify: read, send the pulses that are missing, repeat.

        Each round reads every column and sends round((target - w) / step(w)) pulses, at most 1000; it ends
        early when no element needs one. Reads are exact. Targets outside an element's bounds end near the
        bound. One-sided pairs are reset first.

        Args:
            target: (rows, cols), each inside the device's nominal range or its element's own bounds.
            rounds: largest number of rounds.

        Returns:
            What is left, target - weight, (rows, cols).

        Raises:
            InputError: when a target is outside the range or the shape does not match.
        """
        if tuple(target.shape) != self.shape:
            raise InputError(f"target is {tuple(target.shape)}, but this tile is {self.shape}")
        check_integer("rounds", rounds, 0)
        self.check_held(target)
        self.sync()
        program(self, self._free_only(target), rounds)
        return target - self.weight

    def reset(self, value: float = 0.0) -> None:
        """Set every element to `value`, or to its nearest bound: one strong pulse, column by column.

        Raises:
            InputError: when the value is outside the device's range.
        """
        self._check_weights(torch.tensor([value]))
        self.sync()
        one = torch.ones(self.shape, dtype=torch.int64)
        up = one if self.device.pair is not None else (self.weight < value).long()
        down = one if self.device.pair is not None else 1 - up
        count_selected(self, torch.arange(self.weight.numel()) % self.shape[1], up.flatten(), down.flatten())
        goal = torch.full(self.shape, float(value))
        goal = self.elements.clip(goal) if self.hidden is None else self.hidden.reach(self, goal)
        self.weight.copy_(self._free_only(goal))
        self.load_weights()

    def _free_only(self, target: Tensor) -> Tensor:
        """`target` (rows, cols), but of held weights the values that they have."""
        fixed = self.memory.get("fixed")
        return target if fixed is None else torch.where(fixed.isnan(), target, fixed)

    def hold(self, mask: Tensor | None) -> None:
        """Hold single weights where they are: pulses on them are sent and counted, and do not move them.

        Nor do time, programming and `reset`; only weights that are written or loaded do, which are then held.
        Arrays whose weights products see beside these are held at the same places.

        Args:
            mask: bool (rows, cols), true for the weights to hold; None lets all go.

        Raises:
            InputError: when the type or the shape does not match.
        """
        if mask is not None and (mask.dtype != torch.bool or tuple(mask.shape) != self.shape):
            got = f"{tuple(mask.shape)} of {mask.dtype}"
            raise InputError(f"mask is {got}, but a tile of {self.shape} needs one of bool in its shape")
        self.sync()
        (self.hidden or self._hide()).hold(self, mask)
        if not self.memory and self.device.memoryless:
            self.hidden = None
        for _, other in self.companions:
            if isinstance(other, Tile):
                other.hold(mask)

    def zero_shift(self, n: int) -> None:
        """n pairs of one pulse up and one down on every element: each drifts to its symmetric point.

        Kim et al. 2019 (arXiv 1907.10228). All elements are pulsed at once: a slot and a toggle of every
        line for each of the 2 n pulses. Raises InputError when n is not an integer >= 0.
        """
        check_integer("number of pulse pairs", n, 0)
        one = torch.ones(self.shape, dtype=torch.int64)
        for _ in range(n):
            for counts in (one, -one):
                self._apply_counts(counts)
                self.count_events(slots=1, line_toggles=sum(self.shape))

    def wait(self, steps: int = 1) -> None:
        """Let time pass, in steps of training: weights decay, diffuse and drift as `Retention` says.

        Optimizers call it once a step for every array. Raises InputError when steps is not an integer >= 1.
        """
        if self.device.retention is not None and self.hidden is not None:
            steps = check_integer("steps", steps, 1)
            self.sync()
            self.hidden.wait(self, steps)

    def calibrate(self, n: int, *, reads: int = 1) -> None:
        """Zero-shift, then take the weights as they are read as reference: what is seen starts at 0 there.

        Kim et al. 2019 (arXiv 1907.10228). From then on the tile is a pair, weight = element - reference,
        whose symmetric point is 0 but for what n pairs of pulses leave and the read noise; see `Reference`.

        Args:
            n: pairs of one pulse up and one down.
            reads: reads of every column, through the periphery, that are averaged (>= 1).

        Raises:
            InputError: when an argument is wrong, or the device is one-sided.
        """
        check_integer("reads", reads, 1)
        if self.device.pair is not None:
            raise InputError("a one-sided pair has no symmetric point to calibrate: use another device")
        self.sync()
        self.zero_shift(n)
        read = self.read(range(self.shape[1]), reads)
        (self.hidden or self._hide()).subtract(self, read)

    def count_products(self, forward: int = 0, backward: int = 0) -> None:
        """Count products that a layer computed in another way, such as a whole convolution."""
        rows, cols = self.shape
        self.count_events(
            forward_vectors=forward,
            backward_vectors=backward,
            dac=forward * cols + backward * rows,
            adc=forward * rows + backward * cols,
        )

    def count_reads(self, columns: int | Tensor, verify: bool = False) -> None:
        """Count columns that were read, each driven by all lines; `verify`: by write-verify."""
        rows, cols = self.shape
        self.count_events(
            read_columns=columns,
            verify_columns=columns if verify else 0,
            dac=columns * cols,
            adc=columns * rows,
        )

    # --- what a digital unit beside the tile does ---------------------------------------------------

    @property
    def most_pulses(self) -> int:
        """Largest number of pulses that an element may get at once, see `pulse_counts`."""
        return most_counts(self.elements)

    def digital_gradient(self, x: Tensor, d: Tensor) -> Tensor:
        """d^T x, (rows, cols) float32, added up in the order of the samples.

        Args:
            x: (samples, cols); d: (samples, rows).

        Raises:
            InputError: when a value is not finite.
        """
        return ops.digital_gradient(x, d, self.cells.backend)

    def random_words(self, purpose: int, marked: Tensor | None = None) -> Tensor:
        """A uniform 32-bit word for each cell, int64 (rows, cols), that belongs to the tile's next update.

        Args:
            marked: bool (rows, cols), the cells that have one, numbered row by row; 0 elsewhere. None for
                all, each row numbered by itself.
        """
        return ops.random_words(self.cells, self.updates, purpose, marked)

    # --- primitives that read ----------------------------------------------------------------------

    def _check_vectors(self, name: str, vectors: Tensor, lines: int) -> None:
        """Raise InputError, naming the shapes, unless `vectors` is (samples, lines)."""
        if vectors.dim() != 2 or vectors.shape[1] != lines:
            got, size = tuple(vectors.shape), " x ".join(map(str, self.shape))
            raise InputError(f"{name} is {got}, but a tile of {size} needs {name} of (samples, {lines})")

    def forward(self, x: Tensor) -> Tensor:
        """Analog product of vectors with the weights, x W^T: (samples, cols) -> (samples, rows)."""
        self._check_vectors("x", x, self.shape[1])
        return self._product(x, self.effective_weight().t(), "forward", Purpose.READ_FORWARD)

    def backward(self, d: Tensor) -> Tensor:
        """Analog product in the other direction, d W: (samples, rows) -> (samples, cols)."""
        self._check_vectors("d", d, self.shape[0])
        return self._product(d, self.effective_weight(), "backward", Purpose.READ_BACKWARD)

    def _product(self, vectors: Tensor, matrix: Tensor, direction: str, purpose: int) -> Tensor:
        """`vectors` @ `matrix` through the periphery, counted; numbers of vectors address the noise."""
        if self.periphery.perfect:
            out = vectors @ matrix
        else:
            first = self.counter(f"{direction}_vectors")
            out, again = ops.analog_product(
                vectors, matrix, self.periphery, purpose, self.key, first, self.cells.backend
            )
            if self.periphery.bound_management != "none":
                inputs, outputs = matrix.shape
                self.count_events(driven_again=again, dac=again * inputs, adc=again * outputs)
        self.count_products(**{direction: len(vectors)})
        return out

    def read(
        self, columns: slice | Tensor | Sequence[int], repeats: int = 1, counted: Tensor | None = None
    ) -> Tensor:
        """Read whole columns through the periphery, without noise or bound management.

        Each column is a product with a one-hot vector; `repeats` reads are averaged.

        Args:
            columns: k columns: a slice, or their numbers.
            repeats: reads of each column (>= 1).
            counted: how many of the columns are read, 0-d: the first ones, and the values of the others mean
                nothing; with one repeat. None for all.

        Returns:
            (rows, k).

        Raises:
            InputError: when a column does not exist or `repeats` is not an integer >= 1.
        """
        check_integer("repeats", repeats, 1)
        at, k = self._columns(columns)
        picked = self.weight[:, at]
        if self.periphery.perfect:
            self.count_reads(k * repeats if counted is None else counted)
            return picked.clone() if isinstance(at, slice) else picked
        # reads of write-verify are exact: they take no random numbers
        first = self.counter("read_columns") - self.counter("verify_columns")
        self.count_reads(k * repeats if counted is None else counted)
        one = torch.eye(k, device=picked.device).repeat(repeats, 1)
        plain = self.periphery.unmanaged
        out, _ = ops.analog_product(
            one, picked.t(), plain, Purpose.READ_COLUMNS, self.key, first, self.cells.backend
        )
        return out.t() if repeats == 1 else out.view(repeats, k, -1).mean(0).t()

    def _columns(self, columns: slice | Tensor | Sequence[int]) -> tuple[slice | Tensor, int]:
        """What indexes a tensor by columns, and how many there are."""
        cols = self.shape[1]
        if isinstance(columns, slice):
            start, stop, step = columns.indices(cols)
            return columns, len(range(start, stop, step))
        if isinstance(columns, Tensor):
            return columns, len(columns)
        for column in columns:
            if not is_integer(column) or not 0 <= column < cols:
                raise InputError(
                    f"column {shown(column)} does not exist: this tile has columns 0 to {cols - 1}"
                )
        if len(columns) == 1:
            return slice(columns[0], columns[0] + 1), 1
        return torch.tensor(columns, dtype=torch.int64), len(columns)


def _known_to_be_none(counted: Tensor | None) -> bool:
    """Whether nothing is to be done for an update that is `counted`, see `Tile.pulse`.

    Only the host is asked: there it costs less than an update, where a device would have to be waited for.
    """
    return counted is not None and counted.device.type == "cpu" and not counted
