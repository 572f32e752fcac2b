"""The scoreboard in the terminal and as a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from ..checked import checked
from ..studies.scoreboard import Cell

__all__ = ["cells_table", "counts_table", "scoreboard_page"]

_STATUS = ("reproduced", "differs", "other settings", "not run")
_COLOURS = {"reproduced": "green", "differs": "red", "other settings": "yellow", "not run": "dim"}


@checked
def counts_table(cells: Sequence[Cell]) -> Table:
    """How many cells of every table are reproduced, differ, or were not run as the study has them."""
    table = Table(title="scoreboard", title_justify="left")
    table.add_column("published in", overflow="fold")
    table.add_column("study")
    for status in _STATUS:
        table.add_column(status, justify="right")
    for source, group in _tables(cells):
        counts = Counter(cell.status for cell in group)
        table.add_row(source, group[0].study or "-", *(str(counts[s] or "") for s in _STATUS))
    total = Counter(cell.status for cell in cells)
    table.add_section()
    table.add_row(f"all {len(cells)} cells", "", *(str(total[s]) for s in _STATUS))
    table.caption = (
        "reproduced: the published value lies within our 95 % interval widened by its own spread, or our "
        "interval below a published bound"
    )
    table.caption_justify = "left"
    return table


@checked
def cells_table(cells: Iterable[Cell]) -> Table:
    """Every cell that was run: the published value, ours, the difference."""
    table = Table(title="cells that were run", title_justify="left")
    for name in ("published in", "cell", "published", "ours", "ours - published", "hours a run", ""):
        table.add_column(
            name, overflow="fold", justify="left" if name in ("published in", "cell", "") else "right"
        )
    for cell in cells:
        if cell.ours is not None:
            gap = "" if cell.published.below else f"{cell.ours[0] - cell.published.value:+.2f}"
            status = Text(cell.status, _COLOURS[cell.status])
            where, hours = f"{cell.row}, {cell.column}", f"{cell.seconds / 3600:.2f}"
            table.add_row(cell.source, where, cell.published.text, _ours(cell), gap, hours, status)
    return table


@checked
def scoreboard_page(cells: Sequence[Cell], claims: Sequence[tuple[str, dict[str, str]]]) -> str:
    """All cells and claims as Markdown."""
    total = Counter(cell.status for cell in cells)
    lines = [
        "# Scoreboard",
        "",
        "`ohmgrad reproduce scoreboard` makes this page from the folders that the studies leave. A cell is",
        "*reproduced* when the published value lies within our 95 % interval widened by its own standard",
        "deviation; of a bound, when our interval lies below it. It *differs* otherwise, by chance or for",
        "the reason given. A run with *other settings* than the study's, such as fewer epochs, decides",
        "nothing. The published value comes first, ours below it.",
        "",
        f"**{total['reproduced']} of {len(cells)} cells are reproduced, {total['differs']} differ, "
        f"{total['other settings']} were run with other settings, {total['not run']} were not run.**",
        "",
    ]
    for source, group in _tables(cells):
        lines += _table_lines(source, group)
    lines += [
        "## Claims",
        "",
        "PASS: the whole 95 % interval agrees with the claim. *Not shown here*: the run was",
        "too small to decide it.",
        "",
    ]
    for name, group in groupby(claims, key=lambda item: item[0]):
        lines += [
            f"### {name}",
            "",
            "| claim | measured | value [95 % interval] | wanted | |",
            "|---|---|--:|--:|---|",
        ]
        for _, row in group:
            value, low, high = (f"{float(row[k]):.3g}" for k in ("value", "low", "high"))
            words = (
                row["claim"],
                row["quantity"],
                f"{value} [{low}, {high}]",
                row["threshold"],
                row["result"],
            )
            lines.append(f"| {' | '.join(w.replace('|', chr(92) + '|') for w in words)} |")
        lines.append("")
    return "\n".join(lines)


def _table_lines(source: str, group: Sequence[Cell]) -> list[str]:
    columns = list(dict.fromkeys(cell.column for cell in group))
    lines = [f"## {source}", ""]
    run = [cell for cell in group if cell.ours is not None]
    if run:
        hours = f"{min(c.seconds for c in run) / 3600:.2g} to {max(c.seconds for c in run) / 3600:.2g} hours"
        lines += [f"Study {run[0].study}; {run[0].settings}. A training took {hours}.", ""]
    else:
        lines += [f"Not run: needs {group[0].note}.", ""]
    lines += [
        f"| {group[0].axes} ({group[0].unit}) | {' | '.join(columns)} |",
        "|---|" + "--:|" * len(columns),
    ]
    for row, cells in groupby(group, key=lambda cell: cell.row):
        of = {cell.column: cell for cell in cells}
        lines.append(f"| {row} | {' | '.join(_entry(of[c]) if c in of else '' for c in columns)} |")
    notes = [f"- {cell.row}, {cell.column}: {cell.note}" for cell in run if cell.note]
    return [*lines, "", *notes, *([""] if notes else [])]


def _entry(cell: Cell) -> str:
    if cell.ours is None:
        return cell.published.text
    return f"{cell.published.text}<br>{_ours(cell)}<br>*{cell.status}*"


def _ours(cell: Cell) -> str:
    if cell.ours is None:
        return ""
    mean, low, _ = cell.ours
    if not math.isfinite(low):
        return f"{mean:.2f} (one run)"
    return f"{mean:.2f} ± {mean - low:.2f}"


def _tables(cells: Iterable[Cell]) -> list[tuple[str, list[Cell]]]:
    return [(source, list(group)) for source, group in groupby(cells, key=lambda cell: cell.source)]
