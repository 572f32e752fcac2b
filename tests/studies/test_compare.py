"""ohmgrad compare: the table, its numbers, fair tuning, what is computed once, what is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad.cli import main
from ohmgrad.devices.presets import preset
from ohmgrad.errors import InputError
from ohmgrad.optim import ALGORITHMS
from ohmgrad.optim.registry import options_of
from ohmgrad.report.algorithms import code_lines
from ohmgrad.studies.compare import COMPARE, OPTIONS, RANGES, all_algorithms, cases, pairs, tried, verdicts
from ohmgrad.studies.study import Outcome, interval, load_columns, run_study
from ohmgrad.studies.train import train
from ohmgrad.studies.tuned import TUNING_SEED, reported, trainings, tunings

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"images": 60, "epochs": 2, "tuning_epochs": 1, "rates": (0.1, 0.5), "seeds": 2}
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "my_optimizer.py"


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def run(folder: Path, **changes: Any) -> Outcome:
    settings = {**SMALL, "algorithms": ("sgd",), "devices": ("paper",)}
    return run_study(COMPARE, folder, changes={**settings, **changes})


def test_the_command_prints_the_table_and_keeps_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"--set={name}={list(v) if isinstance(v, tuple) else v}" for name, v in SMALL.items()]
    words = ("compare", "paper", "ideal", "--algorithms=sgd,ttv2", f"--out={tmp_path}", "--jobs=1")
    assert command(*words, *settings) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("Analog SGD", "TTv2", "paper", "ideal", "digital SGD:", "2 seeds"))
    with (tmp_path / "table.csv").open() as file:
        rows = {(row["algorithm"], row["device"]): row for row in csv.DictReader(file)}
    assert list(rows) == pairs({"algorithms": ("sgd", "ttv2"), "devices": ("paper", "ideal")})
    raw = load_columns(tmp_path)
    assert len(raw["seed"]) == (2 + 2) * len(rows)  # as many trainings that tune as learning rates
    raw = reported(raw)
    mine, digital = (
        (raw["algorithm"] == a) & (raw["device"] == d) for a, d in (("sgd", "paper"), ("digital", "-"))
    )
    accuracy = 100 * raw["test_accuracy"]
    pulses = raw["pulses"][mine] / raw["cells"][mine]
    for name, sample in (
        ("test_accuracy", accuracy[mine]),
        ("gap", accuracy[digital] - accuracy[mine]),
        ("pulses_per_element", pulses),
        ("pulses_per_update", pulses / 12),  # 60 images, 10 a batch, 2 epochs
    ):
        got = [float(rows["sgd", "paper"][f"{name}{end}"]) for end in ("", "_low", "_high")]
        np.testing.assert_allclose(got, interval(sample), rtol=1e-12)
    assert float(rows["digital", "-"]["pulses"]) == 0 < float(rows["sgd", "paper"]["pulses"])
    assert (tmp_path / "figure.svg").is_file()
    assert said.splitlines()[-1] == f"page: {tmp_path}/page.html"
    page = (tmp_path / "page.html").read_text()
    line = next(line for line in said.splitlines() if line.startswith("paper: "))
    assert escape(line) in page
    assert "torch" in page
    assert command("report", str(tmp_path)) == 0  # the same again, by what is in the folder
    capsys.readouterr()
    assert (tmp_path / "page.html").read_text() == page
    assert command(*words, *settings) == 0  # again, from its numbers
    assert capsys.readouterr().out == said


def test_more_seeds_devices_and_algorithms_repeat_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(preset("ideal").to_yaml())
    folder = tmp_path / "c"
    assert len(run(folder).computed) == 2 * (2 + 2)
    assert len(run(folder, seeds=3).computed) == 2
    more = run(folder, seeds=3, algorithms=("sgd", f"{EXAMPLE}:SignTransfer"))
    assert {name.partition("-on-")[0] for name in more.computed} == {"SignTransfer"}
    assert len(more.computed) == 2 + 3
    assert len(run(folder, devices=("paper", str(mine))).computed) == 2 + 2
    assert run(folder, devices=("paper", str(mine))).computed == []
    again = {row["algorithm"]: row for row in more.table}
    first = {row["algorithm"]: row for row in run(folder, seeds=3).table}
    assert first["sgd"]["test_accuracy"] == again["sgd"]["test_accuracy"]
    mine.write_text(preset("paper").to_yaml())  # another device now
    assert len(run(folder, devices=("paper", str(mine))).computed) == 2 + 2


def test_a_pair_that_fails_is_a_gap_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(EXAMPLE.read_text().replace("        fast = ", "        1 / 0\n        fast = "))
    words = ("compare", "paper", f"--algorithms=sgd,{file}:SignTransfer", f"--out={tmp_path}/c", "--jobs=1")
    assert command(*words, *(f"--set={n}={list(v) if n == 'rates' else v}" for n, v in SMALL.items())) == 0
    said = capsys.readouterr().out
    assert "SignTransfer-on-paper-lr0.1-tuning" in said
    assert "ZeroDivisionError: division by zero" in said
    assert "the same command tries these trainings again" in said
    with (tmp_path / "c" / "table.csv").open() as opened:
        rows = {row["algorithm"]: row for row in csv.DictReader(opened)}
    assert rows[f"{file}:SignTransfer"]["test_accuracy"] == "nan"
    assert float(rows["sgd"]["test_accuracy"]) > 0
    shutil.copy(EXAMPLE, file)  # it is mended
    assert command(*words, *(f"--set={n}={list(v) if n == 'rates' else v}" for n, v in SMALL.items())) == 0
    assert "failed" not in capsys.readouterr().out


def test_the_learning_rate_is_that_of_the_lowest_loss() -> None:
    rates, losses = (0.1, 0.2, 0.5, 1.0), [2.0, float("nan"), 1.0, 3.0]
    settings = {**COMPARE.settings, "algorithms": ("sgd",), "devices": ("paper",), "rates": rates}
    mine = [case for case in cases(settings) if case.labels["algorithm"] == "sgd"]
    tuning = [part.run.__self__.spec for part in tunings(mine, 4)]  # pyright: ignore
    assert [(spec.lr, spec.seeds, spec.epochs) for spec in tuning] == [
        (lr, (TUNING_SEED,), 4) for lr in rates
    ]
    found = {"key": np.array([spec.key for spec in tuning]), "train_loss": np.array(losses)}
    chosen = [part.run.__self__.spec for part in trainings(mine, found, 4, 12, 3)]  # pyright: ignore
    assert [(s.lr, s.seeds, s.epochs) for s in chosen] == [(0.5, (seed,), 12) for seed in range(3)]
    short = {name: column[1:] for name, column in found.items()}  # one failed: the pair was not tuned alike
    assert trainings(mine, short, 4, 12, 3) == []


@pytest.mark.parametrize("budget", [None, 3, 10])
def test_every_algorithm_is_tuned_within_the_same_budget(budget: int | None) -> None:
    settings = {**COMPARE.settings, "rates": (0.05, 0.5, 1.0), "budget": budget}
    for algorithm in all_algorithms():
        found = tried(settings, algorithm)
        fixed = OPTIONS.get(algorithm, {})
        assert len(found) == len({json.dumps(options) for options in found}) == (budget or 3)
        assert found[:3] == [{"lr": lr, **fixed} for lr in (0.05, 0.5, 1.0)]
        assert all(0.05 <= options["lr"] <= 1.0 for options in found)
        for options in found[3:]:
            name, low, high = RANGES.get(algorithm, ("lr", 0.05, 1.0))
            assert low <= options[name] <= high
            assert {**options, "lr": 0, name: 0} == {**fixed, "lr": 0, name: 0}


def test_a_training_is_that_of_train(tmp_path: Path) -> None:
    outcome = run(tmp_path / "c")
    (case,) = (c for c in cases(outcome.settings) if c.labels["algorithm"] == "sgd")
    (row,) = (r for r in outcome.table if r["algorithm"] == "sgd")
    training = case.training({"lr": row["lr"]}, 1, 2, tuning=False)
    last = train(training.spec, tmp_path / "t")[-1]
    mine = (outcome.columns["key"] == training.spec.key).argmax()
    for name in ("train_loss", "test_accuracy"):
        assert outcome.columns[name][mine] == last[name]


def test_the_floor_is_that_of_the_monitor(tmp_path: Path) -> None:
    """The first row of a monitor comes after 100 updates; 400 images in batches of 2 have two."""
    outcome = run(
        tmp_path / "c", images=400, batch_size=2, epochs=1, rates=(0.1,), algorithms=("sgd", "ttv2")
    )
    rows = {row["algorithm"]: row for row in outcome.table}
    assert 0 < rows["sgd"]["floor"] < np.inf
    assert np.isfinite(rows["sgd"]["gradient_sq"])
    assert np.isnan([rows["ttv2"]["floor"], rows["digital"]["floor"]]).all()


def test_numbers_are_read_by_others(tmp_path: Path) -> None:
    from pyarrow import compute, parquet

    run(tmp_path)
    table = parquet.read_table(tmp_path / "results.parquet")
    mine = table.filter(compute.field("algorithm") == "sgd")
    assert mine.num_rows == 4
    assert parquet.read_table(tmp_path / "raw").num_rows == table.num_rows == 8
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    frame = pandas.read_parquet(tmp_path / "results.parquet")
    assert frame[~frame.tuning].groupby("algorithm").test_accuracy.mean().index.tolist() == ["digital", "sgd"]


def test_a_verdict_has_every_device(tmp_path: Path) -> None:
    outcome = run(tmp_path, devices=("paper", "ideal"))
    found = verdicts(outcome.settings, outcome.columns, outcome.table)
    assert [line.partition(":")[0] for line in found] == ["paper", "ideal"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithms": ("sdg",)}, "unknown algorithm 'sdg': did you mean 'sgd'.*FILE.py:CLASS"),
        ({"algorithms": ("none.py:Mine",)}, "cannot read none.py"),
        ({"algorithms": (f"{EXAMPLE}:SignTransfr",)}, "did you mean 'SignTransfer'"),
        ({"algorithms": (f"{EXAMPLE}:torch",)}, "must be a class that extends ohmgrad.AnalogOptimizer"),
        ({"devices": ("papre",)}, "unknown device 'papre': did you mean 'paper'"),
        ({"devices": ("none.yaml",)}, "none.yaml"),
        (
            {"devices": ("pulses.csv",)},
            "pulses.csv is no device: give a preset, a YAML file, as ohmgrad fit",
        ),
        ({"algorithms": ("digital",)}, "needs no device: name another one"),
        ({"data": "mnits"}, "unknown data set 'mnits'"),
        ({"seeds": 1}, "seeds is 1, but must be an integer of at least 2"),
        ({"budget": 2}, "budget is 2, but must be at least 4"),
    ],
)
def test_wrong_settings_leave_no_folder(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_study(COMPARE, tmp_path / "x", changes=changes)
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(not os.environ.get("OHMGRAD_DATA"), reason="needs measured tables, in OHMGRAD_DATA")
def test_presets_of_measured_tables_go_by_their_names() -> None:
    settings = {**COMPARE.settings, **SMALL, "algorithms": ("sgd",), "devices": ("taox", "paper")}
    named = [case.spec.get("device") for case in cases(settings)]
    assert (named[1], type(named[2])) == ("taox", dict)
    assert len({part.name for part in tunings(cases(settings), 1)}) == 3 * 2


def test_missing_data_leave_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OHMGRAD_DATA", str(tmp_path))
    with pytest.raises(InputError):
        run_study(COMPARE, tmp_path / "x", changes={"data": "cifar10", "model": "cnn"})
    assert not (tmp_path / "x").exists()


def test_algorithms_are_listed_with_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("algorithms") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ALGORITHMS)
    assert all_algorithms() == ("digital", *ALGORITHMS)


def test_options_and_ranges_are_those_that_algorithms_have() -> None:
    for name, options in OPTIONS.items():
        assert {*options} <= {*options_of(name)}
    for name, (option, low, high) in RANGES.items():
        assert option in options_of(name)
        assert low < OPTIONS[name].get(option, 0.2) < high


def test_lines_of_code_leave_out_comments_blank_lines_and_docstrings() -> None:
    source = (
        '"""Doc\n\nmore."""\n\nx = 1  # one\n# none\n\n\ndef f():\n    """Doc."""\n    return """a\nb"""\n'
    )
    assert code_lines(source) == 4
