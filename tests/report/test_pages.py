"""Pages of trainings, studies and several runs: what they say, how sure, and how to make them again."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure

from ohmgrad import InputError
from ohmgrad.report import Code, Page, compare_page, page_of, run_page, runs_page, study_page
from ohmgrad.report.pages.words import accuracy, gap, settled
from ohmgrad.studies.compare import COMPARE, DIGITAL, pairs
from ohmgrad.studies.engine import Failure, Part
from ohmgrad.studies.spec import RunSpec
from ohmgrad.studies.study import Outcome, Study, claim, run_study
from ohmgrad.studies.versions import note_versions, read_versions
from tests.report.made import run_folder


def test_a_gap_is_that_of_pairs() -> None:
    """Seeds differ by far more than the algorithms do: pairs tell them apart, two samples would not."""
    a, b = {0: 60.0, 1: 80.0, 2: 95.0}, {0: 61.0, 1: 81.1, 2: 95.9}
    assert settled(a, b)
    # differences -1.0, -1.1, -0.9: mean 1, standard error 0.1/sqrt(3), Student's t of 2 degrees 4.303
    assert gap(a, b, "digital SGD") == "1.0 points below digital SGD (0.8 to 1.2)"
    assert gap(b, a, "it") == "1.0 points above it (0.8 to 1.2)"
    assert gap({0: 60.0, 1: 61.0}, {0: 61.0, 1: 60.5}, "it") == (
        "0.2 points below it (9.8 below to 9.3 above: not told apart)"
    )
    assert gap({0: 60.0}, {0: 61.0}, "it") == "1.0 points below it"  # one pair
    assert gap({0: 60.0}, {1: 61.0}, "it") == "1.0 points below it"  # none
    assert not settled({0: 60.0}, {0: 61.0})
    assert gap({0: 60.0, 1: 70.0}, {0: 60.0, 1: 70.0}, "it") == "as good as it with every seed"


def test_one_seed_shows_no_interval() -> None:
    assert accuracy({0: 95.0}) == "95.0 % (one seed, which shows no interval)"
    assert accuracy({0: 94.0, 1: 96.0, 2: 95.0}) == "95.0 % (95 % interval 92.5 to 97.5, 3 seeds)"
    assert accuracy({0: 98.0, 1: 100.0}).endswith("(95 % interval 86.3 to 100.0, 2 seeds)")


def test_the_page_of_a_training(tmp_path: Path) -> None:
    page = run_page(run_folder(tmp_path / "run"))
    # pairs differ by 35, 25 and 29: standard deviation 5.03, standard error 2.91, times 4.303
    assert page.verdict == (
        "After 3 epochs Tiki-Taka reaches 95.3 % (95 % interval 91.5 to 99.1, 3 seeds), 1.7 points below "
        "digital SGD (0.2 to 3.1). Analog SGD is 29.7 points below Tiki-Taka (17.2 to 42.2)."
    )
    assert [section.title for section in page.sections] == ["Accuracy and loss", "Device", "Settings"]
    assert page.command == "ohmgrad train --config spec.yaml"
    (code,) = [b for b in page.sections[-1].blocks if isinstance(b, Code)]
    assert RunSpec.from_dict(yaml.safe_load(code.text)) == RunSpec(
        epochs=3, seeds=(0, 1, 2), algorithms=("digital", "tiki-taka", "sgd")
    )
    assert {"ohmgrad", "torch", "python", "machine"} <= {*page.versions}
    text = page.html()
    for words in ("soft_bounds", "symmetric point", "NeurIPS 2024", "0, 1, 2"):
        assert words in text


def test_the_code_on_the_page_about_pages_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_folder(Path("runs/a"), algorithms=("digital",))
    page = (Path(__file__).parent.parent.parent / "docs/pages.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    exec(compile(block, "block", "exec"), {})
    assert "After 3 epochs digital SGD reaches 97.0 %" in Path("a.html").read_text()
    assert "They differ by less than the noise." in Path("mine.html").read_text()


def test_a_run_that_was_cut_off_has_a_page(tmp_path: Path) -> None:
    page = run_page(run_folder(tmp_path / "run", done=2))
    assert "The run is not finished: 8 of 9 trainings have all 3 epochs." in page.verdict
    assert "Analog SGD reaches 55.7 %" in page.verdict
    assert "after epoch 2" in page.verdict
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no folder of a run"):
        page_of(tmp_path / "none")


def test_versions_of_all_that_made_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note_versions(tmp_path)
    before = read_versions(tmp_path)
    note_versions(tmp_path)
    assert read_versions(tmp_path) == before
    monkeypatch.setattr("ohmgrad.studies.versions.__version__", "99.0")
    note_versions(tmp_path)
    assert read_versions(tmp_path)["ohmgrad"] == f"{before['ohmgrad']}, 99.0"
    (tmp_path / "versions.yaml").write_text("[")
    assert read_versions(tmp_path) == {}


def _values(progress: Any) -> dict[str, np.ndarray]:
    return {"value": np.array([1.0, 2.0, 1.5])}


def _draw(figure: Figure, settings: dict[str, Any], columns: dict[str, np.ndarray]) -> None:
    figure.subplots().plot(columns["value"])


TOY = Study(
    name="toy",
    title="a toy",
    source="A. Uthor 2020",
    settings={"steps": 100, "sizes": (1.0, 2.0), "seeds": 3},
    quick={"steps": 10},
    parts=lambda settings, folder: [Part("a", _values)],
    summarise=lambda settings, columns: [{"mean": float(columns["value"].mean())}],
    claims=lambda settings, columns: [
        claim("values are positive", "value", (1.5, 1.0, 2.0), "above", 0.0),
        claim("values are large", "value", (1.5, 1.0, 2.0), "above", 9.0),
        claim("values are exact", "value", (1.5, 1.0, 2.0), "within", (1.4, 1.6), full=True),
    ],
    draw=_draw,
)


def test_the_page_of_a_study(tmp_path: Path) -> None:
    full = study_page(run_study(TOY, tmp_path / "full"))
    assert full.verdict == (
        "1 of 3 claims of A. Uthor 2020 hold, each by its whole 95 % interval. What does not hold: "
        "values are large; values are exact."
    )
    page = study_page(run_study(TOY, tmp_path / "other", changes={"seeds": 5, "sizes": [1.0, 4.0]}))
    assert page.verdict.startswith("1 of 2 claims of A. Uthor 2020 hold")
    assert shlex.split(page.command) == [
        "ohmgrad", "reproduce", "toy", "--set", "sizes=[1.0, 4.0]", "--set", "seeds=5",
    ]  # fmt: skip
    assert page.versions["ohmgrad"]
    quick = study_page(run_study(TOY, tmp_path / "quick", quick=True))
    assert quick.verdict.startswith("1 of 2 claims of A. Uthor 2020 hold")
    assert "1 more need the study's own settings." in quick.verdict
    assert quick.command == "ohmgrad reproduce toy --quick"


def comparison(folder: Path, **changes: Any) -> Outcome:
    """A comparison's outcome with made-up accuracies: TTv2 is 10 points above Analog SGD."""
    settings = {**COMPARE.settings, "algorithms": ("sgd", "ttv2"), "devices": ("paper", "ideal"), **changes}
    found = pairs(settings)
    seed = np.tile(np.arange(3), len(found))
    ends = {DIGITAL: 0.95, "sgd": 0.80, "ttv2": 0.90}
    noise = 0.001 * np.random.default_rng(0).normal(size=len(seed))
    columns = {
        "algorithm": np.repeat([a for a, _ in found], 3),
        "device": np.repeat([d for _, d in found], 3),
        "seed": seed,
        "test_accuracy": np.repeat([ends[a] for a, _ in found], 3) + 0.01 * seed + noise,
        "tuning": np.zeros(len(seed), dtype=bool),
        "options": np.full(len(seed), "lr 0.1"),
        **{name: np.ones(len(seed)) for name in ("lr", "train_loss", "pulses", "seconds", "cells", "updates",
                                                 "gradient_sq", "floor")},
    }  # fmt: skip
    return Outcome(COMPARE, settings, columns, COMPARE.summarise(settings, columns), [], folder)


