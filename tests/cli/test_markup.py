"""Tables on the terminal: colours are styles, and no cell shows the marks of rich."""

from __future__ import annotations

import pytest

from ohmgrad.cli import main
from ohmgrad.cli.console import console
from ohmgrad.report import claims_table
from ohmgrad.studies.study import Claim


@pytest.mark.parametrize(
    "argv", [["algorithms"], ["cost", "--check"], ["check", "device", "ald", "--law", "bounds"]], ids=" ".join
)
def test_no_marks_in_a_table(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code in (0, None)
    assert "[/" not in capsys.readouterr().out


def test_no_marks_in_claims(capsys: pytest.CaptureFixture[str]) -> None:
    claim = Claim("it falls", "exponent", 1.0, 0.9, 1.1, "within", (0.9, 1.2))
    console.print(claims_table([("S1", claim, "PASS")]))
    out = capsys.readouterr().out
    assert "PASS" in out
    assert "[/" not in out
    assert "\\[" not in out
