"""Commands that are stopped, whose disk is full, or whose reader has gone: a last line, and an exit code."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ohmgrad.cli import console as console_module
from ohmgrad.cli import main
from ohmgrad.studies import files, read_metrics
from ohmgrad.studies.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN = ["train", "--algorithms", "digital", "--images", "40", "--model", "linear", "--epochs", "4"]
ON = "finished epochs are saved; go on with "


def ends(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[Any, str]:
    """Exit code and last line on stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*argv])
    return stop.value.code, (capsys.readouterr().err.strip().splitlines() or [""])[-1]


def after_two_epochs(patch: pytest.MonkeyPatch, what: Callable[[], Any]) -> None:
    run_epoch = Training.run_epoch

    def run(job: Training, *how: Any) -> Any:
        if job.epoch == 2:
            what()
        return run_epoch(job, *how)

    patch.setattr(Training, "run_epoch", run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_that_is_stopped(
    number: int,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    run = tmp_path / "a b"
    with monkeypatch.context() as patch:
        after_two_epochs(patch, lambda: os.kill(os.getpid(), number))
        got, line = ends(capsys, *TRAIN, "--out", str(run))
    assert (got, line.startswith(f"stopped: {ON}")) == (code, True)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert len(read_metrics(run)) == 2
    again = shlex.split(line.removeprefix(f"stopped: {ON}"))
    assert ends(capsys, *again[1:]) == (0, "")
    assert len(read_metrics(run)) == 4


def test_a_second_signal_ends_it_there_and_then() -> None:
    with console_module.stops():
        with pytest.raises(console_module.StoppedError):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    with monkeypatch.context() as patch:
        after_two_epochs(patch, lambda: patch.setattr(files.os, "fsync", full))
        code, line = ends(capsys, *TRAIN, "--out", str(run))
    assert code == 1
    assert line.startswith(
        f"error: cannot use {run / 'checkpoints' / 'digital-0.safetensors'} (No space left"
    )
    assert line.endswith(f"{ON}ohmgrad train --resume --out {run}")
    monkeypatch.setattr(files.os, "fsync", full)
    code, line = ends(capsys, *TRAIN, "--out", str(tmp_path / "other"))
    assert (code, "cannot write to" in line) == (2, True)


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "what", "name"),
    [("ohmgrad.report.page.tempfile", SimpleNamespace(NamedTemporaryFile=full), "page.html"),
     ("matplotlib.figure.Figure.savefig", full, "figure.svg")],
)  # fmt: skip
def test_the_disk_is_full_when_the_training_is_finished(
    where: str,
    what: Any,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is whole, and what is missing is made by the commands that the line says."""
    run = tmp_path / "a b"
    with monkeypatch.context() as patch:
        patch.setattr(where, what)
        code, line = ends(capsys, *TRAIN, "--out", str(run))
    start = f"error: cannot write {run / name} (No space left on device); the training is finished and whole"
    assert (code, line[: len(start)]) == (1, start)
    assert len(read_metrics(run)) == 4
    assert not (run / "page.html").exists()
    plot, _, report = line.partition("make room, then ")[2].removesuffix(" make them").partition(" and ")
    for again in (plot, report):
        assert ends(capsys, *shlex.split(again)[1:]) == (0, "")
    assert (run / "page.html").is_file()
    assert (run / "figure.svg").is_file()


def test_the_folder_is_removed_under_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    after_two_epochs(monkeypatch, lambda: run.rename(tmp_path / "away"))
    code, line = ends(capsys, *TRAIN, "--out", str(run))
    assert (code, line) == (1, f"error: cannot use {run}/checkpoints/digital-0.safetensors "
                               "(No such file or directory)")  # fmt: skip


def test_nobody_reads_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def gone(*_: Any) -> None:
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(console_module, "_print_nowhere", lambda: None)
        patch.setattr(type(console_module.console), "_write_buffer", gone)
        code, line = ends(capsys, *TRAIN, "--out", str(run))
    assert (code, line) == (141, f"stopped: {ON}ohmgrad train --resume --out {run}")


def test_names_that_look_like_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ends(capsys, *TRAIN, "--epochs", "1", "--out", "a[/b]c[bold]") == (0, "")
    with pytest.raises(SystemExit) as stop:
        main(["plot", "a[/b]c[bold]"])
    assert stop.value.code == 0
    assert "figure: a[/b]c[bold]/figure.svg" in capsys.readouterr().out


def test_ctrl_c_while_python_imports(tmp_path: Path, ctrl_c: None) -> None:
    """In place of the package, which takes seconds: one that gets Ctrl-C while it is imported."""
    (tmp_path / "ohmgrad").mkdir()
    (tmp_path / "ohmgrad" / "__init__.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
    )
    (tmp_path / "ohmgrad" / "cli.py").write_text("main = lambda: print('began')\n")
    run = "import sys; sys.path[:0] = sys.argv[1:]; from ohmgrad_command import main; main()"
    source = Path(console_module.__file__).parents[2]
    command = [sys.executable, "-c", run, str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped: nothing was begun\n")
