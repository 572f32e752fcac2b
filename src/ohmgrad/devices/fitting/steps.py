"""Tables of steps instead of ramps: cumulative as of CrossSim, P(step | G), and sizes at even weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, naming
from ..measured import Measured
from .cells import Grid, number
from .pulses import StepTable, Understood
from .roles import polarity_of
from .table import Columns, unit_of

__all__ = ["cumulative", "even_steps", "from_npz", "is_even_steps", "joined", "probabilities"]

#: levels of the quantiles that are made of probabilities
_LEVELS = 41
#: (conductances, levels, steps (levels, nodes)) of one direction
Tabulated = tuple[np.ndarray, np.ndarray, np.ndarray]


def from_npz(path: Path) -> StepTable:
    """CrossSim's tables as arrays G, cdf, inc and dec."""
    measured = Measured.from_npz(path)
    n, levels, nodes = measured.devices, len(measured.cdf), measured.intervals + 1
    said = Understood(f"cumulative tables of steps: {n} devices, {nodes} conductances, {levels} levels")
    return StepTable(measured, "", (said,))


def cumulative(grid: Grid) -> Tabulated | None:
    """A row of conductances, a row of probabilities, then a row of dG for each of these; None for others.

    Raises:
        InputError: when the first two rows are so, and those below do not fit.
    """
    rows = [[number(c) for c in row if c not in (None, "")] for row in grid.rows]
    start = next((i for i, row in enumerate(rows) if row and all(v is not None for v in row)), None)
    if start is None or len(rows) < start + 4:
        return None
    g, p = (
        (np.array(row, dtype=np.float64) for row in rows[start : start + 2] if row)
        if all(v is not None for row in rows[start : start + 2] for v in row)
        else (np.zeros(0), np.zeros(0))
    )
    rising = g.size > 2 and p.size > 2 and (np.diff(g) > 0).all() and (np.diff(p) > 0).all()
    if not rising or p[0] != 0 or abs(p[-1] - 1) > 1e-9:
        return None
    body = rows[start + 2 :]
    if len(body) != p.size:
        raise InputError(
            f"{grid.source} has {len(body)} rows of dG from row {grid.lines[start + 2]} on, but its row of "
            f"probabilities has {p.size}: give a row for each"
        )
    for line, row in zip(grid.lines[start + 2 :], body, strict=True):
        if len(row) != g.size or any(v is None or np.isnan(v) for v in row):
            raise InputError(
                f"{grid.source} row {line} has {len(row)} numbers, but there are {g.size} conductances: "
                f"give a "
                "dG for each, and no text"
            )
    p[-1] = 1.0
    return g, p, np.array(body, dtype=np.float64)


def joined(up: Tabulated, down: Tabulated, names: str, what: str) -> StepTable:
    """One table of both directions.

    Raises:
        InputError: when their grids differ, or as `Measured` raises.
    """
    (g, p, inc), (other_g, other_p, dec) = up, down
    if g.shape != other_g.shape or not np.allclose(g, other_g, rtol=1e-6, atol=0):
        raise InputError(f"{names} have other conductances: one grid is needed for up and down")
    if p.shape != other_p.shape or not np.allclose(p, other_p):
        raise InputError(f"{names} have other probabilities: one grid is needed for up and down")
    with naming(names):
        measured = Measured(g, p, inc, dec)
    said = Understood(f"{what}: {g.size} conductances from {g[0]:.4g} to {g[-1]:.4g}, {p.size} levels")
    return StepTable(measured, "", (said,))


def probabilities(
    columns: Columns, roles: list[str | None], grid: Grid
) -> dict[bool | None, Tabulated] | None:
    """P(step | G): long (columns of conductance, step, probability) or a matrix; None for other tables.

    Returns:
        By direction: True up, False down, None where the table does not say.
    """
    if "probability" in roles and "step" in roles:
        return _long(columns, roles)
    return _matrix(grid)


def _long(columns: Columns, roles: list[str | None]) -> dict[bool | None, Tabulated]:
    at = {role: roles.index(role) for role in dict.fromkeys(roles) if role}
    if "conductance" not in at:
        raise InputError(
            f"{columns.source} has steps and probabilities, but no column of conductances: name it with "
            f"--column conductance=NUMBER"
        )
    g, s, p = (columns.values[at[k]] for k in ("conductance", "step", "probability"))
    if "polarity" in at:
        sides = [polarity_of(v) for v in columns.values[at["polarity"]]]
        if None in sides:
            line = columns.lines[sides.index(None)]
            raise InputError(
                f"{columns.source} row {line}: the polarity says neither up nor down: write up or down"
            )
    else:
        sides = [None] * g.size
    out: dict[bool | None, Tabulated] = {}
    for side in dict.fromkeys(sides):
        mine = np.array([x == side for x in sides])
        nodes = np.unique(g[mine])
        parts = [(s[mine & (g == node)], p[mine & (g == node)]) for node in nodes]
        out[side] = _quantiles(columns.source, nodes, parts)
    return out


