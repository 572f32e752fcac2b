"""Algorithms by name, and in files of one's own: found, refused, told apart by their contents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ohmgrad.errors import InputError
from ohmgrad.optim import AGAD
from ohmgrad.optim.registry import algorithm_of, options_of
from ohmgrad.studies import RunSpec
from ohmgrad.user_files import object_in

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "my_optimizer.py"
MINE = f"{EXAMPLE}:SignTransfer"


def test_names_and_files_are_found() -> None:
    assert algorithm_of("agad") is AGAD
    assert algorithm_of(MINE).__name__ == "SignTransfer"
    assert algorithm_of(MINE) is algorithm_of(MINE)
    assert options_of(MINE) == ("threshold",)
    assert options_of("momentum") == ("momentum",)
    assert options_of("sgd") == ()


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1", "x", r"x is 1, but must be a class that extends ohmgrad\.AnalogOptimizer"),
        ("class C: pass", "C", "is the class C, but must be a class that extends"),
        ("def f(): pass", "g", "unknown name in .* 'g'"),
        ("1 / 0", "x", r"raised ZeroDivisionError \(division by zero\): run it by itself first"),
        ("def", "x", "raised SyntaxError"),
    ],
)
def test_files_without_an_algorithm_are_refused(tmp_path: Path, text: str, name: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        algorithm_of(f"{file}:{name}")


def test_a_class_that_cannot_be_made_is_refused_before_training(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\ndef make(params, lr, *, x=1): return torch.optim.SGD(params, lr=lr)\n"
                    "def wrong(params, lr): raise KeyError('x')")  # fmt: skip
    with pytest.raises(InputError, match=r"make gives .*SGD.*, but must give one that extends"):
        RunSpec(algorithms=(f"{file}:make",))
    with pytest.raises(InputError, match=r"wrong cannot be made with \(params, lr=0.05\): KeyError \('x'\)"):
        RunSpec(algorithms=(f"{file}:wrong",))


def test_a_file_that_changed_runs_again_and_makes_other_runs(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(EXAMPLE.read_text())
    mine = f"{file}:SignTransfer"
    before, key = object_in(mine), RunSpec(algorithms=(mine,)).key
    assert RunSpec(algorithms=(MINE,)).key == key  # the same contents elsewhere
    file.write_text(EXAMPLE.read_text() + "\n# changed\n")
    assert object_in(mine) is not before
    assert RunSpec(algorithms=(mine,)).key != key


def test_a_file_with_the_name_of_a_module_leaves_that_alone(tmp_path: Path) -> None:
    file = tmp_path / "csv.py"
    file.write_text("from dataclasses import dataclass\n@dataclass\nclass Row:\n    x: 'int' = 1\n")
    before = sys.modules.get("csv")
    assert object_in(f"{file}:Row")().x == 1
    assert sys.modules.get("csv") is before
    assert str(tmp_path) not in sys.path


def test_keys_follow_what_determines_a_training(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"algorithms": ("sgd",), "images": 50}
    key = RunSpec(**spec).key
    device = RunSpec(**spec).built_device().to_dict()
    assert RunSpec(**spec, device=device).key == key  # a preset is its mapping
    assert RunSpec(**spec, tau=0.7).key != key
    assert RunSpec(**spec, tau=1.0, dw_min=device["dw_min"]).key == RunSpec(**spec, tau=1.0).key
    assert RunSpec(**spec, epochs=2).key != key
    digital: dict[str, Any] = {"algorithms": ("digital",)}
    assert RunSpec(**digital).key == RunSpec(**digital, device="pcm").key
