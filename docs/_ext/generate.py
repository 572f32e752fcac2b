"""Pages that the registries of ohmgrad write themselves, when the site is built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from algorithm_pages import algorithm_pages
from api_pages import api_pages
from device_pages import device_pages
from evidence_pages import evidence_pages
from pictures import Pictures
from sphinx.application import Sphinx

__all__ = ["setup", "write_pages"]

#: pages with wide recursions, tables and pictures have no contents beside them
WIDE = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n"


def write_pages(folder: Path, *, draw: bool) -> None:
    """Write all pages into a folder; one that has not changed keeps its time, and is not read again."""
    pictures = Pictures(folder / "pictures", "../pictures", draw=draw)
    for name, text in [*algorithm_pages(pictures), *device_pages(pictures), *evidence_pages(), *api_pages()]:
        path = folder / f"{name}.md"
        text = WIDE + text if name.partition("/")[0] in ("algorithms", "devices") else text
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def _generate(app: Sphinx) -> None:
    write_pages(Path(app.srcdir) / "generated", draw=app.config.pictures)


def _without_missing(app: Sphinx, name: str, source: list[str]) -> None:
    """A line ?NAME of a toctree is the page NAME, where there is one."""
    there = {path.stem for path in Path(app.srcdir).glob("*.md")}
    source[0] = re.sub(r"^\?(\w+)\n", lambda m: f"{m[1]}\n" if m[1] in there else "", source[0], flags=re.M)


def _with_lists(app: Sphinx, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Pages with such lines are read again when pages come or go."""
    if not added | removed:
        return []
    return [path.stem for path in Path(app.srcdir).glob("*.md") if "\n?" in path.read_text()]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("pictures", True, "env")
    app.connect("builder-inited", _generate)
    app.connect("env-get-outdated", _with_lists)
    app.connect("source-read", _without_missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
