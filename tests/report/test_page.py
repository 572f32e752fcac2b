"""A page of HTML: nothing from outside, all text escaped, the same bytes again, and files of whole pages."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from ohmgrad import InputError
from ohmgrad.report import Code, Page, Picture, Section
from tests.report.made import Parsed

#: foreign text as it may stand in a name of a file, a device or a setting
FOREIGN = "<script>alert('x')</script> & \"[red]\" {{ page }} </script>"


def figure(word: str = "a curve") -> Figure:
    drawn = Figure(figsize=(6, 2.5), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    for axis in (left, right):
        axis.plot([0, 1, 2], [1.0, float("nan"), 3.0], label=word)
        axis.plot([0, 1, 2], [2, 2, 2], "--", label="$q_+$")
        axis.set_xlabel(word)
    left.set_ylabel("$\\|\\nabla f\\|^2$")
    return drawn


def page(word: str = "plain words") -> Page:
    table = Table(title="numbers", caption=escape(word))
    table.add_column(escape(word))
    table.add_column("value", justify="right")
    table.add_row(escape(word), "[green]1.5[/]")
    blocks = (word, table, Picture(figure(word), word), {word: word, "none": None}, Code(word, word))
    return Page(word, word, (Section(word, blocks),), word, {"ohmgrad": word})


@pytest.fixture(params=["pictures", "plotly"])
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With plotly, of which a short stand-in is in the page, and without."""
    given = "var Plotly = {};" if request.param == "plotly" else None
    monkeypatch.setattr("ohmgrad.report.page.script", lambda: given)
    return given is not None


def test_nothing_is_asked_of_the_network(script: bool) -> None:
    text = page().html()
    parsed = Parsed(text)
    for tag, names in parsed.elements:
        for name in ("src", "href", "data", "srcset", "action", "poster"):
            assert names.get(name, "#").startswith(("#", "data:")), (tag, names[name][:80])
        assert tag not in ("link", "iframe", "object", "embed", "base")
    assert not re.search(r"url\(|@import", parsed.texts["style"])
    policy = next(n["content"] for t, n in parsed.elements if t == "meta" and "http-equiv" in n)
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    kinds = [names.get("type") for tag, names in parsed.elements if tag == "script"]
    assert kinds == (["application/json"] * 2 + [None] * 2 if script else [])


def test_pictures_are_whole(script: bool) -> None:
    pictures = [names for tag, names in Parsed(page().html()).elements if tag == "img"]
    assert [p["alt"] for p in pictures] == ["‖∇ f‖2 against plain words"] * 2  # the label that they share
    for picture in pictures:
        kind, _, content = picture["src"].partition(",")
        assert kind == "data:image/svg+xml;base64"
        svg = base64.b64decode(content).decode()
        assert "<svg" in svg
        assert "<image" not in svg
        assert float(picture["width"]) == pytest.approx(300, abs=60)  # half of 6 inches each


def test_text_is_escaped(script: bool) -> None:
    text = page(FOREIGN).html()
    parsed = Parsed(text)
    for tag in ("title", "h1", "h2", "th", "td", "dt", "dd", "pre", "figcaption"):
        assert FOREIGN in parsed.texts[tag], tag
    runs = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert not any("alert" in code for code in runs)
    assert len(runs) == (2 if script else 0)


def test_plots_are_data_that_a_browser_reads(script: bool) -> None:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page(FOREIGN).html(), re.S)
    assert len(found) == (2 if script else 0)
    for text in found:
        plot = json.loads(text)
        name, up = (trace["name"] for trace in plot["data"])
        assert "<" not in name  # plotly reads a little HTML in names
        assert "&lt;script&gt;" in name
        assert up == "q<sub>+</sub>"
        assert plot["data"][0]["y"] == [1.0, None, 3.0]


def test_tables_keep_sides_and_colours() -> None:
    cells = [n.get("class", "") for t, n in Parsed(page().html()).elements if t in ("th", "td")]
    assert cells == ["", "number", "", "number green"]


def test_the_same_page_is_the_same_text() -> None:
    assert page().html() == page().html()


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    path = page().write(tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(InputError, match="choose another --out"):
        page().write(path / "below.html")
