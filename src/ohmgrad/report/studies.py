"""The figure and the tables of a study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.table import Table

from ..checked import checked
from ..studies.compare import DIGITAL, verdicts
from ..studies.study import Claim, Outcome, Result
from ..style import RC, style_of
from .figures import save

__all__ = ["claims_table", "compare_lines", "compare_table", "study_figure", "study_table"]


@checked
def study_figure(outcome: Outcome) -> list[Path]:
    """Draw a study's figure into its folder, as SVG, PDF and PNG; returns the files."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=outcome.study.size, layout="constrained")
        outcome.study.draw(figure, outcome.settings, outcome.columns)
        return save(figure, outcome.folder / "figure")


@checked
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


@checked
def claims_table(claims: Iterable[tuple[str, Claim, Result]]) -> Table:
    """Claims of studies, by their names: what is claimed, what was measured, and whether it holds."""
    claims = list(claims)
    table = Table(title="claims", title_justify="left")
    table.add_column("study")
    table.add_column("claim", overflow="fold", ratio=3)
    table.add_column("measured", overflow="fold", ratio=2)
    table.add_column("value [95 % interval]", justify="right")
    table.add_column("wanted", justify="right")
    table.add_column("")
    for study, c, result in claims:
        mark = f"[{_COLOURS[result]}]{result}[/]"
        value = f"{c.value:.3g} [{c.low:.3g}, {c.high:.3g}]".replace("[", "\\[", 1)
        table.add_row(study, c.claim, c.quantity, value, c.wanted, mark)
    table.caption = "PASS: the whole interval agrees with the claim" + (
        "; not shown here: a run with other settings than the study's cannot decide it"
        if any(result == "not shown here" for _, _, result in claims)
        else ""
    )
    table.caption_justify = "left"
    return table


#: columns of a comparison on one device
_COLUMNS = ("accuracy (%)", "gap", "best?", "pulses/\nupdate", "pulses", "|g|²", "floor")


@checked
def compare_table(outcome: Outcome) -> Table:
    """Of one device, a row for each algorithm, the best first; of several, devices across."""
    settings, devices = outcome.settings, list(outcome.settings["devices"])
    rows = {(row["algorithm"], row["device"]): row for row in outcome.table}
    algorithms = [a for a in settings["algorithms"] if a != DIGITAL]
    one = len(devices) == 1
    title = f"algorithms on {Path(devices[0]).stem}, data {settings['data']}" if one else (
        f"accuracy (%), gap to digital, pulses per element and update; data {settings['data']}"
    )  # fmt: skip
    narrow: dict[str, Any] = {"box": SIMPLE_HEAD, "padding": 0} if one else {"box": HEAVY_HEAD}
    table = Table(title=title, title_justify="left", caption_justify="left", **narrow)
    table.add_column("algorithm", min_width=9)
    if one:
        for name in _COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        algorithms.sort(key=lambda a: -_or_zero(rows[a, devices[0]]["test_accuracy"]))
    else:
        for device in devices:
            table.add_column(Path(device).stem, justify="right", overflow="fold")
    for a in algorithms:
        cells = [_details(rows[a, device]) for device in devices]
        shown = cells[0] if one else ["\n".join((c[0], c[1], c[3])) for c in cells]
        table.add_row(style_of(a).label, *shown)
    table.caption = _caption(outcome, rows[DIGITAL, "-"], one)
    return table


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _details(row: Mapping[str, Any]) -> list[str]:
    """The cells `_COLUMNS` of a pair."""
    if not math.isfinite(row["test_accuracy"]):
        return ["failed", *["-"] * (len(_COLUMNS) - 1)]
    return [
        _points(row, "test_accuracy"),
        _points(row, "gap"),
        f"{100 * row['best']:.0f} %" if math.isfinite(row["best"]) else "-",
        *(_short(row[n]) for n in ("pulses_per_update", "pulses_per_element", "gradient_sq", "floor")),
    ]


def _short(value: float) -> str:
    """Two digits that count, or all before the point."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.2g}"


def _points(row: Mapping[str, Any], name: str) -> str:
    value, low = row[name], row[f"{name}_low"]
    if not math.isfinite(value):
        return "-"
    return f"{value:.1f}" + (f" ± {value - low:.1f}" if math.isfinite(low) else "")


def _caption(outcome: Outcome, digital: Mapping[str, Any], one: bool) -> str:
    settings = outcome.settings
    rates = len(settings["rates"])
    budget = settings["budget"] or rates
    beyond = f", {budget - rates} of them with other options" if budget > rates else ""
    told = (
        f"digital SGD: {_points(digital, 'test_accuracy')} %. ±: 95 % intervals over {settings['seeds']} "
        "seeds; gap: to digital with the same seeds, in points. "
        f"{settings['epochs']} epochs; lr by the training loss of {budget} trainings of "
        f"{settings['tuning_epochs']} epochs for each pair{beyond}."
    )
    if one:
        told += (
            " best?: probability of the highest accuracy. pulses: of an element, of all arrays, in an update "
            "and in the training. |g|²: squared norm of the gradient in the last epoch, nats² by weight², "
            "which cannot come to rest below the floor, as the theory has it (where it has one)."
        )
    return told


@checked
def compare_lines(outcome: Outcome) -> list[str]:
    """What a comparison says in words: trainings that failed, and for each device the verdict."""
    failed = outcome.failed
    lines = [f"failed: {failure.name}: {failure.error}" for failure in failed[:10]]
    if failed:
        more = f"{len(failed) - 10} more failed; " if len(failed) > 10 else ""
        lines.append(
            f"{more}all reasons: {outcome.folder}/raw/_errors; the same command tries these trainings again"
        )
    return lines + verdicts(outcome.settings, outcome.columns, outcome.table)
