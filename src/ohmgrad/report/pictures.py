"""Figures for pages: each panel is a vector picture of its own, so that a narrow screen stacks them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..style import RC
from .zoomable import plain_words, plot_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "panels"]

#: vertices, or markers, from which a line becomes pixels inside the vector picture, so that it stays small
_MANY_VERTICES, _MANY_MARKERS = 20_000, 2_000
#: text as paths: the picture looks the same where there is no such font
_RC = {**RC, "svg.fonttype": "path", "svg.hashsalt": "ohmgrad", "path.simplify": True}


@dataclass(frozen=True)
class Panel:
    """One panel of a figure.

    Args:
        source: of an img element: the picture itself, as an address that begins with "data:".
        width, height: in inches.
        words: what is drawn, for those who do not see it.
        plot: data and layout for plotly; None where it cannot show all that is drawn.
    """

    source: str
    width: float
    height: float
    words: str
    plot: dict[str, Any] | None


def panels(figure: Figure) -> list[Panel]:
    """The panels of a figure, each with its own labels and legend; the figure itself is used up."""
    import matplotlib

    with matplotlib.rc_context(_RC):
        bars = {m.colorbar.ax for a in figure.axes for m in (*a.images, *a.collections) if m.colorbar}
        own = [axis for axis in figure.axes if axis not in bars]
        for axis in own:
            _complete(axis, own)
        figure.set_dpi(72)  # of SVG: sizes of what is as large as its text
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for text in (figure._suptitle, *figure.texts):  # pyright: ignore  # it stands above all panels
            if text is not None:
                text.set_visible(False)
        return [_panel(figure, axis, [a for a in own if a is not axis]) for axis in own]


def _complete(axis: Axes, others: list[Axes]) -> None:
    """Give a panel what it shares with its neighbours: labels of ticks and axes, and a legend."""
    for side in ("x", "y"):
        shared = getattr(axis, f"get_shared_{side}_axes")()
        family = [a for a in others if a is axis or shared.joined(a, axis)]
        label = next((text for a in family if (text := getattr(a, f"get_{side}label")())), "")
        if len(family) > 1 and not getattr(axis, f"get_{side}label")():
            axis.set(**{f"{side}label": label})
        if len(family) > 1:
            axis.tick_params(axis=side, **{"labelbottom" if side == "x" else "labelleft": True})
    old = axis.get_legend()
    handles, _ = axis.get_legend_handles_labels()
    if len(handles) > 1 and old is None:
        axis.legend(frameon=False, fontsize=7)
    for line in axis.lines:
        marked = line.get_marker() not in ("None", None, "", " ")
        many = _MANY_MARKERS if marked else _MANY_VERTICES
        if len(line.get_xdata()) > many:  # pyright: ignore[reportArgumentType]
            line.set_rasterized(True)


def _panel(figure: Figure, axis: Axes, others: list[Axes]) -> Panel:
    from matplotlib.transforms import Bbox

    bar = next((m.colorbar.ax for m in (*axis.images, *axis.collections) if m.colorbar), None)
    shown = [axis] if bar is None else [axis, bar]
    for other in figure.axes:
        other.set_visible(other in shown)
    box = Bbox.union([b for a in shown if (b := a.get_tightbbox()) is not None])
    box = box.transformed(figure.dpi_scale_trans.inverted()).padded(0.04)
    file = io.BytesIO()
    figure.savefig(file, format="svg", bbox_inches=box, dpi=200, transparent=True,
                   metadata={"Date": None, "Creator": None, "Format": None, "Type": None})  # fmt: skip
    text = base64.b64encode(file.getvalue()).decode()
    words = " against ".join(plain_words(t) for t in (axis.get_ylabel(), axis.get_xlabel()) if t)
    title = plain_words(axis.get_title())
    words = ": ".join(w for w in (title, words) if w) or "a panel of the figure"
    source = f"data:image/svg+xml;base64,{text}"
    return Panel(source, box.width, box.height, words, plot_of(axis))
