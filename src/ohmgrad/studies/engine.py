"""The engine of all studies: parts that are computed once, each into a file of its own.

    NAME.parquet          what a part gave, with its name and the seconds it took, under a checksum
    _errors/NAME.txt      why it failed; the other parts go on, and the next run tries it again

A part that is there is never computed again; one whose file is damaged, or is that of another part, is. Who
computes one holds its lock, which the system gives back when the holder dies: so two processes that are given
one folder share its parts, and one that was killed leaves nothing in the way. Parts whose names hold the hash
of what determines them (`key_of`) stay right when settings change.

Parts run here, in processes of this machine (`workers`) or on a Ray cluster (`on_ray`); what they give comes
back here, and is written here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import InputError
from ..version import __version__
from .files import HALF, write_whole
from .tables import Columns, read_table, write_table
from .workers import Failed, Tasks, attempt, side_by_side

__all__ = ["Columns", "Failure", "Part", "Progress", "compute", "failures", "is_there", "key_of", "read_part"]

#: (done, total, what): called now and then while parts run
Progress = Callable[[int, int, str], None]

#: how often a part is tried whose worker is killed
TRIES = 3
#: seconds between looks at parts that another process computes
WAIT = 0.5
#: seconds of work after which the time left is told
TOLD_AFTER = 5.0


@dataclass(frozen=True)
class Part:
    """A piece of a study that is computed as a whole and kept in one file.

    Args:
        name: of its file, without ending; parts of other content have other names.
        run: computes it; given a `Progress`. For other processes it can be pickled: a function of a module,
            a partial of one, or a method of a frozen dataclass.
        work: how long it takes beside the other parts, for the time left.
    """

    name: str
    run: Callable[[Progress], Columns]
    work: float = 1.0


@dataclass(frozen=True)
class Failure:
    """A part that failed, and the last line of its error."""

    name: str
    error: str


def key_of(settings: Mapping[str, Any]) -> str:
    """Hash of plain settings (numbers, text, lists, mappings) and of the version: 12 hexadecimal digits."""
    text = json.dumps([__version__, settings], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def compute(
    parts: Sequence[Part],
    folder: Path,
    *,
    of: str = "",
    jobs: int = 1,
    on: str | None = None,
    progress: Progress | None = None,
    later: Sequence[float] = (),
    keep_going: bool = False,
) -> tuple[list[str], list[Failure]]:
    """Compute the parts that are not there, as many at a time as there are jobs.

    Args:
        parts: of the study.
        folder: of their files; it exists.
        of: what the parts are of beside what their names say, kept in their files: those of other
            settings, under the same names, are not taken for them.
        jobs: parts at a time (>= 1), in processes of their own if there are several.
        on: None for this machine; "ray" or "ray://HOST:PORT" for a Ray cluster, on all of its cores.
        progress: called with what has been done; the text begins with counts of parts and the time left.
        later: the work of parts that will follow these, which are counted with them.
        keep_going: wrong input fails only the part that has it.

    Returns:
        Names of the parts that this call computed, and the parts that failed.

    Raises:
        InputError: of a part, when no part is there yet, since wrong input fails all of them; when what is
            computed cannot be written; when there is no such cluster.
    """
    began = time.time()
    (folder / ".locks").mkdir(exist_ok=True)
    left = [part for part in parts if not is_there(folder, part.name, of)]
    tally = _Tally(
        parts, left, later, progress or (lambda *_: None), shows_running=jobs > 1 or on is not None
    )
    computed: set[str] = set()
    while left:
        elsewhere = _round(left, folder, of, jobs, on, tally, computed, keep_going)
        left = _free(elsewhere, folder, of, began, tally)
    return [part.name for part in parts if part.name in computed], failures(parts, folder, of)


def _round(
    left: list[Part],
    folder: Path,
    of: str,
    jobs: int,
    on: str | None,
    tally: _Tally,
    computed: set[str],
    keep_going: bool,
) -> list[Part]:
    """Compute the parts that nobody else computes; returns the others."""
    elsewhere: list[Part] = []
    held: dict[int, tuple[FileLock, float]] = {}

    def tasks() -> Tasks:
        for i, part in enumerate(left):
            lock = FileLock(folder / ".locks" / part.name)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                elsewhere.append(part)
                continue
            if is_there(folder, part.name, of):
                lock.release()
                tally.ended(part)
                continue
            held[i] = lock, time.perf_counter()
            tally.begun(part)
            yield i, part.run

    try:
        for i, result in _results(tasks(), len(left), jobs, on, lambda i: tally.of(left[i])):
            part, (lock, start) = left[i], held[i]
            if isinstance(result, Failed):
                if result.wrong_input is not None and not (keep_going or tally.finished):
                    raise InputError(result.wrong_input)
                _write_error(folder, part.name, result.text)
            else:
                _write(result, folder, part.name, of, time.perf_counter() - start)
                _error_file(folder, part.name).unlink(missing_ok=True)
                computed.add(part.name)
            del held[i]
            lock.release()
            tally.ended(part, failed=isinstance(result, Failed))
    finally:
        for lock, _ in held.values():
            lock.release()
    return elsewhere


def failures(parts: Sequence[Part], folder: Path, of: str = "") -> list[Failure]:
    """The parts that failed when they were last tried."""
    found = []
    for part in parts:
        file = _error_file(folder, part.name)
        if file.is_file() and not is_there(folder, part.name, of):
            lines = file.read_text(encoding="utf-8").strip().splitlines()
            found.append(Failure(part.name, lines[-1] if lines else "no reason was written"))
    return found


def _results(
    tasks: Tasks, count: int, jobs: int, on: str | None, progress: Callable[[int], Progress]
) -> Iterator[tuple[int, Any]]:
    """What all tasks give, as they end."""
    if on is not None:
        from .on_ray import on_ray

        yield from on_ray(tasks, on, jobs, progress, tries=TRIES)
    elif jobs == 1 or count == 1:
        for i, run in tasks:
            yield i, attempt(run, progress(i))
    else:
        yield from side_by_side(tasks, min(jobs, count), progress, tries=TRIES)


def _free(parts: list[Part], folder: Path, of: str, began: float, tally: _Tally) -> list[Part]:
    """Wait for parts that another process computes: those that it left undone, when it has let go of one."""
    while parts:
        tally(f"{len(parts)} parts are computed by another process")
        time.sleep(WAIT)
        left = []
        for part in parts:
            error = _error_file(folder, part.name)
            there = is_there(folder, part.name, of)
            if there or (error.is_file() and error.stat().st_mtime >= began):
                tally.ended(part, failed=not there)
            else:
                left.append(part)
        if any(_is_free(folder, part.name) for part in left):
            return left
        parts = left
    return []


def _is_free(folder: Path, name: str) -> bool:
    try:
        with FileLock(folder / ".locks" / name, timeout=0):
            return True
    except Timeout:
        return False


class _Tally:
    """Progress of all parts, from that of those that run."""

    def __init__(
        self,
        parts: Sequence[Part],
        left: Sequence[Part],
        later: Sequence[float],
        progress: Progress,
        *,
        shows_running: bool,
    ) -> None:
        self.total = len(parts) + len(later)
        self.work = sum(part.work for part in parts) + sum(later)
        self.todo = sum(part.work for part in left) + sum(later)
        self.finished, self.failed = len(parts) - len(left), 0
        self.progress, self.shows_running = progress, shows_running
        self.running: dict[str, float] = {}
        self.gone = 0.0  # work that ended since the start
        self.start = time.monotonic()

    def begun(self, part: Part) -> None:
        self.running[part.name] = 0.0

    def ended(self, part: Part, *, failed: bool = False) -> None:
        self.running.pop(part.name, None)
        self.finished += not failed
        self.failed += failed
        self.gone += part.work
        self(part.name)

    def of(self, part: Part) -> Progress:
        """Progress of a part that runs."""

        def tell(done: int, total: int, what: str) -> None:
            self.running[part.name] = part.work * done / max(total, 1)
            self(what)

        return tell

    def __call__(self, what: str) -> None:
        gone = self.gone + sum(self.running.values())
        counts = [f"{self.finished} of {self.total} finished"]
        if self.shows_running:
            counts.append(f"{len(self.running)} running")
        if self.failed:
            counts.append(f"{self.failed} failed")
        seconds = time.monotonic() - self.start
        if 0 < gone < self.todo and seconds > TOLD_AFTER:
            counts.append(f"{_in_words(seconds * (self.todo - gone) / gone)} left")
        before = self.work - self.todo
        self.progress(round(1000 * (before + gone)), round(1000 * self.work), f"{', '.join(counts)}: {what}")


def _in_words(seconds: float) -> str:
    """A time for people: 40 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _error_file(folder: Path, name: str) -> Path:
    return folder / "_errors" / f"{name}.txt"


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write to {folder} ({error.strerror or error}): what is finished is kept, and the same "
            "command goes on"
        ) from error


