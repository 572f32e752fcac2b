"""Nonsense in every position: all public names, all commands, all files of settings, and what came of it.

    python benchmarks/argument_sweep.py [calls] [commands] [files]

Counts of calls by outcome: refused (InputError, or exit code 2 with a sentence), legitimate (the value makes
sense there, by the rules of tests/arguments/kinds.py), and what is wrong, each of which is listed: another
exception, no end, nonsense accepted, a result that is not a number, an example that does not run.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.arguments.calls import sweep
from tests.arguments.commands import sweep_commands
from tests.arguments.formats import sweep_formats

SWEEPS = {"calls": sweep, "commands": sweep_commands, "files": sweep_formats}


def main() -> None:
    wrong = False
    for name in sys.argv[1:] or SWEEPS:
        counts: Counter[str] = Counter()
        start = time.perf_counter()
        for found in SWEEPS[name]():
            counts[found.outcome] += 1
            if not found.fine:
                wrong = True
                print(f"  {found.outcome}: {found.where} = {found.value}: {found.said}"[:300], flush=True)
        said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        print(f"{name}: {counts.total()} in {time.perf_counter() - start:.0f} s: {said}", flush=True)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
