"""Claims of the studies that train with all algorithms: numbers for which each passes, and others."""

from __future__ import annotations

from ohmgrad.studies.papers import few_states, shifted_point
from test_claims import axes, ends, results, same


def test_shift_stalls() -> None:
    runs = axes(algorithm=shifted_point.OPTIONS, sigma=(0.0, 0.3), shift=(0.0, 0.3))

    def laws(stalled: float, others: float) -> dict[str, bool]:
        def error(algorithm: str, shift: float, **_: float) -> float:
            return (0.1 if shift == 0 else stalled) if algorithm == "tiki-taka" else others

        rows = [{**row, "step": 1} for row in ends("error", runs, error)]
        return results("shift", rows, shifts=(0.0, 0.3))

    same(laws(1.0, 0.4), True, 14)
    same(laws(0.15, 0.1), False, 14)


def test_states_order() -> None:
    runs = axes(algorithm=few_states.OPTIONS, states=(8.0, 16.0))

    def laws(multi: float, others: float) -> dict[str, bool]:
        def accuracy(algorithm: str, **_: float) -> float:
            return multi if algorithm == "multi-tile" else others

        return results("states", ends("test_accuracy", runs, accuracy), states=(8.0, 16.0))

    same(laws(0.95, 0.9), True, 4)
    same(laws(0.9, 0.9), False, 4)
