"""What a run leaves on disk: damaged, altered, exchanged, cut off, or in use by another process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from ohmgrad import InputError
from ohmgrad.crossbar import EVENTS
from ohmgrad.studies import Progress, RunSpec, files, read_metrics, read_monitor, train
from ohmgrad.studies.checkpoint import SUFFIX, events_of, previous, read_checkpoint
from ohmgrad.studies.folders import checkpoint_file

pytestmark = pytest.mark.usefixtures("one_thread")


def spec(**changes: Any) -> RunSpec:
    plain = {"model": "linear", "images": 40, "algorithms": ["digital"], "epochs": 2}
    return RunSpec.from_dict({**plain, **changes})


def same(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "seconds": 0} for row in rows]


@pytest.mark.parametrize("damage", [b"", b"text\n", None], ids=["empty", "text", "gone"])
def test_the_checkpoint_before_is_used_with_a_note(damage: bytes | None, tmp_path: Path) -> None:
    expected = train(spec(epochs=3), tmp_path / "whole")
    train(spec(), tmp_path / "cut")
    file = checkpoint_file(tmp_path / "cut", "digital", 0)
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    notes: list[str] = []
    rows = train(spec(epochs=3), tmp_path / "cut", resume=True, progress=Progress(note=notes.append))
    assert same(rows) == same(expected)
    assert [note for note in notes if "goes on after epoch 1" in note and str(file) in note]
    assert all(read_checkpoint(kept).content["epoch"] == n for kept, n in ((file, 3), (previous(file), 2)))


def test_a_damaged_checkpoint_is_never_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is replaced by the new one, and what it was passed over for stays until then."""
    train(spec(), tmp_path)
    file = checkpoint_file(tmp_path, "digital", 0)
    file.write_bytes(b"")
    before = previous(file).read_bytes()
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if target == file:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            train(spec(), tmp_path, resume=True)
    assert previous(file).read_bytes() == before
    assert len(train(spec(), tmp_path, resume=True)) == 2


def test_without_one_before_it_is_refused(tmp_path: Path) -> None:
    train(spec(epochs=1), tmp_path)
    file = checkpoint_file(tmp_path, "digital", 0)
    file.write_bytes(file.read_bytes()[:-1])
    for _ in range(2):  # nothing is changed by refusing
        with pytest.raises(InputError, match=rf"^{file} is damaged.*delete {file}, and digital with seed 0"):
            train(spec(), tmp_path, resume=True)
    file.rename(file.with_suffix(".pt"))
    with pytest.raises(InputError, match=r"digital-0\.pt is of ohmgrad 0\.7\.0 or earlier"):
        train(spec(), tmp_path, resume=True)
    file.with_suffix(".pt").unlink()
    assert len(train(spec(), tmp_path, resume=True)) == 2


def test_an_edited_specification_is_another_run(tmp_path: Path) -> None:
    train(spec(), tmp_path)
    file = tmp_path / "spec.yaml"
    file.write_text(file.read_text().replace("lr: 0.05", "lr: 0.5"))
    with pytest.raises(
        InputError, match=r"digital-0\.safetensors: it is of a training with lr = 0\.05, not 0\.5"
    ):
        train(spec(lr=0.5), tmp_path, resume=True)


