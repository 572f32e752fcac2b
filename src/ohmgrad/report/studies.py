"""The figure and the tables of a study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ..checked import checked
from ..cost.hardware import hardware
from ..studies.compare import DIGITAL, pairs, verdicts
from ..studies.compared_costs import common_accuracy, curves
from ..studies.study import Claim, Outcome, Result
from ..studies.tuned import reported
from ..style import RC, style_of
from .compared_costs import Compared
from .costs import prefix_of, with_prefix
from .figures import save

__all__ = [
    "claims_table", "compare_costs", "compare_lines", "compare_table", "study_figure", "study_table",
]  # fmt: skip


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
        mark = Text(result, _COLOURS[result])
        value = Text(f"{c.value:.3g} [{c.low:.3g}, {c.high:.3g}]")
        table.add_row(study, c.claim, c.quantity, value, c.wanted, mark)
    table.caption = "PASS: the whole interval agrees with the claim" + (
        "; not shown here: a run with other settings than the study's cannot decide it"
        if any(result == "not shown here" for _, _, result in claims)
        else ""
    )
    table.caption_justify = "left"
    return table


#: columns of a comparison on one device
_COLUMNS = (
    "accuracy (%)", "gap", "best?", "pulses/\nupdate", "pulses", "energy", "time", "|g|²", "floor"
)  # fmt: skip


@checked
def compare_table(outcome: Outcome) -> Table:
    """Of one device, a row for each algorithm, the best first; of several, devices across."""
    settings, devices = outcome.settings, list(outcome.settings["devices"])
    rows = {(row["algorithm"], row["device"]): row for row in outcome.table}
    algorithms = [a for a in settings["algorithms"] if a != DIGITAL]
    one = len(devices) == 1
    scales: list[tuple[float, str]] = []
    title = f"algorithms on {Path(devices[0]).stem}, data {settings['data']}" if one else (
        "accuracy (%), gap to digital, pulses per element and update, energy at equal accuracy; data "
        f"{settings['data']}"
    )  # fmt: skip
    narrow: dict[str, Any] = {"box": SIMPLE_HEAD, "padding": 0} if one else {"box": HEAVY_HEAD}
    table = Table(title=title, title_justify="left", caption_justify="left", **narrow)
    table.add_column("algorithm", min_width=9)
    if one:
        scales = [_scale([rows[a, devices[0]][name] for a in algorithms]) for name, _ in _COSTS]
        units = {
            name: f"\n({prefix}{unit})" for (name, unit), (_, prefix) in zip(_COSTS, scales, strict=True)
        }
        for name in _COLUMNS:
            table.add_column(f"{name}{units.get(name, '')}", justify="right", no_wrap=True)
        algorithms.sort(key=lambda a: -_or_zero(rows[a, devices[0]]["test_accuracy"]))
    else:
        for device in devices:
            table.add_column(Path(device).stem, justify="right", overflow="fold")
    for a in algorithms:
        if one:
            shown = _details(rows[a, devices[0]], [factor for factor, _ in scales])
        else:
            shown = ["\n".join(_few(rows[a, device])) for device in devices]
        table.add_row(style_of(a).label, *shown)
    shared = [rows[DIGITAL, "-"], *(rows[a, device] for a in algorithms for device in devices)]
    table.caption = f"{_caption(outcome, rows[DIGITAL, '-'], one)} {_costs_caption(outcome, shared)}"
    return table


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _few(row: Mapping[str, Any]) -> list[str]:
    """The cells of a pair among several devices: accuracy, gap, pulses, energy."""
    found = _details(row, [1.0, 1.0])
    return [
        found[0],
        found[1],
        found[3],
        with_prefix(row["energy"], "J", 2) if math.isfinite(row["energy"]) else "-",
    ]


def _scale(values: Iterable[float]) -> tuple[float, str]:
    """Power of ten and SI prefix of the least value, so that all have digits before the point."""
    return prefix_of(min(filter(math.isfinite, values), default=1.0))


def _details(row: Mapping[str, Any], scales: Iterable[float]) -> list[str]:
    """The cells `_COLUMNS` of a pair.

    Args:
        scales: by which energy and time are divided.
    """
    if not math.isfinite(row["test_accuracy"]):
        return ["failed", *["-"] * (len(_COLUMNS) - 1)]
    return [
        _points(row, "test_accuracy"),
        _points(row, "gap"),
        f"{100 * row['best']:.0f} %" if math.isfinite(row["best"]) else "-",
        *(_short(row[n]) for n in ("pulses_per_update", "pulses_per_element")),
        *(_short(row[name] / scale) for (name, _), scale in zip(_COSTS, scales, strict=True)),
        *(_short(row[n]) for n in ("gradient_sq", "floor")),
    ]


#: costs of a pair, with units
_COSTS = (("energy", "J"), ("time", "s"))


def _costs_caption(outcome: Outcome, rows: Iterable[Mapping[str, Any]]) -> str:
    """What energies and times are of, and those of digital SGD to the same accuracies, with its source."""
    hw, wanted = hardware(outcome.settings["hardware"]), outcome.settings["accuracy"]
    digital = {
        row["cost_accuracy"]: f"{with_prefix(row['digital_energy'], 'J')}, "
        f"{with_prefix(row['digital_time'], 's')} to {row['cost_accuracy']:.1f} %"
        for row in rows
        if math.isfinite(row["digital_energy"])
    }
    until = (
        f"{wanted:g} % test accuracy"
        if wanted
        else "the highest test accuracy that all means on a device reach"
    )
    return (
        f"energy, time: estimates of the training on {hw.name}, up to {until}; -: not reached. Digital SGD: "
        f"{'; '.join(digital.values()) or 'not reached'} ({hw.sources['baseline_energy'].text})."
    )


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


def compare_costs(outcome: Outcome) -> list[Compared]:
    """Of every device the curves of its algorithms and of digital SGD; none where nothing was trained."""
    settings = outcome.settings
    found = curves(pairs(settings), reported(outcome.columns), settings["hardware"])
    return [
        Compared(
            Path(device).stem,
            {style_of(a): curve for (a, on), curve in found.items() if on in (device, "-")},
            settings["accuracy"] or common_accuracy(found, device),
        )
        for device in settings["devices"]
        if any(on == device for _, on in found)
    ]
