"""The command line: exit codes, one-line errors before any work, files that can be drawn again."""

from __future__ import annotations

from pathlib import Path

import pytest

from ohmgrad.cli import main


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    out, err = capsys.readouterr()
    code = stop.value.code
    return (code if isinstance(code, int) else 0), out, err


WRONG = {
    "data": (["train", "--data", "mnits"], "did you mean 'mnist'"),
    "device": (["train", "--device", "papr"], "did you mean 'paper'"),
    "algorithm": (["train", "--algorithm", "tikitaka"], "did you mean 'tiki-taka'"),
    "seeds": (["train", "--seeds", "1,x"], "0,1,2"),
    "option": (["train", "--option", "fast_lr"], "name=value"),
    "lr": (["train", "--lr", "-1"], "lr is -1.0"),
    "resume": (["train", "--resume"], "--out"),
    "config": (["train", "--config", "no.yaml"], "cannot read no.yaml"),
    "plot": (["plot", "nowhere"], "is this a run folder"),
    "show": (["devices", "show", "papr"], "did you mean 'paper'"),
    "device file": (["devices", "show", "no.yaml"], "cannot read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv, message = WRONG[case]
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not any(tmp_path.iterdir())  # before any work


def test_train_plot_and_a_folder_that_exists(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("data: digits\nalgorithms: [digital]\nepochs: 1\nlr: 0.3\n")
    code, out, _ = run(
        capsys, "train", "--config", "run.yaml", "--algorithm", "digital", "--algorithm", "tiki-taka",
        "--option", "fast_lr=0.1", "--seeds", "0,1", "--batch-size", "30", "--out", "a",
    )  # fmt: skip
    assert code == 0
    assert "Tiki-Taka" in out
    assert "2 seeds" in out
    names = {p.name for p in (tmp_path / "a").iterdir()}
    files = {"spec.yaml", "metrics.csv", "summary.csv", "figure.svg", "figure.pdf", "figure.png"}
    assert files | {"checkpoints"} == names
    (tmp_path / "a" / "figure.svg").unlink()
    assert run(capsys, "plot", "a")[0] == 0
    assert (tmp_path / "a" / "figure.svg").stat().st_size > 1000
    code, _, err = run(capsys, "train", "--config", "run.yaml", "--out", "a")
    assert (code, "pass --resume" in err) == (2, True)
    code, out, _ = run(capsys, "train", "--config", "a/spec.yaml", "--out", "a", "--resume")
    assert code == 0


def test_devices(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "devices", "list")
    assert code == 0
    assert "paper" in out
    code, out, _ = run(capsys, "devices", "show", "paper", "--out", "p.svg")
    assert code == 0
    assert "family: soft_bounds" in out
    assert (tmp_path / "p.svg").stat().st_size > 1000
    text = "response: {family: linear_step, slope_up: 0.2}\ndw_min: 0.05\n"
    (tmp_path / "mine.yaml").write_text(text)
    assert run(capsys, "devices", "show", "mine.yaml", "--out", "m.pdf")[0] == 0
    code, _, err = run(capsys, "devices", "show", "paper", "--out", "p.doc")
    assert (code, ".svg, .pdf or .png" in err) == (2, True)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[1].startswith("ohmgrad 0")
    for command in (["demo"], ["train"], ["plot"], ["devices", "list"], ["devices", "show"]):
        code, out, _ = run(capsys, *command, "--help")
        assert code == 0
        assert "Example" in out
