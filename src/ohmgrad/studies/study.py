"""A study: a specification in; raw numbers, a table, a figure and a table of claims out.

A study is one file that says what to compute (in parts, so that a study that was cut off goes on), what
the paper claims about the numbers, and how to draw them. Everything else is here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import yaml

from ..ensemble import interval as spread_of
from ..errors import InputError, check_choice, check_integer, shown
from ..version import __version__
from ..yaml_text import read_yaml
from .engine import Columns, Failure, Part, Progress, compute, read_part
from .files import HALF, write_whole
from .on_ray import check_place
from .settings import check_settings
from .tables import read_table, write_table
from .versions import note_versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RESULTS", "SECONDS", "Claim", "Outcome", "Result", "Study", "claim", "interval", "is_begun",
           "joined", "load_columns", "plain", "run_study", "where"]  # fmt: skip

#: files of a study's folder: seconds that each part took; the rows of all parts
SECONDS, RESULTS = "seconds.yaml", "results.parquet"
Result = Literal["PASS", "FAIL", "not shown here"]


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and what was measured of it. It passes when the whole interval agrees with it.

    `full` marks a claim that only the study's own settings can show.
    """

    claim: str
    quantity: str
    value: float
    low: float
    high: float
    relation: Literal["below", "above", "within"]
    threshold: tuple[float, float]
    full: bool = False

    @property
    def passes(self) -> bool:
        """The 95 % interval lies wholly on the claimed side, or inside the claimed range."""
        low, high = self.threshold
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            return False
        if self.relation == "below":
            return self.high < high
        if self.relation == "above":
            return self.low > low
        return low <= self.low and self.high <= high

    @property
    def contradicted(self) -> bool:
        """The 95 % interval lies wholly outside what is claimed."""
        low, high = self.threshold
        if self.relation == "below":
            return self.low >= high
        if self.relation == "above":
            return self.high <= low
        return self.high < low or self.low > high

    def result(self, other: bool) -> Result:
        """PASS or FAIL; in a run with other settings than the study's, "not shown here" where it cannot tell.

        Such a run decides a claim by an interval that lies on one side, unless only the study's settings can.
        """
        if other and (self.full or not (self.passes or self.contradicted)):
            return "not shown here"
        return "PASS" if self.passes else "FAIL"

    @property
    def wanted(self) -> str:
        """The threshold in words."""
        low, high = self.threshold
        if self.relation == "within":
            return f"in [{low:.3g}, {high:.3g}]"
        return f"below {high:.3g}" if self.relation == "below" else f"above {low:.3g}"


def claim(
    text: str,
    quantity: str,
    measured: tuple[float, float, float],
    relation: Literal["below", "above", "within"],
    threshold: float | tuple[float, float],
    *,
    full: bool = False,
) -> Claim:
    """A `Claim`; `measured` is (value, low, high), and a single threshold serves "below" and "above"."""
    check_choice("relation of a claim", relation, ("below", "above", "within"))
    ends = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    return Claim(text, quantity, *measured, relation, ends, full)


def interval(sample: np.ndarray) -> tuple[float, float, float]:
    """Mean of independent runs, (runs,), with its 95 % confidence interval (mean, low, high); Student's t.

    The ends are not finite for a single run, which shows nothing: its claims fail.
    """
    mean, low, high = (float(v) for v in spread_of(torch.from_numpy(np.asarray(sample, dtype=np.float64))))
    return mean, low, high


def where(columns: Columns, **values: Any) -> Columns:
    """The rows in which the named columns have these values."""
    keep = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for name, value in values.items():
        column = columns[name]
        keep &= np.isclose(column, value) if column.dtype.kind == "f" else column == value
    return {name: column[keep] for name, column in columns.items()}


