"""What a study's folder holds, read without computing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .engine import Columns, Failure, Part, failures
from .settings import check_settings
from .study import Outcome, Study, joined

__all__ = ["read_outcome"]


def read_outcome(study: Study, folder: Path, settings: Mapping[str, Any]) -> Outcome:
    """The outcome of a study that was finished in a folder; parts that failed may be missing.

    Args:
        study: which.
        folder: of its numbers.
        settings: as spec.yaml has them.

    Raises:
        InputError: when it is not finished, or damaged.
    """
    own = check_settings(study.name, study.settings, settings)
    parts = study.parts(own, folder)
    columns, failed = _read(parts, folder, study.of(own))
    if study.follow is not None:
        parts = [*parts, *study.follow(own, columns)]
        columns, failed = _read(parts, folder, study.of(own))
    table, claims = study.summarise(own, columns), study.claims(own, columns)
    return Outcome(study, own, columns, table, claims, folder, failed=failed)


def _read(parts: Sequence[Part], folder: Path, of: str) -> tuple[Columns, list[Failure]]:
    raw = folder / "raw"
    there = [part.name for part in parts if (raw / f"{part.name}.parquet").is_file()]
    failed = failures(parts, raw, of)
    missing = {part.name for part in parts} - {*there} - {failure.name for failure in failed}
    if missing or not there:
        raise InputError(
            f"{folder} is not finished: {len(parts) - len(there)} of {len(parts)} parts are missing; the "
            "command that began it goes on"
        )
    return joined(there, raw, of)[0], failed
