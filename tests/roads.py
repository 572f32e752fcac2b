"""Pages of docs whose blocks run as they stand, one after the other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ohmgrad.cli import main

__all__ = ["page", "run_road"]

#: a block of Python or of commands; or one that a caption names as a file
_BLOCK = re.compile(r"^```(?:(python|sh)|\{code-block\} \w+\n:caption: (\S+)\n)\n(.*?)^```", re.M | re.S)


def page(name: str) -> str:
    """The text of a page of docs."""
    return (Path(__file__).parent.parent / "docs" / f"{name}.md").read_text()


def run_road(
    text: str, capsys: pytest.CaptureFixture[str], runs: Callable[[str], bool] = lambda block: True
) -> Iterator[str]:
    """Run all blocks of a page in this folder, write its files, and give each command when it has ended well.

    Args:
        text: of the page.
        capsys: says what a command printed that failed.
        runs: whether a block of Python is run.
    """
    for kind, file, block in _BLOCK.findall(text):
        if file:
            Path(file).write_text(block)
            continue
        if kind == "python":
            if runs(block):
                exec(compile(block, "block", "exec"), {})
            continue
        for line in block.strip().splitlines():
            program, *argv = shlex.split(line)
            assert program == "ohmgrad"
            with pytest.raises(SystemExit) as stop:
                main(argv)
            assert stop.value.code in (0, None), capsys.readouterr().err
            yield line
