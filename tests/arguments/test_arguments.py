"""Nonsense in every position of all public names, commands and files of settings: a sample of the sweep.

`python benchmarks/argument_sweep.py` makes all calls; here it is some of every name, command and file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from .calls import Finding, of_target
from .commands import commands, lines_of, tried
from .examples import NoExampleError, call_of
from .formats import formats, sweep_formats
from .surface import targets


def _wrong(found: Iterable[Finding]) -> list[Finding]:
    return [each for each in found if not each.fine]


def test_every_public_name_has_an_example() -> None:
    """What is new is in the sweep by itself; where a valid value is missing, the message says what to add."""
    missing = []
    for name, target in targets().items():
        try:
            call_of(target)
        except NoExampleError as error:
            missing.append(f"{name}: {error}")
    assert not missing, "\n".join(missing)
    assert len(targets()) > 200


@pytest.mark.parametrize("part", range(4))
def test_nonsense_in_calls(part: int) -> None:
    """All names, each with every eleventh of what is put into its positions."""
    found = [f for k, (name, target) in enumerate(targets().items()) if k % 4 == part
             for f in of_target(name, target, every=11, first=k % 11)]  # fmt: skip
    assert len(found) > 200
    assert _wrong(found) == []


def test_nonsense_in_files_of_settings() -> None:
    assert len(formats()) > 10
    found = list(sweep_formats(every=23))
    assert len(found) > 150
    assert _wrong(found) == []


def test_nonsense_in_commands() -> None:
    def lines() -> Iterator[tuple[str, list[str]]]:
        for name, parts in commands().items():
            yield from lines_of(name, parts)

    found = [tried(where, line) for where, line in islice(lines(), 0, None, 29)]
    assert len(found) > 40
    assert _wrong(found) == []
