"""The gallery: a page for every example that is a notebook, with what its cells print and draw."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat

from notebooks import EXAMPLES, GALLERY, PROGRAMS, Example, example, run
from pictures import last_change

__all__ = ["example_pages"]

#: with the pages lie the notebooks
_FOLDER = "examples"
_NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def example_pages(folder: Path, *, draw: bool) -> Iterator[tuple[str, str]]:
    """Names and Markdown of the pages; notebooks and thumbnails are written into `folder`.

    Args:
        folder: of all generated pages.
        draw: whether to run the notebooks; else pages have no outputs.
    """
    (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        made = list(pool.map(lambda name: _run(example(name), folder / _FOLDER, draw), GALLERY))
    for each in made:
        yield f"{_FOLDER}/{each.name}", _page(each)
    yield f"{_FOLDER}/index", _index(made, folder / _FOLDER)


def _run(made: Example, folder: Path, draw: bool) -> Example:
    """The example with outputs; it runs again where its file, or the code, is younger than these."""
    file, source = folder / f"{made.name}.ipynb", EXAMPLES / f"{made.name}.py"
    if draw and file.is_file() and file.stat().st_mtime > max(last_change(), source.stat().st_mtime):
        kept = nbformat.read(file, as_version=4)
        if any(cell.get("outputs") for cell in kept.cells):
            return made._replace(notebook=kept)
    if draw:
        run(made.notebook)
    nbformat.write(made.notebook, file)
    return made


def _page(made: Example) -> str:
    parts = []
    for cell in made.notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.source.strip():
            parts.append(f"```python\n{cell.source}\n```")
            parts += filter(None, map(_output, cell.get("outputs", [])))
    parts.insert(1, f"{{download}}`Notebook <{made.name}.ipynb>`, or "
                    f"[examples/{made.name}.py](../../../examples/{made.name}.py).")  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _output(output: Any) -> str:
    """Markdown of what a cell gave."""
    if output.output_type == "stream":
        return f"```none\n{_plain(output.text)}\n```"
    data = output.get("data", {})
    if "text/html" in data:
        return f"```{{raw}} html\n{data['text/html']}\n```"
    if "image/png" in data:
        return f'```{{raw}} html\n<img alt="figure" src="data:image/png;base64,{data["image/png"]}">\n```'
    return f"```none\n{_plain(data['text/plain'])}\n```" if "text/plain" in data else ""


def _plain(text: str) -> str:
    """Without a terminal's colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).strip("\n")


def _index(made: list[Example], folder: Path) -> str:
    cards = "\n".join(_card(each, folder) for each in made)
    tree = "\n".join(each.name for each in made)
    programs = "\n".join(
        f"- [{name}.py](../../../examples/{name}.py): {example(name).title}." for name in PROGRAMS
    )
    return (
        "# Examples\n\nEach is a notebook that ran when this site was built, and a file of at most 40 lines "
        f"of code in `examples/`.\n\n::::{{grid}} 1 2 2 3\n:gutter: 3\n\n{cards}\n::::\n\n"
        "## Programs\n\nThese take arguments, start processes or need other packages.\n\n"
        f"{programs}\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def _card(made: Example, folder: Path) -> str:
    """Title and picture."""
    picture = _thumbnail(made, folder)
    shown = f"![]({picture})\n" if picture else ""
    return f":::{{grid-item-card}} {made.title}\n:link: {made.name}\n:link-type: doc\n\n{shown}:::"


def _thumbnail(made: Example, folder: Path) -> str:
    """The file of a picture of the notebook; none where it has not run."""
    datas = [o.get("data", {}) for cell in made.notebook.cells for o in cell.get("outputs", [])]
    drawn = [svg for data in datas for svg in re.findall(r"<svg.*?</svg>", data.get("text/html", ""), re.S)]
    if drawn:
        svg = drawn[GALLERY[made.name]].replace("<svg ", f"<svg {_NAMES} ", 1)
        # a picture in a file knows nothing of the page around, which puts it on light ground
        (folder / f"{made.name}.svg").write_text(svg.replace("currentColor", "#333333"))
        return f"{made.name}.svg"
    for data in datas:
        if "image/png" in data:
            (folder / f"{made.name}.png").write_bytes(base64.b64decode(data["image/png"]))
            return f"{made.name}.png"
    return ""
