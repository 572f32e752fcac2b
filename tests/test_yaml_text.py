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
