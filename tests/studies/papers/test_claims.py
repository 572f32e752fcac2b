"""The studies' claims: made-up numbers for which each must pass, and others for which each must fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import numpy as np

from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.papers import floor_step_size as floor
from ohmgrad.studies.papers import wu_2024_s1 as s1
from ohmgrad.studies.papers import wu_2024_s2 as s2
from ohmgrad.studies.papers import wu_2024_s3 as s3
from ohmgrad.studies.papers import wu_2025_s1 as rl
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


def test_s1_errors_of_the_theory() -> None:
    settings, lrs = STUDIES["S1"].settings, (0.2, 0.03)
    runs = axes(run=s1.RUNS, lr=lrs)
    theory = ends("loss", runs, lambda run, lr: s1.predicted(settings, run, lr)[0])
    same(results("S1", theory, lrs=lrs), True, 8)

    def other(run: str, lr: float) -> float:
        return 1e-5 * (1 if run in ("digital", "summed") else lr)

    same(results("S1", ends("loss", runs, other), lrs=lrs), False, 8)


def _s2(levels: dict[str, float]) -> dict[str, bool]:
    """Levels over the theory's, of digital SGD over a tenth of the dynamics'."""
    settings = {**STUDIES["S2"].settings, "taus": (1.0,)}

    def level(run: str, **_: Any) -> float:
        like = {"digital": "dynamics", "same-digital": "same-dynamics"}
        theory = s2.predicted(settings, like.get(run, run), 1.0) * (0.1 if run in like else 1)
        return theory * levels.get(run, 1.0)

    runs = [{"run": run, "tau": 1.0 if s2.RUNS[run].fidelity else 0.0} for run in s2.RUNS]
    return results("S2", ends("loss", runs, level), taus=(1.0,))


def test_s2_levels() -> None:
    same(_s2({}), True, 4)
    same(_s2({"pulses": 0.1, "fine": 1.1}), False, 4)
    same(_s2({"pulses": 0.2, "fine": 0.9, "same-digital": 5.0}), False, 4)


def test_s3_errors_of_the_theory() -> None:
    settings = STUDIES["S3"].settings
    taus, variances = (2.0, 50.0), (1e-3, 1.0)
    runs = [{"panel": "tau", "run": run, "value": t} for run in ("dynamics", "pulses") for t in taus]
    runs += [{"panel": "tau", "run": run, "value": 0.0} for run in ("digital", "same-digital")]
    runs += [{"panel": "sigma", "run": "pulses", "value": v} for v in variances]
    starts = [*settings["starts"], *(-float(k) for k in settings["warm_starts"])]
    runs += [{"panel": "start", "run": "pulses", "value": v} for v in starts]

    def theory(panel: str, run: str, value: float) -> float:
        if panel == "sigma":
            return value
        if panel == "start":
            return 0.07
        dw_min = settings["dw_min"] if run == "pulses" else None
        return s3.predicted(settings, value or max(taus), settings["sigma"], dw_min)

    def reversed_theory(panel: str, run: str, value: float) -> float:
        if panel == "start":
            return 0.07 if value == starts[0] else 0.08
        if not value:
            return 1.0
        values = variances if panel == "sigma" else taus
        return theory(panel, run, values[-1 - values.index(value)])

    changes = {"taus": taus, "variances": variances}
    same(results("S3", ends("loss", runs, theory), **changes), True, 8)
    same(results("S3", ends("loss", runs, reversed_theory), **changes), False, 8)


def _s4(accuracy: Callable[..., float]) -> dict[str, bool]:
    """Claims about 16 epochs of both networks, with a range at which Analog SGD fails and one beyond."""
    nets = [("fcn", 0.0), ("fcn", 0.7), ("fcn", 0.8), ("cnn", 0.0), ("cnn", 0.6)]
    rows = [
        {"net": net, "tau": tau, "algorithm": a, "epoch": epoch}
        for (net, tau), a, epoch in product(nets, ("digital", "sgd", "tiki-taka"), range(1, 17))
        if (a == "digital") == (tau == 0.0)
    ]
    taus = {"fcn": (0.7, 0.8), "cnn": (0.6,)}
    return results("S4", ends("test_accuracy", rows, accuracy), taus=taus, epochs={"fcn": 16, "cnn": 16})


def test_s4_says_what_its_table_says() -> None:
    def paper(net: str, tau: float, algorithm: str, epoch: int) -> float:
        if algorithm != "sgd":
            return 0.975 if algorithm == "tiki-taka" else 0.98
        return 0.113 if net == "fcn" and tau == 0.7 else 0.9 if net == "cnn" else 0.972 if epoch > 8 else 0.5

    same(_s4(paper), True, 7)

    def other(net: str, tau: float, algorithm: str, epoch: int) -> float:
        return {"digital": 0.98, "sgd": 0.975, "tiki-taka": 0.96 if epoch > 4 else 0.5}[algorithm]

    same(_s4(other), False, 7)


def test_s6_widths() -> None:
    runs = axes(algorithm=("digital", "sgd", "tiki-taka"))

    def widths(sgd: float, tiki_taka: float) -> dict[str, bool]:
        width = {"digital": 0.3, "sgd": sgd, "tiki-taka": tiki_taka}
        rows = ends("rms", runs, lambda algorithm: width[algorithm])
        return results("S6", [{**row, "reach": row["rms"]} for row in rows], tau=1.0)

    same(widths(0.2, 0.4), True, 4)
    same(widths(0.5, 0.25), False, 4)


def test_rl_s1_stalls() -> None:
    runs = axes(response=rl.RESPONSES, algorithm=rl.ALGORITHMS, shift=(0.0, 0.3))
    holds = {"sgd": (9e-3, 0.2), "residual": (5e-7, 3.9), "tiki-taka": (7e-5, 3.3)}
    fails = {"sgd": (9e-3, 0.2), "residual": (1e-2, 0.1), "tiki-taka": (1e-2, 0.1)}
    for table, passes in ((holds, True), (fails, False)):

        def error(algorithm: str, shift: float, table: Any = table, **_: Any) -> float:
            return table[algorithm][int(shift > 0)]

        same(results("RL-S1", ends("loss", runs, error), shifts=(0.0, 0.3)), passes, 12)


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
