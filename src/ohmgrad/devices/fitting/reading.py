"""Files of measured pulses: what is in them, and how that was understood."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, check_choice, check_number, said, shown
from .cells import read_cells, read_raw
from .layout import long_ramps, wide_ramps
from .pulses import Pulses, Ramp, ReadOptions, StepTable, Understood
from .roles import polarity_of, roles_of, voltage_of
from .steps import cumulative, even_steps, from_npz, is_even_steps, joined, probabilities
from .table import Columns, columns_of, unit_of

__all__ = ["read"]

#: a reading that is so many times larger than most is none
_LARGE = 1e9


def read(files: Sequence[str | Path], options: ReadOptions | None = None) -> Pulses | StepTable:
    """Read files of measured pulses; several are several devices, or one direction each.

    Args:
        files: CSV, TSV, text, gzip of these, Excel, Parquet or .npz.
        options: what the user says of them.

    Raises:
        InputError: naming the file, row and column of what cannot be understood, and what to do.
    """
    options = options or ReadOptions()
    _check(options)
    paths = [Path(f) for f in files]
    if not paths:
        raise InputError("no file is given: name a file of measured pulses")
    twice = next((p for k, p in enumerate(paths) if p in paths[:k]), None)
    if twice is not None:
        raise InputError(f"{twice} is given twice: name each file once")
    tables: dict[bool | None, tuple[str, object]] = {}
    ramps: list[Ramp] = []
    notes: list[Understood] = []
    units: set[str] = set()
    for path in paths:
        side = polarity_of(" ".join(re.findall(r"[^\W\d_]{2,}", path.stem)))
        found = _one(path, options, side, path.stem if len(paths) > 1 else "1")
        if isinstance(found, StepTable):
            if len(paths) > 1:
                raise InputError(
                    f"{path} is a table of both directions, but {len(paths)} files are given: name it alone"
                )
            return found
        if isinstance(found, dict):
            for direction, table in found.items():
                key = side if direction is None else direction
                if key in tables:
                    raise InputError(
                        f"{path} and {tables[key][0]} are both tables of {_word(key)} pulses: give one "
                        f"of up and one "
                        "of down pulses, with increasing and decreasing (or set and reset) in their names"
                    )
                tables[key] = (str(path), table)
            continue
        mine, said_of, unit = found
        ramps += mine
        units.add(unit)
        notes += said_of if len(paths) == 1 else [replace(n, what=f"{path.name}: {n.what}") for n in said_of]
    if tables:
        return _tables(tables, ramps)
    if len(units) > 1:
        raise InputError(
            f"the files have readings in {' and '.join(sorted(u or 'no unit' for u in units))}: say "
            f"--unit for all"
        )
    if (
        len(paths) > 1
        and all(len({r.up for r in ramps if r.device == p.stem}) == 1 for p in paths)
        and len({r.up for r in ramps}) == 2
    ):
        # a file a direction: one device
        ramps = [replace(r, device="1") for r in ramps] if len(paths) == 2 else _paired(ramps)
        notes.append(Understood("files of one direction each belong to one device"))
    return _assembled(ramps, units.pop(), notes, ", ".join(p.name for p in paths))


def _paired(ramps: list[Ramp]) -> list[Ramp]:
    """Devices of files with one direction each: names without the word of the direction."""
    words = r"(?i)(potentiation|depression|increasing|decreasing|reset|set|ltp|ltd|up|down)"
    return [replace(r, device=re.sub(words, "", r.device).strip("_- .") or "1") for r in ramps]


def _word(up: bool | None) -> str:
    return {True: "up", False: "down", None: "unnamed"}[up]


def _check(options: ReadOptions) -> None:
    if options.layout is not None:
        check_choice("layout", options.layout, ("wide", "long", "steps"))
    if options.unit not in (None, "none") and (unit_of(options.unit or "") or ("?", 0))[0] not in (
        "S",
        "A",
        "ohm",
        "",
    ):
        raise InputError(f"--unit is {shown(options.unit)}, but must be S, A or ohm, as in uS or nA, or none")
    if options.read_voltage is not None:
        check_number("--read-voltage", options.read_voltage)
        if options.read_voltage == 0:
            raise InputError(
                "--read-voltage is 0, but must be the voltage in volts at which currents were read"
            )
    if options.pulses is not None and min(options.pulses) < 5:
        raise InputError(
            f"--pulses is {options.pulses}, but must be two numbers of at least 5 pulses, up and down"
        )


def _one(path: Path, options: ReadOptions, side: bool | None, device: str) -> Any:
    """Of one file: a `StepTable`; tables of one direction each, by it; or ramps, notes and their unit."""
    if path.suffix.lower() == ".npz":
        columns = _npz(path)
        if columns is None:
            return from_npz(path)
        grid = None
    else:
        grid = read_cells(path, options.sheet)
        table = cumulative(grid) if options.layout in (None, "steps") else None
        if table is not None:
            return {None: table}
        columns = columns_of(grid)
    roles = roles_of(columns, options.columns)
    if grid is not None and options.layout in (None, "steps"):
        found = probabilities(columns, roles, grid)
        if found is not None:
            return found
    if options.layout == "steps" or (options.layout is None and is_even_steps(columns, roles)):
        return even_steps(columns, roles)
    if side is not None:
        roles = [
            ("up" if side else "down") if role in ("conductance", None) and columns.numeric(c) else role
            for c, role in enumerate(roles)
        ]
    values, unit, said_of_unit = _in_base_unit(columns, roles, options)
    several = {"polarity", "amplitude", "cycle", "device"} & set(roles)
    long = options.layout == "long" or (options.layout is None and bool(several))
    ramps, notes = (long_ramps if long else wide_ramps)(columns, roles, options, device, values)
    first = Understood(f"{columns.source}: {'; '.join(columns.said)}; {len(columns.lines):,} rows", "")
    return ramps, [first, *notes, said_of_unit], unit


def _npz(path: Path) -> Columns | None:
    """Arrays of an .npz file as columns of one length; None where it has CrossSim's tables."""
    read_raw(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            if {"G", "cdf", "inc", "dec"} <= set(file.files):
                return None
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read as .npz ({said(error)}): save plain arrays of numbers with numpy.savez"
        ) from None
    names, values = [], []
    for name, array in arrays.items():
        if array.dtype.kind not in "fiubU" or array.ndim > 2:
            raise InputError(
                f"{path} array {name} is {array.dtype} of shape {array.shape}, but one or two axes of "
                f"numbers are needed"
            )
        if array.ndim == 0:
            continue
        for k, row in enumerate(np.atleast_2d(array)):  # (ramps, pulses)
            names.append(name if array.ndim == 1 else f"{name} {k + 1}")
            values.append([str(v) for v in row] if array.dtype.kind == "U" else row.astype(np.float64))
    if not values:
        raise InputError(
            f"{path} has no arrays of numbers: save the readings with numpy.savez(up=..., down=...)"
        )
    n = max(len(v) for v in values)
    if any(isinstance(v, np.ndarray) and np.isinf(v).any() for v in values):
        bad = next(
            name
            for name, v in zip(names, values, strict=True)
            if isinstance(v, np.ndarray) and np.isinf(v).any()
        )
        raise InputError(f"{path} array {bad} has an infinite value: put NaN where nothing was measured")
    padded = [
        np.pad(v, (0, n - len(v)), constant_values=np.nan)
        if isinstance(v, np.ndarray)
        else v + [""] * (n - len(v))
        for v in values
    ]
    return Columns(
        str(path),
        names,
        [""] * len(names),
        padded,
        np.arange(1, n + 1),
        [f"NumPy arrays {', '.join(arrays)}"],
    )


