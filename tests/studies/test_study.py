"""Studies: claims, parts that are computed once, refusals, and every study on a small scale."""

from __future__ import annotations

import csv
import math
import pickle
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ohmgrad import InputError, __version__
from ohmgrad.cli import main, progress
from ohmgrad.report import claims_table, study_figure, study_table
from ohmgrad.studies.engine import Part
from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.papers.least_squares import TAIL, slope, tails
from ohmgrad.studies.papers.wu_2024_s4 import trainings
from ohmgrad.studies.study import Claim, Study, claim, interval, load_columns, run_study, where

CALLS: list[str] = []
FAILS: set[str] = set()


def _parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    def run(name: str) -> Any:
        def compute(progress: Any) -> dict[str, np.ndarray]:
            CALLS.append(name)
            if name in FAILS:
                raise KeyboardInterrupt
            progress(1, 1, name)
            return {"name": np.full(2, name), "value": np.array([1.0, 2.0]), "seed": np.arange(2)}

        return compute

    return [Part(name, run(name)) for name in ("a", "b")]


TOY = Study(
    name="toy",
    title="a toy",
    source="nowhere",
    settings={"sizes": (1, 2)},
    quick={"sizes": (1,)},
    parts=_parts,
    summarise=lambda settings, columns: [{"mean": float(columns["value"].mean())}],
    claims=lambda settings, columns: [
        claim("values are positive", "value", interval(columns["value"]), "above", 0.0)
    ],
    draw=lambda figure, settings, columns: figure.subplots().plot(columns["value"]),
)


