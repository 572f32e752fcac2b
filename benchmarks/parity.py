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
from parity_report import MEANT, curves_text, updates_text, write_csv
from parity_updates import CELLS, compare_elements, compare_updates, differs, distinct_noise, threshold

DOCS = Path(__file__).parent.parent / "docs"
#: columns of the saved rows that are no numbers
WORDS = {"case", "update", "start", "meant", "algorithm", "device"}


def _saved(name: str) -> list[dict[str, Any]]:
    with (DOCS / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k in WORDS else float(v) for k, v in row.items()} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("A", "B"))
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    cells, seeds = (2000, 2) if args.quick else (CELLS, args.seeds)
    notes = DOCS / "parity_runs.json"
    runs: dict[str, Any] = json.loads(notes.read_text()) if notes.exists() else {}
    stamp = f"{datetime.date.today()}, {machine()}"
    print(f"parity with aihwkit {version('aihwkit')}\n{machine()}", flush=True)
    if args.part != "B":
        updates, elements, distinct = compare_updates(cells=cells), compare_elements(), distinct_noise()
        for rows in (updates, elements):
            bad = [r for r in rows if not r["meant"] and differs(r, threshold(rows))]
            print(f"  {len(rows)} comparisons, {len(bad)} that must agree do not", flush=True)
            for r in bad:
                print(f"    {r['case']}; {r['update']} from {r['start']}: {r['p_ks']:.1g}, "
                      f"{r['p_mean']:.1g}, {r['p_variance']:.1g}")  # fmt: skip
        runs |= {"A": stamp, "cells": cells, "distinct": distinct}
    if args.part != "A":
        curves = compare_curves(seeds)
        runs |= {"B": stamp, "seeds": seeds}
    if args.quick:
        return
    if args.part != "B":
        write_csv(DOCS / "parity_updates.csv", updates)
        write_csv(DOCS / "parity_elements.csv", elements)
    if args.part != "A":
        write_csv(DOCS / "parity_curves.csv", curves)
    notes.write_text(json.dumps(runs, indent=1) + "\n")
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
        "## Differences that are meant",
        "",
        *MEANT.splitlines(),
        "",
    ]
    if "B" in runs:
        text += curves_text(_saved("parity_curves.csv"), setting(runs["seeds"]))
    if "A" in runs:
        saved = _saved("parity_updates.csv"), _saved("parity_elements.csv")
        text += updates_text(*saved, tuple(runs["distinct"]), runs["cells"])
    (DOCS / "parity.md").write_text("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    main()