def _matrix(grid: Grid) -> dict[bool | None, Tabulated] | None:
    """First row conductances, first column steps, in between probabilities that sum to 1 in each column."""
    rows = [[number(c) for c in row] for row in grid.rows]
    width = len(rows[0])
    if len(rows) < 4 or width < 4 or any(len(row) != width for row in rows):
        return None
    body = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
    g, s, p = body[0, 1:], body[1:, 0], body[1:, 1:]
    if not (np.isfinite(g).all() and np.isfinite(s).all() and np.isfinite(p).all()) or (p < 0).any():
        return None
    totals = p.sum(0)
    scale = next((k for k in (1.0, 100.0) if np.allclose(totals, k, rtol=0.03)), None)
    if scale is None or not (np.diff(g) > 0).all() or np.unique(s).size != s.size:
        return None
    return {None: _quantiles(grid.source, g, [(s, column / scale) for column in p.T])}


def _quantiles(source: str, nodes: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Tabulated:
    levels = np.linspace(0.0, 1.0, _LEVELS)
    table = np.empty((_LEVELS, nodes.size))
    for k, (steps, weight) in enumerate(parts):
        if not weight.sum() > 0 or (weight < 0).any() or np.isnan(steps).any():
            raise InputError(
                f"{source}: the probabilities at the conductance {nodes[k]:g} are {weight.sum():g} in "
                f"all, but must "
                "be positive and sum to 1"
            )
        order = np.argsort(steps)
        steps, weight = steps[order], weight[order] / weight.sum()
        if steps.size == 1:
            table[:, k] = steps[0]
            continue
        edges = np.concatenate(
            [
                [1.5 * steps[0] - 0.5 * steps[1]],
                (steps[1:] + steps[:-1]) / 2,
                [1.5 * steps[-1] - 0.5 * steps[-2]],
            ]
        )
        total = np.concatenate([[0.0], np.cumsum(weight)])
        keep = np.concatenate([[True], np.diff(total) > 1e-12])
        keep[0] = total[1] > 1e-12
        first = int(np.flatnonzero(total > 1e-12)[0])
        keep[first - 1] = True
        table[:, k] = np.interp(levels, total[keep], edges[keep])
    if nodes.size < 3:
        raise InputError(f"{source} has steps at {nodes.size} conductances, but at least 3 are needed")
    return nodes, levels, table


def is_even_steps(columns: Columns, roles: list[str | None]) -> bool:
    """Two columns of sizes of steps: their names say so, or they are few positive numbers and no ramps."""
    numeric = [c for c, role in enumerate(roles) if columns.numeric(c) and role not in ("pulse", "time")]
    if len(numeric) != 2 or any(roles[c] not in (None, "up", "down", "step") for c in numeric):
        return False
    if all(roles[c] == "step" or "step" in columns.names[c].lower() for c in numeric):
        return True
    up, down = (columns.values[c] for c in numeric)
    if (
        np.isnan(up).any()
        or np.isnan(down).any()
        or up.size > 64
        or up.size < 2
        or min(up.min(), down.min()) < 0
    ):
        return False

    def moves(y: np.ndarray) -> float:
        third = max(y.size // 3, 1)
        return float(y[-third:].mean() - y[:third].mean()) / (float(np.ptp(y)) or 1.0)

    if any((unit_of(columns.units[c]) or ("",))[0] == "ohm" for c in numeric):
        return False
    same = not (np.ptp(up) or np.ptp(down))
    return not same and max(abs(moves(up)), abs(moves(down))) < 0.6


def even_steps(columns: Columns, roles: list[str | None]) -> StepTable:
    """Steps up and down at even weights over [-1, 1].

    Raises:
        InputError: when there are not two columns of sizes, or one is negative or missing.
    """
    at: Any = [
        c for c, role in enumerate(roles) if columns.numeric(c) and role not in ("pulse", "time", "ignored")
    ]
    if len(at) > 2:
        at = [c for c in at if roles[c] in ("up", "down", "step")] or at
    if len(at) != 2:
        raise InputError(
            f"{columns.source} has {len(at)} columns of step sizes, but two are needed: up and down; "
            f"leave others "
            "out with --column none=NUMBER"
        )
    if roles[at[0]] == "down" or roles[at[1]] == "up":
        at = at[::-1]
    pair = np.array([columns.values[c] for c in at])
    if (pair[1] <= 0).all():
        pair[1] *= -1
    for c, values in zip(at, pair, strict=True):
        bad = np.flatnonzero(~(values >= 0))
        if bad.size:
            raise InputError(
                f"{columns.source} row {columns.lines[bad[0]]}, {columns.label(c)} is "
                f"{values[bad[0]]:g}, but a size "
                "of a step must be a number of at least 0"
            )
    if pair.shape[1] < 2 or not (pair > 0).any(1).all():
        raise InputError(
            f"{columns.source} has {pair.shape[1]} sizes of steps, but at least 2 that are not all 0 "
            f"are needed"
        )
    said = Understood(
        f"sizes of steps at {pair.shape[1]} even weights from -1 to 1: {columns.label(at[0])} up, "
        f"{columns.label(at[1])} down", "--layout wide (ramps)",
    )  # fmt: skip
    return StepTable(None, "", (*(Understood(s) for s in columns.said), said), even=pair)