def test_a_study_is_computed_once_and_drawn_again(tmp_path: Path) -> None:
    CALLS.clear()
    first = run_study(TOY, tmp_path / "toy")
    assert (CALLS, first.computed) == (["a", "b"], ["a", "b"])
    again = run_study(TOY, tmp_path / "toy")
    assert (CALLS, again.computed) == (["a", "b"], [])
    for name, column in first.columns.items():
        assert (again.columns[name] == column).all()
        assert again.columns[name].dtype.kind == column.dtype.kind
    assert (load_columns(tmp_path / "toy")["name"] == ["a", "a", "b", "b"]).all()
    assert {p.suffix for p in study_figure(again)} == {".svg", ".pdf", ".png"}
    with (tmp_path / "toy" / "claims.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["result"], row["threshold"]) == ("PASS", "above 0")


def test_a_study_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    CALLS.clear()
    FAILS.add("b")
    with pytest.raises(KeyboardInterrupt):
        run_study(TOY, tmp_path)
    FAILS.clear()
    assert run_study(TOY, tmp_path).computed == ["b"]
    assert CALLS == ["a", "b", "b"]


def test_parts_side_by_side_give_the_same_numbers(tmp_path: Path) -> None:
    """The least study, in two processes."""
    study = replace(STUDIES["MT-F7"], settings={**STUDIES["MT-F7"].settings, **SMALL["MT-F7"]})
    told: list[tuple[Any, ...]] = []
    one = run_study(study, tmp_path / "one")
    two = run_study(study, tmp_path / "two", jobs=2, progress=lambda *now: told.append(now))
    assert two.computed == one.computed
    assert told
    for name, column in one.columns.items():
        if name != "seconds":
            assert (two.columns[name] == column).all(), name
    times = yaml.safe_load((tmp_path / "two" / "seconds.yaml").read_text())
    assert times.keys() == set(two.computed)
    assert min(times.values()) > 0
    with pytest.raises(InputError, match="jobs is 0"):
        run_study(study, tmp_path / "three", jobs=0)


@pytest.mark.parametrize("name", STUDIES)
def test_parts_of_every_study_can_go_to_other_processes(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    for part in study.parts(study.resolved(True) | SMALL.get(name, {}), tmp_path / name):
        again = pickle.loads(pickle.dumps(part.run))
        assert isinstance(again, partial) or again.__self__ == part.run.__self__  # pyright: ignore


def test_other_settings_and_other_folders_are_refused(tmp_path: Path) -> None:
    CALLS.clear()
    run_study(TOY, tmp_path / "toy", quick=True)
    with pytest.raises(InputError, match=r"sizes = \[1\], not \[1, 2\]"):
        run_study(TOY, tmp_path / "toy")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(InputError, match="something else"):
        run_study(TOY, tmp_path / "other")
    with pytest.raises(InputError, match="is a file"):
        run_study(TOY, tmp_path / "other" / "thesis.tex")
    with pytest.raises(InputError, match="cannot write"):
        run_study(TOY, Path("/proc/nowhere/toy"))
    assert CALLS == ["a", "b"]


def test_damaged_folders_and_other_versions_are_refused(tmp_path: Path) -> None:
    run_study(TOY, tmp_path)
    file, whole = tmp_path / "raw" / "b.parquet", (tmp_path / "raw" / "b.parquet").read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match=r"b\.parquet is damaged \(ArrowInvalid\): it is computed again"):
        assert run_study(TOY, tmp_path).computed == ["b"]
    spec = tmp_path / "spec.yaml"
    text = spec.read_text()
    assert yaml.safe_load(text)["ohmgrad"] == __version__
    for line in ("ohmgrad: 0.0.1\n", ""):
        spec.write_text(text.replace(f"ohmgrad: {__version__}\n", line))
        with pytest.raises(
            InputError, match=rf"from ohmgrad .*, but this is {__version__}: delete the folder"
        ):
            run_study(TOY, tmp_path)
    for damaged in ("study", "- 1", "a: [", ""):
        spec.write_text(damaged)
        with pytest.raises(InputError, match=r"spec\.yaml is damaged: delete it"):
            run_study(TOY, tmp_path)


@pytest.mark.parametrize(
    ("measured", "relation", "threshold", "passes"),
    [
        ((1.0, 0.5, 1.5), "above", 0.0, True),
        ((1.0, -0.1, 2.1), "above", 0.0, False),
        ((1.0, 0.5, 1.5), "below", 1.6, True),
        ((1.0, 0.5, 1.5), "below", 1.4, False),
        ((1.0, 0.9, 1.1), "within", (0.8, 1.2), True),
        ((1.0, 0.7, 1.1), "within", (0.8, 1.2), False),
        ((1.0, 0.9, 1.3), "within", (0.8, 1.2), False),
        ((1.0, -math.inf, math.inf), "above", 0.0, False),
        ((1.0, math.nan, math.nan), "above", 0.0, False),
        ((math.nan, math.nan, math.nan), "within", (0.0, 1.0), False),
    ],
)
def test_a_claim_passes_when_its_whole_interval_does(
    measured: Any, relation: Any, threshold: Any, passes: bool
) -> None:
    assert claim("x", "y", measured, relation, threshold).passes is passes


@pytest.mark.parametrize(
    ("measured", "relation", "threshold", "full", "result"),
    [
        ((1.0, 0.5, 1.5), "above", 0.0, False, "PASS"),
        ((1.0, -0.1, 2.1), "above", 0.0, False, "not shown here"),
        ((-1.0, -1.5, -0.5), "above", 0.0, False, "FAIL"),
        ((1.0, 0.5, 1.5), "below", 0.4, False, "FAIL"),
        ((1.0, 0.7, 1.3), "within", (0.9, 1.1), False, "not shown here"),
        ((2.0, 1.7, 2.3), "within", (0.9, 1.1), False, "FAIL"),
        ((1.0, math.nan, math.nan), "above", 0.0, False, "not shown here"),
        ((1.0, 0.5, 1.5), "above", 0.0, True, "not shown here"),
        ((-1.0, -1.5, -0.5), "above", 0.0, True, "not shown here"),
    ],
)
def test_a_quick_run_does_not_fail_what_it_cannot_decide(
    measured: Any, relation: Any, threshold: Any, full: bool, result: str
) -> None:
    made = claim("x", "y", measured, relation, threshold, full=full)
    assert made.result(True) == result
    assert made.result(False) == ("PASS" if made.passes else "FAIL")


def test_one_run_shows_nothing() -> None:
    assert not claim("x", "y", interval(np.array([3.0])), "above", 0.0).passes
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    half = 4.302652729911275 / math.sqrt(3)  # Student's t with 2 degrees of freedom, 97.5 %
    assert (mean, low, high) == pytest.approx((2.0, 2 - half, 2 + half))


def test_exponents_and_rows() -> None:
    x = np.array([0.1, 0.2, 0.5])
    assert slope(x, np.stack([3 * x**1.5, 2 / x], axis=1)) == pytest.approx([1.5, -1.0])
    columns = {"a": np.array(["p", "q", "p"]), "x": np.array([0.1, 0.1, 0.3]), "v": np.arange(3)}
    assert where(columns, a="p", x=0.3)["v"].tolist() == [2]


NETWORK: dict[str, Any] = {"data": "digits", "images": 60, "epochs": 1, "seeds": (0, 1)}
SMALL: dict[str, dict[str, Any]] = {
    "S1": {"seeds": 3, "steps": 40},
    "S2": {"seeds": 3, "steps": 40, "tail": 20, "taus": (1.0, 2.0)},
    "S3": {
        "seeds": 3,
        "steps": {"tau": 40, "sigma": 20, "start": 10},
        "taus": (2.0, 3.0),
        "variances": (0.01, 0.1),
        "starts": (10.0, 1.0),
        "warm_starts": (10, 20),
    },
    "S4": {
        "data": "digits",
        "images": 60,
        "taus": {"fcn": (0.7,)},
        "epochs": {"fcn": 1, "cnn": 1},
        "seeds": (0, 1),
    },
    "S6": {
        "data": "digits",
        "images": 60,
        "taus": {"fcn": (0.7,)},
        "epochs": {"fcn": 1, "cnn": 1},
        "seeds": (0, 1),
    },
    "RL-S1": {"seeds": 3, "steps": 40, "shifts": (0.0, 0.3)},
    "shift": {"seeds": 2, "steps": 40, "shifts": (0.0, 0.3), "sigmas": (0.3,)},
    "states": {
        "images": 40,
        "seeds": 2,
        "states": (16.0, 32.0),
        "rates": (0.1, 0.5),
        "tuning_epochs": 1,
        "epochs": 1,
    },
    "RL-F4": {**NETWORK, "taus": {"fcn": (0.6,)}},
    "RL-T5": {**NETWORK, "sigmas": (0.1, 1.2)},
    "RL-T6": {**NETWORK, "taus": (0.6,), "gammas": {"power": (0.5,), "exponential": (2.0,)}},
    "MT-T1": {**NETWORK, "data": ("digits",), "tiles": (2, 3)},
    "MT-F7": {"tiles": (2, 3), "epochs": 4, "updates": 10, "seeds": 2},
    "pipeline": {"images": 48, "width": 8, "rates": (0.05, 0.1), "epochs": 2, "seeds": 2},
    "floor": {"seeds": 3, "lrs": (0.03, 0.01), "times": {"sgd": 1.0, "tiki-taka": 1.0}},
}


@pytest.mark.parametrize("name", SMALL)
def test_every_study_runs_on_a_small_scale(name: str, tmp_path: Path) -> None:
    study = replace(STUDIES[name], settings={**STUDIES[name].settings, **SMALL[name]})
    told: list[tuple[Any, ...]] = []
    outcome = run_study(study, tmp_path / name, progress=lambda *now: told.append(now))
    assert told
    assert len({len(c) for c in outcome.columns.values()}) == 1
    assert outcome.table
    assert outcome.claims
    assert all(isinstance(c, Claim) for c in outcome.claims)
    assert study_table(outcome).row_count == len(outcome.table)
    assert claims_table((name, c, r) for c, r in outcome.results).row_count == len(outcome.claims)
    svg = study_figure(outcome)[0].read_text()
    assert "svg" in svg
    spec = yaml.safe_load((tmp_path / name / "spec.yaml").read_text())
    assert spec["study"] == name
    assert run_study(study, tmp_path / name).computed == []


def test_all_goes_on_after_a_study_that_cannot_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(settings: Any, folder: Path) -> list[Part]:
        def compute(progress: Any) -> Any:
            raise InputError("no data: get them")

        return [Part("a", compute)]

    two = {"first": replace(TOY, name="first", parts=missing), "second": replace(TOY, name="second")}
    monkeypatch.setattr("ohmgrad.studies.papers.STUDIES", two)  # whole: the order of the studies counts
    with pytest.raises(SystemExit) as done:
        main(["reproduce", "all", "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert (done.value.code, err) == (1, "skipped first: no data: get them\n")
    assert "1 of 1 claims hold here" in out
    assert (tmp_path / "second" / "claims.csv").is_file()
    with pytest.raises(SystemExit) as done:
        main(["reproduce", "first", "--out", str(tmp_path)])
    assert (done.value.code, capsys.readouterr().err) == (2, "error: no data: get them\n")


def test_a_study_without_a_terminal_says_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a minute; here, at once. Before that it says nothing."""
    monkeypatch.setitem(STUDIES, "S1", replace(TOY, name="S1"))
    every = [f"S1: {n} of 2 finished: {part}" for n, part in ((0, "a"), (1, "a"), (1, "b"), (2, "b"))]
    for after, lines in ((0.0, every), (60.0, [])):
        monkeypatch.setattr(progress, "LINE_EVERY", after)
        with pytest.raises(SystemExit):
            main(["reproduce", "S1", "--out", str(tmp_path / str(after))])
        out = capsys.readouterr().out.splitlines()
        assert [line for line in out if line.startswith("S1: ") and "finished" in line] == lines


def test_tails_are_by_seed(tmp_path: Path) -> None:
    study = replace(STUDIES["S2"], settings={**STUDIES["S2"].settings, **SMALL["S2"]})
    columns = run_study(study, tmp_path / "S2").columns
    found = tails(columns, tau=1.0, run="dynamics")
    for seed, value in enumerate(found):
        row = where(columns, tau=1.0, run="dynamics", seed=seed, step=TAIL)
        assert row["loss"].tolist() == [value]


def test_the_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["reproduce", "list"])
    assert done.value.code == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)
    with pytest.raises(SystemExit) as done:
        main(["reproduce", "s1"])
    assert done.value.code == 2
    assert "did you mean 'S1'" in capsys.readouterr().err
    for word in ("list", "all", "scoreboard"):
        with pytest.raises(SystemExit) as done:
            main(["reproduce", word, "--set", "seeds=3"])
        assert done.value.code == 2
        assert f"--set is for a single study: name it instead of {word}" in capsys.readouterr().err


def test_run_folders_of_data_of_ones_own_stay_with_the_study(tmp_path: Path) -> None:
    """A path as the name of the data must not become a part of the run folder's path."""
    settings = STUDIES["S4"].resolved(True) | {"data": "/elsewhere/mine.npz"}
    folders = {t.folder for t in trainings(settings, tmp_path / "S4")}
    assert {f.parent for f in folders} == {tmp_path / "networks" / "mine-1000-2"}
