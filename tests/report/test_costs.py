"""Tables of costs: prefixes, means over the seeds that reached the accuracy, and what none reached."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ohmgrad.cost import Baseline, cost_of, hardware
from ohmgrad.cost.counts import ArrayEvents
from ohmgrad.report.costs import cost_tables, with_prefix
from ohmgrad.studies.costs import TrainingCost


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 J"), (1.234e-8, "12.3 nJ"), (9.996e-10, "1.00 nJ"), (0.999, "999 mJ"), (0.9999, "1.00 J"),
     (123456, "123 kJ"), (1e-21, "0.00 aJ"), (9.999e-9, "10.0 nJ")],
)  # fmt: skip
def test_prefixes(value: float, text: str) -> None:
    assert with_prefix(value, "J") == text


def training(algorithm: str, seed: int, slots: float, reached: bool = True) -> TrainingCost:
    """One that takes `slots` pulse slots of 5 ns on the array of its only layer, for ten images."""
    events = {"slots": slots}
    cost = None
    if algorithm != "digital":
        arrays = [ArrayEvents("layer", 0, "weights", 2, 3, True, events)]
        cost = cost_of(arrays, algorithm, hardware("rasch-li"), images=10, steps=1)
    return TrainingCost(algorithm, seed, 2, 0.91 if reached else 0.5, reached, 10, cost, Baseline(1e-3, 2e-3))


def text(trainings: list[TrainingCost]) -> str:
    out = io.StringIO()
    for table in cost_tables(trainings, "title", "caption"):
        Console(file=out, width=200).print(table)
    return out.getvalue()


def row(printed: str, start: str) -> list[str]:
    line = next(line for line in printed.splitlines() if line.startswith(f"│ {start}"))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_seeds_that_reached_the_accuracy_are_averaged() -> None:
    printed = text([training("sgd", 0, 10), training("sgd", 1, 30), training("sgd", 2, 900, reached=False)])
    name, epochs, accuracy, _, time, _, whole, _ = row(printed, "Analog SGD")
    assert (name, epochs, accuracy) == ("Analog SGD (2 of 3 seeds)", "2", "91.0 %")
    assert (time, whole) == ("10.0 ns", "100 ns")  # 20 slots of 5 ns


def test_an_accuracy_that_was_not_reached_is_said() -> None:
    printed = text([training("sgd", 0, 10, reached=False)])
    assert row(printed, "Analog SGD")[1:3] == ["not reached", "best 50.0 %"]
    assert row(printed, "Analog SGD")[5:] == ["-", "-", "-"]


def test_energies_are_relative_to_the_digital_training_of_the_run() -> None:
    alone = training("sgd", 0, 1e6)
    assert alone.cost is not None
    energy = alone.cost.energy()
    digital = TrainingCost("digital", 0, 4, 0.92, True, 20, None, Baseline(energy / 2, 1.0))
    assert row(text([digital, alone]), "Analog SGD")[-1] == "2"
    assert row(text([alone]), "Analog SGD")[-1] == f"{energy / 1e-3:.2g}"
