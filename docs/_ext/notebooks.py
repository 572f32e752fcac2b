"""Notebooks of the examples: jupytext makes them of the cells of a file, nbclient runs them.

`python docs/_ext/notebooks.py FOLDER` writes all of them, run, into a folder; `make notebooks` calls it.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

__all__ = ["EXAMPLES", "GALLERY", "PROGRAMS", "Example", "example", "run"]

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
#: examples that are notebooks, in the order of the gallery, and which of its pictures stands for each
GALLERY = {
    "first_look": 0, "my_device": 1, "monitor_training": 1, "my_optimizer": 0, "check_my_own": 0,
    "my_network": 0, "my_layer": 0, "my_study": 0, "amp_and_more": 0,
}  # fmt: skip
#: and those that start processes, take arguments or need other packages
PROGRAMS = ("hugging_face", "lightning_cnn", "train_gpt", "shard_rows", "board_over_a_socket")
#: seconds that a cell may take
_PATIENCE = 300


class Example(NamedTuple):
    """An example as a notebook that has not run."""

    name: str
    title: str
    notebook: Any


def example(name: str) -> Example:
    """The notebook of an example: its docstring becomes title and text, what follows `# %%` is a cell."""
    text = (EXAMPLES / f"{name}.py").read_text()
    notebook = jupytext.reads(text, fmt="py:percent")
    doc = ast.get_docstring(ast.parse(text))
    assert doc is not None
    title, end, rest = re.split(r"([:.;?])(?=\s)", f"{doc} ", maxsplit=1)
    words = rest.rstrip() if rest.startswith("\n") else f"{rest[1:2].upper()}{rest[2:]}"
    first = nbformat.v4.new_markdown_cell(f"# {title}{'?' * (end == '?')}\n\n{words}")
    notebook.cells[0] = first
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for number, cell in enumerate(notebook.cells):  # the same file each time
        cell["id"] = f"cell-{number}"
    return Example(name, title + "?" * (end == "?"), notebook)


def run(notebook: Any) -> None:
    """Run a notebook; outputs stand in it. Raises CellExecutionError where a cell fails."""
    config = Config()
    settings: dict[str, Any] = {"timeout": _PATIENCE, "kernel_name": "python3", "record_timing": False}
    with TemporaryDirectory() as place:
        if os.name == "posix":  # files that nobody else reads, where TCP would be open to others here
            config.KernelManager.update(transport="ipc", ip=f"{place}/kernel")
        NotebookClient(notebook, config=config, **settings).execute()


def main(folder: Path) -> int:
    """Write all notebooks; the number of those that fail."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str) -> bool:
        start, made, error = time.perf_counter(), example(name), None
        try:
            run(made.notebook)
        except CellExecutionError as why:
            error = why
        nbformat.write(made.notebook, folder / f"{name}.ipynb")
        print(f"{'failed' if error else 'ran'} {folder / name}.ipynb in {time.perf_counter() - start:.1f} s")
        if error is not None:
            print(error, file=sys.stderr)
        return error is not None

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return sum(pool.map(write, GALLERY))


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
