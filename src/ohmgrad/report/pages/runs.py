"""The page of a folder, whatever made it; and one page that compares several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from ...checked import checked
from ...devices import describe
from ...errors import InputError, check_choice
from ...studies.compare import COMPARE, DIGITAL
from ...studies.finished import read_outcome
from ...studies.folders import read_metrics, read_spec
from ...studies.rows import Row
from ...studies.study import Claim, Outcome, Result, interval
from ...studies.versions import read_versions
from ...style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RC, RED, SKY, style_of
from ...yaml_text import read_yaml
from ..page import Block, Page, Picture, Section
from ..studies import claims_table
from .run import accuracies, run_page
from .study import compare_page, pair_accuracies, study_page, study_verdict
from .words import Values, accuracy, command, gap, short_accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page_of", "runs_page"]

_COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK)
_DASHES = ("-", "--", ":", "-.")


@checked
def page_of(folder: Path) -> Page:
    """The page of one folder of `train`, `compare` or `reproduce`.

    Raises:
        InputError: when it is none of these, is damaged, or a study in it is not finished.
    """
    spec = _spec(folder)
    if "study" not in spec:
        return run_page(folder)
    outcome = _outcome(folder, spec)
    return compare_page(outcome) if outcome.study is COMPARE else study_page(outcome)


def _spec(folder: Path) -> dict[str, Any]:
    file = folder / "spec.yaml"
    spec = read_yaml(file) if file.is_file() else None
    if not isinstance(spec, dict):
        raise InputError(f"{folder} is no folder of a run: name one that train, compare or reproduce wrote")
    return spec


def _outcome(folder: Path, spec: Mapping[str, Any]) -> Outcome:
    """What a finished study's folder holds."""
    from ...studies.papers import STUDIES

    known = {**STUDIES, COMPARE.name: COMPARE}
    study = known[check_choice(f"study in {folder}", spec["study"], known)]
    settings = {name: value for name, value in spec.items() if name not in ("study", "ohmgrad")}
    return read_outcome(study, folder, settings)


@dataclass(frozen=True)
class _Run:
    """A folder: settings as text, accuracies by algorithm and device, and what else its kind has."""

    name: str
    settings: dict[str, str]
    found: dict[tuple[str, str], Values] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    claims: list[tuple[Claim, Result]] = field(default_factory=list)
    words: str = ""


@checked
def runs_page(folders: Sequence[Path], path: Path) -> Page:
    """One page of several folders: accuracies beside each other, claims, and which settings differ.

    Args:
        folders: at least two, all different.
        path: where the page will be, for its command.

    Raises:
        InputError: when a folder is no run, is damaged or named twice, or a study in it is not finished.
    """
    resolved = [folder.resolve() for folder in folders]
    for k, folder in enumerate(resolved):
        if folder in resolved[:k]:
            raise InputError(f"{folders[k]} is named twice: name each run once")
    short = [folder.name for folder in resolved]
    names = [n if short.count(n) == 1 else str(f) for n, f in zip(short, folders, strict=True)]
    runs = [_run(folder, name) for folder, name in zip(folders, names, strict=True)]
    sections = []
    measured = [run for run in runs if run.found]
    if measured:
        blocks: list[Block] = [Picture(_figure(measured), "Means over seeds with 95 % intervals.")]
        if any(run.rows for run in measured):
            blocks.append(Picture(_curves(measured), "Means over seeds after each epoch."))
        sections.append(Section("Accuracy", (*blocks, _accuracy_table(measured))))
    claims = [(run.name, *claim) for run in runs for claim in run.claims]
    if claims:
        sections.append(Section("Claims", (claims_table(claims),)))
    sections.append(Section("What differs", tuple(_differences(runs))))
    again = command("report", map(str, folders), "--out", str(path))
    versions = [read_versions(folder) for folder in folders]
    joined = {name: ", ".join(dict.fromkeys(v.get(name, "not noted") for v in versions))
              for name in dict.fromkeys(n for v in versions for n in v)}  # fmt: skip
    title = f"{len(runs)} runs: {', '.join(names)}"
    return Page(title, _verdict(runs), tuple(sections), again, joined)


