"""The page docs/compare.md: its commands and Python run as they stand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ohmgrad.studies import workers
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = page("compare")


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "cores", lambda: 1)  # other processes take seconds to start
    raw, has_pandas = tmp_path / "runs/first/raw", importlib.util.find_spec("pandas") is not None
    road = run_road(PAGE, capsys, lambda block: has_pandas or "pandas" not in block)
    counts = [len(list(raw.glob("*.parquet"))) for _ in road]
    trainings = 2 + 3  # two rates, three seeds
    assert counts == [3 * trainings, 4 * trainings]
    *_, verdict = capsys.readouterr().out.splitlines()
    assert verdict.startswith("reram-es: ")  # of the last block
