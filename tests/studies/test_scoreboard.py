"""The scoreboard: published values are read and judged, and the page in docs is what its numbers make."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from ohmgrad import InputError
from ohmgrad.cli import main
from ohmgrad.report import scoreboard_page
from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.scoreboard import PUBLISHED, Published, published, scoreboard, study_claims
from ohmgrad.studies.study import plain

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("97.64 ± 0.17", Published(97.64, 0.17)),
        ("11.35 ± 0.00", Published(11.35)),
        ("97.64", Published(97.64)),
        (93.03, Published(93.03)),
        ("< 15", Published(15.0, below=True)),
        ("<15.00", Published(15.0, below=True)),
    ],
)
def test_published_values_are_read(text: str | float, value: Published) -> None:
    assert published(text) == value
    assert published(text).text.replace(" ", "") == str(text).replace(" ", "")  # as printed, with its zeros


@pytest.mark.parametrize("text", ["", "about 3", "1 ± x", "1 + 2", "< x", "1 2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="published value is"):
        published(text)


@pytest.mark.parametrize(
    ("text", "low", "high", "agrees"),
    [
        ("97 ± 0.5", 96.0, 96.6, True),  # within ours widened by theirs
        ("97 ± 0.5", 96.0, 96.4, False),
        ("97 ± 0.5", 97.4, 98.0, True),
        ("97 ± 0.5", 97.6, 98.0, False),
        ("97", 96.9, 97.1, True),
        ("< 15", 10.0, 14.0, True),
        ("< 15", 10.0, 15.5, False),
        ("97 ± 0.5", math.nan, math.nan, False),
    ],
)
def test_what_is_reproduced(text: str, low: float, high: float, agrees: bool) -> None:
    assert published(text).agrees(low, high) is agrees


def test_every_published_table_belongs_to_a_study_or_says_what_it_needs() -> None:
    tables = yaml.safe_load(PUBLISHED.read_text())["tables"]
    assert len({table["source"] for table in tables}) == len(tables)
    for table in tables:
        assert table["study"] is None or table["study"] in STUDIES, table["source"]
        assert table["needs"]
        assert table["cells"]
        for key in table.get("why", {}):
            row, _, column = key.partition("/")
            assert key == "*" or column in next(c for r, c in table["cells"].items() if str(r) == row)


def test_cells_of_a_folder(tmp_path: Path) -> None:
    """Two rows of S4: one as published, one not; with fewer epochs none decides anything, which is said."""
    folder = tmp_path / "S4"
    folder.mkdir()

    def write_spec(**changes: Any) -> None:
        spec = plain({"study": "S4", "ohmgrad": "0", **STUDIES["S4"].settings, **changes})
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))

    write_spec()
    head = "net,algorithm,tau,test_accuracy,test_accuracy_low,test_accuracy_high,seconds\n"
    rows = [
        "fcn,digital,nan,98.1,98.0,98.2,10",
        "fcn,sgd,0.7,50,49,51,20",
        "fcn,tiki-taka,0.70,97.6,97.5,97.7,30",
    ]
    (folder / "table.csv").write_text(head + "\n".join(rows) + "\n")
    head = "claim,quantity,value,low,high,relation,threshold,full,result\n"
    (folder / "claims.csv").write_text(head + "a|b,c,1,0.5,1.5,above,above 0,False,PASS\n")
    cells = scoreboard(tmp_path, STUDIES)
    run = {(c.row, c.column): c for c in cells if c.status != "not run"}
    assert {key: c.status for key, c in run.items()} == {
        ("0.7", "sgd"): "differs",
        ("0.7", "tiki-taka"): "reproduced",
        ("fcn", "digital"): "reproduced",
    }
    sgd = run["0.7", "sgd"]
    assert (sgd.ours, sgd.seconds) == ((50.0, 49.0, 51.0), 20.0)
    assert sgd.settings == "measured with ohmgrad 0"
    page = scoreboard_page(cells, study_claims(tmp_path, STUDIES))
    assert f"**2 of {len(cells)} cells are reproduced, 1 differ" in page
    assert "| a\\|b | c | 1 [0.5, 1.5] | above 0 | PASS |" in page
    assert "### S4 (measured with ohmgrad 0)" in page
    assert "| tau / algorithm (%) | sgd | tiki-taka |" in page
    assert "A training took 0.0056 to 0.0083 hours." in page  # 20 and 30 seconds
    write_spec(epochs={"fcn": 2, "cnn": 80})
    fewer = {(c.row, c.column): c for c in scoreboard(tmp_path, STUDIES) if c.ours is not None}
    assert fewer.keys() == run.keys()
    assert {c.status for c in fewer.values()} == {"other settings"}
    assert "epochs fcn 2, cnn 80 instead of fcn 80, cnn 80" in fewer["0.7", "sgd"].settings


def test_a_table_without_a_column_has_none_of_the_cells(tmp_path: Path) -> None:
    """S5's table of an older version, which did not name the network, is not taken for every network's."""
    folder = tmp_path / "S5"
    folder.mkdir()
    (folder / "spec.yaml").write_text(yaml.safe_dump(plain({"ohmgrad": "0", **STUDIES["S5"].settings})))
    head = "algorithm,test_accuracy,test_accuracy_low,test_accuracy_high,seconds\n"
    (folder / "table.csv").write_text(head + "sgd,93.58,93,94,10\n")
    assert {c.status for c in scoreboard(tmp_path, STUDIES)} == {"not run"}
    (folder / "table.csv").write_text("model," + head + "resnet18,sgd,93.5,nan,nan,10\n")
    cells = scoreboard(tmp_path, STUDIES)
    (cell,) = (c for c in cells if c.ours is not None)
    assert (cell.row, cell.column, cell.note) == ("resnet18", "sgd", "a single run has no interval")
    assert "93.50 (one run)" in scoreboard_page(cells, [])


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["reproduce", "scoreboard", "--out", str(tmp_path / "new")])
    assert done.value.code == 0
    assert "not run" in capsys.readouterr().out
    assert (tmp_path / "new" / "scoreboard.md").read_text().startswith("# Scoreboard")


@pytest.mark.skipif(not RESULTS.is_dir(), reason="installed without the docs")
def test_the_page_in_the_docs_is_what_its_numbers_make() -> None:
    page = scoreboard_page(scoreboard(RESULTS, STUDIES), study_claims(RESULTS, STUDIES))
    assert (RESULTS / "scoreboard.md").read_text(encoding="utf-8") == page