def _write_error(folder: Path, name: str, text: str) -> None:
    file = _error_file(folder, name)
    with _writing(folder):
        file.parent.mkdir(exist_ok=True)
        write_whole(file, text)


def _write(columns: Columns, folder: Path, name: str, of: str, seconds: float) -> None:
    file = _file(folder, name)
    with _writing(folder):
        for half in folder.glob(f".{file.name}.*{HALF}"):  # only the holder of its lock writes a part
            half.unlink()
        write_table(file, columns, {"part": name, "study": of, "seconds": round(seconds, 2)})


def is_there(folder: Path, name: str, of: str = "") -> bool:
    """Whether a part is there as a whole; of one that is damaged or another one, a warning says so."""
    file = _file(folder, name)
    try:
        state = file.stat()
    except OSError:
        return False
    wrong = _wrong(file, name, of, (state.st_ino, state.st_mtime_ns, state.st_size))
    if wrong:
        warnings.warn(f"{wrong.partition(': delete')[0]}: it is computed again", stacklevel=2)
    return not wrong


@lru_cache(maxsize=10_000)
def _wrong(file: Path, name: str, of: str, state: tuple[int, ...]) -> str:
    """What is wrong with the file of a part in this state; a study asks often."""
    try:
        read_table(file, part=name, study=of)
    except InputError as error:
        return str(error)
    return ""


def read_part(folder: Path, name: str, of: str = "") -> tuple[Columns, float]:
    """What a part gave, and the seconds that it took.

    Raises:
        InputError: when its file is damaged or that of another part.
    """
    columns, about = read_table(_file(folder, name), part=name, study=of)
    return columns, float(about["seconds"])
