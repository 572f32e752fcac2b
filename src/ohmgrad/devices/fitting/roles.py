"""What a column is, by its name, by the user's word, or by its numbers."""

from __future__ import annotations

import re

import numpy as np

from ...errors import InputError, check_choice, shown
from .cells import number
from .table import Columns, complaint

__all__ = ["DOWN", "ROLES", "UP", "polarity_of", "roles_of", "voltage_of"]

UP = {"up", "potentiation", "potentiate", "ltp", "pot", "p", "set", "increasing", "increase", "inc"}
UP |= {"pos", "positive"}
DOWN = {"down", "depression", "depress", "ltd", "dep", "d", "reset", "decreasing", "decrease", "dec"}
DOWN |= {"neg", "negative"}
_WORDS = {
    "probability": {"probability", "prob", "density", "frequency"},
    "step": {"step", "steps", "dg", "delta", "deltag", "δg", "dw"},
    "amplitude": {"amplitude", "vpulse", "vwrite", "vprog", "pulsevoltage"},
    "cycle": {"cycle", "cycles", "loop", "run", "repeat", "repetition", "sweep"},
    "device": {"device", "devices", "dut", "cell", "chip", "element", "sample", "die"},
    "polarity": {"polarity", "direction", "type", "mode", "operation", "op", "branch", "phase", "sign"},
    "time": {"time", "t", "seconds", "timestamp"},
    "pulse": {"pulse", "pulses", "n", "index", "idx", "no", "number", "count", "x", "pulsenumber", "#"},
    "conductance": {"conductance", "g", "cond", "current", "i", "weight", "w", "resistance", "r", "reading",
                    "value", "gds", "id", "ids", "iread", "synaptic"},
}  # fmt: skip
ROLES = ("up", "down", "conductance", "pulse", "time", "cycle", "device", "polarity", "amplitude", "step",
         "probability", "none")  # fmt: skip


def _words(name: str) -> list[str]:
    name = re.sub(r"[\[(][^\])]*[\])]", " ", name.lower())
    return re.findall(r"[^\W\d_]+|#", name)


def _named(name: str) -> str | None:
    words = _words(name)
    found = set(words)
    # "set 3", "reset_12" and "G up" are ramps whatever else they say
    long = len(words) == 1 and words[0] in ("p", "d", "n")
    if "voltage" in found and found & {"pulse", "write", "program", "programming"}:
        return "amplitude"
    if not long and len(found & (UP - {"p", "pos"})) == 1 and not found & DOWN:
        return "up"
    if not long and len(found & (DOWN - {"d", "neg"})) == 1 and not found & UP:
        return "down"
    for role, known in _WORDS.items():
        if role == "pulse" and found & _WORDS["conductance"] - {"i", "r", "w", "g"}:
            continue
        if found & known:
            return role
    return None


def roles_of(columns: Columns, given: dict[str, str]) -> list[str | None]:
    """The role of every column; None where nothing says so.

    Raises:
        InputError: when the user names a role or a column that is not there.
    """
    roles = [_named(name) if name else None for name in columns.names]
    said: dict[int, str] = {}
    for role, names in given.items():
        check_choice("role of --column", role, ROLES)
        for name in names.split(","):
            at = _find(columns, role, name.strip())
            if said.setdefault(at, role) != role:
                raise InputError(
                    f"--column {said[at]} and --column {role} both name {columns.label(at)} of "
                    f"{columns.source}: a column is one of them"
                )
            roles[at] = "ignored" if role == "none" else role
    for c, role in enumerate(roles):
        text = not columns.numeric(c)
        if text and role in ("up", "down", "conductance"):
            _check_no_numbers(columns, c)
        if text and role not in ("cycle", "device", "polarity", "ignored"):
            if _all_directions(columns.values[c]):
                roles[c] = "polarity"
            else:
                roles[c] = "device" if role is None else "ignored"
    if not any(roles) and len(roles) > 1 and _is_count(columns.values[0]):
        roles[0] = "pulse"
    return roles


def _check_no_numbers(columns: Columns, c: int) -> None:
    """Raise InputError where a column of readings has cells that begin as numbers do, and are none."""
    for line, cell in zip(columns.lines, columns.values[c], strict=True):
        if re.match(r"[-+−.]?\d", cell) and number(cell) is None:
            raise InputError(f"{columns.source} row {line}, {columns.label(c)}: {complaint(cell, None)}")


def _find(columns: Columns, role: str, name: str) -> int:
    if name in columns.names:
        return columns.names.index(name)
    if name.isdigit() and 1 <= int(name) <= len(columns.names):
        return int(name) - 1
    known = ", ".join(n or str(c) for c, n in enumerate(columns.names, 1))
    raise InputError(
        f"--column {role}={name}: {columns.source} has no column {shown(name)}; choose a number from 1 to "
        f"{len(columns.names)}, or one of {known}"
    )


def _all_directions(values: list[str]) -> bool:
    return all(polarity_of(v) is not None for v in values if v) and any(values)


def polarity_of(text: str | float) -> bool | None:
    """True for up, False for down, as words or signs have it; None for other text."""
    if isinstance(text, str):
        words = set(_words(text)) | {text.strip().lower()}
        if words & (UP | {"+", "+1", "1"}):
            return True
        return False if words & (DOWN | {"-", "-1", "0", "−"}) else None
    return bool(text > 0) if np.isfinite(text) else None


def _is_count(values: np.ndarray) -> bool:
    """Whether a column counts: even steps upwards, as pulse numbers and times have."""
    if np.isnan(values).any() or values.size < 4:
        return False
    gaps = np.diff(values)
    return bool(gaps.min() > 0 and np.ptp(gaps) <= 1e-6 * gaps.max() + 1e-12 * np.abs(values).max())


def voltage_of(name: str) -> float | None:
    """A read voltage in a column's name, as in "I at 0.1 V"."""
    found = re.search(r"(?:@|at|v_?read\s*=?)\s*([\d.]+)\s*(m?)v", name.lower())
    return float(found[1]) * (1e-3 if found[2] else 1.0) if found else None
