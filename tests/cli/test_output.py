"""What commands print: tables as JSON, no colours where they do not belong, messages that fit a screen."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.table import Table

from ohmgrad.cli import main
from ohmgrad.cli.console import Screen, console
from ohmgrad.errors import InputError, check_choice
from ohmgrad.optim import ALGORITHMS
from ohmgrad.report.tables import table_as_data


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    code = ended.value.code
    said = capsys.readouterr()
    return (code if isinstance(code, int) else 0), said.out, said.err


def test_a_table_as_data() -> None:
    table = Table(title="[bold]a title[/bold]", caption="in per cent")
    for name in ("name", "", "value"):
        table.add_column(name)
    table.add_row("[green]x[/green]", "-", "1,200")
    table.add_row("[y]", "97.2 ± 0.3", "0.5")
    assert table_as_data(table) == {
        "title": "a title",
        "note": "in per cent",
        "rows": [
            {"name": "x", "column 2": None, "value": 1200},
            {"name": "", "column 2": "97.2 ± 0.3", "value": 0.5},
        ],
    }


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("algorithms",), len(ALGORITHMS)),
        (("devices", "list"), 10),
        (("tiles", "fcn"), 4),
        (("cost", "--list"), 2),
        (("reproduce", "list"), 15),
        (("check", "device", "ald", "--law", "responses"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_tables_as_json(words: tuple[str, ...], rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *words, "--json")
    (table,) = json.loads(out)
    assert code == 0
    assert len(table["rows"]) >= rows
    assert console.kept is None  # the next command prints text
    assert run(capsys, *words)[1].strip()[0] != "["


def test_with_json_all_else_goes_to_stderr_and_an_error_prints_none(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(capsys, "check", "device", "ald", "--law", "responses", "--json")
    assert "1 of 1 laws hold" in err
    json.loads(out)
    code, out, err = run(capsys, "plot", str(tmp_path), "--json")
    assert (code, out) == (2, "")
    assert str(tmp_path) in err  # the file is named
    assert console.kept is not None  # until the next command begins
    assert run(capsys, "--version")[1].startswith("ohmgrad")
    assert console.kept is None


def test_no_colours_where_the_output_is_no_terminal_or_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    texts = {}
    for colour in ("", "1"):
        monkeypatch.setenv("NO_COLOR", colour)
        for terminal in (False, True):
            file = io.StringIO()
            Screen(file=file, force_terminal=terminal).print("[red]word[/red]", markup=True)
            texts[colour, terminal] = file.getvalue()
    assert "\x1b[31m" in texts["", True]
    assert all("\x1b[3" not in text for key, text in texts.items() if key != ("", True))


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("trian",), "train"),
        (("train", "--epoch", "3"), "--epochs"),
        (("train", "--device", "papre"), "paper"),
        (("train", "--data", "mnits"), "mnist"),
        (("train", "--algorithms", "tikitaka"), "tiki-taka"),
        (("train", "--option", "fast_rl=1"), "fast_lr"),
        (("tiles", "fnc"), "fcn"),
        (("reproduce", "S44"), "S4"),
        (("cost", "--show", "rasch"), "rasch-li"),
        (("cite", "agda"), "agad"),
        (("check", "device", "papr"), "paper"),
        (("check", "device", "ald", "--law", "respnses"), "responses"),
        (("devices", "shw"), "show"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_name_is_answered_with_the_nearest(
    words: tuple[str, ...], near: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a message that fits a screen of 80 columns and 24 lines."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert near in err
    assert sum(-(-len(line) // 80) for line in err.splitlines()) <= 10


def test_long_lists_of_choices_keep_the_nearest_and_fit_a_screen() -> None:
    names = [f"name-{i}" for i in range(1000)]
    with pytest.raises(InputError, match=r"unknown thing 'nmae-7': did you mean 'name-7.?.?'\?") as error:
        check_choice("thing", "nmae-7", names, "a file")
    assert len(str(error.value)) <= 400
    assert str(error.value).endswith("; or a file")
