"""The scoreboard: every published cell, ours beside it, and whether they agree.

Published values are in published.yaml, with the page and table of their source. Ours are read from the
folders that the studies left, so that nothing is computed again.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError
from ..yaml_text import read_yaml
from .study import Study, plain

__all__ = ["PUBLISHED", "Cell", "Published", "published", "scoreboard", "study_claims"]

PUBLISHED = Path(__file__).with_name("published.yaml")
#: entries of spec.yaml that are no settings
_NO_SETTINGS = ("study", "ohmgrad")
Status = Literal["reproduced", "differs", "other settings", "not run"]


@dataclass(frozen=True)
class Published:
    """A published value: `value` with the standard deviation `spread`, or a bound that it lies below.

    `text` is what is printed, with its zeros.
    """

    value: float
    spread: float = 0.0
    below: bool = False
    text: str = field(default="", compare=False)

    def agrees(self, low: float, high: float) -> bool:
        """Whether it lies within our interval widened by its spread; a bound: whether ours is below it."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return False
        return high < self.value if self.below else low - self.spread <= self.value <= high + self.spread


@dataclass(frozen=True)
class Cell:
    """A published cell and ours.

    Attributes:
        source: paper, table and page; study: ours, None where none computes it; row, column: of the table;
            axes: what rows and columns are.
        published: what is printed, in `unit`.
        ours: mean and the ends of its 95 % interval, in `unit`; None when it was not run.
        settings: in which ours differ from the study's own, in words; and the version that measured it.
        seconds: that a training of ours took, mean over seeds.
        status: reproduced, differs, run with other settings than the study's, or not run.
        note: why it differs, or what a run needs.
    """

    source: str
    study: str | None
    axes: str
    row: str
    column: str
    published: Published
    unit: str
    ours: tuple[float, float, float] | None
    settings: str
    seconds: float
    status: Status
    note: str


def published(text: str | float) -> Published:
    """`97.64 ± 0.17`, `97.64` or `< 15` as a `Published`.

    Raises:
        InputError: when it is none of them.
    """
    words = str(text).replace("<", "< ").split()
    try:
        if words[0] == "<":
            return Published(float(words[1]), below=True, text=" ".join(words))
        value, sign, spread = (*words, "±", "0") if len(words) == 1 else words
        if sign != "±":
            raise ValueError
        return Published(float(value), float(spread), text=" ".join(words))
    except (ValueError, IndexError):
        raise InputError(
            f"published value is {text!r}, but must be 'mean ± std', a number or '< number'"
        ) from None


def scoreboard(home: Path, studies: Mapping[str, Study]) -> list[Cell]:
    """Every published cell beside what the studies' folders in `home` hold.

    Args:
        home: the folder with one folder a study; need not exist.
        studies: by name.

    Raises:
        InputError: when a study's table cannot be read.
    """
    known = {name: _Ours.read(home / name, study) for name, study in studies.items()}
    found: list[Cell] = []
    for table in read_yaml(PUBLISHED)["tables"]:
        ours = known.get(table["study"])
        for row, columns in table["cells"].items():
            for column, text in columns.items():
                wanted = {**table["fixed"], table["rows"]: row, table["columns"]: column}
                found.append(_cell(table, str(row), str(column), published(text), wanted, ours))
    return found


def _cell(
    table: Mapping[str, Any],
    row: str,
    column: str,
    value: Published,
    wanted: Mapping[str, Any],
    ours: _Ours | None,
) -> Cell:
    mine = None if ours is None else ours.row(wanted)
    axes = f"{table['rows']} / {table['columns']}"
    fixed = (str(table["source"]), table["study"], axes, row, column, value, str(table["unit"]))
    if ours is None or mine is None:
        return Cell(*fixed, None, "", 0.0, "not run", table["needs"])
    name = table["quantity"]
    mean, low, high, seconds = (float(mine[k]) for k in (name, f"{name}_low", f"{name}_high", "seconds"))
    agrees = value.agrees(low, high)
    if ours.other:  # fewer epochs or images decide nothing, however wide or narrow the interval
        return Cell(*fixed, (mean, low, high), ours.settings, seconds, "other settings", "")
    why = table.get("why", {})
    usual = "" if math.isfinite(low) else "a single run has no interval"
    note = "" if agrees else why.get(f"{row}/{column}", why.get("*", usual))
    status: Status = "reproduced" if agrees else "differs"
    return Cell(*fixed, (mean, low, high), ours.settings, seconds, status, note)


@dataclass(frozen=True)
class _Ours:
    """What a study's folder holds: the rows of its table, and in words its other settings and version.

    `other` says whether there are other settings.
    """

    rows: list[dict[str, str]]
    settings: str
    other: bool = False

    @classmethod
    def read(cls, folder: Path, study: Study) -> _Ours:
        if not (folder / "table.csv").is_file():
            return cls([], "")
        with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        settings = _other_settings(folder, study)
        return cls(rows, "; ".join([*settings, _version(folder)]), bool(settings))

    def row(self, wanted: Mapping[str, Any]) -> dict[str, str] | None:
        """The one row with these values; none, if the table lacks one of these columns."""
        for row in self.rows:
            if all(name in row and _same(row[name], value) for name, value in wanted.items()):
                return row
        return None


def _other_settings(folder: Path, study: Study) -> list[str]:
    """In words, the settings that a study's folder has other than the study itself."""
    spec, usual = read_yaml(folder / "spec.yaml"), plain(study.settings)
    return [
        f"{name} {_words(value)} instead of {_words(usual.get(name))}"
        for name, value in spec.items()
        if name not in _NO_SETTINGS and value != usual.get(name)
    ]


def _version(folder: Path) -> str:
    """In words, the version that filled a study's folder; always, so that a page outlasts versions."""
    return f"measured with ohmgrad {read_yaml(folder / 'spec.yaml')['ohmgrad']}"


def _same(text: str, value: Any) -> bool:
    try:
        return math.isclose(float(text), float(value), rel_tol=1e-9)
    except (TypeError, ValueError):
        return text == str(value)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    return " ".join(map(_words, value)) if isinstance(value, list) else str(value)


def study_claims(home: Path, studies: Mapping[str, Study]) -> list[tuple[str, dict[str, str]]]:
    """The rows of every claims.csv in `home`, each with its study's name, other settings and version."""
    found = []
    for name, study in studies.items():
        file = home / name / "claims.csv"
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as opened:
                settings = "; ".join([*_other_settings(home / name, study), _version(home / name)])
                found += [(f"{name} ({settings})", row) for row in csv.DictReader(opened)]
    return found
