"""`ohmgrad train --live`: a picture below the bars, and the same numbers."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn

from ohmgrad.cli.live import Bars
from ohmgrad.studies import Progress, RunSpec, train
from ohmgrad.studies.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")


def spec(**given: object) -> RunSpec:
    return RunSpec.from_dict(
        {"data": "digits", "images": 600, "algorithms": ["digital", "sgd"], "epochs": 1, **given}
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_with_a_picture_has_the_same_rows(terminal: bool, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=90, height=40, force_terminal=terminal)
    pictures: list[str] = []
    with Bars(BarColumn(), console=console, auto_refresh=False, disable=not terminal) as bars:

        def begin(training: Training) -> None:
            bars.begin(training)
            assert bars._painter is not None
            bars._painter._next = 0  # draw at once

        def step(algorithm: str, seed: int, done: int, total: int, loss: float) -> None:
            bars.take(done, loss)
            plain = Console(file=io.StringIO(), width=90)
            plain.print(*bars.get_renderables())
            pictures.append(plain.file.getvalue())  # pyright: ignore

        shown = train(spec(), tmp_path / "live", progress=Progress(step, begin=begin))
    plain = train(spec(), tmp_path / "plain")
    for row, other in zip(shown, plain, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    if terminal:
        assert "digital SGD, seed 0" in pictures[0]
        assert "pulses" not in pictures[0]
        assert "Analog SGD, seed 0" in pictures[-1]
        assert "weights, 1" in pictures[-1]
    else:
        assert "update 0 after 0 s, loss" in console.file.getvalue()  # pyright: ignore
        assert "weights" not in pictures[-1]
