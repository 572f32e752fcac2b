"""One self-contained HTML page: what came out in a sentence, then pictures, tables, settings and the command.

The page asks the network for nothing, and its own security policy keeps it so. Every picture is there as a
vector picture; where plotly is installed, its script is in the page, and pictures can be zoomed on a screen.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from rich.table import Table
from rich.text import Text

from ..checked import checked
from ..errors import InputError
from .pictures import panels
from .zoomable import script

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Block", "Code", "Page", "Picture", "Section"]


#: letters of a cell, from which it has several lines
_LONG = 32


@checked
@dataclass(frozen=True)
class Picture:
    """A figure with its caption; its panels stand side by side where there is room. It is used up."""

    figure: Figure
    caption: str = ""


@checked
@dataclass(frozen=True)
class Code:
    """Text that is read by machines, as it is: a file, a command."""

    text: str
    caption: str = ""


#: what a section is made of: a paragraph, a table as the terminal has it, a picture, names with values, code
Block = str | Table | Picture | Mapping[str, Any] | Code


@checked
@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@checked
@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        title: what it is about.
        verdict: what came out, and how sure that is, in a sentence or a few.
        sections: in reading order.
        command: that makes it again; files that it needs are on the page.
        versions: of what made the numbers, by name.
    """

    title: str
    verdict: str
    sections: tuple[Section, ...]
    command: str
    versions: Mapping[str, str]

    def html(self) -> str:
        """The page as text; the same page is the same text."""
        here = resources.files("ohmgrad.report")
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                                  lstrip_blocks=True)  # fmt: skip
        template = environment.from_string((here / "page.html").read_text("utf-8"))
        sections = [(s.title, [_plain(block) for block in s.blocks]) for s in self.sections]
        drawn = [panel for _, blocks in sections for b in blocks for panel in b.get("panels", ())]
        zoom = script() if any(panel.plot for panel in drawn) else None
        style = (here / "page.css").read_text("utf-8")
        code = (here / "page.js").read_text("utf-8")
        return template.render(page=self, sections=sections, style=style, script=zoom, plots=code)

    @checked
    def write(self, path: Path) -> Path:
        """Write the page; one that is cut off leaves the old one whole.

        Raises:
            InputError: when the place cannot be written to.
        """
        text = self.html()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False,
                                             encoding="utf-8", newline="\n") as file:  # fmt: skip
                file.write(text)
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError as error:
            raise InputError(f"cannot write {path} ({error.strerror}): choose another --out") from None
        return path


def _plain(block: Block) -> dict[str, Any]:
    """A block as the template takes it."""
    if isinstance(block, str):
        return {"kind": "paragraph", "text": block}
    if isinstance(block, Picture):
        return {"kind": "picture", "caption": block.caption, "panels": panels(block.figure)}
    if isinstance(block, Code):
        return {"kind": "code", "text": block.text.rstrip(), "caption": block.caption}
    if isinstance(block, Table):
        return {"kind": "table", **_table(block)}
    return {"kind": "card", "entries": list(_entries(block))}


def _entries(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in card.items():
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value)) or "none"
        if isinstance(value, Mapping):
            value = ", ".join(f"{k}: {v}" for k, v in value.items()) or "none"
        yield str(name), "none" if value is None else str(value)


def _table(table: Table) -> dict[str, Any]:
    """Cells of a terminal's table with their looks, which are names of classes: number, long, a colour."""
    sides = ["number" if c.justify == "right" else "" for c in table.columns]
    columns = [[_cell(cell) for cell in column.cells] for column in table.columns]
    return {
        "title": _cell(table.title)[0],
        "caption": _cell(table.caption)[0],
        "columns": [(_cell(c.header)[0], side) for c, side in zip(table.columns, sides, strict=True)],
        "rows": [
            [
                (text, " ".join(filter(None, (side, look))))
                for (text, look), side in zip(row, sides, strict=True)
            ]
            for row in zip(*columns, strict=True)
        ],
    }


def _cell(cell: Any) -> tuple[str, str]:
    text = cell if isinstance(cell, Text) else Text.from_markup(str(cell or ""))
    looks = [str(s.style) for s in text.spans if s.end - s.start == len(text) and str(s.style).isalpha()]
    if max(map(len, text.plain.split("\n"))) > _LONG:
        looks.append("long")
    return text.plain, " ".join(looks)
