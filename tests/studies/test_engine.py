"""The engine: parts that fail, are killed, are shared or are stopped; what it says; Ray."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad.errors import InputError
from ohmgrad.studies import engine
from ohmgrad.studies.engine import Part, compute, key_of, read_part
from ohmgrad.studies.study import load_columns, run_study
from ohmgrad.studies.workers import Failed, side_by_side
from tests.studies.toy import TOY, Numbers

HOME = Path(__file__).parent.parent.parent
linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks processes up in /proc")


@dataclass(frozen=True)
class Raises:
    """A part that fails."""

    error: Exception | None = None

    def run(self, progress: Any) -> dict[str, np.ndarray]:
        if self.error is not None:
            raise self.error
        return {"x": np.array([1.0])}


def kill_oneself(progress: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def started(ctrl_c: None) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python with some words, in a session of its own, as a shell does; none outlives the test."""
    running: list[subprocess.Popen[str]] = []

    def start(*words: object) -> subprocess.Popen[str]:
        piped: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, *map(str, words)]
        running.append(subprocess.Popen(command, cwd=HOME, start_new_session=True, **piped))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def until(true: Any, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in command_of(int(child))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def there(folder: Path) -> int:
    return len(list((folder / "raw").glob("*.parquet")))


@linux
def test_what_is_killed_goes_on_and_gives_the_same_numbers(tmp_path: Path, started: Any) -> None:
    """A worker, then the main process; its workers end with it. Part 3 fails, the others do not mind."""
    folder, parts = tmp_path / "toy", 16
    words = ("-m", "tests.studies.toy", folder, parts, 2, 0.1)
    process = started(*words)
    until(lambda: there(folder) >= 3)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    until(lambda: there(folder) >= 8)
    orphans = workers_of(process.pid)
    assert orphans
    process.kill()
    process.communicate()
    assert there(folder) < parts - 1
    until(lambda: not any("spawn_main" in command_of(pid) for pid in orphans), 30)
    kept = {file.name: file.stat().st_mtime_ns for file in (folder / "raw").glob("*.parquet")}
    outcome = run_study(TOY, folder, changes={"parts": parts, "time": 0.1})
    assert len(outcome.computed) == parts - 1 - len(kept)
    assert {n: (folder / "raw" / n).stat().st_mtime_ns for n in kept} == kept  # none was written again
    assert [(f.name, f.error) for f in outcome.failed] == [("p3", "ValueError: part 3 never works")]
    wanted = [Numbers(i, 0.0).run(lambda *_: None) for i in range(parts) if i != 3]
    for name, column in load_columns(folder).items():
        assert (column == np.concatenate([numbers[name] for numbers in wanted])).all()


def test_two_processes_share_the_parts_of_a_folder(tmp_path: Path, started: Any) -> None:
    folder = tmp_path / "toy"
    other = started("-m", "tests.studies.toy", folder, 12, 1, 0.2)
    until(lambda: there(folder) >= 1)
    outcome = run_study(TOY, folder, changes={"parts": 12, "time": 0.2})
    assert other.wait(300) == 0
    other.communicate()
    assert there(folder) == 11
    assert 0 < len(outcome.computed) < 11


@linux
def test_ctrl_c_ends_all_processes_and_says_how_to_go_on(tmp_path: Path, started: Any) -> None:
    words = ("-m", "ohmgrad", "compare", "paper", "--algorithms=sgd", "--jobs=2", f"--out={tmp_path}/c")
    process = started(*words, "--set=images=100", "--set=rates=[0.1, 0.5]", "--epochs=10000")
    until(lambda: there(tmp_path / "c") >= 1)
    workers = workers_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err == "stopped: finished parts are saved, and the same command goes on\n"
    assert not any("spawn_main" in command_of(pid) for pid in workers)
    assert all(read_part(tmp_path / "c" / "raw", f.stem) for f in (tmp_path / "c" / "raw").glob("*.parquet"))


def test_a_worker_that_is_killed_again_and_again_has_failed() -> None:
    tasks = iter([(4, kill_oneself)])
    (result,) = side_by_side(tasks, 1, lambda i: lambda *_: None, tries=1)
    memory = "as when memory runs out: fewer jobs at a time need less"
    assert result == (4, Failed(f"its worker was killed 1 times, last by signal 9 (SIGKILL), {memory}"))


def test_failures_are_kept_with_their_tracebacks_and_tried_again(tmp_path: Path) -> None:
    parts = [Part("a", Raises().run), Part("b", Raises(ZeroDivisionError("none")).run)]
    computed, failed = compute(parts, tmp_path)
    assert (computed, [(f.name, f.error) for f in failed]) == (["a"], [("b", "ZeroDivisionError: none")])
    assert "Traceback" in (tmp_path / "_errors" / "b.txt").read_text()
    computed, failed = compute([parts[0], Part("b", Raises().run)], tmp_path)
    assert (computed, failed) == (["b"], [])
    assert not (tmp_path / "_errors" / "b.txt").exists()


def test_wrong_input_stops_a_study_of_which_nothing_is_there(tmp_path: Path) -> None:
    bad = Part("b", Raises(InputError("no data: get them")).run)
    with pytest.raises(InputError, match="no data: get them"):
        compute([bad, Part("a", Raises().run)], tmp_path)
    assert [f.name for f in compute([Part("a", Raises().run), bad], tmp_path)[1]] == ["b"]
    other = tmp_path / "other"
    other.mkdir()
    assert compute([bad, Part("a", Raises().run)], other, keep_going=True)[0] == ["a"]


def test_a_study_of_failed_parts_only_says_why(tmp_path: Path) -> None:
    study = replace(TOY, parts=lambda settings, folder: [Part("a", Raises(OSError("full")).run)])
    with pytest.raises(InputError, match=r"1 of 1 parts failed: a \(OSError: full\)"):
        run_study(study, tmp_path / "x")
    (tmp_path / "x" / "raw" / "a.parquet").mkdir()  # what cannot be written
    good = replace(TOY, parts=lambda settings, folder: [Part("a", Raises().run)])
    with (
        pytest.raises(InputError, match="cannot write to"),
        pytest.warns(UserWarning, match="computed again"),
    ):
        run_study(good, tmp_path / "x")


def test_progress_counts_parts_and_says_when_it_will_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "TOLD_AFTER", 0.0)
    told: list[tuple[int, int, str]] = []
    parts = [Part("a", Raises().run, 1.0), Part("b", Raises(OSError("b")).run, 2.0)]
    compute(parts, tmp_path, progress=lambda *now: told.append(now), later=[5.0])
    assert [(done, total, what.partition(" left")[0][:40]) for done, total, what in told] == [
        (1000, 8000, "1 of 3 finished, 1 s"),
        (3000, 8000, "1 of 3 finished, 1 failed, 1 s"),
    ]
    words = [engine._in_words(s) for s in (0.2, 80, 100, 3600, 7800)]
    assert words == ["1 s", "80 s", "2 min", "60 min", "2 h 10 min"]


def test_keys_tell_settings_apart() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1}) != key_of({"a": 1, "b": [2, 1]})
    assert len(key_of({})) == 12


@pytest.mark.parametrize("on", ["rya", "ray:/x", 3])
def test_an_unknown_place_is_refused(tmp_path: Path, on: Any) -> None:
    with pytest.raises(InputError, match="but must be ray"):
        run_study(TOY, tmp_path / "x", on=on)
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs Ray: pip install 'ohmgrad\[ray\]'"):
        run_study(TOY, tmp_path / "x", on="ray")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_ray_cluster_of_two_workers_gives_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        there = run_study(TOY, tmp_path / "ray", on="ray")
        here = run_study(TOY, tmp_path / "here")
        for name, column in here.columns.items():
            assert (there.columns[name] == column).all()
        assert there.failed == here.failed
    finally:
        cluster.shutdown()