def _in_base_unit(
    columns: Columns, roles: list[str | None], options: ReadOptions
) -> tuple[list[np.ndarray], str, Understood]:
    """Readings of all columns in siemens, ampere or without unit, and what is said of that."""
    flag = "--unit S, A or ohm; --read-voltage V"
    at = [
        c
        for c, role in enumerate(roles)
        if role in ("up", "down", "conductance", None) and columns.numeric(c)
    ]
    _check_sizes(columns, roles, at)
    written = {columns.units[c] for c in at if columns.units[c]}
    text = options.unit if options.unit is not None else next(iter(written), "")
    if options.unit is None and len(written) > 1 and len({unit_of(u) for u in written}) > 1:
        raise InputError(
            f"{columns.source} has readings in {' and '.join(sorted(written))}: write one unit, or say --unit"
        )
    base, factor = ("", 1.0) if text in ("none", "") else unit_of(text) or ("", 1.0)
    names = " ".join(columns.names[c] for c in at).lower()
    if base == "" and options.unit is None and re.search(r"\bresistance\b|\br\b", names):
        base = "ohm"
    if base in ("V", "s", "#"):
        raise InputError(
            f"{columns.source} {columns.label(at[0])} is in {text}, but readings are in S, A or ohm: "
            f"say which columns they are with --column up=NUMBER"
        )
    volts = options.read_voltage or next(filter(None, (voltage_of(columns.names[c]) for c in at)), None)
    values = [columns.values[c] * factor if c in at else columns.values[c] for c in range(len(roles))]
    if base == "ohm":
        for c in at:
            bad = np.flatnonzero(values[c] <= 0)
            if bad.size:
                raise InputError(
                    f"{columns.source} row {columns.lines[bad[0]]}, {columns.label(c)}: a resistance of "
                    f"{columns.values[c][bad[0]]:g} has no conductance: correct it, or say --unit S"
                )
            values[c] = 1 / values[c]
        return (
            values,
            "S",
            Understood(f"readings are resistances in {text or 'ohm'}: their inverse is fitted", flag),
        )
    if base == "A" and volts:
        return (
            [v / abs(volts) if c in at else v for c, v in enumerate(values)],
            "S",
            Understood(f"readings are currents in {text} at {volts:g} V: conductances are fitted", flag),
        )
    if base == "A":
        return (
            values,
            "A",
            Understood(
                f"readings are currents in {text}, read voltage not said: weights do not depend on it", flag
            ),
        )
    if base == "S":
        return values, "S", Understood(f"readings are conductances in {text}", flag)
    return (
        values,
        "",
        Understood("readings have no unit: weights do not depend on it, unless they are resistances", flag),
    )


