"""The page docs/deployment.md: its commands and code run as they stand, and its figures are the code's."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ohmgrad.cli import main
from ohmgrad.deployment import DAY, PCM, TECHNOLOGIES, YEAR, ReRAM
from ohmgrad.deployment.published import Point, beside_measured
from ohmgrad.errors import InputError
from ohmgrad.report.deployments import time_in_words
from ohmgrad.studies import RunSpec
from ohmgrad.studies.deployments import DEPLOYED, deploy_runs
from ohmgrad.studies.folders import make_folder, read_metrics
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = page("deployment")
MINUS = str.maketrans({"⁴": "^4", "³": "^3", "²": "^2"})


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["deploy", *argv])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_the_road(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    assert len(list(run_road(PAGE, capsys))) == 4
    with Path("both.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == DEPLOYED
    assert len(rows) == 2 * 3 * 4
    assert {row["compensation"] for row in rows} == {"False"}
    digital = {row["run"]: float(row["digital"]) for row in rows}
    for run in ("plain", "aware"):  # the plain model is the one that was trained
        assert digital[run] == read_metrics(Path("runs") / run)[-1]["test_accuracy"]
    for end in (".csv", ".svg", ".pdf", ".png"):
        assert Path(f"runs/plain/deployment{end}").stat().st_size > 200
    assert "20 s" in Path("both.svg").read_text()
    _check_refusals(capsys)


def _check_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong input is refused before anything is computed or written."""
    make_folder(Path("empty"), RunSpec(algorithms=("digital",)))
    cases: dict[tuple[str, ...], str] = {
        (
            "runs/plain",
            "--times",
            "1h,3x",
        ): "a time is '3x', but must be a number with one of s, min, h, d, w, y",
        ("runs/plain", "--times", "5s"): "published from 20 s on",
        ("runs/plain", "--technology", "reram", "--times", "1y"): "published from 1 s to 172800 s",
        ("runs/plain", "--technology", "flash"): "unknown technology 'flash'",
        ("runs/plain", "--programmings", "0"): "programmings is 0",
        ("runs/plain", "--clip", "-1"): "clip is -1",
        ("runs/plain", "--out", "no/where"): "there is no folder no",
        ("nowhere",): "there is no folder nowhere",
        ("runs/plain", "empty", "--out", "x"): "empty has no finished epoch of digital with seed 0",
    }
    for argv, says in cases.items():
        assert says in refused(capsys, *argv), argv
    assert not Path("x.csv").exists()
    with pytest.raises(InputError, match=r"programmings is 2\.5"):
        deploy_runs([Path("runs/plain")], programmings=2.5)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("seconds", "words"), [(20, "20 s"), (90, "1.5 min"), (3600, "1 h"), (30 * DAY, "30 d"), (YEAR, "1 y")]
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert time_in_words(seconds) == words


def test_the_figures_of_the_technologies_are_on_the_page() -> None:
    text = PAGE.translate(MINUS)
    pcm, reram = PCM(), ReRAM()
    assert {*TECHNOLOGIES} == {"pcm", "reram"}
    assert f"{pcm.g_max:g} uS | {reram.g_max:g} uS" in text
    for _, numbers in reram.published:
        a, b, c, d, e = (f"{abs(n):.3f}" for n in numbers)
        assert f"-{a} g^4 + {b} g^3 - {c} g^2 + {d} g + {e} uS" in text
    a, b, c = (f"{abs(n):.5g}" for n in pcm.programming)
    assert f"-{a} g^2 + 1.9650 g + {c} uS" in text
    assert float(b) == 1.965
    for name, (slope, offset, low, high) in {"mu": pcm.exponent, "s": pcm.exponent_spread}.items():
        sign = "+" if offset > 0 else "-"
        assert f"{name} = clip({slope:g} ln g {sign} {abs(offset):g}, {low:g}, {high:g})" in text
    assert f"min({pcm.read[0]:g} / g^{pcm.read[1]:g}, {pcm.read[2]:g})" in text


def row(point: Point) -> str:
    digits = 3 if point.unit == "uS" else 4
    figures = f"{point.g:.3f} | {point.measured:.{digits}f} | {point.ours:.{digits}f}"
    return f"| {point.what} ({point.unit}) | {figures} | {100 * (point.ours / point.measured - 1):+.0f} % |"


def test_measurements_are_on_the_page() -> None:
    for point in beside_measured():
        assert row(point) in PAGE
        assert point.error < 0.02 * point.ours
