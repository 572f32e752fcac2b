"""The help of every command: examples that hold, sentences, and no more than 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from ohmgrad.cli import main
from ohmgrad.cli.entry import app


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below a group, by its words."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)


COMMANDS = dict(commands(typer.main.get_command(app)))


def help_of(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


def test_all_commands_are_walked() -> None:
    assert len(COMMANDS) >= 19
    assert ("check", "device") in COMMANDS


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Each begins with the command itself, and has flags that it, or a command of the group, knows."""
    _, examples = re.split("Examples?:", help_of(words, capsys))
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("ohmgrad ")]
    assert lines
    assert all(line.startswith(" ".join(("ohmgrad", *words))) for line in lines)
    below = [command for other, command in COMMANDS.items() if other[: len(words)] == words]
    known = {flag for command in below for parameter in command.params for flag in parameter.opts}
    assert {word for word in examples.split() if word.startswith("--")} <= known


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=lambda words: " ".join(words) or "ohmgrad")
def test_help_fits_80_columns_in_sentences(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is longer, nothing is cut, an example is one line to copy; every text is a sentence."""
    monkeypatch.setenv("COLUMNS", "80")
    out = help_of(words, capsys)
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    assert "\x1b" not in out  # no colours where the output is no terminal
    command = COMMANDS[words] if words else typer.main.get_command(app)
    for line in (command.epilog or "").split("\n\n"):
        assert not line.startswith("  ") or line.strip() in out, f"wrapped: {line}"
    texts = {"": command.help} | {p.name: getattr(p, "help", "") for p in command.params if not is_hidden(p)}
    for name, text in texts.items():
        assert text, f"{name} has no help"
        assert text[0].isupper(), f"{name}: {text}"
        assert text.rstrip()[-1] == ".", f"{name}: {text}"
        assert "  " not in text
        assert max(len(sentence.split()) for sentence in re.split(r"[.;:]( |$)", text)) <= 35, (
            f"{name}: {text}"
        )


def is_hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))
