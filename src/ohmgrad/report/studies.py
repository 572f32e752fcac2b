"""The figure and the tables of a study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from ..studies.compare import DIGITAL
from ..studies.study import Claim, Outcome
from ..style import RC, style_of
from .figures import save

__all__ = ["claims_table", "compare_table", "study_figure", "study_table"]


def study_figure(outcome: Outcome) -> list[Path]:
    """Draw a study's figure into its folder, as SVG, PDF and PNG; returns the files."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=outcome.study.size, layout="constrained")
        outcome.study.draw(figure, outcome.settings, outcome.columns)
        return save(figure, outcome.folder / "figure")


def study_table(outcome: Outcome) -> Table:
    """The table of a study; bounds of intervals stand with their value."""
    rows = outcome.table
    title = f"{outcome.study.name}: {outcome.study.title}"
    table = Table(title=title, title_justify="left", caption=outcome.study.source, caption_justify="left")
    names = [name for name in rows[0] if not name.endswith(("_low", "_high"))]
    for name in names:
        table.add_column(name.replace("_", " "), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row, name) for name in names))
    return table


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    low = row.get(f"{name}_low")
    if low is None or not math.isfinite(low):
        return f"{value:.4g}"
    return f"{value:.4g} ± {value - low:.2g}"


#: colour of a claim's result
_COLOURS = {"PASS": "green", "FAIL": "red", "not shown here": "yellow"}


def claims_table(claims: Iterable[tuple[str, Claim]], quick: bool = False) -> Table:
    """Claims of one or more studies: what is claimed, what was measured, and whether it holds."""
    table = Table(title="claims", title_justify="left")
    table.add_column("study")
    table.add_column("claim", overflow="fold", ratio=3)
    table.add_column("measured", overflow="fold", ratio=2)
    table.add_column("value [95 % interval]", justify="right")
    table.add_column("wanted", justify="right")
    table.add_column("")
    for study, c in claims:
        result = c.result(quick)
        mark = f"[{_COLOURS[result]}]{result}[/]"
        value = f"{c.value:.3g} [{c.low:.3g}, {c.high:.3g}]".replace("[", "\\[", 1)
        table.add_row(study, c.claim, c.quantity, value, c.wanted, mark)
    table.caption = "PASS: the whole interval agrees with the claim" + (
        "; not shown here: settings this small cannot decide it" if quick else ""
    )
    table.caption_justify = "left"
    return table


def compare_table(outcome: Outcome) -> Table:
    """Algorithms down, devices across: test accuracy with its 95 % interval, and pulses in millions."""
    algorithms = [a for a in outcome.settings["algorithms"] if a != DIGITAL]
    rows = {(row["algorithm"], row["device"]): row for row in outcome.table}
    seeds = outcome.settings["seeds"]
    table = Table(
        title=f"test accuracy (%) ± 95 % interval over {seeds} seeds, and below it pulses (millions), on "
        f"{outcome.settings['data']}",
        title_justify="left",
    )
    table.add_column("algorithm")
    for device in outcome.settings["devices"]:
        table.add_column(Path(device).stem, justify="right", overflow="fold")
    for a in algorithms:
        cells = [rows[a, d] for d in outcome.settings["devices"]]
        table.add_row(style_of(a).label, *(f"{_percent(row)}\n{row['pulses']:.3g}" for row in cells))
    if (DIGITAL, "-") in rows:
        table.caption = f"digital SGD: {_percent(rows[DIGITAL, '-'])}"
        table.caption_justify = "left"
    return table


def _percent(row: Mapping[str, Any]) -> str:
    return f"{row['test_accuracy']:.1f} ± {row['test_accuracy'] - row['test_accuracy_low']:.1f}"
