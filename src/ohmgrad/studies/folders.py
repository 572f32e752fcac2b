"""Run folders: who may write where, and what is read of a run.

spec.yaml       what is trained
checkpoints/    of each training, the last one and the one before: all else follows from them
metrics.csv     the rows of all trainings; monitor.csv those of their monitors
.lock           held by the process that trains; the system gives it back when that one dies
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

from ..checked import checked
from ..errors import InputError, naming, shown
from .checkpoint import SUFFIX, read_plain
from .files import HALF, write_whole
from .rows import COLUMNS, WATCHED, Row, check_rows, read_rows, watched_rows, write_rows
from .spec import RunSpec

__all__ = ["checkpoint_file", "file_name", "held", "make_folder", "read_metrics", "read_monitor",
           "read_spec"]  # fmt: skip

#: what a folder may have in which no run was begun
_LOCK, _KEPT = ".lock", "checkpoints"


def file_name(algorithm: str) -> str:
    """An algorithm's name in those of files, also where it is a path."""
    return re.sub(r"[^\w.-]+", "-", algorithm)


def checkpoint_file(folder: Path, algorithm: str, seed: int) -> Path:
    """Where the last checkpoint of a training is."""
    return folder / _KEPT / f"{file_name(algorithm)}-{seed}{SUFFIX}"


@checked
def read_spec(folder: Path) -> RunSpec:
    """The specification of the run in a folder.

    Raises:
        InputError: when there is no folder, no run in it, or spec.yaml is damaged.
    """
    file = folder / "spec.yaml"
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {folder}, so no run to resume: correct --out, or leave --resume out"
        )
    if not file.is_file():
        other = "choose another --out" if _begun(folder) else "leave --resume out to begin one"
        raise InputError(f"{folder} has no spec.yaml, so there is no run to resume: {other}")
    entries = RunSpec.read(file)
    with naming(file):
        return RunSpec.from_dict(entries)


def _begun(folder: Path) -> bool:
    """Whether a folder has more than a process leaves that was killed before it trained."""
    return any(
        not (p.name == _LOCK or p.name.endswith(HALF) or (p.name == _KEPT and not any(p.iterdir())))
        for p in folder.iterdir()
    )


def _check_folder(folder: Path, spec: RunSpec, resume: bool) -> None:
    """Check that a run may be written into a folder; nothing is made or changed."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another folder with --out")
    if folder.is_dir() and _begun(folder):
        if not resume:
            raise InputError(f"{folder} exists and is not empty: choose another --out, or pass --resume")
        _check_same(folder, read_spec(folder).to_dict(), spec.to_dict())
    place = folder
    while not place.exists():
        place = place.parent
    with tempfile.TemporaryFile(dir=place):
        pass


def _check_same(folder: Path, old: Row, new: Row) -> None:
    for name in new:
        more = name == "epochs" and new[name] > old[name]
        # of patterns the first counts, so that their order is a setting, too
        other = old[name] != new[name] or (name == "lr_factors" and list(old[name]) != list(new[name]))
        if other and not more:
            raise InputError(
                f"{folder} holds a run with {name} = {shown(old[name])}, not {shown(new[name])}: use the "
                "same settings to resume (epochs may be raised), or choose another --out"
            )


@contextlib.contextmanager
def held(
    folder: Path, spec: RunSpec, resume: bool, waiting: Callable[[str], None] | None = None
) -> Iterator[Callable[[], None]]:
    """Hold a run folder for a training, so that no other process trains in it; one is made if there is none.

    Args:
        folder: made if it does not exist, and taken away again if nothing was written into it.
        spec: of the run.
        resume: whether the folder may hold the run already; one with fewer epochs is the same run.
        waiting: called with a line when another process holds the folder, which is then waited for; None to
            refuse.

    Yields:
        A function that writes the specification into the folder: from then on it is a run.

    Raises:
        InputError: when the folder has files and `resume` is false, cannot be written to, holds another run,
            or is held by another process.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = FileLock(folder / _LOCK)
    try:
        with _writable(folder):
            _check_folder(folder, spec, resume)
            folder.mkdir(parents=True, exist_ok=True)
            _acquire(lock, folder, waiting)
            _check_folder(folder, spec, resume)  # another process may have trained in it meanwhile
        yield lambda: make_folder(folder, spec)
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone
            if made and lock.is_locked and not _begun(folder):
                (folder / _LOCK).unlink()
                for place in made:
                    place.rmdir()
        lock.release()


def _acquire(lock: FileLock, folder: Path, waiting: Callable[[str], None] | None) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            raise InputError(
                f"another process trains in {folder}: wait until it is done, or choose another --out"
            ) from None
        waiting(f"another process trains in {folder}: waiting for it")
        lock.acquire()


def make_folder(folder: Path, spec: RunSpec) -> None:
    """Write the specification of a run; what was cut off while it was written is cleared away.

    Raises:
        InputError: when the folder cannot be written to.
    """
    with _writable(folder):
        kept = folder / _KEPT
        kept.mkdir(parents=True, exist_ok=True)
        for place in (folder, kept):
            for half in place.glob(f".*{HALF}"):
                half.unlink()
        write_whole(folder / "spec.yaml", yaml.safe_dump(spec.to_dict(), sort_keys=False))


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --out") from None


@checked
def read_metrics(folder: Path) -> list[Row]:
    """The rows of a run's metrics.csv, which is made again where it is not what the checkpoints say.

    Raises:
        InputError: when there is none, or it is damaged, and no checkpoint to make it from.
    """
    return _read(folder, "metrics.csv", COLUMNS)


@checked
def read_monitor(folder: Path) -> list[Row]:
    """The rows of a run's monitor.csv: algorithm, seed, and what `ohmgrad.Monitor` has in a row.

    Returns:
        All rows; none when the run had no monitor.

    Raises:
        InputError: as `read_metrics`.
    """
    return _read(folder, "monitor.csv", WATCHED) if (folder / "monitor.csv").is_file() else []


def _read(folder: Path, name: str, columns: tuple[str, ...]) -> list[Row]:
    file, kept = folder / name, _kept(folder, columns)
    try:
        rows = read_rows(file, columns)
    except InputError:
        if not any(kept.values()):
            raise
        rows = []
    if not any(kept.values()):
        return rows
    right = [
        row
        for one, mine in kept.items()
        for row in mine or [row for row in rows if (row["algorithm"], row["seed"]) == one]
    ]
    if repr(right) != repr(rows):  # as nan is not equal to itself
        with contextlib.suppress(OSError):
            write_rows(file, right, columns)
    return right


def _kept(folder: Path, columns: tuple[str, ...]) -> dict[tuple[str, int], list[Row]]:
    """The rows in the checkpoint of every training of a run; none where there is none that can be read."""
    try:
        spec = read_spec(folder)
    except InputError:
        return {}
    found: dict[tuple[str, int], list[Row]] = {(a, s): [] for s in spec.seeds for a in spec.algorithms}
    for algorithm, seed in found:
        with contextlib.suppress(InputError):
            content = read_plain(checkpoint_file(folder, algorithm, seed))
            rows = check_rows(content["rows"], algorithm, seed)
            if columns is WATCHED:
                rows = watched_rows(content["monitor"], algorithm, seed)
            found[algorithm, seed] = rows
    return found
