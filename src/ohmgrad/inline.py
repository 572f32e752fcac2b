"""Pictures and tables for notebooks: HTML in the colours of the page around it, without scripts."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .style import RC

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["INK", "block", "chart", "legend_above", "plain_log", "table"]

#: what is drawn in this colour has that of the text around the picture, dark or light
INK = "#010203"
_INKED = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
#: text stays text, so that a picture is small
_RC: dict[Any, Any] = {
    **RC,
    **dict.fromkeys(_INKED, INK),
    "svg.fonttype": "none",
    "svg.hashsalt": "ohmgrad",
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
}
_FONT = "'DejaVu Sans', Verdana, sans-serif"
_CELL = "text-align:left;vertical-align:top;padding:0.1em 1em 0.1em 0"


def chart(draw: Callable[[Axes], object], words: str) -> str:
    """An svg element, 320 pixels wide and narrower where there is less room.

    Args:
        draw: draws on the axes that it is given; `INK` is the colour of text.
        words: what is drawn, for those who do not see it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    file = io.StringIO()
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(3.4, 2.4), dpi=72)
        # no layout engine: it takes as long as all else
        figure.subplots_adjust(left=0.22, right=0.94, bottom=0.2, top=0.91)
        draw(figure.subplots())
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=none)
    return _within_html(file.getvalue(), words)


def legend_above(axes: Axes) -> None:
    """A legend in one line above the axes, where no curve runs."""
    axes.legend(
        frameon=False, fontsize=7, ncols=3, loc="lower right", bbox_to_anchor=(1.04, 1.0),
        columnspacing=0.8, handlelength=1.4, borderpad=0,
    )  # fmt: skip


def plain_log(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers: 0.05, 2."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1, 2, 5) if high < 100 * low else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _within_html(text: str, words: str) -> str:
    """matplotlib's SVG file as an element: no rule or name in it reaches what is around."""
    _, _, text = text.partition("<svg")
    head, _, body = text.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    body = re.sub(r"<defs>\s*<style.*?</defs>", "", body, count=1, flags=re.S)
    body = re.sub(r"<!--.*?-->\s*|\n\s*", lambda m: "" if m[0].startswith("<!") else "\n", body, flags=re.S)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", _FONT, body).replace(INK, "currentColor")
    # a hundredth of a point is enough, in tags; text stays as it is
    body = re.sub(r"<[^>]*>", lambda m: re.sub(r"(\d\.\d\d)\d+", r"\1", m[0]), body)
    used = set(re.findall(r'(?:url\(#|href="#)([\w-]+)', body))
    own = hashlib.sha256(body.encode()).hexdigest()[:8]
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{m[1]}-{own}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)([\w-]+)', rf"\1\2-{own}", body)
    look = "width:320px;max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt"
    return f'<svg {box[0]} role="img" aria-label="{escape(words)}" style="{look}">{body}'


def table(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """A table of text; one that is too wide moves sideways in its own box."""
    lines = [_row(head, "th")] if head else []
    lines += [_row(row, "td") for row in rows]
    look = "border-collapse:collapse;margin:0.4em 0;font-size:0.9em;border:none;width:auto"
    return f'<div style="overflow-x:auto"><table style="{look}">{"".join(lines)}</table></div>'


def _row(cells: Sequence[object], kind: str) -> str:
    """A row whose last cell alone is broken into lines."""
    looks = [f"{_CELL};white-space:nowrap"] * (len(cells) - 1) + [f"{_CELL};min-width:14em"]
    parts = (
        f'<{kind} style="{look}">{escape(str(cell))}</{kind}>'
        for look, cell in zip(looks, cells, strict=True)
    )
    return f"<tr>{''.join(parts)}</tr>"


def block(title: str, pictures: Sequence[str], *below: str) -> str:
    """A title, pictures side by side where there is room, and what stands below them."""
    row = "display:flex;flex-wrap:wrap;gap:0.5em 1em;align-items:flex-start"
    shown = f'<div style="{row}">{"".join(pictures)}</div>' if pictures else ""
    head = f'<div style="font-weight:600;margin:0.2em 0">{escape(title)}</div>'
    return f'<div style="line-height:1.4">{head}{shown}{"".join(below)}</div>'
