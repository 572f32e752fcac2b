"""The studies' claims: made-up numbers for which each must pass, and others for which each must fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import numpy as np
import pytest

from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.papers import floor_step_size as floor
from ohmgrad.studies.papers import wu_2024_s2 as s2
from ohmgrad.studies.papers import wu_2024_s3 as s3
from ohmgrad.studies.papers.least_squares import TAIL

Rows = list[dict[str, Any]]
#: relative differences of four seeds; they make the half width of an interval of the mean 0.3 %
SEEDS = (-0.002, 0.002, -0.001, 0.001)


def ends(quantity: str, rows: Iterable[dict[str, Any]], value: Callable[..., float]) -> Rows:
    """Averages over the ends of runs: for every row and seed, value(row) times 1 + a small difference.

    The same difference for all rows would cancel in every ratio, so that it depends on the row, too.
    """
    return [
        {**row, "seed": seed, "step": TAIL, quantity: value(**row) * (1 + SEEDS[(seed + i) % 4])}
        for i, row in enumerate(rows)
        for seed in range(4)
    ]


def axes(**values: Iterable[Any]) -> Rows:
    return [dict(zip(values, row, strict=True)) for row in product(*values.values())]


def results(name: str, rows: Rows, **changes: Any) -> dict[str, bool]:
    """Whether each claim passes, by its words."""
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    found = STUDIES[name].claims({**STUDIES[name].settings, **changes}, columns)
    assert len({c.claim for c in found}) == len(found)
    return {c.claim: c.passes for c in found}


def same(found: dict[str, bool], passes: bool, count: int) -> None:
    assert len(found) == count
    assert set(found.values()) == {passes}, [claim for claim, held in found.items() if held != passes]


def test_s1_power_laws() -> None:
    runs = [
        {"lr": lr, "algorithm": a, "fidelity": f}
        for lr in STUDIES["S1"].settings["lrs"]
        for a, f in (("digital", "mean"), ("sgd", "mean"), ("sgd", "pulsed"))
    ]
    same(
        results("S1", ends("loss", runs, lambda lr, algorithm, **_: lr if algorithm == "digital" else 1)),
        True,
        5,
    )
    same(
        results("S1", ends("loss", runs, lambda lr, algorithm, **_: 1 if algorithm == "digital" else lr)),
        False,
        5,
    )


def _s2(levels: dict[str, float]) -> dict[str, bool]:
    """Levels over the theory's; single runs at the recorded steps are 10 % around the mean of their end."""
    settings = {**STUDIES["S2"].settings, "taus": (1.0,)}
    theory = s2.predicted(settings, "tau", 1.0, "pulsed")
    runs = [{"tau": 1.0, "algorithm": a, "fidelity": f} for a, f, *_ in s2.RUNS]

    def level(algorithm: str, fidelity: str, **_: Any) -> float:
        return theory * levels[algorithm if algorithm == "digital" else fidelity]

    rows = ends("loss", runs, level)
    for run, seed in product(runs, range(4)):
        value = level(**run) * (0.9, 0.95, 1.05, 1.1)[seed]
        rows += [{**run, "seed": seed, "step": step, "loss": value} for step in (0, 2250, 2500)]
    return results("S2", rows, taus=(1.0,))


def test_s2_levels() -> None:
    same(_s2({"pulsed": 1.0, "mean": 0.99, "fine": 0.99, "digital": 0.5}), True, 5)
    same(_s2({"pulsed": 1.3, "mean": 1.0, "fine": 1.1, "digital": 1.0}), False, 5)
    same(_s2({"pulsed": 0.7, "mean": 1.0, "fine": 0.9, "digital": 0.7}), False, 5)


