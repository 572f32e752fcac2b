"""The three roads, docs/roads: their blocks run as they stand, and end where they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ohmgrad as og
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_from_a_file_to_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(run_road(page("roads/physicist"), capsys))) == 3
    device = og.Device.from_yaml(Path("mine.yaml"))
    # made with 1.2 up and 0.8 down on [-1, 1], noise of 0.3 steps; two elements, two ramps each way
    assert isinstance(device.response, og.SoftBounds)
    assert device.response.symmetric_point() == pytest.approx(0.2, abs=0.3)
    assert Path("mine.svg").is_file()
    assert Path("runs/verdict/page.html").is_file()
    assert "\nmine: " in capsys.readouterr().out  # the verdict


def test_from_an_idea_to_a_checked_algorithm(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert len(list(run_road(page("roads/researcher"), capsys))) == 2
    out = capsys.readouterr().out
    assert "3 of 3 laws hold" in out
    _, simulated = re.findall(r"Tiki-Taka ([\d.]+), simulated ([\d.]+)", out)[0]
    assert float(simulated) < 0.002  # Analog SGD's floor is 0.024
    norm, floor = map(float, re.findall(r"squared gradient (\S+), predicted floor (\S+)", out)[0])
    assert norm < 0.05
    assert 0 < floor < 0.05


def test_from_a_model_to_its_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(list(run_road(page("roads/engineer"), capsys))) == 3
    assert float(re.findall(r"test accuracy ([\d.]+), ", capsys.readouterr().out)[0]) > 0.9
    assert Path("digital.pt").is_file()