@dataclass(frozen=True)
class Study:
    """A study of a paper.

    Args:
        name: short name, as S1; title: a line; source: paper and figure.
        settings: full settings, written to spec.yaml; quick: what `--quick` changes.
        parts: (settings, run folder) -> the parts; all have the same columns.
        follow: (settings, columns of these) -> parts that depend on their numbers; `later`: (settings) -> the
            work of each of them, as far as it can be told before.
        summarise: (settings, columns) -> rows of the table.
        claims: (settings, columns) -> claims.
        draw: (figure, settings, columns) -> None, in the paper's arrangement.
        size: of the figure in inches.
        check: (settings) -> None, what `settings.check_settings` cannot know of: relations between settings.
        hashed: names of parts hold the hash of what determines them (`engine.key_of`), so that a folder may
            be run again with other settings.
        partial: table, claims and figure can do without parts that failed.
    """

    name: str
    title: str
    source: str
    settings: Mapping[str, Any]
    quick: Mapping[str, Any]
    parts: Callable[[dict[str, Any], Path], list[Part]]
    summarise: Callable[[dict[str, Any], Columns], list[dict[str, Any]]]
    claims: Callable[[dict[str, Any], Columns], list[Claim]]
    draw: Callable[[Figure, dict[str, Any], Columns], None]
    size: tuple[float, float] = (6.8, 2.7)
    check: Callable[[dict[str, Any]], None] = lambda settings: None
    follow: Callable[[dict[str, Any], Columns], list[Part]] | None = None
    later: Callable[[dict[str, Any]], list[float]] = lambda settings: []
    hashed: bool = False
    partial: bool = False

    def resolved(self, quick: bool) -> dict[str, Any]:
        """The settings of a full or a quick run."""
        return {**self.settings, **(self.quick if quick else {})}

    def of(self, settings: Mapping[str, Any]) -> str:
        """What its parts are of beside what their names say: a hash of the settings, for `engine.compute`."""
        if self.hashed:
            return ""
        return hashlib.sha256(json.dumps([self.name, plain(settings)], sort_keys=True).encode()).hexdigest()[
            :12
        ]


@dataclass
class Outcome:
    """What a study gave."""

    study: Study
    settings: dict[str, Any]
    columns: Columns
    table: list[dict[str, Any]]
    claims: list[Claim]
    folder: Path
    computed: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    @property
    def other(self) -> bool:
        """Whether it was run with other settings than the study's, such as fewer epochs."""
        return plain(self.settings) != plain(self.study.settings)

    @property
    def results(self) -> list[tuple[Claim, Result]]:
        """The claims, and whether they hold."""
        return [(c, c.result(self.other)) for c in self.claims]


def run_study(
    study: Study,
    folder: Path,
    *,
    quick: bool = False,
    changes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    jobs: int = 1,
    on: str | None = None,
) -> Outcome:
    """Run a study into a folder, or finish one that was cut off; parts that are there are not run again.

    The folder gets spec.yaml (all settings), raw/PART.parquet, seconds.yaml (of every part), and what follows
    from the parts: results.parquet (their rows), table.csv and claims.csv; `report.study_figure` draws. The
    networks that S4 and S6 share lie beside it, in folder.parent/networks.

    Args:
        study: which.
        folder: made if it does not exist.
        quick: the small settings.
        changes: settings that differ, by name.
        progress: called with (done, total, what) on the way.
        jobs: parts at a time, each in a process of its own with its share of the threads (>= 1).
        on: None for this machine; "ray" or "ray://HOST:PORT" for a Ray cluster, on all of its cores.

    Raises:
        InputError: when jobs or a setting is unknown or out of range, or the folder holds the same study
            with other settings or of another version, holds something else, is damaged, or cannot be written
            to; before anything is computed. When data are missing. When parts failed and the study cannot do
            without them; after the others are done.
    """
    check_integer("jobs", jobs, 1)
    check_place(on)
    settings = {**study.resolved(quick), **(changes or {})}
    settings = check_settings(study.name, study.settings, settings)
    study.check(settings)
    parts = study.parts(settings, folder)  # also checks the trainings: wrong input leaves no folder behind
    _open(study, settings, folder)
    raw = folder / "raw"
    of = study.of(settings)
    how: dict[str, Any] = {"jobs": jobs, "on": on, "progress": progress, "keep_going": study.partial}
    computed, failed = compute(parts, raw, of=of, later=study.later(settings), **how)
    _check_failed(study, failed, parts, raw)
    if study.follow is not None:
        there, _ = joined(_there(parts, failed), raw, of)
        parts = [*parts, *study.follow(settings, there)]
        more, failed = compute(parts, raw, of=of, **how)
        computed += more
        _check_failed(study, failed, parts, raw)
    if computed:
        note_versions(folder)
    columns, seconds = joined(_there(parts, failed), raw, of)
    write_table(folder / RESULTS, columns, {"study": study.name})
    write_whole(folder / SECONDS, yaml.safe_dump(seconds, sort_keys=False))
    table, claims = study.summarise(settings, columns), study.claims(settings, columns)
    _write_csv(table, folder / "table.csv")
    outcome = Outcome(study, settings, columns, table, claims, folder, computed, failed)
    lines = [{**asdict(c), "threshold": c.wanted, "result": result} for c, result in outcome.results]
    _write_csv(lines, folder / "claims.csv")
    return outcome


