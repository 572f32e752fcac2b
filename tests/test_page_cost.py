"""The page docs/cost.md: its commands and code run as they stand, and its tables are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ohmgrad.cost import NAMES, PHASES
from ohmgrad.cost.checks import Check, cross_checks
from ohmgrad.cost.training import work_of
from ohmgrad.optim import ALGORITHMS
from ohmgrad.studies.events import events_file, read_events
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = page("cost")


def test_the_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert len(list(run_road(PAGE, capsys))) == 7
    assert len(read_events(events_file(Path("runs/a"), "ttv2", 0))) == 3


def check_row(check: Check) -> str:
    figures = f"{check.published:.4g} | {check.ours:.4g} | {check.unit}"
    return f"| {check.what} | {figures} | {100 * check.deviation:+.1f} % |"


def work_row(name: str) -> str:
    work = work_of(name)
    counted = {
        "for every weight and sample": work.per_weight_sample,
        "for every weight": work.per_weight_update,
        "for every value read": work.per_value_read,
        "for every weight and vector of a product": work.per_weight_vector,
    }
    operations = ", ".join(f"{n} {what}" for what, n in counted.items() if n) or "-"
    return f"| `{name}` | {work.gradient_on} | {work.planes} | {operations} |"


@pytest.mark.parametrize("check", cross_checks(), ids=lambda check: check.what)
def test_cross_checks_are_on_the_page(check: Check) -> None:
    assert check_row(check) in PAGE


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_work_of_algorithms_is_on_the_page(name: str) -> None:
    assert work_row(name) in PAGE


def test_phases_and_hardware_are_on_the_page() -> None:
    for phase in PHASES:
        assert re.search(rf"^\| [^|]*\b{phase}\b[^|]*\|", PAGE, re.M), phase
    for name in NAMES:
        assert f"| `{name}` |" in PAGE