def test_s3_floors_of_the_theory() -> None:
    settings = STUDIES["S3"].settings
    runs = [
        {"ablation": name, "value": value, "fidelity": fidelity}
        for name in s3.ABLATIONS
        for value in settings[f"{name}s"]
        for fidelity in ("mean", "pulsed")
    ]

    def theory(ablation: str, value: float, fidelity: str) -> float:
        return s3.predicted(settings, ablation, value, fidelity)

    def reversed_theory(ablation: str, value: float, fidelity: str) -> float:
        values = settings[f"{ablation}s"]
        other = values[len(values) - 1 - values.index(value)]
        return theory(ablation, other, fidelity) * (1.5 if ablation == "start" and value > 0 else 1)

    same(results("S3", ends("loss", runs, theory)), True, 16)
    same(results("S3", ends("loss", runs, reversed_theory)), False, 16)


def _networks(name: str, accuracies: dict[str, float]) -> dict[str, bool]:
    """Claims about test accuracies in the last epoch; in the first they are the other way round."""
    first, last = dict(zip(accuracies, reversed(accuracies.values()), strict=True)), accuracies
    nets = axes(net=("fcn", "cnn"), tau=(0.0, 0.6))
    rows = []
    for net, algorithm, epoch in product(nets, accuracies, (1, 2)):
        if (algorithm == "digital") == (net["tau"] == 0.0):
            value = (first if epoch == 1 else last)[algorithm]
            run = [{**net, "algorithm": algorithm, "epoch": epoch}]
            rows += ends("test_accuracy", run, lambda value=value, **_: value)
    return results(name, rows, taus={"fcn": (0.6,), "cnn": (0.6,)})


@pytest.mark.parametrize(("name", "count"), [("S4", 6)])
def test_s4_orders(name: str, count: int) -> None:
    same(_networks(name, {"digital": 0.98, "sgd": 0.93, "tiki-taka": 0.975}), True, count)
    same(_networks(name, {"digital": 0.96, "sgd": 0.98, "tiki-taka": 0.94}), False, count)


def test_s6_widths() -> None:
    runs = axes(algorithm=("digital", "sgd", "tiki-taka"), layer=(0, 1))
    widths = {"digital": 0.5, "sgd": 0.2, "tiki-taka": 0.4}
    same(results("S6", ends("rms", runs, lambda algorithm, **_: widths[algorithm])), True, 4)
    widths["sgd"] = 0.6
    same(results("S6", ends("rms", runs, lambda algorithm, **_: widths[algorithm])), False, 4)


def test_rl_s1_stalls() -> None:
    runs = axes(algorithm=("sgd", "tiki-taka", "residual"), sigma=(0.0, 0.05), shift=(0.0, 0.3))
    holds = {"sgd": (1.0, 1.0), "tiki-taka": (0.1, 1.0), "residual": (0.1, 0.15)}
    fails = {"sgd": (1.0, 1.0), "tiki-taka": (1.0, 1.5), "residual": (0.1, 0.9)}
    for table, passes in ((holds, True), (fails, False)):
        rows = ends("loss", runs, lambda algorithm, shift, table=table, **_: table[algorithm][shift > 0])
        same(results("RL-S1", rows, shifts=(0.0, 0.3)), passes, 8)


def test_floor_laws() -> None:
    settings = STUDIES["floor"].settings
    runs = axes(algorithm=floor.ALGORITHMS, lr=settings["lrs"], states=(0, *settings["states"]))

    def law(flat: str) -> dict[str, bool]:
        """One algorithm's error is 1, the other's is 10 lr."""
        return results(
            "floor",
            ends("squared_gradient", runs, lambda algorithm, lr, **_: 1 if algorithm == flat else 10 * lr),
        )

    exponents = {claim: held for claim, held in law("sgd").items() if "step size" in claim}
    same(exponents, True, 6)
    same(law("tiki-taka"), False, 12)
    theory = ends(
        "squared_gradient",
        runs,
        lambda algorithm, lr, states: floor._theory(settings, algorithm, lr, states).error,
    )
    same({c: held for c, held in results("floor", theory).items() if "theory" in c}, True, 6)
