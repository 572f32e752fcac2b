"""The examples run, learn, and stay short."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

#: all but the GPT's, which models/test_gpt.py runs
EXAMPLES = [
    p for p in sorted((Path(__file__).parent.parent / "examples").glob("*.py")) if p.stem != "train_gpt"
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.main() < 0.02  # the mean square of what is to be learned is 0.3 and more


def test_there_are_examples() -> None:
    assert {p.stem for p in EXAMPLES} >= {"my_device", "my_optimizer"}
