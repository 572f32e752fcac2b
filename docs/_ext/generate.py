"""Pages that the registries of ohmgrad write themselves, when the site is built."""

from __future__ import annotations

from pathlib import Path

from algorithm_pages import algorithm_pages
from api_pages import api_pages
from device_pages import device_pages
from pictures import Pictures
from sphinx.application import Sphinx

__all__ = ["setup", "write_pages"]


def write_pages(folder: Path) -> None:
    """Write all pages into a folder; one that has not changed keeps its time, and is not read again."""
    pictures = Pictures(folder / "pictures", "../pictures")
    for name, text in [*algorithm_pages(pictures), *device_pages(pictures), *api_pages()]:
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def _generate(app: Sphinx) -> None:
    write_pages(Path(app.srcdir) / "generated")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
