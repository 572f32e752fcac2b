"""The examples run, learn, and stay short."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

#: packages that examples need beside the library's own
NEEDED = {"hugging_face": ("transformers", "accelerate"), "lightning_cnn": ("lightning",)}
#: what others run: models/test_gpt.py, features/ranks.py, crossbar/test_board_over_a_socket.py
ELSEWHERE = {"train_gpt", "shard_rows", "board_over_a_socket"}
FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = [p for p in sorted(FOLDER.glob("*.py")) if p.stem not in ELSEWHERE]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore")  # of other packages
def test_example(path: Path) -> None:
    for package in NEEDED.get(path.stem, ()):
        pytest.importorskip(package)
    assert len(path.read_text().splitlines()) <= 40
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # the mean square of what is to be learned is 0.3 and more; or what resumed runs differ by
    assert module.main() < 0.02


def test_there_are_examples() -> None:
    assert {p.stem for p in EXAMPLES} >= {
        "amp_and_more",
        "hugging_face",
        "lightning_cnn",
        "my_device",
        "my_optimizer",
    }
