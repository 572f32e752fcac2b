"""The monitor of a run: it is resumed with it, its rows are written, drawn and printed."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from ohmgrad.cli import main
from ohmgrad.report import monitor_figure
from ohmgrad.studies import Progress, RunSpec, read_monitor, train

pytestmark = pytest.mark.usefixtures("one_thread")


#: 110 updates an epoch: the monitor looks every 100, so that each epoch ends between two of its rows
SMALL = {"algorithms": ["sgd"], "lr": 0.2, "images": 330, "batch_size": 3, "epochs": 2, "monitor": True}


def test_a_resumed_run_continues_its_monitor_and_its_board(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from ohmgrad.studies import Progress

    class StopError(Exception):
        pass

    def stop_at(algorithm: str, seed: int, step: int, steps: int, loss: float) -> None:
        if step > 0.7 * steps:  # inside the second epoch
            raise StopError

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(RunSpec.from_dict(SMALL), whole)
    with pytest.raises(StopError):
        train(RunSpec.from_dict(SMALL), cut, progress=Progress(step=stop_at), tensorboard=True)
    train(RunSpec.from_dict(SMALL), cut, resume=True, tensorboard=True)
    assert (whole / "monitor.csv").read_text() == (cut / "monitor.csv").read_text()
    rows = read_monitor(whole)
    assert [row["step"] for row in rows] == [100, 100, 200, 200]
    logged = EventAccumulator(str(cut / "tensorboard" / "sgd-0"))
    logged.Reload()
    events = [(e.step, e.value) for e in logged.Scalars("floor/3")]
    mine = [(row["step"], row["floor"]) for row in rows if row["layer"] == "3"]
    assert events == [(step, pytest.approx(value, rel=1e-6)) for step, value in mine]
    assert [e.step for e in logged.Scalars("loss/training")] == [110, 220]


def test_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[Any, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(argv))
        out = capsys.readouterr()
        return stop.value.code, out.out + out.err

    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch.utils.tensorboard", None)
        code, said = run("train", "--tensorboard", "--out", "a")
    assert (code, "pip install 'ohmgrad[tensorboard]'" in said) == (2, True)
    assert not any(tmp_path.iterdir())  # before any work
    few = ["--images", "330", "--batch-size", "3", "--algorithm", "sgd", "--algorithm", "digital"]
    code, said = run("train", *few, "--monitor", "--out", "a")
    assert (code or 0, "predicted floor: a/monitor.svg" in said) == (0, True)
    with Path("a/monitor.csv").open() as file:
        assert {row["algorithm"] for row in csv.DictReader(file)} == {"sgd"}
    Path("a/monitor.svg").unlink()
    assert (run("plot", "a")[0] or 0) == 0
    assert Path("a/monitor.svg").stat().st_size > 1000
    code, said = run("train", "--no-monitor", "--out", "a", "--resume")
    assert (code, "monitor = True, not False" in said) == (2, True)


def test_figure() -> None:
    """Sums over layers, means over seeds; a negative estimate is a gap."""
    rows = [
        {"algorithm": "sgd", "seed": s, "step": k, "layer": str(layer), "gradient_sq": q, "floor": 2.0 + s,
         "drift": 1.0 + layer}
        for s in (0, 1) for k, q in ((100, -1.0), (200, 3.0)) for layer in (0, 2)
    ]  # fmt: skip
    left, right = monitor_figure(rows).axes
    measured, floor = (line.get_ydata() for line in left.lines)
    assert math.isnan(measured[0])
    assert measured[1] == 6.0
    assert list(floor) == [5.0, 5.0]
    assert [list(line.get_ydata()) for line in right.lines] == [[1.0, 1.0], [3.0, 3.0]]
    assert [t.get_text() for t in right.get_legend().get_texts()] == [
        "Analog SGD, layer 0",
        "Analog SGD, layer 2",
    ]


def test_a_training_too_short_for_a_row_says_so(tmp_path: Path) -> None:
    notes: list[str] = []
    spec = RunSpec(algorithms=("sgd",), images=100, monitor=True)
    train(spec, tmp_path / "run", progress=Progress(note=notes.append))
    assert any("10 of 100 updates" in note for note in notes)
