"""The panels of figures as plotly draws them, so that they can be zoomed and their values read.

A matplotlib figure is the one description of a figure: what stands on an axis is taken from it here. A panel
with anything else than lines, markers, bands, maps and words is left to its vector picture.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

__all__ = ["plain_words", "plot_of", "script"]

#: points of a panel, from which it is left to its picture
_MOST = 50_000
#: decades of an axis, from which only powers of ten are marked
_DECADES = 1.5
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_SYMBOLS = {
    ".": "circle", "o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down",
    "<": "triangle-left", ">": "triangle-right", "D": "diamond", "d": "diamond-tall", "P": "cross", "X": "x",
    "*": "star", "p": "pentagon",
    "h": "hexagon", "H": "hexagon2", "8": "octagon", "$\\star$": "star", "+": "cross-thin",
    "x": "x-thin", "|": "line-ns", "_": "line-ew",
}  # fmt: skip
#: signs of mathematical text
_SIGNS = {
    r"\nabla": "∇", r"\|": "‖", r"\tau": "τ", r"\sigma": "σ", r"\gamma": "γ", r"\alpha": "α", r"\delta": "δ",
    r"\Delta": "Δ", r"\times": "×", r"\pm": "±", r"\mu": "μ", r"\Omega": "Ω", r"\,": " ", r"\ ": " ",
    r"\log": "log", "{": "", "}": "", "-": "−",
}  # fmt: skip
_LATER = re.compile(r"([_^])(?:\{([^{}]*)\}|(\\[A-Za-z]+|.))")


class _UnknownError(Exception):
    """Something that plotly would not show as the picture does."""


def script() -> str | None:
    """Plotly's own script, for inlining; None where plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs  # pyright: ignore  # an extra
    except ImportError:
        return None
    return get_plotlyjs()


def plain_words(text: str) -> str:
    """Text without the marks of mathematics, for those who hear it."""
    try:
        return html.unescape(re.sub("<[^>]*>", "", _words(text, " "))).strip()
    except _UnknownError:
        return text


def _words(text: str, line: str = "<br>") -> str:
    """Text with mathematics between dollars as plotly's small HTML."""
    parts = html.escape(text, quote=False).replace("\\$", "\0").split("$")
    if len(parts) % 2 == 0:  # a dollar by itself
        return html.escape(text, quote=False).replace("\n", line)
    for k in range(1, len(parts), 2):
        parts[k] = _mathematics(parts[k])
    return "".join(parts).replace("\0", "$").replace("\n", line)


def _mathematics(text: str) -> str:
    def raised(match: re.Match[str]) -> str:
        tag = "sub" if match[1] == "_" else "sup"
        return f"<{tag}>{match[2] or match[3]}</{tag}>"

    text = _LATER.sub(raised, text.replace(r"\mathdefault", ""))
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    if "\\" in text:
        raise _UnknownError(text)
    return text


def plot_of(axis: Axes) -> dict[str, Any] | None:
    """Data and layout of a panel for plotly; None where it would not show all that is drawn."""
    try:
        return _plot(axis)
    except _UnknownError:
        return None


def _plot(axis: Axes) -> dict[str, Any]:
    if not axis.axison or axis.get_xscale() not in _SCALES or axis.get_yscale() not in _SCALES:
        raise _UnknownError
    data: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for image in axis.images:
        data.append(_map(image))
    for band in (*axis.collections, *axis.patches):
        data += _band(axis, band, shapes)
    for line in axis.lines:
        _line(axis, line, data, shapes)
    if sum(np.size(trace.get("x", ())) for trace in data) > _MOST:
        raise _UnknownError
    notes = [note for text in axis.texts if (note := _note(axis, text))]
    named = sum(bool(drawn.get("showlegend")) for drawn in (*data, *shapes))
    layout = {
        "xaxis": _side(axis, "x"),
        "yaxis": _side(axis, "y"),
        "shapes": shapes,
        "annotations": notes,
        "showlegend": named > 0,
        "title": {"text": _words(axis.get_title()), "font": {"size": 14}},
    }
    return {"data": data, "layout": layout}


_SCALES = {"linear": "linear", "log": "log"}


def _side(axis: Axes, side: str) -> dict[str, Any]:
    """An axis of plotly."""
    from matplotlib.ticker import FixedLocator

    scale = getattr(axis, f"get_{side}scale")()
    ends = [float(v) for v in getattr(axis, f"get_{side}lim")()]
    few: dict[str, Any] = {}
    if scale == "log":
        ends = [math.log10(v) for v in ends]
        few = {"dtick": 1} if abs(ends[1] - ends[0]) > _DECADES else {}
    out: dict[str, Any] = {
        "title": {"text": _words(getattr(axis, f"get_{side}label")())},
        "type": scale,
        "range": ends,
        **few,
    }
    ruler = getattr(axis, f"{side}axis")
    if isinstance(ruler.get_major_locator(), FixedLocator):
        places = [float(v) for v in ruler.get_majorticklocs()]
        labels = [_words(text.get_text()) for text in ruler.get_majorticklabels()]
        out |= {"tickvals": places, "ticktext": labels[: len(places)]}
    return out


