"""The engine of all studies: parts that are computed once, each into a file of its own.

    NAME.parquet      what a part gave, with the seconds it took
    NAME.error.txt    why it failed; the other parts go on, and the next run tries it again

A part that is there is never computed again. Whoever computes one holds its lock, which the system gives back
when the holder dies: so two processes that are given one folder share its parts, and one that was killed
leaves nothing in the way. Parts whose names hold the hash of what determines them (`key_of`) stay right when
settings change.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from ..errors import InputError
from ..version import __version__
from .workers import WorkerKilledError, side_by_side

__all__ = ["Columns", "Failure", "Part", "Progress", "compute", "failures", "key_of", "read_part",
           "seconds_of"]  # fmt: skip

#: a table as columns of equal length
Columns = dict[str, np.ndarray]
#: (done, total, what): called now and then while parts run
Progress = Callable[[int, int, str], None]
#: what became of a part: computed, there before, being computed by another process, or failed
End = Literal["computed", "there", "elsewhere", "failed"]

#: how often a part is tried whose worker is killed
TRIES = 3
#: seconds between looks at parts that another process computes
WAIT = 0.5


@dataclass(frozen=True)
class Part:
    """A piece of a study that is computed as a whole and kept in one file.

    Args:
        name: of its file, without ending; parts of other content have other names.
        run: computes it; given a `Progress`. For several processes it can be pickled: a function of a module,
            a partial of one, or a method of a frozen dataclass.
    """

    name: str
    run: Callable[[Progress], Columns]


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
    parts: Sequence[Part], folder: Path, *, jobs: int = 1, progress: Progress | None = None
) -> tuple[list[str], list[Failure]]:
    """Compute the parts that are not there, as many at a time as there are jobs.

    Args:
        parts: of the study.
        folder: of their files; it exists.
        jobs: parts at a time (>= 1), in processes of their own if there are several.
        progress: called with what has been done; the text begins with counts of parts.

    Returns:
        Names of the parts that this call computed, and the parts that failed.

    Raises:
        InputError: of the first part, when nothing was computed before it: wrong input fails all of them.
    """
    left = [part for part in parts if not _file(folder, part.name).is_file()]
    tally = _Tally(len(parts), len(parts) - len(left), progress or (lambda *_: None))
    computed: set[str] = set()
    while left:
        again: list[Part] = []
        for part, end in _round(left, folder, jobs, tally):
            tally.ended(end)
            if end == "computed":
                computed.add(part.name)
            elif end == "elsewhere":
                again.append(part)
        left = again
        if left:
            tally(0, 1, f"{len(left)} parts are computed by another process")
            time.sleep(WAIT)
    return [part.name for part in parts if part.name in computed], failures(parts, folder)


def failures(parts: Sequence[Part], folder: Path) -> list[Failure]:
    """The parts that failed when they were last tried."""
    found = []
    for part in parts:
        file = _error_file(folder, part.name)
        if file.is_file() and not _file(folder, part.name).is_file():
            lines = file.read_text(encoding="utf-8").strip().splitlines()
            found.append(Failure(part.name, lines[-1] if lines else "no reason was written"))
    return found


class _Tally:
    """Progress of all parts, from that of those that run."""

    def __init__(self, total: int, there: int, progress: Progress) -> None:
        self.total, self.finished, self.failed, self.progress = total, there, 0, progress
        self.running: dict[int, float] = {}

    def ended(self, end: End) -> None:
        self.finished += end in ("computed", "there")
        self.failed += end == "failed"

    def of(self, i: int) -> Progress:
        """Progress of a part that runs."""

        def tell(done: int, total: int, what: str) -> None:
            self.running[i] = done / max(total, 1)
            self(0, 1, what)

        return tell

    def __call__(self, done: int, total: int, what: str) -> None:
        ended = self.finished + self.failed + sum(self.running.values()) + done / max(total, 1)
        counts = f"{self.finished} of {self.total} finished"
        if len(self.running) > 1:
            counts += f", {len(self.running)} running"
        if self.failed:
            counts += f", {self.failed} failed"
        self.progress(round(1000 * ended), 1000 * self.total, f"{counts}: {what}")


def _round(parts: list[Part], folder: Path, jobs: int, tally: _Tally) -> Iterator[tuple[Part, End]]:
    """Every part once, as they end."""
    tally.running.clear()
    if jobs == 1 or len(parts) == 1:
        for i, part in enumerate(parts):
            end = _take(part, folder, tally.of(i))
            tally.running.pop(i, None)
            yield part, end
        return
    runs = [_Take(part, folder) for part in parts]
    for i, end in side_by_side(runs, min(jobs, len(parts)), tally.of, tries=TRIES):
        tally.running.pop(i, None)
        if isinstance(end, WorkerKilledError):
            _write_error(folder, parts[i].name, str(end))
            end = "failed"
        elif isinstance(end, BaseException):
            raise end
        yield parts[i], end


@dataclass(frozen=True)
class _Take:
    """`_take` for another process."""

    part: Part
    folder: Path

    def __call__(self, progress: Progress) -> End:
        return _take(self.part, self.folder, progress)


def _take(part: Part, folder: Path, progress: Progress) -> End:
    """Compute a part unless another process does or has."""
    locks = folder / ".locks"
    locks.mkdir(exist_ok=True)
    file, error_file = _file(folder, part.name), _error_file(folder, part.name)
    try:
        with FileLock(locks / part.name, timeout=0):
            if file.is_file():
                return "there"
            start = time.perf_counter()
            try:
                columns = part.run(progress)
            except Exception as error:
                if isinstance(error, InputError) and not any(folder.glob("*.parquet")):
                    raise
                _write_error(folder, part.name, traceback.format_exc())
                return "failed"
            _write(columns, file, time.perf_counter() - start)
            error_file.unlink(missing_ok=True)
            return "computed"
    except Timeout:
        return "elsewhere"


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _error_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.error.txt"


def _write_error(folder: Path, name: str, text: str) -> None:
    _error_file(folder, name).write_text(text, encoding="utf-8")


def _write(columns: Columns, file: Path, seconds: float) -> None:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(dict(columns)).replace_schema_metadata(
        {"seconds": f"{seconds:.2f}", "ohmgrad": __version__}
    )
    # a part that is cut off here is computed again; only the holder of its lock writes here
    whole = file.with_name(f"{file.name}.tmp")
    parquet.write_table(table, whole)
    os.replace(whole, file)


def read_part(folder: Path, name: str) -> Columns:
    """What a part gave.

    Raises:
        InputError: when its file is damaged.
    """
    from pyarrow import parquet

    file = _file(folder, name)
    try:
        table = parquet.read_table(file)
    except (OSError, ValueError) as error:  # pyarrow's errors of damaged files are ValueErrors
        raise InputError(
            f"{file} is damaged ({type(error).__name__}): delete it, and the same command computes it again"
        ) from None
    found = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    return {name: c.astype(str) if c.dtype.kind == "O" else c for name, c in found.items()}


def seconds_of(folder: Path, name: str) -> float:
    """Seconds that a part took; nan where its file does not say."""
    from pyarrow import parquet

    told = parquet.read_schema(_file(folder, name)).metadata or {}
    return float(told.get(b"seconds", math.nan))
