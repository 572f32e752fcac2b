"""Nonsense in every position of all public names, commands and files of settings: a sample of the sweep.

`python benchmarks/argument_sweep.py` makes all calls; here it is some of every name, command and file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import pytest
from torch import nn

import ohmgrad as og
from ohmgrad import theory
from ohmgrad.devices import draw
from ohmgrad.errors import InputError
from ohmgrad.models import build
from ohmgrad.rng import Key

from .calls import Finding, of_target
from .commands import commands, lines_of, tried
from .examples import DEVICE
from .formats import formats, sweep_formats
from .surface import targets
from .valid_calls import NoExampleError, call_of


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
    """All names, each with every 37th of what is put into its positions."""
    found = [f for k, (name, target) in enumerate(targets().items()) if k % 4 == part
             for f in of_target(name, target, every=37, first=k % 37)]  # fmt: skip
    assert len(found) > 80
    assert _wrong(found) == []


def test_nonsense_in_files_of_settings() -> None:
    assert len(formats()) > 10
    found = list(sweep_formats(every=61))
    assert len(found) > 80
    assert _wrong(found) == []


def test_nonsense_in_commands() -> None:
    def lines() -> Iterator[tuple[str, list[str]]]:
        for name, parts in commands().items():
            yield from lines_of(name, parts)

    found = [tried(where, line) for where, line in islice(lines(), 0, None, 47)]
    assert len(found) > 25
    assert _wrong(found) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: og.Tile((10**6, 10**6), DEVICE),
        lambda: og.AnalogLinear(10**6, 10**6, DEVICE),
        lambda: og.AnalogLSTM(10**6, 10**6, DEVICE),
        lambda: draw(DEVICE, (10**7, 10**5), Key(0, 0)),
    ],
)
def test_sizes_are_looked_at_before_memory_is_asked_for(make: Callable[[], Any]) -> None:
    with pytest.raises(InputError, match="GiB"):
        make()


def test_messages_name_the_argument_the_value_and_what_it_must_be() -> None:
    for make, message in (
        (lambda: build("mlp", (1, 2, 2), 0, 0), "classes is 0, but must be an integer of at least 1"),
        (lambda: build("mlp", (1, 2, 2), 2, -1), r"seed is -1, but must be an integer in \[0, 2\^32\)"),
        (lambda: og.Pulsing(update_management="x"), "update_management is 'x', but must be true or false"),  # pyright: ignore
        (lambda: og.convert(nn.Linear(2, 2), None), "device is None, but must be a Device: Device"),  # pyright: ignore
        (lambda: theory.digital_step(-1.0), r"lr is -1.0, but must be a number in \[0, inf\)"),
        (lambda: theory.digital_step(1e308), r"lr is 1e\+308, but must be a number in \[0, 1e\+30\]"),
    ):
        with pytest.raises(InputError, match=message):
            make()
