"""The table of algorithms: what each does, where it is from, and how many lines of code it takes."""

from __future__ import annotations

import ast
import inspect
import sys
from types import ModuleType

from rich.table import Table
from rich.text import Text

from ..optim import ALGORITHMS

__all__ = ["algorithm_table", "code_lines"]


def code_lines(source: str) -> int:
    """Lines of Python source that hold code: no blank lines, comments or docstrings."""
    text = source.splitlines()
    silent: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and ast.get_docstring(node) is not None
        ):
            doc = node.body[0]
            silent.update(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in silent
        for number, line in enumerate(text, 1)
    )


def algorithm_table() -> Table:
    """All algorithms with the first lines of their files, and the lines of code in each file."""
    table = Table(title="algorithms", title_justify="left", show_lines=True)
    table.add_column("name and optimizer", no_wrap=True)
    table.add_column("what it does, and its source", overflow="fold")
    table.add_column("lines", justify="right", no_wrap=True)
    for name, kind in ALGORITHMS.items():
        module: ModuleType = sys.modules[kind.__module__]
        what, _, source = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
        source = " ".join(source.split("\n\n")[0].split())
        lines = code_lines(inspect.getsource(module))
        what = " ".join(what.split())
        names = Text.assemble(name, "\n", (kind.__name__, "dim"))
        table.add_row(names, Text.assemble(what, "\n", (source, "dim")), str(lines))
    table.caption = "lines: of code in the optimizer's file, without comments and docstrings"
    table.caption_justify = "left"
    return table
