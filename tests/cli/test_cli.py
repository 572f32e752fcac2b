"""The command line: exit codes, one-line errors before any work, files that can be drawn again."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ohmgrad import __version__
from ohmgrad.cli import main
from ohmgrad.report import run_figure
from ohmgrad.studies import read_metrics, read_spec
from ohmgrad.style import BLACK, BLUE

pytestmark = pytest.mark.usefixtures("one_thread")


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
    "option of none": (
        ["train", "--algorithms", "sgd", "--option", "fast_lr=0.1", "--out", "a"],
        "unknown option 'fast_lr' of sgd: leave it out; sgd has no options",
    ),
    "option of another": (
        ["train", "--algorithms", "digital,momentum", "--option", "fast_lr=0.1", "--out", "a"],
        "unknown option 'fast_lr' of digital, momentum: leave it out; digital has weight_noise, clip,",
    ),
    "lr": (["train", "--lr", "-1"], "lr is -1.0"),
    "resume": (["train", "--resume"], "--out"),
    "resume nothing": (["train", "--resume", "--out", "a"], "there is no folder a"),
    "folder of data": (["train", "--data", "mnist", "--out", "a"], "OHMGRAD_DATA is nowhere"),
    "images": (["train", "--model", "cnn", "--out", "a"], "at least 16 x 16"),
    "range": (["train", "--option", "fast_lr=-1", "--out", "a"], "fast_lr is -1"),
    "yaml": (["train", "--option", "fast_lr={", "--out", "a"], "is not valid YAML"),
    "first images": (["train", "--images", "0", "--out", "a"], "images is 0"),
    "below a file": (["train", "--out", f"{__file__}/a"], "cannot write"),
    "config": (["train", "--config", "no.yaml"], "cannot read no.yaml"),
    "plot": (["plot", "nowhere"], "is this a run folder"),
    "report": (["report", "nowhere", "b"], "nowhere is no folder of a run"),
    "show": (["devices", "show", "papr"], "did you mean 'paper'"),
    "device file": (["devices", "show", "no.yaml"], "cannot read"),
    "cost of nothing": (["cost"], "give a run folder"),
    "cost of two": (["cost", "a", "--list"], "give a run folder"),
    "cost of no run": (["cost", "a"], "is this a run folder"),
    "hardware": (["cost", "a", "--hardware", "rasch"], "did you mean 'rasch-li'"),
    "hardware file": (["cost", "a", "--hardware", "no.yaml"], "cannot read no.yaml"),
    "accuracy": (["cost", "a", "--accuracy", "0.9"], "did you mean 90"),
    "array": (["tiles", "fcn", "--array", "512"], "must be rows x columns, as in 512x512"),
    "tiles of": (["tiles", "fnc"], "did you mean 'fcn'"),
    "tiles for": (["tiles", "fcn", "--data", "mnits"], "did you mean 'mnist'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OHMGRAD_DATA", "nowhere")
    argv, message = WRONG[case]
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not any(tmp_path.iterdir())  # before any work


RUN_FILES = {
    "omega: 3": "omega is 3",
    "options: 3": "options is 3",
    "device: 3": "device is 3",
    "seeds: [[0]]": "seed is [0]",
    "options: {columns: true}": "columns is True",
    "data: \udcff": "is not text in UTF-8",
    "data: [": "is not valid YAML",
}


@pytest.mark.parametrize("text", RUN_FILES)
def test_a_wrong_run_file_is_one_line(
    text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_bytes(text.encode(errors="surrogateescape"))
    option = ["--option", "fast_lr=0.1"]
    code, _, err = run(capsys, "train", "--config", "run.yaml", "--out", "a", *option)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: ")
    assert RUN_FILES[text] in err
    assert [p.name for p in tmp_path.iterdir()] == ["run.yaml"]


SMALL = ["--algorithm", "digital", "--images", "50", "--batch-size", "50", "--seeds", "0,1"]


def test_a_stopped_run_says_how_it_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the second training; the command that is printed, and nothing else, ends the run."""
    monkeypatch.chdir(tmp_path)
    job = sys.modules["ohmgrad.studies.training"].Training
    epoch = job.run_epoch

    def stop(self: Any, progress: Any) -> Any:
        if self.seed == 1:
            raise KeyboardInterrupt
        return epoch(self, progress)

    with monkeypatch.context() as stopping:
        stopping.setattr(job, "run_epoch", stop)
        code, _, err = run(capsys, "train", *SMALL, "--lr", "0.3", "--out", "a b")
    assert (code, err.count("\n")) == (130, 1)
    assert "finished epochs are saved" in err
    command = shlex.split(err.split("go on with ")[1])
    assert command == ["ohmgrad", "train", "--resume", "--out", "a b"]
    assert len(read_metrics(Path("a b"))) == 1
    assert run(capsys, *command[1:])[0] == 0
    assert len(read_metrics(Path("a b"))) == 2
    kept = read_spec(Path("a b"))
    assert (kept.lr, kept.images, kept.batch_size) == (0.3, 50, 50)
    assert run(capsys, *command[1:], "--epochs", "2", "--lr", "0.3")[0] == 0
    assert [row["epoch"] for row in read_metrics(Path("a b"))] == [1, 2, 1, 2]
    assert read_spec(Path("a b")).epochs == 2
    for flags, message in ((["--epochs", "1"], "epochs = 2, not 1"), (["--lr", "0.2"], "lr = 0.3, not 0.2")):
        code, _, err = run(capsys, *command[1:], *flags)
        assert (code, message in err) == (2, True)


