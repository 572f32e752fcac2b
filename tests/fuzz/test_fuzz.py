"""Properties and parsers on a few cases that are the same each time; `make fuzz` tries many."""

from __future__ import annotations

import pytest

from tests.fuzz.parsers import PARSERS
from tests.fuzz.running import Fuzzed
from tests.fuzz.updates import PROPERTIES

FUZZED = [*PROPERTIES, *PARSERS]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("fuzzed", FUZZED, ids=lambda f: f.name)
def test_a_few_cases(fuzzed: Fuzzed) -> None:
    fuzzed.run(fuzzed.few, derandomize=True)