def test_the_page_of_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmgrad.report.pages.study._PICTURES", 0)  # they are those of trainings
    outcome = comparison(tmp_path)
    page = compare_page(outcome)
    paper, ideal = page.verdict.splitlines()
    assert paper.startswith("paper: TTv2, 91.")
    assert ideal.startswith("ideal: TTv2, 9")
    assert "is the best of 2, with a probability of more than 99 %" in paper
    assert page.verdict.count("..") == 0
    assert shlex.split(page.command) == ["ohmgrad", "compare", "paper", "ideal", "--algorithms", "sgd,ttv2"]
    text = page.html()
    for words in ("Analog SGD", "soft_bounds", "rates: [0.02, 0.1, 0.3, 1.0]", "test accuracy (%)"):
        assert words in text
    lost = replace(outcome, failed=[Failure("ttv2-on-paper", "ValueError: no")])
    assert compare_page(lost).verdict.splitlines()[-1] == (
        "1 part failed and left nothing: ttv2-on-paper (ValueError: no)."
    )
    assert "TTv2" in compare_page(comparison(tmp_path, devices=("paper",))).html()


def differing(page: Page) -> dict[str, list[str]]:
    """The rows of settings that differ."""
    (table,) = next(s for s in page.sections if s.title == "What differs").blocks
    columns: Any = [list(c.cells) for c in table.columns]  # pyright: ignore
    return {name: list(values) for name, *values in zip(*columns, strict=True)}


