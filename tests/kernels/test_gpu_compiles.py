"""The kernels in Triton compile for cards that are not there, which asks more of them than to be run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.gpu import needs_triton

pytestmark = needs_triton

HOME = Path(__file__).parents[2]


@pytest.mark.parametrize("card", ["nvidia", "amd"])
def test_every_kernel_compiles(card: str) -> None:
    """In a process of its own, without the interpreter; Triton keeps what it compiled for the next time."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.compiled", card, "--few"],
        cwd=HOME, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {line.split()[0] for line in done.stdout.splitlines()}
    assert {"_draw", "affine_pulses", "tables_pulses", "_again", "_gradient"} <= names
