"""Figures of ohmgrad as panels on a page, side by side on a wide screen and stacked on a narrow one."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import ohmgrad
from ohmgrad.report.pictures import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pictures"]


@functools.cache
def _last_change() -> float:
    files = [*Path(ohmgrad.__file__).parent.rglob("*.py"), *Path(__file__).parent.iterdir()]
    return max(file.stat().st_mtime for file in files)


class Pictures:
    """Draws into a folder, and draws again what is older than the code.

    Args:
        folder: where pictures lie.
        address: of that folder, as seen from the pages.
        draw: whether to draw at all; else pages say that they have no picture.
    """

    def __init__(self, folder: Path, address: str, *, draw: bool) -> None:
        self.folder, self.address, self.draw = folder, address, draw

    def grid(self, name: str, words: str, draw: Callable[[], Figure], count: int) -> str:
        """Markdown of a figure's panels, `count` of them, two in a row where there is room."""
        files = [self.folder / f"{name}-{number}.svg" for number in range(count)]
        if not self.draw:
            return "*(No picture: this build draws none.)*"
        if any(not f.is_file() or f.stat().st_mtime < _last_change() for f in files):
            self.folder.mkdir(parents=True, exist_ok=True)
            for file, panel in zip(files, panels(draw()), strict=True):
                _, _, data = panel.source.partition(",")
                file.write_bytes(base64.b64decode(data))
        items = "\n".join(f":::{{grid-item}}\n![{words}]({self.address}/{f.name})\n:::" for f in files)
        return f"::::{{grid}} 1 2 2 2\n:gutter: 2\n\n{items}\n::::"
