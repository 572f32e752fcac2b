"""An installation works here: its files, its kernels, a training, a checkpoint, the command line.

`pytest --pyargs ohmgrad` runs this, from any folder. It needs pytest and nothing else. The tests of the
project are in its repository, and in the source distribution.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ..aihwkit.converted import from_aihwkit
from ..conformance.suite import check_device
from ..cost.hardware import NAMES, hardware
from ..devices.device import Device
from ..devices.families.affine import SoftBounds
from ..devices.presets import PRESETS
from ..devices.variability import Noise, Spread
from ..report.citing import references
from ..report.page import Page
from ..studies.folders import read_metrics
from ..studies.scoreboard import scoreboard
from ..studies.spec import RunSpec
from ..studies.train import train

__all__ = []

DEVICE = Device(SoftBounds.symmetric(0.6), 0.01, Spread(dw_min=0.3, w_max=0.3, w_min=0.3), Noise(0.3))
SPEC: dict[str, Any] = {
    "algorithms": ["tiki-taka"],
    "lr": 0.2,
    "options": {"fast_lr": 0.1, "columns": 4},
    "batch_size": 5,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_files_of_the_package_are_there() -> None:
    """Every file that is no Python is read."""
    assert all(hardware(name).name == name for name in NAMES)
    assert len(scoreboard(Path("nowhere"), {})) > 100
    assert references()
    assert PRESETS
    assert from_aihwkit("SingleRPUConfig(device=ConstantStepDevice())").device
    assert "a verdict" in Page("a title", "a verdict", (), "a command", {}).html()


def test_kernels_agree_with_the_reference() -> None:
    """Counts of pulses to the bit, weights to rounding; a device goes on from its state."""
    check_device(DEVICE, ["responses", "collapse", "resume", "backends"]).raise_if_failed()


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Two epochs at once, and one after the other: the same numbers; they say that it learns."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(RunSpec.from_dict({**SPEC, "epochs": 2}), whole)
    train(RunSpec.from_dict({**SPEC, "epochs": 1}), parts)
    train(RunSpec.from_dict({**SPEC, "epochs": 2}), parts, resume=True)
    rows = [[{**row, "seconds": 0} for row in read_metrics(folder)] for folder in (whole, parts)]
    assert rows[0] == rows[1]
    assert rows[0][-1]["test_accuracy"] > 0.5  # a tenth by guessing


def test_the_command_trains_and_draws(tmp_path: Path) -> None:
    """In a process of its own, by the command that was installed."""
    command = shutil.which("ohmgrad", path=str(Path(sys.executable).parent))
    assert command, "there is no command ohmgrad beside this Python"

    def run(*words: str) -> str:
        done = subprocess.run([command, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Python" in run("info")
    words = "train --images 100 --epochs 1 --algorithms sgd --out a"
    assert "test accuracy" in run(*words.split())
    assert {"figure.svg", "figure.pdf", "page.html"} <= {path.name for path in (tmp_path / "a").iterdir()}
