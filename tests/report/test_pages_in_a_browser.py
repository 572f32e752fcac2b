"""Pages in a real browser, as wide as a phone and as a screen: no errors, plots there, nothing sticks out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ohmgrad.report import Code, Page, Section, run_page
from ohmgrad.report.zoomable import script
from tests.browser import CHROMIUM, Browser, Shown, browser
from tests.report.made import run_folder
from tests.report.test_page import FOREIGN
from tests.report.test_page import page as foreign_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (apt-get install chromium)")

NEEDS_PLOTLY = pytest.mark.skipif(script() is None, reason="plotly is not installed")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module", params=["pictures", pytest.param("plotly", marks=NEEDS_PLOTLY)])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """The page of a training, with pictures alone and with plotly."""
    folder, zoom = tmp_path_factory.mktemp(request.param), request.param == "plotly"
    with pytest.MonkeyPatch.context() as patch:
        if not zoom:
            patch.setattr("ohmgrad.report.page.script", lambda: None)
        return run_page(run_folder(folder / "run")).write(folder / "page.html"), zoom


def shown(chromium: Browser, path: Path, width: int, **how: Any) -> Shown:
    page = chromium.show(path, width, **how)
    wide = page.ask("document.documentElement.scrollWidth")
    assert (page.errors, page.requests) == ([], [])
    assert wide <= width, f"{path.name} is {wide} pixels wide on a screen of {width}"
    return page


#: width in pixels of everything that is drawn of a panel, and whether it lies inside the window
PLACES = """[...document.querySelectorAll('.panel')].map(panel => {
  const drawn = panel.querySelector('.plot .main-svg') || panel.querySelector('img');
  const box = drawn.getBoundingClientRect();
  return [box.width, box.left >= 0 && box.right <= innerWidth, drawn.tagName.toLowerCase()];
})"""


@pytest.mark.parametrize("width", [375, 1280])
def test_a_training_on_a_screen(chromium: Browser, file: tuple[Path, bool], width: int) -> None:
    path, zoom = file
    page = shown(chromium, path, width, dark=zoom)
    places = page.ask(PLACES)
    assert len(places) == 5  # loss, accuracy; steps, their parts, pulses of the device
    for wide, inside, kind in places:
        assert inside
        assert wide > (0.85 * width if width < 600 else 300)
        assert kind == ("svg" if zoom else "img")
    assert page.ask("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    if zoom:
        names = page.ask("[...document.querySelectorAll('.plot .legendtext')].map(e => e.textContent)")
        assert {"digital SGD", "Tiki-Taka", "Analog SGD", "element 1"} <= {*names}
        page.ask("Plotly.relayout(document.querySelector('.plot'), {'xaxis.range': [1, 2]}).then(() => 1)")
        assert page.ask("document.querySelector('.plot').layout.xaxis.range") == [1, 2]
        assert page.errors == []


def test_print_has_the_pictures(chromium: Browser, file: tuple[Path, bool]) -> None:
    page = shown(chromium, file[0], 800)
    page.call("Emulation.setEmulatedMedia", media="print")
    shows = "e => getComputedStyle(e).display"
    assert {*page.ask(f"[...document.querySelectorAll('.panel img')].map({shows})")} == {"block"}
    assert {*page.ask(f"[...document.querySelectorAll('.plot, nav')].map({shows})")} == {"none"}
    assert page.call("Page.printToPDF")["data"].startswith("JVBERi")  # %PDF


def test_foreign_text_stays_text(chromium: Browser, tmp_path: Path) -> None:
    """Nothing of it runs, and long words and lines scroll inside their own boxes."""
    path = foreign_page(FOREIGN).write(tmp_path / "foreign.html")
    page = shown(chromium, path, 375)
    assert page.ask("document.querySelector('h1').textContent") == FOREIGN
    sections = (Section("z" * 200, ("w" * 300, Code("c" * 500))),)
    long = Page("x" * 300, "y" * 300, sections, "d" * 500, {"e": "f" * 99})
    shown(chromium, long.write(tmp_path / "long.html"), 375)


#: what must not be in a page: a script that fails, one that complains, an address outside, a wide box
FAULTS = {
    "script": "<script>nothing.there()</script>",
    "console": "<script>console.error('no')</script>",
    "address": "<img src='https://localhost/a.png'>",
    "wide": "<p style='width: 500px'>x</p>",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_seen(fault: str, chromium: Browser, tmp_path: Path) -> None:
    good = Page("t", "v", (Section("s", ("words",)),), "c", {}).html()
    path = tmp_path / "page.html"
    path.write_text(good, encoding="utf-8")
    shown(chromium, path, 375)
    path.write_text(good.replace("</main>", f"{FAULTS[fault]}</main>"), encoding="utf-8")
    with pytest.raises(AssertionError, match="pixels wide" if fault == "wide" else None):
        shown(chromium, path, 375)
