"""ohmgrad compare and ohmgrad algorithms: the table, its numbers, what is refused, lines of code."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad.cli import main
from ohmgrad.devices.presets import preset
from ohmgrad.errors import InputError
from ohmgrad.optim import ALGORITHMS
from ohmgrad.report.algorithms import code_lines
from ohmgrad.studies import compare
from ohmgrad.studies.compare import COMPARE, TUNING_SEED, all_algorithms, pairs
from ohmgrad.studies.study import interval, load_columns, run_study

SMALL = {"images": 60, "epochs": 2, "tuning_epochs": 1, "rates": (0.1, 0.5), "seeds": 2}


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def test_the_command_prints_the_table_and_keeps_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [f"--set={name}={list(v) if isinstance(v, tuple) else v}" for name, v in SMALL.items()]
    words = (
        "compare",
        "--algorithms",
        "digital,sgd,ttv2",
        "--devices",
        "paper,ideal",
        "--out",
        str(tmp_path),
    )
    assert command(*words, *settings) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("Analog SGD", "TTv2", "paper", "ideal", "digital SGD:"))
    with (tmp_path / "table.csv").open() as file:
        rows = {(row["algorithm"], row["device"]): row for row in csv.DictReader(file)}
    assert list(rows) == pairs({"algorithms": ("digital", "sgd", "ttv2"), "devices": ("paper", "ideal")})
    raw = load_columns(tmp_path)
    assert len(raw["seed"]) == 2 * len(rows)
    mine = (raw["algorithm"] == "sgd") & (raw["device"] == "paper")
    expected = interval(100 * raw["test_accuracy"][mine])
    row = rows["sgd", "paper"]
    got = [float(row[f"test_accuracy{end}"]) for end in ("", "_low", "_high")]
    np.testing.assert_allclose(got, expected)
    assert float(rows["digital", "-"]["pulses"]) == 0 < float(row["pulses"])
    assert (tmp_path / "figure.svg").is_file()
    assert said.splitlines()[-1] == f"page: {tmp_path}/page.html"
    page = (tmp_path / "page.html").read_text()
    assert "On paper " in page
    assert "torch" in page
    assert command(*words, *settings) == 0  # again, from its numbers
    assert capsys.readouterr().out == said


def test_the_learning_rate_is_that_of_the_lowest_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[float, int]] = []
    losses = {0.1: 2.0, 0.2: float("nan"), 0.5: 1.0, 1.0: 3.0}

    def train(
        settings: Any, data: Any, algorithm: str, device: Any, options: Any, seed: int, *rest: Any
    ) -> Any:
        calls.append((options["lr"], seed))
        return {"seed": seed, "lr": options["lr"], "train_loss": losses[options["lr"]]}

    monkeypatch.setattr(compare, "_train", train)
    settings = {**COMPARE.settings, "rates": tuple(losses), "seeds": 3}
    columns = compare._run(settings, "sgd", "paper", lambda *_: None)
    assert columns["lr"].tolist() == [0.5] * 3
    assert calls[:4] == [(lr, TUNING_SEED) for lr in losses]
    assert calls[4:] == [(0.5, 0), (0.5, 1), (0.5, 2)]


def test_files_of_devices_with_one_name_or_new_contents_are_different_devices(tmp_path: Path) -> None:
    files = [tmp_path / folder / "mine.yaml" for folder in "ab"]
    for file in files:
        file.parent.mkdir()
        file.write_text(preset("ideal").to_yaml())
    settings = {**COMPARE.settings, "algorithms": ("sgd",), "devices": tuple(map(str, files))}
    names = [part.name for part in COMPARE.parts(settings, tmp_path)]
    assert len({*names}) == 2
    files[0].write_text(preset("paper").to_yaml())
    again = [part.name for part in COMPARE.parts(settings, tmp_path)]
    assert again[0] not in names
    assert again[1] == names[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithms": ("sdg",)}, "unknown algorithm 'sdg': did you mean 'sgd'"),
        ({"devices": ("papre",)}, "unknown device 'papre': did you mean 'paper'"),
        ({"devices": ("none.yaml",)}, "none.yaml"),
        ({"algorithms": ("digital",)}, "needs no device: name another one"),
        ({"data": "mnits"}, "unknown data set 'mnits'"),
        ({"seeds": 1}, "seeds is 1, but must be an integer of at least 2"),
    ],
)
def test_wrong_settings_leave_no_folder(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_study(COMPARE, tmp_path / "x", changes=changes)
    assert not (tmp_path / "x").exists()


def test_algorithms_are_listed_with_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("algorithms") == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ALGORITHMS)
    assert all_algorithms() == ("digital", *ALGORITHMS)


def test_lines_of_code_leave_out_comments_blank_lines_and_docstrings() -> None:
    source = (
        '"""Doc\n\nmore."""\n\nx = 1  # one\n# none\n\n\ndef f():\n    """Doc."""\n    return """a\nb"""\n'
    )
    assert code_lines(source) == 4
