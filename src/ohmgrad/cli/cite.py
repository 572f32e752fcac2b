"""`ohmgrad cite`: BibTeX of what a run relied on."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["cite"]


def cite(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Folders of runs, or names of algorithms, devices, studies and hardware descriptions."
        ),
    ],
) -> None:
    """Print BibTeX of this package and of the papers that a run relied on, with what each is for."""
    from ..report.citing import bibtex

    print(bibtex(what), end="")  # not wrapped, for a file
