"""Columns as ramps: wide (a ramp a column) or long (a reading a row), split where pulses turn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import median_filter

from ...errors import InputError
from .pulses import Ramp, ReadOptions, Understood
from .roles import polarity_of
from .table import Columns

__all__ = ["FEWEST", "long_ramps", "turns", "wide_ramps"]

#: readings below which a ramp says nothing
FEWEST = 5
#: pulses of a ramp, with those that were not read
_MOST_PULSES = 200_000
Said = list[Understood]


def wide_ramps(
    columns: Columns, roles: list[str | None], options: ReadOptions, device: str, values: list[np.ndarray]
) -> tuple[list[Ramp], Said]:
    """Ramps of a table with a ramp, or several below each other, in each column of readings.

    Args:
        columns, roles: the table.
        options: the user's words.
        device: name of the device that the table is of.
        values: readings of every column, in the base unit.
    """
    at = [
        c
        for c, role in enumerate(roles)
        if role in ("up", "down", "conductance", None) and columns.numeric(c)
    ]
    if not at:
        raise InputError(
            f"{columns.source} has no column of readings among {_listed(columns)}: say which one with "
            "--column up=NUMBER and --column down=NUMBER"
        )
    ramps: list[Ramp] = []
    directions: list[str] = []
    counts = {True: 0, False: 0}
    for c in at:
        x = next((k for k in range(c, -1, -1) if roles[k] in ("pulse", "time")), None)
        order = columns.values[x] if x is not None else None
        given = {"up": True, "down": False}.get(roles[c] or "")
        for up, readings, follows in _parts(
            columns, c, values[c], order, (roles[x] or "") if x is not None else "", given, options
        ):
            counts[up] += 1
            ramps.append(Ramp(up, readings, device, str(counts[up]), follows))
            directions.append(f"{columns.label(c)} {'up' if up else 'down'}")
    named = all(roles[c] in ("up", "down") for c in at)
    short = directions if len(directions) <= 4 else [*directions[:2], "...", directions[-1]]
    how = "" if named else " (by their trend)"
    said = [
        Understood(f"wide: {', '.join(short)}{how}", "--column up=NUMBER, --column down=NUMBER, --layout")
    ]
    xs = [c for c, role in enumerate(roles) if role in ("pulse", "time")]
    what = f"{columns.label(xs[0])} is the {roles[xs[0]]}" if xs else "none: each row is one pulse"
    said.append(Understood(f"pulse numbers: {what}", "--column pulse=NUMBER"))
    return ramps, said


def _parts(
    columns: Columns, c: int, values: np.ndarray, order: np.ndarray | None, kind: str,
    given: bool | None, options: ReadOptions,
) -> list[tuple[bool, np.ndarray, bool]]:  # fmt: skip
    """(up, readings, follows) of the ramps in one column."""
    there = np.flatnonzero(~np.isnan(values))
    if there.size < FEWEST:
        raise InputError(
            f"{columns.source} {columns.label(c)} has {there.size} readings, but a ramp needs {FEWEST}: "
            f"give "
            f"more, or leave the column out with --column none={c + 1}"
        )
    first, last = there[0], there[-1] + 1
    cut, lines = values[first:last], columns.lines[first:last]
    if np.nanmax(cut) == np.nanmin(cut):
        raise InputError(
            f"{columns.source} {columns.label(c)} does not change ({cut[0]:g} in all rows): a ramp is "
            f"needed, or leave it out with --column none={c + 1}"
        )
    if order is not None:
        cut = spaced(columns.source, cut, order[first:last], lines, kind)
    if given is not None and options.pulses is None:
        return [(given, cut, False)]
    return split(f"{columns.source} {columns.label(c)}", cut, options.pulses)


def split(
    where: str, readings: np.ndarray, pulses: tuple[int, int] | None
) -> list[tuple[bool, np.ndarray, bool]]:
    """Ramps of readings below each other: by the number of pulses up and down, or where they turn."""
    if pulses is None:
        return turns(where, readings)
    out, at, up = [], 0, True
    while at < readings.size:
        count = pulses[0] if up else pulses[1]
        part = readings[at : at + count]
        if np.isfinite(part).sum() >= FEWEST:
            out.append((up, part, bool(out) and out[-1][0] != up))
        at, up = at + count, not up
    return out


def spaced(source: str, readings: np.ndarray, order: np.ndarray, lines: np.ndarray, kind: str) -> np.ndarray:
    """Readings with NaN for the pulses that were not read, by pulse numbers or times.

    Raises:
        InputError: when these do not rise, or ask for too many pulses.
    """
    known = ~np.isnan(order)
    readings, order, lines = readings[known], order[known], lines[known]
    gaps = np.diff(order)
    if (gaps <= 0).any():
        at = int(np.flatnonzero(gaps <= 0)[0])
        raise InputError(
            f"{source} row {lines[at + 1]}: the {kind} {order[at + 1]:g} does not follow {order[at]:g}, "
            f"but it "
            "must rise within a ramp: sort the rows, or name the column of cycles with --column "
            "cycle=NUMBER"
        )
    if gaps.size == 0:
        return readings
    # times have a unit of their own; pulse numbers count pulses
    unit = 1.0 if kind == "pulse" and np.allclose(order, np.round(order)) else float(np.median(gaps))
    count = np.maximum(np.rint(gaps / unit).astype(np.int64), 1)
    total = int(count.sum()) + 1
    if total > _MOST_PULSES:
        raise InputError(
            f"{source} row {lines[-1]}: the {kind} reaches {order[-1]:g}, which are {total:,} pulses, "
            f"but a ramp "
            f"may have {_MOST_PULSES:,}: is this column the {kind}? Say so with --column pulse=NUMBER"
        )
    out = np.full(total, np.nan)
    out[np.concatenate([[0], np.cumsum(count)])] = readings
    return out


def turns(where: str, readings: np.ndarray) -> list[tuple[bool, np.ndarray, bool]]:
    """Ramps between the turning points of one row of readings.

    A turn is where the readings, smoothed by a running median of 5, go back by half their range.

    Raises:
        InputError: when readings only scatter.
    """
    there = np.flatnonzero(~np.isnan(readings))
    y = readings[there]
    smooth = median_filter(y, 5, mode="nearest")
    low, high = np.quantile(smooth, [0.02, 0.98])
    most = 0.5 * (high - low) or np.ptp(y) / 2
    marks, going = [0], 0  # going: 1 up, -1 down
    trough = peak = 0
    for k in range(1, y.size):
        if going >= 0 and smooth[k] > smooth[peak]:
            peak = k
        if going <= 0 and smooth[k] < smooth[trough]:
            trough = k
        if going >= 0 and smooth[peak] - smooth[k] > most:
            if smooth[peak] - smooth[marks[-1]] > most:  # else it is where the ramp began
                marks.append(peak)
            going, trough = -1, k
        elif going <= 0 and smooth[k] - smooth[trough] > most:
            if smooth[marks[-1]] - smooth[trough] > most:
                marks.append(trough)
            going, peak = 1, k
    marks = [0, *(_sharp(y, smooth, k) for k in marks[1:]), y.size - 1]
    parts: list[tuple[bool, np.ndarray, float, bool]] = []
    for a, b in pairwise(marks):
        piece = y[a : b + 1]
        if piece.size <= FEWEST:
            continue
        third = max(piece.size // 3, 1)
        change = np.median(piece[-third:]) - np.median(piece[:third])
        # a turning point is the last reading of the ramp that ends there
        follows = bool(parts) and parts[-1][0] != (change > 0)
        first = there[a] + (1 if follows else 0)
        parts.append((bool(change > 0), readings[first : there[b] + 1], abs(change), follows))
    noise = np.median(np.abs(np.diff(y))) * 1.05  # about sd of a reading, times 1.05 x 0.954
    if not parts or len(parts) > max(3, y.size // 8) or max(p[2] for p in parts) < 2.5 * noise:
        raise InputError(
            f"{where} scatters ({noise:.3g}) more than it moves: no ramp is seen; say which pulses go "
            f"up with "
            "--column up=NUMBER, or --pulses UP,DOWN for cycles below each other"
        )
    biggest = max(part[2] for part in parts)
    out, kept = [], False
    for up, piece, change, follows in parts:
        if change > 0.2 * biggest:
            out.append((up, piece, follows and kept))
        kept = change > 0.2 * biggest
    return out


def _sharp(y: np.ndarray, smooth: np.ndarray, at: int) -> int:
    """The extreme of the readings themselves next to one of the smoothed readings."""
    window = slice(max(at - 4, 0), at + 5)
    top = smooth[at] > np.median(smooth)
    return window.start + int((y[window].argmax if top else y[window].argmin)())


def long_ramps(
    columns: Columns, roles: list[str | None], options: ReadOptions, device: str, values: list[np.ndarray]
) -> tuple[list[Ramp], Said]:
    """Ramps of a table with one reading a row, and columns that say of which device, cycle and direction."""
    at = {role: roles.index(role) for role in dict.fromkeys(roles) if role}
    if "conductance" not in at:
        free = [c for c, role in enumerate(roles) if role is None and columns.numeric(c)]
        if len(free) != 1:
            raise InputError(
                f"{columns.source} has no column of readings that is seen among {_listed(columns)}: say "
                f"which "
                "with --column conductance=NUMBER"
            )
        at["conductance"] = free[0]
    readings = values[at["conductance"]]
    n = readings.size
    devices = _labels(columns, at.get("device"), n, device)
    up = _directions(columns, at)
    x, kind = next(((columns.values[at[k]], k) for k in ("pulse", "time") if k in at), (None, ""))
    cycles = _labels(columns, at.get("cycle"), n, "") if "cycle" in at else _runs(devices, up, x)
    keys = [
        (d, c, None if up is None else bool(u))
        for d, c, u in zip(devices, cycles, up if up is not None else [None] * n, strict=True)
    ]
    groups: dict[tuple[str, str, bool | None], list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    ramps: list[Ramp] = []
    last: tuple[str, int] | None = None
    for (d, c, direction), rows in groups.items():
        part, lines = readings[rows], columns.lines[rows]
        if np.isfinite(part).sum() < FEWEST:
            continue
        if x is not None and (direction is not None or (np.diff(x[rows]) > 0).all()):
            part = spaced(columns.source, part, x[rows], lines, kind)
        if direction is not None:
            follows = last == (d, rows[0] - 1) and bool(ramps) and ramps[-1].up != direction
            ramps.append(Ramp(direction, part, d, c, follows))
            last = (d, rows[-1])
            continue
        found = split(
            f"{columns.source} {columns.label(at['conductance'])} from row {lines[0]}", part, options.pulses
        )
        seen = {True: 0, False: 0}
        for goes_up, piece, follows in found:
            seen[goes_up] += 1
            ramps.append(Ramp(goes_up, piece, d, f"{c}.{seen[goes_up]}", follows))
    if not ramps:
        raise InputError(
            f"{columns.source} has no device and cycle with {FEWEST} readings in one direction: give "
            f"longer "
            "ramps, or name its columns with --column"
        )
    parts = [f"{columns.label(c)} is the {role}" for role, c in at.items() if role != "ignored"]
    said = [Understood(f"long: {', '.join(parts)}", "--column ROLE=NUMBER, --layout")]
    if up is None:
        said.append(
            Understood("directions by where the readings turn", "--column polarity=NUMBER, --pulses UP,DOWN")
        )
    return ramps, said


def _labels(columns: Columns, c: int | None, n: int, default: str) -> list[str]:
    if c is None:
        return [default] * n
    values = columns.values[c]
    texts = [f"{v:g}" for v in values] if columns.numeric(c) else list(values)
    last, out = "", []
    for i, text in enumerate(texts):  # a name that is written once stands for the rows below
        missing = text in ("", "nan")
        if missing and not last:
            raise InputError(
                f"{columns.source} row {columns.lines[i]}, {columns.label(c)} is empty: name the device "
                f"or cycle"
            )
        last = last if missing else text
        out.append(last)
    return out


def _directions(columns: Columns, at: dict[str, int]) -> list[bool] | None:
    c = at.get("polarity", at.get("amplitude"))
    if c is None:
        return None
    out, last = [], None
    for i, value in enumerate(columns.values[c]):
        missing = value == "" or (not isinstance(value, str) and np.isnan(value))
        up = last if missing else polarity_of(value)
        if up is None:
            raise InputError(
                f"{columns.source} row {columns.lines[i]}, {columns.label(c)} is {str(value)!r}, which "
                f"says "
                "neither up nor down: write up and down, LTP and LTD, or 1 and -1"
            )
        out.append(up)
        last = up
    return out


def _runs(devices: list[str], up: list[bool] | None, x: np.ndarray | None) -> list[str]:
    """Cycles where no column has them: a new one begins where a ramp of one direction begins again."""
    n = len(devices)
    if up is None or (x is not None and len({*zip(devices, up, x.tolist(), strict=True)}) == n):
        return ["1"] * n
    out, state = [], {}
    for i in range(n):
        before = state.get(devices[i])
        if before is None:
            cycle = 1
        else:
            was_up, was_x, cycle = before
            turned = up[i] != was_up and up[i]
            restarted = up[i] == was_up and x is not None and x[i] <= was_x
            cycle += bool(turned or restarted)
        state[devices[i]] = (up[i], x[i] if x is not None else 0.0, cycle)
        out.append(str(cycle))
    return out


def _listed(columns: Columns) -> str:
    names = [columns.label(c) for c in range(len(columns.names))]
    return ", ".join(names if len(names) <= 6 else [*names[:5], "..."])