def test_csv_files_follow_from_the_checkpoints(tmp_path: Path) -> None:
    one = spec(algorithms=["digital", "sgd"], images=1000, monitor=True)
    train(one, tmp_path)
    for name, read in (("metrics.csv", read_metrics), ("monitor.csv", read_monitor)):
        file = tmp_path / name
        good, rows = file.read_text(), read(tmp_path)
        assert rows
        lines = good.splitlines(keepends=True)
        for bad in (
            good[: good.index("\n") + 12],
            good.replace("sgd,0,", "sgd,0,9", 1),
            good.replace("algorithm", "a", 1),
            "".join(lines[:-1]),
            "".join([lines[0], *lines[:0:-1]]),
            "",
            "\x00\xff",
        ):
            file.write_bytes(bad.encode("latin-1"))
            assert repr(read(tmp_path)) == repr(rows)
            assert file.read_text() == good
    os.remove(tmp_path / "metrics.csv")
    assert read_metrics(tmp_path)[-1]["algorithm"] == "sgd"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("digital,0,1,0.5\n", "line 2, is damaged"),
        ("digital,0,one,1,1,1,0,0,1\n", "line 2, is damaged"),
        (None, "has no column algorithm"),
        ("\x00\xff", "is no CSV text"),
    ],
)
def test_without_checkpoints_a_damaged_csv_file_is_refused(
    bad: str | None, message: str, tmp_path: Path
) -> None:
    train(spec(epochs=1), tmp_path)
    checkpoint_file(tmp_path, "digital", 0).unlink()
    file = tmp_path / "metrics.csv"
    assert len(read_metrics(tmp_path)) == 1
    header = file.read_text().splitlines(keepends=True)[0]
    file.write_bytes(b"" if bad is None else (header + bad).encode("latin-1"))
    with pytest.raises(InputError, match=rf"metrics\.csv.*{message}.*--resume --out"):
        read_metrics(tmp_path)


def test_events_of_a_checkpoint(tmp_path: Path) -> None:
    row = train(spec(algorithms=["tiki-taka"]), tmp_path)[-1]
    events = events_of(checkpoint_file(tmp_path, "tiki-taka", 0))
    assert {*events} == {"model/1.analog.events", "state/0/0/fast/events"}
    total = sum(t.sum(0) for t in events.values())
    assert isinstance(total, torch.Tensor)
    assert total[EVENTS.index("pulses_up")] == row["pulses_up"] > 0


# --- folders -------------------------------------------------------------------------------------------


def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    """A holder that is killed gives it back; what it left begins anew."""
    run = tmp_path / "run"
    run.mkdir()
    code = f"import filelock, time; lock = filelock.FileLock({str(run / '.lock')!r}); lock.acquire(); "
    code += "print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InputError, match=f"another process trains in {run}: wait"):
            train(spec(), run)
        notes: list[str] = []

        def note(line: str) -> None:
            notes.append(line)
            holder.kill()

        train(spec(), run, progress=Progress(note=note), wait=True)
    assert "waiting for it" in notes[0]


def test_two_may_not_train_in_one_folder(tmp_path: Path) -> None:
    """Of two that found no folder the second finds a run when it gets the lock."""
    told: list[str] = []

    def step(*_: Any) -> None:
        with pytest.raises(InputError, match="another process") as refused:
            train(spec(), tmp_path / "run", resume=True)
        told.append(str(refused.value))

    train(spec(), tmp_path / "run", progress=Progress(step=step))
    assert told
    assert not FileLock(tmp_path / "run" / ".lock").is_locked


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_a_process_that_was_killed_before_it_trained(resume: bool, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / ".lock").touch()
    (tmp_path / f".spec.yaml.0{files.HALF}").write_text("data: dig")
    assert len(train(spec(), tmp_path, resume=resume)) == 2
    (tmp_path / "checkpoints" / f".digital-0{SUFFIX}.0{files.HALF}").write_text("")
    train(spec(), tmp_path, resume=True)
    assert not [*tmp_path.rglob(f".*{files.HALF}")]


def test_a_full_disk_leaves_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = same(train(spec(epochs=4), tmp_path / "whole"))
    for fails in range(1, 9):  # the number of the write to the disk that finds it full
        run, count, sync = tmp_path / str(fails), 0, os.fsync

        def full(place: int, fails: int = fails, sync: Any = sync) -> None:
            nonlocal count
            count += 1
            if count == fails:
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(place)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            with pytest.raises((OSError, InputError), match=r"No space left on device.*"):
                train(spec(epochs=4), run)
        assert not [*run.rglob(f".*{files.HALF}")]
        assert same(train(spec(epochs=4), run, resume=True)) == expected


def test_a_link_beside_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        hex = "0" * 32

    monkeypatch.setattr(files.uuid, "uuid4", Fixed)
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / f".a.{'0' * 12}{files.HALF}").symlink_to(other)
    with pytest.raises(FileExistsError):
        files.write_whole(tmp_path / "a", "x")
    assert other.read_text() == "mine"
