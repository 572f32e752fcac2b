"""The page docs/compare.md: its commands and Python run as they stand."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from ohmgrad.cli import main
from ohmgrad.studies import workers

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = (Path(__file__).parent.parent / "docs/compare.md").read_text()


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "cores", lambda: 1)  # other processes take seconds to start
    raw, counts = tmp_path / "runs/first/raw", []
    for kind, block in re.findall(r"^```(python|sh)\n(.*?)^```", PAGE, re.M | re.S):
        if kind == "python":
            if "pandas" not in block or importlib.util.find_spec("pandas"):
                exec(compile(block, "block", "exec"), {})
            continue
        for line in block.strip().splitlines():
            program, *argv = shlex.split(line)
            assert program == "ohmgrad"
            with pytest.raises(SystemExit) as stop:
                main(argv)
            assert stop.value.code in (0, None), capsys.readouterr().err
            counts.append(len(list(raw.glob("*.parquet"))))
    trainings = 2 + 3  # two rates, three seeds
    assert counts == [3 * trainings, 4 * trainings]
    *_, verdict = capsys.readouterr().out.splitlines()
    assert verdict.startswith("reram-es: ")  # of the last block