def test_a_stopped_study_and_a_run_that_has_not_begun(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["ohmgrad.studies.train"], "_loaded", stop)
    code, _, err = run(capsys, "train", "--out", "a")
    assert (code, err) == (130, "stopped: the same command starts again\n")
    assert not any(tmp_path.iterdir())
    monkeypatch.setattr("ohmgrad.studies.study.run_study", stop)
    code, _, err = run(capsys, "reproduce", "S1", "--quick")
    assert (code, err) == (130, "stopped: finished parts are saved, and the same command goes on\n")


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_ticks_of_a_run_are_plain(epochs: int) -> None:
    """Epochs are integers, and losses that span little of a decade are numbers without powers of ten."""
    import matplotlib

    before = dict(matplotlib.rcParams)
    rows = [
        {"algorithm": a, "seed": 0, "epoch": k, "train_loss": 2.3 - 0.05 * k / epochs, "test_accuracy": 0.1}
        for a in ("digital", "tiki-taka")
        for k in range(1, epochs + 1)
    ]
    figure = run_figure(rows)
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert all(text.get_text().strip("\N{MINUS SIGN}").isdigit() for text in axis.get_xticklabels())
    left, _ = figure.axes
    labels = [t.get_text() for t in left.get_yticklabels(which="both") if t.get_text()]
    assert len([x for x in map(float, labels) if left.get_ylim()[0] <= x <= left.get_ylim()[1]]) > 1
    assert [line.get_color() for line in left.lines] == [BLACK, BLUE]
    assert not left.spines["top"].get_visible()
    assert dict(matplotlib.rcParams) == before


def test_train_plot_and_a_folder_that_exists(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("data: digits\nalgorithms: [digital]\nepochs: 1\nlr: 0.3\n")
    code, out, _ = run(
        capsys, "train", "--config", "run.yaml", "--algorithm", "digital", "--algorithms", "tiki-taka,ttv2",
        "--option", "fast_lr=0.1", "--seeds", "0,1", "--batch-size", "30", "--out", "a",
    )  # fmt: skip
    assert code == 0
    assert "Tiki-Taka" in out
    assert "TTv2" in out
    assert "2 seeds" in out
    names = {p.name for p in (tmp_path / "a").iterdir()}
    files = {"spec.yaml", "metrics.csv", "summary.csv", "figure.svg", "figure.pdf", "figure.png"}
    assert files | {".lock", "checkpoints", "events", "versions.yaml", "page.html"} == names
    assert out.splitlines()[-1] == "page: a/page.html"
    (tmp_path / "a" / "page.html").rename("old.html")
    code, out, _ = run(capsys, "report", "a")
    assert code == 0
    assert out.startswith("After 1 epoch Tiki-Taka reaches ")
    assert (tmp_path / "a" / "page.html").read_bytes() == (tmp_path / "old.html").read_bytes()
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


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[1].startswith("ohmgrad 0")


def test_info_says_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", "--json")
    found = json.loads(out)
    assert (code, found["ohmgrad"], found["packages"]["torch"]) == (0, __version__, torch.__version__)
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert "numba" in found["back ends"]
    code, out, _ = run(capsys, "info")
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()] == list(found)
