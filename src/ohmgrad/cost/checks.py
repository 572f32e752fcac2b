"""Cross-checks: published costs beside what the equations give for the same events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import equations as eq
from .counts import WEIGHTS, ArrayEvents
from .hardware import Hardware, changed, hardware
from .training import Cost, baseline, cost_of

__all__ = ["Check", "cross_checks"]

Shape = tuple[int, int]

#: (rows, cols) of the analog layers of Li et al. 2025: all of LeNet-5; layer3, layer4 and classifier of
#: ResNet-18 for 100 classes
LENET: tuple[Shape, ...] = ((16, 25), (32, 400), (128, 512), (10, 128))
RESNET: tuple[Shape, ...] = (
    (256, 1152), *[(256, 2304)] * 3, (256, 128), (512, 2304), *[(512, 4608)] * 3, (512, 256), (100, 512),
)  # fmt: skip
#: the two-layer perceptron whose energy Li et al. and Nandakumar et al. give
PERCEPTRON: tuple[Shape, ...] = ((250, 785), (10, 250))
#: slots of a train, and updates between transfers, in both papers' estimates
SLOTS, PERIOD = 5, 2

LI = "Li et al. 2025 (arXiv 2510.02516), appendix I"


@dataclass(frozen=True)
class Check:
    """A published figure and ours.

    Args:
        what: is estimated.
        source: of the published figure.
        published, ours: in `unit`.
        remark: why they differ, as far as that is known.
    """

    what: str
    source: str
    published: float
    ours: float
    unit: str
    remark: str = ""

    @property
    def deviation(self) -> float:
        """(ours - published) / published."""
        return self.ours / self.published - 1


def cross_checks() -> list[Check]:
    """All of them. No coefficient was chosen to meet a published result."""
    return [*_latencies(), *_storage(), *_energies(), *_tile(), *_others()]


def _sample(shapes: tuple[Shape, ...], algorithm: str, batch: int) -> list[ArrayEvents]:
    """Events of one sample, fractions where they come once in several.

    Trains have `SLOTS` slots, transfers come every `PERIOD` updates; a mixed-precision write takes a slot a
    row, once in a batch; of multi-tile there are so many arrays that one more changes nothing.
    """
    found = []
    for number, (rows, cols) in enumerate(shapes):
        products = {"forward_vectors": 1, "dac": cols, "adc": rows}
        if number:
            products |= {"backward_vectors": 1, "dac": cols + rows, "adc": rows + cols}
        arrays = {WEIGHTS: {"slots": float(SLOTS)}}
        if algorithm == "ttv2":
            fast = {"slots": float(SLOTS), "read_columns": 1 / PERIOD}
            arrays = {WEIGHTS: {"slots": 1 / PERIOD}, "fast": fast}
        elif algorithm == "mixed-precision":
            arrays = {WEIGHTS: {"slots": rows / batch}}
        elif algorithm == "multi-tile":
            last = 40
            arrays = {WEIGHTS: {"slots": 0.0}}
            for n in range(1, last + 1):
                rate = PERIOD ** -float(last - n)
                arrays[f"tile_{n}"] = {"slots": SLOTS * rate, "read_columns": rate / PERIOD}
        for name, events in arrays.items():
            own = products | events if name == WEIGHTS else events
            found.append(ArrayEvents(str(number), 0, name, rows, cols, name == WEIGHTS, own))
    return found


def _cost(hw: Hardware, shapes: tuple[Shape, ...], algorithm: str, batch: int = 100) -> Cost:
    arrays = _sample(shapes, algorithm, batch)
    return cost_of(arrays, algorithm, hw, images=1, steps=1 / batch)


def _update_time(cost: Cost) -> float:
    """Time of all but the passes (s)."""
    return cost.time() - cost.time(phase="forward") - cost.time(phase="backward")


#: as the papers have it: every matrix on one array, however large
def _one_array() -> Hardware:
    return changed(hardware("rasch-li"), "one array a matrix", array_rows=4608, array_cols=4608)


def _latencies() -> Iterator[Check]:
    hw = _one_array()
    published = {
        "D = 512": (((512, 512),), 100, {"sgd": 30.9, "ttv2": 56.3, "mixed-precision": 3024.5,
                                        "multi-tile": 95.9, "agad": 62.1}),
        "LeNet-5": (LENET, 8, {"sgd": 30.9, "ttv2": 56.3, "mixed-precision": 457.4, "multi-tile": 95.9}),
        "ResNet-18": (RESNET, 128, {"sgd": 77.7, "ttv2": 126.5, "mixed-precision": 13528.0,
                                    "multi-tile": 142.7}),
    }  # fmt: skip
    square = "published with x and d both as long as the inputs"
    for model, (shapes, batch, times) in published.items():
        for algorithm, time in times.items():
            like = "ttv2" if algorithm == "agad" else algorithm
            arrays = _sample(shapes, like, batch)
            ours = _update_time(cost_of(arrays, algorithm, hw, images=1, steps=1 / batch))
            remark = "" if model == "D = 512" else square
            if algorithm == "mixed-precision" and model != "D = 512":
                remark = "published with one operation a weight, in the same paper's table 5 with two"
            source = f"{LI}, table {5 if model == 'D = 512' else 7}"
            if algorithm == "agad":
                source = "Rasch et al. 2024 (10.1038/s41467-024-51221-z), table 1"
            yield Check(f"update of a sample, {algorithm}, {model}", source, time, 1e9 * ours, "ns", remark)


def _storage() -> Iterator[Check]:
    hw = _one_array()
    published = {
        "LeNet-5": (LENET, 8, {"sgd": 2.13, "multi-tile": 2.13, "ttv2": 80.2, "mixed-precision": 94.8}),
        "ResNet-18": (RESNET, 128, {"sgd": 50.2, "multi-tile": 50.2, "ttv2": 10600.0,
                                    "mixed-precision": 17000.0}),
    }  # fmt: skip
    for model, (shapes, batch, sizes) in published.items():
        for algorithm, size in sizes.items():
            remark = "published with x and d both as long as the inputs"
            if model == "LeNet-5" and algorithm in ("ttv2", "mixed-precision"):
                remark += ", and in KiB"
            ours = _cost(hw, shapes, algorithm, batch).storage / 1000
            yield Check(f"digital storage, {algorithm}, {model}", f"{LI}, table 6", size, ours, "kB", remark)


def _energies() -> Iterator[Check]:
    hw = hardware("rasch-li")
    gallo = f"{LI}, table 8, after a phase-change array in 14 nm"
    # ten slots are the 50 ns of the published bound; trains on few lines: circuits alone
    circuits = sum(eq.pulse_energy(hw, *shape, pulses=0, toggles=0, slots=2 * SLOTS) for shape in PERCEPTRON)
    name = "785-250-10 perceptron"
    yield Check(f"pulse circuits of an update, {name}", f"{LI}", 5.53, 1e9 * circuits, "nJ", "the same power")
    mixed = _cost(hw, PERCEPTRON, "mixed-precision", 1)
    lower = "converters of the survey's envelope and elements of 24 Mohm; published is a design"
    for phase, energy in (("forward", 7.29), ("backward", 2.15)):
        yield Check(f"{phase} pass, {name}", gallo, energy, 1e9 * mixed.energy(phase=phase), "nJ", lower)
    yield Check(
        f"update, mixed precision, {name}", gallo, 62.03,
        1e9 * (mixed.energy(phase="digital") + mixed.energy(phase="update")), "nJ",
        "ours reads and writes a byte a weight and image, at 1 pJ a byte",
    )  # fmt: skip
    digital = baseline(_sample(PERCEPTRON, "sgd", 1), hw).energy
    yield Check(
        f"digital training of a sample, {name}",
        "Nandakumar et al. 2020 (10.3389/fnins.2020.00406): 172 times the 83.2 nJ of mixed precision",
        172 * 83.2e-3, 1e6 * digital, "uJ",
        "published: 32-bit numbers, a factor not checked against the paper's text; ours: 8-bit numbers on a "
        "chip of 7 nm at its peak",
    )  # fmt: skip


def _tile() -> Iterator[Check]:
    hw, source = hardware("gokmen-vlasov-2016"), "Gokmen & Vlasov 2016 (10.3389/fnins.2016.00333)"
    side = hw.array_rows
    area = eq.crosspoint_area(hw, 1) / hw.elements_per_weight
    yield Check("area of one array of 4096 x 4096", f"{source}, as cited by {LI}", 2.68, 1e6 * area, "mm^2")
    lines = 2 * side * hw.translator_power
    yield Check(
        "op-amps and translators of 4096 x 4096", f"{source}, as cited by {LI}", 0.7, lines, "W",
        "the same figure, from which the power of a line is",
    )  # fmt: skip
    yield Check(
        "update of 4096 x 4096, 10 slots", source, 20.0, 1e9 * eq.pulse_time(hw, 10), "ns",
        "not checked against the paper's text; pulse width and phases are assumptions",
    )  # fmt: skip
    energy = eq.product_energy(hw, driven_cells=side**2, line_cells=side, inputs=side, outputs=side)
    yield Check(
        "operations by energy, 4096 x 4096 forward", f"{source}, abstract", 84.0, 2e-12 * side**2 / energy,
        "1/pJ", "published with all that is on the chip around the array",
    )  # fmt: skip


def _others() -> Iterator[Check]:
    hw, side = hardware("rasch-li"), 1024
    energy = eq.product_energy(hw, driven_cells=side**2, line_cells=side, inputs=side, outputs=side)
    yield Check(
        "energy of a multiplication in a product, 1024 x 1024",
        "Marinella et al. 2018 (10.1109/JETCAS.2018.2796379), abstract", 11.0, 1e15 * energy / side**2, "fJ",
        "published: a design in 14 nm with its converters; ours with those of the survey's envelope",
    )  # fmt: skip
    yield Check(
        "conversion to 8 bits, 25 MS/s, 14 nm", "hwcomponents-adc 1.0.21 (arXiv 2404.06553)", 0.362,
        1e12 * eq.survey_adc_energy(8), "pJ", "the same survey; a regression there, the envelope here",
    )  # fmt: skip
