"""YAML: numbers as YAML 1.2 has them, and what cannot be read is one line that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ohmgrad import Device, InputError
from ohmgrad.cli.arguments import named_values
from ohmgrad.studies import RunSpec
from ohmgrad.yaml_text import parse_yaml, read_yaml

VALUES: dict[str, Any] = {
    "1e-3": 0.001, "-2E4": -20000.0, "+.5e1": 5.0, "1.e2": 100.0, "1.5e-3": 0.0015, "1.0e+3": 1000.0,
    "12": 12, "0.1": 0.1, ".inf": float("inf"), "true": True, "null": None, "e3": "e3", "1e": "1e",
    "1e-3x": "1e-3x", "'1e-3'": "1e-3", "resnet8": "resnet8",
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_scalars(text: str) -> None:
    value = parse_yaml(f"a: {text}", "text")["a"]
    assert (value, type(value)) == (VALUES[text], type(VALUES[text]))


def test_every_reader_takes_exponents(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("lr: 1e-3\n")
    assert RunSpec.from_dict(RunSpec.read(file)).lr == 0.001
    assert Device.from_yaml("response: {family: soft_bounds}\ndw_min: 2e-3").dw_min == 0.002
    file.write_text("response: {family: soft_bounds}\ndw_min: 2e-3")
    assert Device.from_yaml(file).dw_min == 0.002
    assert named_values("--option", ["fast_lr=1e-3", "order=random"]) == {"fast_lr": 0.001, "order": "random"}


def test_what_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"data: \xff\n")
    with pytest.raises(InputError, match=r"a\.yaml is not text in UTF-8"):
        read_yaml(file)
    file.write_text("a: 2020-13-45")
    with pytest.raises(InputError, match=r"^[^\n]*a\.yaml is not valid YAML[^\n]*$"):
        read_yaml(file)
    with pytest.raises(InputError, match=r"cannot read the run file"):
        read_yaml(tmp_path / "b.yaml", "the run file")
    with pytest.raises(InputError, match=r"^--option 'lr=\{' is not valid YAML[^\n]*$"):
        named_values("--option", ["lr={"])


def bomb(levels: int, merge: bool = False) -> str:
    """Nine copies of nine copies of ..., each line of the one before."""
    lines = ["a0: &a0 {x: 1}"]
    for n in range(1, levels):
        copies = ", ".join([f"*a{n - 1}"] * 9)
        lines.append(f"a{n}: &a{n} " + ("{<<: [" + copies + "]}" if merge else f"[{copies}]"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(10), "more than 100000 values"),
        (bomb(10, merge=True), "more than 100000 values"),
        ("a: &a [1, *a]", r"\*a inside of &a"),
        ("[" * 900 + "]" * 900, "over 50 levels deep"),
        ("[" * 100_000, "over 50 levels deep|is not valid YAML"),  # libyaml has a limit of its own
        ("a: " + "{b: " * 60 + "1" + "}" * 60, "over 50 levels deep"),
        ("- - - " * 30 + "1", "over 50 levels deep"),
        ("a: " + "x" * 2_000_000, "has 2000003 characters"),
        ("a: " + "x" * 20_000, "a value of 20000 characters"),
        ("a: " + "1:" * 9_000 + "1", "a value of 18001 characters"),
        ("a: [" + "1," * 200_000 + "]", "more than 100000 values"),
        ("a: *nowhere", "is not valid YAML"),
        ("a: " + "1" * 5000, "is not valid YAML"),
        ("a: !!python/object/apply:os.system [x]", "is not valid YAML"),
    ],
    ids=lambda value: value[:12],
)
def test_what_would_be_large_once_it_is_read(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    for read in (lambda: read_yaml(file), lambda: parse_yaml(text, "it"), lambda: Device.from_yaml(file)):
        with pytest.raises(InputError, match=message) as refused:
            read()
        assert len(str(refused.value)) <= 400


def test_copies_may_be_used() -> None:
    text = "a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, y: 3}"
    assert parse_yaml(text, "it") == {
        "a": {"x": 1, "y": [1, 2]},
        "b": {"x": 1, "y": [1, 2]},
        "c": {"x": 1, "y": 3},
    }
    assert parse_yaml(bomb(4), "it")["a3"][8][8][8] == {"x": 1}


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    with file.open("wb") as out:
        out.truncate(2**40)
    with pytest.raises(InputError, match=r"a\.yaml has 1099511627776 bytes"):
        read_yaml(file)
