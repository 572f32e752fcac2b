"""`ohmgrad algorithms`: a table of them."""

from __future__ import annotations

from .console import AsJson, console

__all__ = ["algorithms"]


def algorithms(as_json: AsJson = False) -> None:
    """All algorithms, with their papers and the lines of code that each takes."""
    from ..report import algorithm_table

    console.print(algorithm_table())
