"""The claims of all studies that were run, and the benchmarks with the figures of the README."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

import yaml

from ohmgrad.studies.papers import STUDIES

__all__ = ["evidence_pages"]

HOME = Path(__file__).parent.parent.parent
RESULTS = HOME / "docs" / "results"


def evidence_pages() -> Iterator[tuple[str, str]]:
    """Names and Markdown of the pages."""
    yield "claims", _claims()
    yield "benchmarks", _benchmarks()


def _number(text: str) -> str:
    return f"{float(text):.3g}"


def _claims() -> str:
    text = [
        "# Claims",
        "A claim passes when the whole 95 % interval of the measured quantity agrees with it, so that "
        "too few runs "
        "fail as surely as a wrong claim. [Reproduction](../reproduction.md) describes the runs, and "
        "says why a claim "
        "fails.",
    ]
    passed = total = 0
    for name, study in STUDIES.items():
        file = RESULTS / name / "claims.csv"
        if not file.is_file():
            continue
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        version = yaml.safe_load((RESULTS / name / "spec.yaml").read_text()).get("ohmgrad", "?")
        passed, total = passed + sum(row["result"] == "PASS" for row in rows), total + len(rows)
        text += [f"## {name}: {study.title}", f"{study.source}; measured with ohmgrad {version}."]
        table = [
            f"| {row['claim']} | {row['quantity']} | {_number(row['value'])} ({_number(row['low'])} to "
            f"{_number(row['high'])}) | {row['threshold']} | {row['result']} |"
            for row in rows
        ]
        head = "| claim | quantity | measured, 95 % interval | wanted | |\n|---|---|---|---|---|"
        text.append("\n".join([head, *table]))
    text.insert(2, f"**{passed} of {total} claims pass.**")
    return "\n\n".join(text) + "\n"


def _benchmarks() -> str:
    readme = (HOME / "README.md").read_text()
    figures = readme.partition("## How fast\n")[2].partition("\n## ")[0]
    rows = []
    for path in sorted((HOME / "benchmarks").glob("*.py")):
        tree = ast.parse(path.read_text())
        first = (ast.get_docstring(tree) or "").split("\n\n")[0]
        if any(isinstance(node, ast.If) for node in tree.body):  # it can be run
            rows.append(f"| `{path.name}` | {' '.join(first.split())} |")
    return (
        "# Benchmarks\n\nA benchmark checks the result before it prints a time, and prints ratios "
        "measured in one run.\n\n"
        f"## Figures\n{figures}\n\n## Scripts\n\nEach runs by itself: `python benchmarks/NAME`.\n\n"
        "| script | what it measures |\n|---|---|\n" + "\n".join(rows) + "\n"
    )
