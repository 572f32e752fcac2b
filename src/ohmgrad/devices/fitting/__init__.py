"""Measured pulses as a device: files are read, families of responses fitted and ranked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...checked import checked
from ...errors import InputError, check_choice

if TYPE_CHECKING:
    from .fit import Fit
    from .pulses import Pulses, ReadOptions, StepTable

__all__ = ["fit", "fit_read"]


@checked
def fit(
    *files: str | Path,
    families: Sequence[str] | None = None,
    options: ReadOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Fit:
    """Fit a device to files of measured pulses.

    Args:
        files: CSV, TSV, Excel, Parquet or .npz; ramps of readings, or tables of steps.
        families: only these; by default all, of which the data choose one.
        options: what the user says of the files.
        progress: told (done, total, what) on the way.

    Returns:
        The fit: `device`, `estimates` with their intervals, `ranking`.

    Raises:
        InputError: when a file cannot be understood, or a family is unknown.
    """
    from .reading import read

    _check_families(families)
    return fit_read(read(files, options), families, progress)


@checked
def fit_read(
    found: Pulses | StepTable,
    families: Sequence[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Fit:
    """The same for what `read` returned."""
    from .fit import fit_pulses
    from .pulses import Pulses
    from .tables import fit_table

    _check_families(families)
    if isinstance(found, Pulses):
        return fit_pulses(found, families, progress)
    return fit_table(found, families, progress)


def _check_families(families: Sequence[str] | None) -> None:
    from .laws import LAWS

    if families is not None:
        for name in families:
            check_choice("family", name, LAWS)
        if not families:
            raise InputError("families is empty: leave it out for all, or name some")
