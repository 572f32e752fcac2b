"""The page docs/fit.md: its commands run as they stand, from a file of pulses to a trained network."""

from __future__ import annotations

from pathlib import Path

import pytest

import ohmgrad as og
from ohmgrad.devices.fitting.laws import LAWS
from ohmgrad.studies import read_metrics
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = page("fit")


def test_the_road_from_a_file_to_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(list(run_road(PAGE, capsys))) == 4
    out = capsys.readouterr().out
    assert "long: column 1 (device) is the device" in out
    assert "readings are conductances in uS" in out
    device = og.Device.from_yaml(tmp_path / "pulses.yaml")
    assert isinstance(device.response, og.SoftBounds)
    # 12 ramps of 40 readings: the granularity is known to some percent of the drawn elements' own
    assert 0.02 < device.dw_min < 0.05
    assert {row["algorithm"] for row in read_metrics(tmp_path / "runs/mine")} == {"digital", "sgd", "ttv2"}


def test_every_family_is_on_the_page() -> None:
    for name in LAWS:
        assert f"| `{name}` |" in PAGE, name
