"""The pages' code blocks run as they stand, and every algorithm is on its page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ohmgrad.optim import ALGORITHMS
from ohmgrad.style import BLACK, BLUE, GREEN, LOOKS, ORANGE, PURPLE, RED, SKY

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

HOME = Path(__file__).parent.parent
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
BLOCKS = [
    pytest.param(block, id=f"{page}-{number}")
    for page in ("README.md", "docs/algorithms.md", "docs/pictures.md", "docs/train.md")
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", (HOME / page).read_text(), re.M | re.S)
    )
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_code_block_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g, p = np.linspace(1.0, 2.0, 9), np.linspace(0.0, 1.0, 5)
    step = 0.01 * (0.8 + 0.4 * p[:, None]) * np.ones(9)
    np.savez(tmp_path / "taox.npz", G=g[None], cdf=p, inc=step[None], dec=-step[None, ::-1])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    if "from peft" in block:
        pytest.importorskip("peft", reason="peft is not installed")
    exec(compile(block, "block", "exec"), names)
    if "right" in names:  # the training in the README has learned
        assert float(names["right"].float().mean()) > 0.9  # pyright: ignore


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 4


def test_every_algorithm_is_on_the_page() -> None:
    page = (HOME / "docs/algorithms.md").read_text()
    for name, kind in ALGORITHMS.items():
        assert f"| `{name}` | `{kind.__name__}` |" in page, name
        assert re.search(rf"^###.*`{kind.__name__}`", page, re.M), kind.__name__


def test_every_algorithm_has_a_look_of_its_own() -> None:
    """No two share a colour and a line, or a marker; and none is drawn as an unknown one."""
    assert {*ALGORITHMS} < {*LOOKS}
    for looks in ([(k.colour, k.dash) for k in LOOKS.values()], [k.marker for k in LOOKS.values()]):
        assert len({*looks}) == len(looks)
    assert {k.colour for k in LOOKS.values()} <= {BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY}