def _check_failed(study: Study, failed: list[Failure], parts: list[Part], raw: Path) -> None:
    if not failed or (study.partial and len(failed) < len(parts)):
        return
    first = failed[0]
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    raise InputError(
        f"{len(failed)} of {len(parts)} parts failed: {first.name} ({first.error}){more}; the others are "
        f"kept, {raw}/_errors/{first.name}.txt says all, and the same command tries again"
    )


def _there(parts: list[Part], failed: list[Failure]) -> list[str]:
    """Names of the parts that did not fail."""
    lost = {failure.name for failure in failed}
    return [part.name for part in parts if part.name not in lost]


def joined(names: Sequence[str], raw: Path, of: str) -> tuple[Columns, dict[str, float]]:
    """The numbers of all of these parts, and the seconds of each.

    Raises:
        InputError: when a file is damaged.
    """
    found = {name: read_part(raw, name, of) for name in names}
    pieces = [columns for columns, _ in found.values()]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return columns, {name: seconds for name, (_, seconds) in found.items()}


def load_columns(folder: Path) -> Columns:
    """The raw numbers of a study's folder, of its last settings.

    Raises:
        InputError: when they are damaged.
    """
    return read_table(folder / RESULTS)[0]


def is_begun(folder: Path) -> bool:
    """Whether a folder has more than a process leaves that was killed before it wrote spec.yaml."""
    return folder.is_dir() and any(
        not (p.name.endswith(HALF) or (p.name == "raw" and not any(p.iterdir()))) for p in folder.iterdir()
    )


def _open(study: Study, settings: dict[str, Any], folder: Path) -> None:
    wanted = {"study": study.name, "ohmgrad": __version__, **plain(settings)}
    file = folder / "spec.yaml"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another folder with --out")
    if is_begun(folder):
        if not file.is_file():
            raise InputError(f"{folder} holds something else than a study: choose another --out")
        old = _read_spec(file)
        if study.hashed and old.get("study") == study.name:
            old = wanted  # parts of other settings and versions have other names
        if old.get("ohmgrad") != __version__:
            version = old.get("ohmgrad", "of unknown version")
            raise InputError(
                f"the numbers in {folder} are from ohmgrad {version}, but this is {__version__}: delete the "
                "folder, or choose another --out"
            )
        for name in sorted({*wanted, *old}):
            if old.get(name) != wanted.get(name):
                raise InputError(
                    f"{folder} holds a study with {name} = {shown(old.get(name))}, not "
                    f"{shown(wanted.get(name))}: choose another --out, or delete the folder"
                )
    try:
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        write_whole(file, yaml.safe_dump(wanted, sort_keys=False))
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --out") from None


def _read_spec(file: Path) -> dict[str, Any]:
    try:
        old = read_yaml(file)
    except InputError:
        old = None
    if not isinstance(old, dict):
        raise InputError(f"{file} is damaged: delete it with its folder, or choose another --out")
    return old


def plain(value: Any) -> Any:
    """Tuples as lists, as YAML gives them back."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _write_csv(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    if not rows:  # a comparison claims nothing
        return
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(file, out.getvalue())
