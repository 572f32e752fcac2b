"""A study of short parts, for what happens to processes: run as a script, it says what it did.

python -m tests.studies.toy FOLDER PARTS JOBS SECONDS [ON]
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ohmgrad.studies.engine import Columns, Part
from ohmgrad.studies.study import Study, run_study

__all__ = ["TOY", "main"]


@dataclass(frozen=True)
class Numbers:
    """Numbers that follow from the part's own, after some seconds."""

    number: int
    seconds: float

    def run(self, progress: Any) -> Columns:
        for tenth in range(10):
            time.sleep(self.seconds / 10)
            progress(tenth + 1, 10, f"part {self.number}")
        if self.number == 3:
            raise ValueError("part 3 never works")
        values = np.random.default_rng(self.number).normal(size=4)
        return {"number": np.full(4, self.number), "value": values}


def _parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(f"p{i}", Numbers(i, settings["time"]).run) for i in range(settings["parts"])]


TOY = Study(
    name="toy",
    title="short parts",
    source="nowhere",
    settings={"parts": 8, "time": 0.1},
    quick={},
    parts=_parts,
    summarise=lambda settings, columns: [{"mean": float(columns["value"].mean())}],
    claims=lambda settings, columns: [],
    draw=lambda figure, settings, columns: None,
    partial=True,
)


def main() -> None:
    folder, parts, jobs, seconds, *on = sys.argv[1:]
    outcome = run_study(
        TOY,
        Path(folder),
        changes={"parts": int(parts), "time": float(seconds)},
        jobs=int(jobs),
        on=on[0] if on else None,
        progress=lambda done, total, what: print(what, flush=True),
    )
    print(f"computed {len(outcome.computed)}, failed {[f.name for f in outcome.failed]}", flush=True)


if __name__ == "__main__":
    main()
