"""From matplotlib's axes to plotly's data: what stands there, and what is left to its picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ohmgrad.devices.presets import preset
from ohmgrad.report import device_figure
from ohmgrad.report.zoomable import plain_words, plot_of, script


def axis_of(**settings: Any) -> Axes:
    axis = Figure().subplots()
    axis.set(**settings)
    return axis


def plot(axis: Axes) -> dict[str, Any]:
    found = plot_of(axis)
    assert found is not None
    return found


def test_lines_markers_and_bands() -> None:
    axis = axis_of(xscale="log", xlim=(1, 1000), ylim=(4, 0), xlabel="step $k$", title=r"$\tau$ = 2")
    axis.plot([1, 10, 100], [1 / 3, np.nan, 2], "--s", color="#0072B2", lw=3, ms=6, label="mine")
    axis.plot([1, 10], [1, 1], ":", color="black")
    axis.fill_between([1, 10], [0, 1], [2, 3], color="red", alpha=0.2, lw=0)
    axis.axvline(10, color="black", label="here")
    axis.axvspan(2, 5, color="black", alpha=0.1, lw=0)
    axis.errorbar([1, 2], [1, 2], yerr=[0.1, 0.2], capsize=2, label="with bars")
    found = plot(axis)
    band, bars, mine, plain, *_ = found["data"]
    assert mine["x"] == [1, 10, 100]
    assert mine["y"] == [0.333333, None, 2]
    assert (mine["mode"], mine["name"], mine["showlegend"]) == ("lines+markers", "mine", True)
    assert mine["line"] == {"color": "rgba(0,114,178,1)", "width": 4.0, "dash": "dash"}
    assert mine["marker"]["symbol"] == "square"
    assert mine["marker"]["size"] == pytest.approx(8)
    assert (plain["line"]["dash"], plain["showlegend"]) == ("dot", False)
    assert (band["fill"], band["fillcolor"]) == ("toself", "rgba(255,0,0,0.2)")
    assert {tuple(p) for p in zip(band["x"], band["y"], strict=True)} >= {(1, 0), (1, 2), (10, 1), (10, 3)}
    assert bars["x"] == [1, 1, None, 2, 2]
    assert bars["y"] == pytest.approx([0.9, 1.1, None, 1.8, 2.2])
    span, line = found["layout"]["shapes"]
    assert (line["name"], line["showlegend"], "name" in span) == ("here", True, False)
    assert (span["x0"], span["x1"], span["xref"], span["yref"]) == (2, 5, "x", "y domain")
    assert (line["x0"], line["xref"], line["yref"]) == (10, "x", "y domain")
    side = found["layout"]["xaxis"]
    assert (side["type"], side["range"], side["title"]["text"]) == ("log", [0, 3], "step k")
    assert found["layout"]["yaxis"]["range"] == [4, 0]
    assert found["layout"]["title"]["text"] == "τ = 2"


@pytest.mark.parametrize("kind", ["image", "mesh"])
def test_maps_stand_where_they_were(kind: str) -> None:
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]])
    axis = axis_of()
    if kind == "image":
        drawn: Any = axis.imshow(values, vmin=0, vmax=10)
    else:
        drawn = axis.pcolormesh([0, 1, 2, 3], [0, 1, 2], values, vmin=0, vmax=10)
    axis.figure.colorbar(drawn, label="accuracy (%)")
    axis.text(1, 0, "<b>", color="white")
    axis.set_xticks([0, 1, 2], ["a", "b<i>", "$w_0$"])
    found = plot(axis)
    (map_,) = found["data"]
    assert map_["z"] == [[1, 2, 3], [4, 5, None]]
    assert map_["x"] == ([0, 1, 2] if kind == "image" else [0, 1, 2, 3])
    assert map_["y"] == ([0, 1] if kind == "image" else [0, 1, 2])
    assert (map_["zmin"], map_["zmax"]) == (0, 10)
    assert map_["colorbar"]["title"]["text"] == "accuracy (%)"
    assert map_["colorscale"][0][1] == "rgba(68,1,84,1)"  # of viridis
    (note,) = found["layout"]["annotations"]
    assert (note["text"], note["x"], note["y"], note["xref"]) == ("&lt;b&gt;", 1, 0, "x")
    assert found["layout"]["xaxis"]["ticktext"] == ["a", "b&lt;i&gt;", "w<sub>0</sub>"]


def unknown_scale(axis: Axes) -> None:
    axis.set_yscale("symlog")


def arrow(axis: Axes) -> None:
    axis.annotate("here", (0, 0), (1, 1), arrowprops={})


def contours(axis: Axes) -> None:
    axis.contourf(np.eye(4))


def mathematics(axis: Axes) -> None:
    axis.set_xlabel(r"$\sqrt{x}$")


def many(axis: Axes) -> None:
    axis.plot(np.zeros(60_000))


def switched_off(axis: Axes) -> None:
    axis.set_axis_off()


@pytest.mark.parametrize("draw", [unknown_scale, arrow, contours, mathematics, many, switched_off])
def test_what_plotly_would_show_otherwise_is_left_to_the_picture(draw: Any) -> None:
    axis = axis_of()
    axis.plot([0, 1], [0, 1])
    assert plot_of(axis) is not None
    draw(axis)
    assert plot_of(axis) is None


def test_words() -> None:
    assert plain_words(r"squared norm $\|\nabla f\|^2$, $10^{-2}$ $W_k$") == "squared norm ‖∇ f‖2, 10−2 Wk"
    assert plain_words("costs 5 $ <b>") == "costs 5 $ <b>"
    assert plain_words(r"$\sqrt{x}$") == r"$\sqrt{x}$"


def test_figures_of_devices_can_be_zoomed() -> None:
    left, middle, right = device_figure(preset("ideal"), "ideal", pulses=5).axes
    assert [t["name"] for t in plot(middle)["data"] if t["showlegend"]] == [
        "symmetric part, F",
        "asymmetry, G",
    ]
    found = plot(left)
    names = [t["name"] for t in found["data"] if t["showlegend"]]
    assert names == ["pulse up, q<sub>+</sub>", "pulse down, q<sub>−</sub>"]
    assert len(plot(right)["data"]) == 3


def test_plotly_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    assert script() is None
