"""The same devices and algorithms here and in aihwkit 1.2.0, compared in law; writes docs/parity.md.

Needs an environment with aihwkit; takes about ten minutes on a core. Options: --quick (fewer cells and
seeds, nothing written), --part A or B (the other part is kept from the files of an earlier run).
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import machine
from parity_curves import compare_curves, setting
from parity_report import KNOWN, curves_text, updates_text, write_csv
from parity_updates import CELLS, compare_elements, compare_updates, differs, distinct_noise, threshold

DOCS = Path(__file__).parent.parent / "docs"
#: columns of the saved rows that are no numbers
WORDS = {"case", "update", "start", "meant", "algorithm", "device"}


def _saved(name: str) -> list[dict[str, Any]]:
    with (DOCS / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k in WORDS else float(v) for k, v in row.items()} for row in rows]


def part_a(cells: int, write: bool) -> dict[str, Any]:
    """Single updates and drawn elements; returns what the report needs beside the saved rows."""
    updates, elements = compare_updates(cells=cells), compare_elements()
    for name, rows in (("updates", updates), ("elements", elements)):
        bad = [r for r in rows if not r["meant"] and differs(r, threshold(rows))]
        print(f"  {len(rows)} comparisons of {name}, {len(bad)} that must agree do not", flush=True)
        for r in bad:
            values = ", ".join(f"{r[p]:.1g}" for p in ("p_ks", "p_mean", "p_variance"))
            print(f"    {r['case']}; {r['update']} from {r['start']}: {values}")
        if write:
            write_csv(DOCS / f"parity_{name}.csv", rows)
    return {"cells": cells, "distinct": distinct_noise()}


def part_b(seeds: int, write: bool) -> dict[str, Any]:
    """Learning curves."""
    rows = compare_curves(seeds)
    if write:
        write_csv(DOCS / "parity_curves.csv", rows)
    return {"seeds": seeds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("A", "B"))
    parser.add_argument("--seeds", type=int, default=6)
    args = parser.parse_args()
    write = not args.quick
    notes = DOCS / "parity_runs.json"
    runs: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
    stamp = f"{datetime.date.today()}, {machine()}"
    print(f"parity with aihwkit {version('aihwkit')}\n{machine()}", flush=True)
    if args.part != "B":
        runs |= {"A": stamp, **part_a(CELLS if write else 2000, write)}
    if args.part != "A":
        runs |= {"B": stamp, **part_b(args.seeds if write else 2, write)}
    if write:
        notes.write_text(json.dumps(runs, indent=1) + "\n")
        report(runs)


def report(runs: dict[str, Any]) -> None:
    """Write docs/parity.md from the saved rows."""
    text = [
        "# Parity with aihwkit",
        "",
        "The same device, update and algorithm in ohmgrad and in aihwkit, compared in law: single updates by "
        "two-sample tests, learning curves by their spread over seeds. This page and the CSV files beside it "
        "are written by `benchmarks/parity.py`; update noise in aihwkit cannot be seeded, so that numbers "
        "change from run to run.",
        "",
        *(f"- Part {part}: {runs[part]}" for part in "AB" if part in runs),
        "",
        "## Known differences",
        "",
        *KNOWN.splitlines(),
        "",
    ]
    if "B" in runs:
        text += curves_text(_saved("parity_curves.csv"), setting(int(runs["seeds"])))
    if "A" in runs:
        saved = _saved("parity_updates.csv"), _saved("parity_elements.csv")
        text += updates_text(*saved, tuple(runs["distinct"]), runs["cells"])
    (DOCS / "parity.md").write_text("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    main()
