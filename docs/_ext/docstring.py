"""Docstrings of this project, taken apart: text with equations, arguments; and as Sphinx wants them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sphinx.application import Sphinx

__all__ = ["Doc", "doc_of", "in_markdown", "in_rst", "linked", "setup"]

#: sections that a docstring may have
SECTIONS = ("Args", "Returns", "Raises", "Example", "Yields", "Attributes")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):\n", re.M)
_CODE = re.compile(r"(``.+?``|`[^`\n]+`)")
_SINGLE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
#: code of which autodoc makes a link; of other words it could make a wrong one
_PUBLIC = re.compile(r"ohmgrad\.[\w.]+|[A-Z]\w+(\(\))?")
_DOI = re.compile(r"(?<![\w/])(10\.\d{4,9}/[^\s,;()]+[^\s,;().])")
_ARXIV = re.compile(r"arXiv (?:v1 of )?(\d{4}\.\d{5})")


@dataclass(frozen=True)
class Doc:
    """A docstring.

    Args:
        summary: its first paragraph.
        text: the paragraphs after it, up to the first section.
        arguments: names and words of each entry of Args.
    """

    summary: str
    text: str
    arguments: dict[str, str]


def doc_of(thing: object) -> Doc:
    """The docstring of a module, a class or a function."""
    head, *rest = _SECTION.split(inspect.getdoc(thing) or "")
    summary, _, text = head.partition("\n\n")
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    return Doc(" ".join(summary.split()), text.strip("\n"), dict(_arguments(sections.get("Args", ""))))


def _arguments(text: str) -> Iterator[tuple[str, str]]:
    block, _, _ = inspect.cleandoc(text).partition("\n\n")
    for entry in re.split(r"\n(?=\S)", block):
        names, colon, words = entry.partition(":")
        if colon:
            for name in names.split(","):
                yield name.strip(), " ".join(words.split())


def _outside_code(text: str, change: str, by: str) -> str:
    parts = _CODE.split(text)
    return "".join(part if i % 2 else re.sub(change, by, part) for i, part in enumerate(parts))


def linked(text: str) -> str:
    """Text in which DOIs and numbers of arXiv are links of Markdown."""
    text = _DOI.sub(r"[\1](https://doi.org/\1)", text)
    return _ARXIV.sub(lambda found: f"[{found[0]}](https://arxiv.org/abs/{found[1]})", text)


def in_markdown(text: str) -> str:
    """Text of a docstring as Markdown; what is indented stays as it is and becomes a block of code."""
    blocks = text.split("\n\n")
    plain = (_outside_code(b, r"([*_$<\\])", r"\\\1") for b in blocks)
    return "\n\n".join(b if b.startswith("    ") else linked(p) for b, p in zip(blocks, plain, strict=True))


def in_rst(lines: list[str]) -> list[str]:
    """Lines of a docstring as reStructuredText: indented blocks are literal, and signs mean themselves."""
    found: list[str] = []
    section = literal = False
    for number, line in enumerate(lines):
        if not line.strip():
            found.append("")
            continue
        indent = len(line) - len(line.lstrip())
        if indent == 0:
            section = line.rstrip(":") in SECTIONS and line.endswith(":")
            literal = False
        elif not section and not literal and number and not lines[number - 1].strip():
            found += ["::", ""]
            literal = True
        example = line.lstrip().startswith((">>>", "..."))
        if not literal and not example:
            line = _SINGLE.sub(lambda m: m[0] if _PUBLIC.fullmatch(m[1]) else f"`{m[0]}`", line)
            line = _outside_code(line, r"[*|\\]|(?<=\w)_(?!\w)", r"\\\g<0>")
        found.append(line)
    return found


#: lines of what napoleon would take apart at its first colon, as if a type stood before it
_values: dict[str, list[str]] = {}


def _before(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = in_rst(lines)
    if what in ("property", "attribute", "data"):
        _values[name] = [*lines]


def _after(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = _values.pop(name, lines)


def setup(app: Sphinx) -> dict[str, bool]:
    # before napoleon, which makes fields of the sections, and after it
    app.connect("autodoc-process-docstring", _before, priority=100)
    app.connect("autodoc-process-docstring", _after, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
