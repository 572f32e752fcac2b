"""The fuzz tests for a long time, each time with other cases, and a table of counts.

python -m tests.fuzz.long [--minutes 15] [--only WORDS]
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

import torch

from tests.fuzz.parsers import PARSERS
from tests.fuzz.running import Fuzzed
from tests.fuzz.updates import PROPERTIES

#: cases between looks at the clock
ROUND = 100
#: characters of a failure that are shown
MOST = 3000


def leaves(error: BaseException) -> list[BaseException]:
    """The errors that Hypothesis found, of which it gives several as one."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


def tried(fuzzed: Fuzzed, seconds: float) -> tuple[int, dict[str, str]]:
    """How many cases in so many seconds, and what failed: once for each place."""
    count, failures, end = 0, dict[str, str](), time.monotonic() + seconds

    def counted() -> None:
        nonlocal count
        count += 1

    while time.monotonic() < end:
        try:
            fuzzed.run(ROUND, derandomize=False, counted=counted)
        except Exception as error:  # whatever a case raises is what is looked for
            for each in leaves(error):
                inner = traceback.extract_tb(each.__traceback__)[-1]
                place = f"{type(each).__name__} at {inner.filename}:{inner.lineno}"
                if place not in failures:
                    lines = [*traceback.format_exception(each)[-4:], *getattr(each, "__notes__", [])]
                    failures[place] = "\n".join(lines)
                    print(f"\n{fuzzed.name}: {place}\n{failures[place][:MOST]}", flush=True)
    return count, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--only", default="", help="those whose names have these words")
    given = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [each for each in (*PROPERTIES, *PARSERS) if given.only in each.name]
    total, wrong = 0, 0
    print("| property or parser | cases | failures |\n|---|---|---|", flush=True)
    for each in chosen:
        count, failures = tried(each, 60 * given.minutes / len(chosen))
        total, wrong = total + count, wrong + len(failures)
        print(f"| {each.name} | {count:,} | {len(failures)} |", flush=True)
    print(f"| all | {total:,} | {wrong} |")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
