"""The documentation site: what its pages say of algorithms and families; where it is built, its search."""

from __future__ import annotations

import inspect
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import ohmgrad as og
from ohmgrad.devices.families import FAMILIES
from ohmgrad.optim import ALGORITHMS
from tests.browser import CHROMIUM, browser

DOCS = Path(__file__).parent.parent / "docs"
BUILT = DOCS / "_build" / "html"
FACTS = yaml.safe_load((DOCS / "_ext" / "algorithms.yaml").read_text())
FAMILY_FACTS = yaml.safe_load((DOCS / "_ext" / "families.yaml").read_text())
PAGES = [p for folder in (DOCS, DOCS / "roads", DOCS / "results") for p in sorted(folder.glob("*.md"))]


def test_every_algorithm_and_family_has_its_facts() -> None:
    assert {*FACTS} == {*ALGORITHMS}
    assert {*FAMILY_FACTS} == {*FAMILIES, "custom", "measured"}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_options_of_pages_are_options(name: str) -> None:
    kind: Any = ALGORITHMS[name]
    assert {*FACTS[name]["names"]} <= {*inspect.signature(kind).parameters}
    layer = og.AnalogLinear(2, 2, og.Device(og.SoftBounds.symmetric(0.6)))
    kind(layer.parameters(), 0.1, **FACTS[name]["options"])


@pytest.mark.parametrize("name", FAMILIES)
def test_examples_of_families_are_of_the_family(name: str) -> None:
    device = eval(FAMILY_FACTS[name]["example"], {"torch": torch, **vars(og)})
    assert type(device.response) is FAMILIES[name]


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file, _, part = link.partition("#")
        if "://" in file or file.startswith("generated/") or "/generated/" in file:
            continue
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), link
        if part and there.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
            words = (re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles)
            assert part in words, link


def test_every_page_is_in_a_toctree() -> None:
    """A page that no list of contents has is found by nobody; `?NAME` stands for one that may come."""
    listed = set()
    for path in PAGES:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(), re.S):
            listed |= {line.lstrip("?") for line in tree.splitlines()}
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in PAGES}
    assert pages - {"index"} <= listed


@pytest.mark.skipif(not BUILT.is_dir(), reason="the site is not built: make docs")
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_search_works_without_a_server() -> None:
    with browser() as running:
        page = running.show(BUILT / "search.html", 375)
        page.ask("location.search = '?q=symmetric+point'")
        found, end = "", time.monotonic() + 60
        while "Glossary" not in found and time.monotonic() < end:
            time.sleep(0.2)
            found = page.ask("document.querySelector('#search-results')?.innerText ?? ''")
        assert "Glossary" in found
        assert page.ask("document.documentElement.scrollWidth") <= 375
        assert not page.requests  # none to a network