def test_several_runs_on_one_page(tmp_path: Path) -> None:
    a = run_folder(tmp_path / "a")
    b = run_folder(tmp_path / "b", epochs=4, algorithms=("sgd", "digital"), options={}, tau=0.8)
    c = tmp_path / "x" / "a"  # of the same name
    run_study(TOY, c)
    page = runs_page([a, b], tmp_path / "r.html")
    assert page.verdict == (
        "The highest test accuracy is that of Tiki-Taka (a): 95.3 % (95 % interval 91.5 to 99.1, 3 seeds), "
        "29.7 points above the best of another run, Analog SGD (b) (17.2 to 42.2)."
    )
    assert differing(page) == {
        "tau": ["none", "0.8"],
        "algorithms": ["digital, tiki-taka, sgd", "sgd, digital"],
        "epochs": ["3", "4"],
    }
    assert page.command == f"ohmgrad report {a} {b} --out {tmp_path}/r.html"
    assert "against digital SGD" in page.html()
    other = run_folder(tmp_path / "c", data="mnist")
    assert runs_page([a, other], tmp_path / "r.html").verdict.endswith(
        "The runs differ in data (digits, mnist): their accuracies do not compare."
    )
    with pytest.raises(InputError, match="is named twice"):
        runs_page([a, b, tmp_path / "b" / ".." / "a"], tmp_path / "r.html")
    with pytest.raises(InputError, match="unknown study"):
        runs_page([a, c], tmp_path / "r.html")


def test_a_study_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page comes from what is there; one that is not finished says so, and computes nothing."""
    monkeypatch.setattr("ohmgrad.studies.papers.STUDIES", {"toy": TOY})
    first = study_page(run_study(TOY, tmp_path / "toy", quick=True, changes={"seeds": 5}))
    again = page_of(tmp_path / "toy")
    assert (again.verdict, again.command) == (first.verdict, first.command)
    assert again.html() == first.html()
    page = runs_page([run_folder(tmp_path / "a"), tmp_path / "toy"], tmp_path / "r.html")
    assert page.verdict.splitlines()[1].startswith("toy: 1 of 2 claims of A. Uthor 2020 hold")
    assert "values are large" in page.html()
    (tmp_path / "toy" / "raw" / "a.parquet").unlink()
    with pytest.raises(InputError, match="is not finished: 1 of 1 parts are missing"):
        page_of(tmp_path / "toy")
    assert not (tmp_path / "toy" / "raw" / "a.parquet").exists()
