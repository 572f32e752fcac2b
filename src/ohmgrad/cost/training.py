"""The cost of a training: events of its arrays, the algorithm's digital work, and a hardware description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..checked import checked
from ..errors import InputError
from ..optim.registry import algorithm_of
from ..optim.work import Work
from . import equations as eq
from .counts import WEIGHTS, ArrayEvents
from .hardware import Hardware

__all__ = ["PHASES", "Baseline", "Cost", "Part", "baseline", "cost_of", "work_of"]

PHASES = ("forward", "backward", "update", "transfer", "digital", "refresh", "calibration")


@dataclass(frozen=True)
class Part:
    """Energy (J) and time (s) of one phase of one layer, of the whole training."""

    layer: str
    phase: str
    energy: float
    time: float


@dataclass(frozen=True)
class Cost:
    """What a training costs.

    Args:
        parts: of every layer and phase that has any.
        images: that the training saw, each as often as it did.
        arrays: physical arrays, auxiliary ones too.
        crosspoint_area, circuit_area: of these, in m^2.
        storage: digital numbers that are kept, in bytes.
        wear: pulses by element of every array, as (layer, tile, array, mean over its elements).
        cells: crosspoints that hold weights, of all arrays.
        pulses: that they got.
    """

    parts: tuple[Part, ...]
    images: int
    arrays: int
    crosspoint_area: float
    circuit_area: float
    storage: float
    wear: tuple[tuple[str, int, str, float], ...]
    cells: int
    pulses: float

    @property
    def layers(self) -> list[str]:
        return list(dict.fromkeys(part.layer for part in self.parts))

    @checked
    def energy(self, layer: str | None = None, phase: str | None = None) -> float:
        """Energy of the training (J), of a layer or a phase if given."""
        return sum(p.energy for p in self.parts if layer in (None, p.layer) and phase in (None, p.phase))

    @checked
    def time(self, layer: str | None = None, phase: str | None = None) -> float:
        """Time of the training on the hardware (s), of a layer or a phase if given.

        Forward and backward passes go from layer to layer, so that layers add up. All else goes on in all
        layers at once, and the slowest layer counts.
        """
        if layer is not None:
            return sum(p.time for p in self.parts if p.layer == layer and phase in (None, p.phase))
        passes = [p.time for p in self.parts if p.phase in _PASSES and phase in (None, p.phase)]
        at_once = [
            sum(p.time for p in self.parts if p.layer == each and p.phase not in _PASSES
                and phase in (None, p.phase))
            for each in self.layers
        ]  # fmt: skip
        return sum(passes) + max(at_once, default=0.0)

    @property
    def mean_wear(self) -> float:
        """Pulses by element, the mean over all elements."""
        return self.pulses / self.cells

    @property
    def most_wear(self) -> tuple[str, int, str, float]:
        """The array whose elements got the most pulses on the average: (layer, tile, array, pulses)."""
        return max(self.wear, key=lambda each: each[3])


_PASSES = ("forward", "backward")
#: energy (J) and time (s)
Spent = tuple[float, float]


def work_of(algorithm: str) -> Work:
    """The digital work of an algorithm, by its name or as FILE.py:CLASS.

    Raises:
        InputError: for an unknown algorithm, or one that does not say.
    """
    work = getattr(algorithm_of(algorithm), "work", None)
    if work is None:
        raise InputError(f"{algorithm} does not say what it does digitally: give its class a `work`")
    return work


@checked
def cost_of(
    arrays: Sequence[ArrayEvents],
    algorithm: str | Work,
    hardware: Hardware,
    *,
    images: int,
    steps: float,
    calibration: Sequence[ArrayEvents] = (),
) -> Cost:
    """The cost of a training.

    Args:
        arrays: events of all arrays, see `array_events`; without those of evaluations.
        algorithm: name, or its digital work.
        hardware: coefficients.
        images: that the training saw.
        steps: of the optimizer.
        calibration: events of all arrays before training (zero-shifts, reads), which are a phase of their
            own; none by default.

    Raises:
        InputError: when there are no arrays, or no images.
    """
    work = algorithm if isinstance(algorithm, Work) else work_of(algorithm)
    if not arrays or images <= 0 or steps <= 0:
        raise InputError("there are no events of a training: cost needs arrays, images and steps")
    tiles: dict[tuple[str, int], list[ArrayEvents]] = {}
    for each in arrays:
        tiles.setdefault((each.layer, each.tile), []).append(each)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for (layer, _), own in tiles.items():
        for phase, spent in _tile_parts(hardware, work, own, steps).items():
            found.setdefault((layer, phase), []).append(spent)
    for each in calibration:
        spent = _both(_written(hardware, each), _read(hardware, each, each.count("read_columns")))
        found.setdefault((each.layer, "calibration"), []).append(spent)
    # tiles of a layer work at once
    parts = tuple(
        Part(layer, phase, sum(e for e, _ in several), max(t for _, t in several))
        for layer in dict.fromkeys(each.layer for each in arrays)
        for phase in PHASES
        if (several := found.get((layer, phase))) and any(e or t for e, t in several)
    )
    physical = sum(eq.arrays_for(hardware, each.rows, each.cols) for each in arrays)
    numbers = sum(_stored_numbers(work, own, images / steps) for own in tiles.values())
    pulsed = [(each, each.count("pulses_up") + each.count("pulses_down")) for each in arrays]
    return Cost(
        parts,
        images,
        physical,
        eq.crosspoint_area(hardware, physical),
        eq.circuit_area(hardware, physical, numbers),
        numbers * hardware.number_bytes,
        tuple((each.layer, each.tile, each.array, n / each.cells) for each, n in pulsed),
        sum(each.cells for each in arrays),
        sum(n for _, n in pulsed),
    )


def _tile_parts(hw: Hardware, work: Work, own: Sequence[ArrayEvents], steps: float) -> dict[str, Spent]:
    """Energy and time by phase of one tile with its auxiliary arrays, which work one after the other.

    Args:
        own: the array of the weights, then the auxiliary ones.
    """
    tile = own[0]
    spent = {"forward": _products(hw, own, "forward"), "backward": _products(hw, own, "backward")}

    def add(phase: str, more: Spent) -> None:
        spent[phase] = _both(spent.get(phase, (0.0, 0.0)), more)

    for each in own:
        updated = work.gradient_on in ("all", each.array) or (work.gradient_on == "last" and each is own[-1])
        phase = "update" if updated else "transfer"
        plain, rewritten = _split(each)
        add(phase, _written(hw, plain, trains=updated and not work.per_weight_sample))
        columns, checked = each.count("read_columns"), each.count("verify_columns")
        add("transfer" if len(own) > 1 else phase, _read(hw, each, columns - checked))
        add("refresh", _both(_written(hw, rewritten), _read(hw, each, checked)))
    operations, numbers = _digital(work, own, steps)
    energy = eq.digital_energy(hw, operations) + eq.memory_energy(hw, numbers)
    add("digital", (energy, eq.digital_time(hw, operations, eq.arrays_for(hw, tile.rows, tile.cols))))
    return spent


def _both(one: Spent, other: Spent) -> Spent:
    return one[0] + other[0], one[1] + other[1]


def _products(hw: Hardware, own: Sequence[ArrayEvents], direction: str) -> Spent:
    """Products in one direction. Vectors that were driven again have none: they count as forward ones."""
    tile, seen = own[0], sum(each.seen for each in own)
    rows, cols = tile.rows, tile.cols
    forward, backward = tile.count("forward_vectors"), tile.count("backward_vectors")
    if direction == "backward":
        vectors, along, inputs, outputs = backward, cols, backward * rows, backward * cols
    else:
        vectors, along = forward + tile.count("driven_again"), rows
        reads = tile.count("read_columns")  # what conversions backward products and reads leave over
        inputs = tile.count("dac") - backward * rows - reads * cols
        outputs = tile.count("adc") - backward * cols - reads * rows
    energy = eq.product_energy(
        hw, driven_cells=vectors * tile.cells * seen, line_cells=along, inputs=inputs, outputs=outputs
    )
    return energy, eq.product_time(hw, vectors)


def _split(array: ArrayEvents) -> tuple[ArrayEvents, ArrayEvents]:
    """Pulses of updates and transfers, and those of resets and refreshes; directions added up."""
    pulses, slots = array.count("rewrite_pulses"), array.count("rewrite_slots")
    again = {"pulses_up": pulses, "slots": slots, "line_toggles": pulses + slots}
    plain = {name: array.count(name) - number for name, number in again.items()}
    plain["pulses_up"] += array.count("pulses_down")
    return array.with_events(plain), array.with_events(again)


def _written(hw: Hardware, array: ArrayEvents, trains: bool = False) -> Spent:
    """Pulses; `trains`: they are meant for all lines at once, which not all hardware can do."""
    slots, toggles = array.count("slots"), array.count("line_toggles")
    pulses = array.count("pulses_up") + array.count("pulses_down")
    lines = array.rows if trains and not hw.parallel_update else 1
    energy = eq.pulse_energy(
        hw, array.rows, array.cols, pulses=pulses, toggles=toggles, slots=slots, lines=lines
    )
    return energy, eq.pulse_time(hw, slots, lines)


def _read(hw: Hardware, array: ArrayEvents, columns: float) -> Spent:
    """Columns that are read: one line is driven, all rows are converted."""
    cells = columns * array.rows
    energy = eq.product_energy(hw, driven_cells=cells, line_cells=array.rows, inputs=columns, outputs=cells)
    return energy, eq.product_time(hw, columns)


def _digital(work: Work, own: Sequence[ArrayEvents], steps: float) -> tuple[float, float]:
    """Operations of one tile, and numbers that are written to memory or read from it.

    Trains need the largest of x and of d, a d^T x one of them scaled (Rasch et al. 2024). Both vectors are
    stored between the passes; planes are read and written, of the columns that are read or, where d^T x is
    digital, once in every step.
    """
    tile = own[0]
    samples, lines = tile.count("forward_vectors"), tile.rows + tile.cols
    values = sum((each.count("read_columns") - each.count("verify_columns")) * each.rows for each in own)
    vectors = samples + tile.count("backward_vectors")
    operations = samples * (tile.rows if work.per_weight_sample else lines)
    operations += tile.cells * (samples * work.per_weight_sample + steps * work.per_weight_update)
    operations += values * work.per_value_read + tile.cells * vectors * work.per_weight_vector
    touched = tile.cells * steps if work.per_weight_sample else values
    return operations, 2 * samples * lines + 2 * work.planes * touched


def _stored_numbers(work: Work, own: Sequence[ArrayEvents], batch: float) -> float:
    """Numbers that one tile keeps: x and d of a sample, or of a batch where d^T x is digital; and planes."""
    tile = own[0]
    kept = batch if work.per_weight_sample else 1
    return kept * (tile.rows + tile.cols) + work.planes * tile.cells


@dataclass(frozen=True)
class Baseline:
    """A digital training: energy (J) and time (s)."""

    energy: float
    time: float

    def of(self, share: float) -> Baseline:
        """Of so much of the training."""
        return Baseline(self.energy * share, self.time * share)


@checked
def baseline(arrays: Sequence[ArrayEvents], hardware: Hardware) -> Baseline:
    """The digital training of the same layers on as many vectors: 2 operations a weight and product.

    Products forward, backward where there are any, and d^T x.

    Args:
        arrays: events of a training of the same network on as many images.
    """
    vectors = [
        each.cells * (2 * each.count("forward_vectors") + each.count("backward_vectors"))
        for each in arrays
        if each.array == WEIGHTS
    ]
    operations = 2 * sum(vectors)
    return Baseline(operations * hardware.baseline_energy, operations / hardware.baseline_rate)
