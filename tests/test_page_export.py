"""The page docs/export.md: its commands and code run as they stand, and its tables are what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from ohmgrad import InputError
from ohmgrad.conformance import BOARD_LAWS
from ohmgrad.studies.exports import export_run, read_back
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = page("export")


def columns(path: Path) -> dict[str, str]:
    types = parquet.read_schema(path)
    return {name: str(types.field(name).type).replace("double", "float64") for name in types.names}


def run(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the page here; what each command printed."""
    printed = []
    for _ in run_road(PAGE, capsys):
        printed.append(capsys.readouterr().out)
    return printed


def test_the_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    printed = run(capsys)
    assert len(printed) == 4
    trained = printed[0].split("epoch 3/3")[1].split("test accuracy ")[1].split()[0]
    read = printed[2].split("accuracy: ")[1]
    ends = [float(part.split()[-1]) for part in read.split(" %")[:2]]
    assert ends == pytest.approx([float(trained)] * 2, abs=0.051)  # one digit was printed
    said = json.loads(Path("to-board/conductances.json").read_text())
    pulses = json.loads(Path("with-pulses/pulses.json").read_text())
    assert [a["name"] for a in said["arrays"]] == ["weights", "fast"] * len(said["layers"])
    for entry in (*said, *said["arrays"][0], *said["layers"][0], *pulses, *pulses["arrays"][0]):
        assert f"`{entry}`" in PAGE, entry
    for file in ("to-board/conductances.parquet", "with-pulses/pulses/part-000000.parquet"):
        for name, kind in columns(Path(file)).items():
            kind = "string" if "dictionary" in kind else kind
            assert any(f"`{name}`" in line and f"| {kind} |" in line for line in PAGE.splitlines()), name
    refused(Path("runs/a"))


def refused(folder: Path) -> None:
    """What is no training of this run, which has Tiki-Taka with seed 0."""
    options: dict[str, Any] = {"g_min": 1e-6, "g_max": 2e-5}
    for given, message in (
        ({"algorithm": "sgd"}, "choose one of tiki-taka"),
        ({"seed": 5}, "has seeds 0, but not 5"),
    ):
        with pytest.raises(InputError, match=message):
            export_run(folder, Path("other"), **given, **options)
    spec = folder / "spec.yaml"
    text = re.sub(r"options:\n  fast_lr: .*\n", "", spec.read_text())
    for algorithms, message in (
        ("[sgd, tiki-taka]", "has algorithms sgd, tiki-taka: choose one with --algorithm"),
        ("[agad]", "has no finished epoch of agad"),
        ("[digital]", "has no analog training"),
    ):
        spec.write_text(re.sub(r"algorithms:\n- tiki-taka", f"algorithms: {algorithms}", text))
        with pytest.raises(InputError, match=message):
            read_back(folder, Path("to-board"))
    assert not Path("other").exists()


@pytest.mark.parametrize("law", BOARD_LAWS)
def test_laws_of_boards_are_on_the_page(law: str) -> None:
    first = " ".join((BOARD_LAWS[law].__doc__ or "").split("\n\n")[0].split())
    assert f"| {law} | {first} |" in PAGE
