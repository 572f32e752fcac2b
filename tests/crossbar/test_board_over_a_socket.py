"""The example of a board in another process: what its link loses changes nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.usefixtures("one_thread")

PATH = Path(__file__).parents[2] / "examples" / "board_over_a_socket.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location(PATH.stem, PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Wire:
    """A link that loses nothing, to a board in this process; messages go through JSON all the same."""

    def __init__(self, module: Any) -> None:
        self.chip, self.json, self.asked = module.Chip(), module.json, 0

    def ask(self, array: int, command: str, **values: Any) -> Any:
        self.asked += 1
        message = self.json.loads(self.json.dumps({"array": array, "command": command, "values": values}))
        return self.json.loads(self.json.dumps(self.chip.do(**message)))


def test_what_is_lost_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """14 steps of five commands and more, of which 4 % are lost, and 4 % of the replies: bit for bit."""
    module = example()
    wire = Wire(module)
    loss, state = module.train(wire, 14)
    lossy, its, repeated = module.train_over_a_socket(loss=0.04, steps=14)
    assert wire.asked > 60
    assert repeated > 0
    assert lossy == loss
    assert torch.equal(its["weight"], state["weight"])
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert float(first.split()[-1]) > 0.01  # what a pause took is seen