def _numbers(values: Any) -> list[float | None]:
    """Numbers with six digits; what is none, such as NaN, is a gap."""
    flat = np.asarray(np.ma.filled(np.ma.masked_invalid(np.asarray(values, dtype=float)), np.nan)).ravel()
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in flat]


def _colour(colour: Any, alpha: float | None = None) -> str:
    from matplotlib.colors import to_rgba

    red, green, blue, opacity = to_rgba(colour, alpha)
    return f"rgba({round(255 * red)},{round(255 * green)},{round(255 * blue)},{opacity:.3g})"


def _line(axis: Axes, line: Line2D, data: list[dict[str, Any]], shapes: list[dict[str, Any]]) -> None:
    if not line.get_visible():
        return
    in_x, in_y = line.get_transform().contains_branch_seperately(axis.transData)
    colour = _colour(line.get_color(), line.get_alpha())
    width = line.get_linewidth() * 96 / 72
    dash = _DASHES.get(str(line.get_linestyle()), "solid")
    x, y = _numbers(line.get_xdata(orig=False)), _numbers(line.get_ydata(orig=False))
    drawn = line.get_linestyle() not in ("None", " ", "")
    marker = line.get_marker()
    marked = marker not in ("None", None, "", " ")
    if not (in_x and in_y):  # axvline and axhline
        if marked or len(x) != 2:
            raise _UnknownError
        refs = {"xref": "x" if in_x else "x domain", "yref": "y" if in_y else "y domain"}
        ends = {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
        look = {"color": colour, "width": width, "dash": dash}
        shapes.append({"type": "line", **refs, **ends, "line": look, **_named(str(line.get_label()), {})})
        return
    if not drawn and not marked:
        return
    label = str(line.get_label())
    trace: dict[str, Any] = {
        "x": x,
        "y": y,
        "mode": "+".join([*(["lines"] if drawn else []), *(["markers"] if marked else [])]),
        "line": {"color": colour, "width": width, "dash": dash},
        **_named(label),
    }
    if marked:
        open_ = line.get_fillstyle() == "none" or str(marker) in "+x|_"
        symbol = _SYMBOLS.get(str(marker), "circle") + ("-open" if open_ else "")
        size = line.get_markersize() * (0.5 if marker == "." else 1) * 96 / 72
        face = _colour(line.get_markeredgecolor() if open_ else line.get_markerfacecolor(), line.get_alpha())
        trace["marker"] = {"symbol": symbol, "size": max(size, 3.0), "color": face}
    data.append(trace)


def _named(label: str, nameless: dict[str, Any] | None = None) -> dict[str, Any]:
    """The name in the legend; `nameless` for what has none."""
    if not label or label.startswith("_"):
        return {"showlegend": False, "hoverinfo": "x+y"} if nameless is None else nameless
    return {"name": _words(label), "showlegend": True}


def _band(axis: Axes, band: Any, shapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Filled areas, bars and bare lines of a collection or a patch; a grid of colours as a map."""
    from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
    from matplotlib.patches import Rectangle

    if not band.get_visible():
        return []
    if isinstance(band, QuadMesh):
        return [_mesh(band)]
    if isinstance(band, Rectangle) and not _in_data(axis, band):  # axvspan and axhspan
        in_x, in_y = band.get_transform().contains_branch_seperately(axis.transData)
        ends = {"x0": band.get_x(), "x1": band.get_x() + band.get_width(),
                "y0": band.get_y(), "y1": band.get_y() + band.get_height()}  # fmt: skip
        refs = {"xref": "x" if in_x else "x domain", "yref": "y" if in_y else "y domain"}
        look = {"fillcolor": _colour(band.get_facecolor()), "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect", **refs, **{k: float(v) for k, v in ends.items()}, **look})
        return []
    if isinstance(band, Rectangle):
        corners = band.get_patch_transform().transform(band.get_path().vertices)
        return [_area([corners], band.get_facecolor(), str(band.get_label()))]
    if isinstance(band, LineCollection) and _in_data(axis, band):
        pieces, colours = _pieces(band), band.get_edgecolor()
        if len(colours) != 1:  # pyright: ignore[reportArgumentType]
            raise _UnknownError
        x, y = _joined(pieces)
        width = float(np.atleast_1d(band.get_linewidth())[0]) * 96 / 72
        line = {"color": _colour(colours[0]), "width": width}  # pyright: ignore[reportIndexIssue]
        return [{"x": x, "y": y, "mode": "lines", "line": line, **_named(str(band.get_label()))}]
    if isinstance(band, PolyCollection) and _in_data(axis, band):
        colours = band.get_facecolor()
        if len(colours) != 1:  # pyright: ignore[reportArgumentType]
            raise _UnknownError
        return [_area(_pieces(band), colours[0], str(band.get_label()))]  # pyright: ignore[reportIndexIssue]
    raise _UnknownError


def _in_data(axis: Axes, band: Artist) -> bool:
    return all(band.get_transform().contains_branch_seperately(axis.transData))


def _pieces(band: Collection) -> list[np.ndarray]:
    return [np.asarray(piece) for path in band.get_paths() for piece in path.to_polygons(closed_only=False)]


def _joined(pieces: Iterable[np.ndarray]) -> tuple[list[float | None], list[float | None]]:
    """Several lines as one, with gaps between them."""
    x: list[float | None] = []
    y: list[float | None] = []
    for piece in pieces:
        x += [*([None] if x else []), *_numbers(piece[:, 0])]
        y += [*([None] if y else []), *_numbers(piece[:, 1])]
    return x, y


def _area(pieces: list[np.ndarray], colour: Any, label: str) -> dict[str, Any]:
    x, y = _joined(pieces)
    drawn = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": _colour(colour)}
    return {"x": x, "y": y, **drawn, **_named(label), "hoverinfo": "skip"}


def _scale(mappable: Any) -> dict[str, Any]:
    """The colours of a map, and the bar that explains them."""
    low, high = mappable.get_clim()
    if type(mappable.norm).__name__ != "Normalize":
        raise _UnknownError
    stops = [[k / 16, _colour(mappable.cmap(k / 16))] for k in range(17)]
    bar = mappable.colorbar
    title = _words(bar.ax.get_ylabel()) if bar is not None else ""
    shown = {"title": {"text": title, "side": "right"}, "thickness": 14, "outlinewidth": 0}
    return {"colorscale": stops, "zmin": float(low), "zmax": float(high), "showscale": bar is not None,
            "colorbar": shown}  # fmt: skip


def _rows(values: Any) -> list[list[float | None]]:
    return [_numbers(row) for row in np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)]


def _map(image: Any) -> dict[str, Any]:
    values = image.get_array()
    if values is None or values.ndim != 2:
        raise _UnknownError
    left, right, bottom, top = image.get_extent()
    high, wide = values.shape
    rows = _rows(values if image.origin == "upper" else values[::-1])
    x = np.linspace(left, right, 2 * wide + 1)[1::2]
    y = np.linspace(top, bottom, 2 * high + 1)[1::2]
    return {"type": "heatmap", "x": _numbers(x), "y": _numbers(y), "z": rows, **_scale(image)}


def _mesh(mesh: Any) -> dict[str, Any]:
    corners, values = mesh.get_coordinates(), mesh.get_array()
    x, y = corners[0, :, 0], corners[:, 0, 1]
    straight = np.allclose(corners[..., 0], x) and np.allclose(corners[..., 1], y[:, None])
    if values is None or values.ndim != 2 or not straight or values.shape[0] == len(y):
        raise _UnknownError
    return {"type": "heatmap", "x": _numbers(x), "y": _numbers(y), "z": _rows(values), **_scale(mesh)}


def _note(axis: Axes, text: Text) -> dict[str, Any] | None:
    """Words on a panel."""
    from matplotlib.text import Annotation

    if not text.get_visible() or not text.get_text():
        return None
    shift = (0.0, 0.0)
    if isinstance(text, Annotation):
        coordinates = text.xycoords if isinstance(text.xycoords, tuple) else (text.xycoords,) * 2
        known = {"data": True, "axes fraction": False}
        if text.arrow_patch is not None or not all(c in known for c in coordinates):
            raise _UnknownError
        in_x, in_y = (known[str(c)] for c in coordinates)
        (x, y), offset = text.xy, text.anncoords == "offset points"
        shift = text.xyann if offset else shift
    else:
        in_x, in_y = text.get_transform().contains_branch_seperately(axis.transData)
        x, y = text.get_position()
    x = math.log10(x) if in_x and axis.get_xscale() == "log" else float(x)
    y = math.log10(y) if in_y and axis.get_yscale() == "log" else float(y)
    across = {"left": "left", "right": "right"}.get(text.get_horizontalalignment(), "center")
    up = {"top": "top", "bottom": "bottom", "baseline": "bottom"}.get(text.get_verticalalignment(), "middle")
    font = {"size": max(float(text.get_fontsize()) * 96 / 72, 9.0), "color": _colour(text.get_color())}
    return {
        "text": _words(text.get_text()), "x": x, "y": y, "showarrow": False, "font": font,
        "xref": "x" if in_x else "x domain", "yref": "y" if in_y else "y domain",
        "xanchor": across, "yanchor": up, "xshift": shift[0], "yshift": shift[1],
        "textangle": -text.get_rotation(),
    }  # fmt: skip
