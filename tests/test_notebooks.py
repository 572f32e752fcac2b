"""The examples as notebooks: all are made, and one runs here; `make notebooks` runs them all."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupytext", reason="jupytext is not installed")
pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

HOME = Path(__file__).parent.parent


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("notebooks", HOME / "docs" / "_ext" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = _loaded()


def test_every_example_is_a_notebook_or_a_program() -> None:
    there = {path.stem for path in (HOME / "examples").glob("*.py")}
    assert {*notebooks.GALLERY, *notebooks.PROGRAMS} == there
    assert not {*notebooks.GALLERY} & {*notebooks.PROGRAMS}


@pytest.mark.parametrize("name", notebooks.GALLERY)
def test_a_notebook_has_a_title_and_code(name: str) -> None:
    made = notebooks.example(name)
    first, *cells = made.notebook.cells
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {made.title}\n\n")
    assert 8 < len(made.title) < 80
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert len(code) >= 2
    for source in code:
        compile(source, name, "exec")
    assert sum("main()" in source for source in code) >= 1


def test_a_notebook_runs_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = notebooks.example("my_device")
    notebooks.run(made.notebook)
    outputs = [output for cell in made.notebook.cells for output in cell.get("outputs", [])]
    html = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert "symmetric part, F" in html[0]
    assert "update 200 after" in html[1]  # the last picture of the training
    assert all("<svg" in one for one in html)


def test_a_cell_that_fails_is_told() -> None:
    made = notebooks.example("my_device")
    made.notebook.cells[1].source = "raise ValueError('no')"
    del made.notebook.cells[2:]
    with pytest.raises(notebooks.CellExecutionError, match="no"):
        notebooks.run(made.notebook)