def _run(folder: Path, name: str) -> _Run:
    spec = _spec(folder)
    if "study" in spec:
        outcome = _outcome(folder, spec)
        settings = _flat({"study": outcome.study.name, **outcome.settings})
        if outcome.study is COMPARE:
            return _Run(name, settings, pair_accuracies(outcome))
        words = f"{name}: {study_verdict(outcome)}"
        return _Run(name, settings, claims=outcome.results, words=words)
    run, rows = read_spec(folder), read_metrics(folder)
    if not rows:
        raise InputError(f"{folder} has no finished epoch yet: train it, or leave it out")
    found = {(a, "-"): values for a, (_, values) in accuracies(rows).items()}
    device = run.device if isinstance(run.device, str) else describe(run.built_device())
    return _Run(name, _flat({**run.to_dict(), "device": device}), found, rows)


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings as text, those of mappings under names such as options.columns."""
    out: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{before}{name}.")
        else:
            listed = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            out[f"{before}{name}"] = "none" if listed in ("", "None") else listed
    return out


def _label(run: _Run, algorithm: str, device: str) -> str:
    on = "" if device == "-" else f" on {Path(device).stem}"
    return f"{style_of(algorithm).label}{on} ({run.name})"


def _verdict(runs: Sequence[_Run]) -> str:
    lines = []
    ranked = sorted(
        ((run, key) for run in runs for key in run.found if key[0] != DIGITAL),
        key=lambda pair: -float(np.mean(list(pair[0].found[pair[1]].values()))),
    )
    if ranked:
        best, key = ranked[0]
        label = _label(best, *key)
        line = f"The highest test accuracy is that of {label}: {accuracy(best.found[key])}"
        others = [pair for pair in ranked[1:] if pair[0] is not best]
        if others:
            other, at = others[0]
            name = f"the best of another run, {_label(other, *at)}"
            line += f", {gap(best.found[key], other.found[at], name)}"
        lines.append(f"{line}.")
    for name in ("data", "model"):
        kinds = dict.fromkeys(run.settings[name] for run in runs if run.found and name in run.settings)
        if len(kinds) > 1:
            lines.append(f"The runs differ in {name} ({', '.join(kinds)}): their accuracies do not compare.")
    return "\n".join([*lines, *(run.words for run in runs if run.words)])


def _accuracy_table(runs: Sequence[_Run]) -> Table:
    table = Table(title="test accuracy (%) [95 % interval over seeds]")
    for name in ("run", "algorithm", "device"):
        table.add_column(name)
    for name in ("epochs", "seeds", "test accuracy"):
        table.add_column(name, justify="right")
    table.add_column("against digital SGD")
    for run in runs:
        digital = run.found.get((DIGITAL, "-"))
        for (algorithm, device), values in run.found.items():
            against = gap(values, digital, "it") if digital and algorithm != DIGITAL else "-"
            name = escape(Path(device).stem) if device != "-" else run.settings.get("device", "-")
            table.add_row(
                escape(run.name), style_of(algorithm).label, "-" if algorithm == DIGITAL else escape(name),
                run.settings.get("epochs", "-"), str(len(values)), escape(short_accuracy(values)),
                against.replace(" it", ""),
            )  # fmt: skip
    return table


def _differences(runs: Sequence[_Run]) -> list[Block]:
    """Settings that several runs have, and not the same; options of some count, too."""
    names = list(dict.fromkeys(name for run in runs for name in run.settings))
    differ = [
        n
        for n in names
        if ((values := [run.settings[n] for run in runs if n in run.settings])
        and len({*values}) > 1) or ("." in n and len(values) < len(runs))
    ]  # fmt: skip
    if not differ:
        return ["No setting that these runs have in common differs."]
    table = Table(title="settings that differ")
    table.add_column("setting")
    for run in runs:
        table.add_column(escape(run.name))
    for name in differ:
        table.add_row(name, *(escape(run.settings.get(name, "-")) for run in runs))
    return [table]


def _figure(runs: Sequence[_Run]) -> Figure:
    """Accuracies with their intervals, one below the other."""
    import matplotlib
    from matplotlib.figure import Figure

    lines = [(run, key, k) for k, run in enumerate(runs) for key in run.found]
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(4.6, 0.6 + 0.24 * len(lines)), layout="constrained")
        axis = figure.subplots()
        for place, (run, key, k) in enumerate(lines):
            mean, low, high = interval(np.array(list(run.found[key].values())))
            colour = _COLOURS[k % len(_COLOURS)]
            axis.plot([low, high], [place, place], color=colour, lw=1.4)
            axis.plot([mean], [place], "o", ms=5, color=colour)
        labels = [_label(run, *key) for run, key, _ in lines]
        axis.set_yticks(range(len(lines)), labels, fontsize=7)
        axis.set_ylim(len(lines) - 0.5, -0.5)
        axis.set_xlabel("test accuracy (%)")
        return figure


def _curves(runs: Sequence[_Run]) -> Figure:
    """Test accuracy by epoch of all trainings that have it: colours are runs, dashes algorithms."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axis = figure.subplots()
        algorithms = list(dict.fromkeys(row["algorithm"] for run in runs for row in run.rows))
        for k, run in enumerate(runs):
            for algorithm in dict.fromkeys(row["algorithm"] for row in run.rows):
                by: dict[int, list[float]] = {}
                for row in run.rows:
                    if row["algorithm"] == algorithm:
                        by.setdefault(row["epoch"], []).append(100 * row["test_accuracy"])
                epochs = sorted(by)
                means = [float(np.mean(by[epoch])) for epoch in epochs]
                dash = _DASHES[algorithms.index(algorithm) % len(_DASHES)]
                axis.plot(
                    epochs, means, dash, color=_COLOURS[k % len(_COLOURS)], lw=1.2,
                    marker="." if len(epochs) == 1 else None, label=_label(run, algorithm, "-"),
                )  # fmt: skip
        axis.set(xlabel="epoch", ylabel="test accuracy (%)")
        axis.legend(frameon=False, fontsize=7)
        return figure