def _check_sizes(columns: Columns, roles: list[str | None], at: list[int]) -> None:
    """Raise InputError where a reading is so large that it cannot be one, as 9.9e37 of an instrument."""
    sizes = {c: np.abs(columns.values[c]) for c in at}
    typical = {c: _usual(size[size > 0]) for c, size in sizes.items()}
    named = min((typical[c] for c in at if roles[c]), default=np.inf)
    for c, size in sizes.items():
        usual = named if roles[c] else typical[c]
        bad = np.flatnonzero(size > _LARGE * usual)
        if bad.size:
            raise InputError(
                f"{columns.source} row {columns.lines[bad[0]]}, {columns.label(c)} is "
                f"{columns.values[c][bad[0]]:g}, but readings are around {usual:.2g}: correct it, or leave "
                "the cell empty (instruments write 9.9e37 where they are overloaded)"
            )


def _usual(sizes: np.ndarray) -> float:
    """The middle one; no mean of two, which may be too large for a number."""
    return float(np.sort(sizes)[sizes.size // 2]) if sizes.size else np.inf


def _tables(tables: dict, ramps: list[Ramp]) -> StepTable:
    if ramps or True not in tables or False not in tables:
        name = next(iter(tables.values()))[0]
        have = ", ".join(_word(k) for k in tables)
        raise InputError(
            f"{name} is a table of steps ({have} pulses), which needs one of each direction: give two "
            f"files, with "
            "increasing and decreasing (or set and reset) in their names"
        )
    (up_name, up), (down_name, down) = tables[True], tables[False]
    names = up_name if up_name == down_name else f"{up_name} and {down_name}"
    return joined(up, down, names, "distributions of steps")


def _assembled(ramps: list[Ramp], unit: str, notes: list[Understood], names: str) -> Pulses:
    have = {ramp.up for ramp in ramps}
    if len(have) < 2:
        raise InputError(
            f"{names} has pulses {_word(have.pop())} only, but both directions are needed: add the "
            f"other ramp as a "
            "column or file, or say where pulses turn with --pulses UP,DOWN"
        )
    if all(np.nanmax(r.readings) <= 0 for r in ramps):  # currents at a negative voltage
        ramps = [replace(r, readings=-r.readings) for r in ramps]
        notes.append(Understood("all readings are negative: their sign is turned"))
    change = {up: [_change(r.readings) for r in ramps if r.up == up] for up in (True, False)}
    every = np.concatenate([r.readings[~np.isnan(r.readings)] for r in ramps])
    low, high = np.quantile(every, [0.002, 0.998])
    if not high > low:
        raise InputError(f"{names} does not change ({low:g} in all readings): ramps are needed")
    if np.median(change[True]) < -0.25 * (high - low) and np.median(change[False]) > 0.25 * (high - low):
        raise InputError(
            f"{names}: readings fall with pulses up and rise with pulses down: are the columns exchanged "
            "(--column up=NUMBER), are these resistances (--unit ohm), or sizes of steps (--layout steps)?"
        )
    kept = not unit and low < 0 < high and max(-low, high) <= 3 * min(-low, high)
    centre, half = (0.0, 1.0) if kept and 0.2 < high < 5 else ((low + high) / 2, (high - low) / 2)
    scale = (
        "weights are the readings"
        if (centre, half) == (0.0, 1.0)
        else (f"weight = (reading - {centre:.4g}) / {half:.4g}, so that the readings span -1 to 1")
    )
    counts = ", ".join(
        f"{_counted(sum(r.up == up for r in ramps), 'ramp')} {_word(up)} of "
        f"{_lengths([r for r in ramps if r.up == up])} pulses"
        for up in (True, False)
    )
    pulses = Pulses(tuple(ramps), unit, float(centre), float(half))
    of = f"{_counted(len(pulses.devices), 'device')}, {_counted(len(pulses.groups), 'cycle')}"
    notes.append(Understood(f"{of}: {counts}"))
    missing = sum(int(np.isnan(r.readings).sum()) for r in ramps)
    if missing:
        notes.append(
            Understood(f"{missing:,} pulses were not read: the state moves on, the fit has no reading there")
        )
    notes.append(Understood(scale))
    return replace(pulses, said=tuple(n for n in notes if n.what))


def _change(readings: np.ndarray) -> float:
    y = readings[~np.isnan(readings)]
    third = max(y.size // 3, 1)
    return float(np.median(y[-third:]) - np.median(y[:third]))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _lengths(ramps: list[Ramp]) -> str:
    sizes = sorted({r.readings.size for r in ramps})
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
