"""Hardware descriptions: they ship with units and sources, survive YAML, and refuse what is not one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ohmgrad.cost import NAMES, Hardware, hardware
from ohmgrad.cost.equations import survey_adc_energy
from ohmgrad.cost.hardware import FOLDER, changed
from ohmgrad.errors import InputError


@pytest.mark.parametrize("name", NAMES)
def test_a_description_has_a_source_for_every_figure_and_survives_yaml(name: str, tmp_path: Path) -> None:
    hw = hardware(name)
    assert hw.name == name
    for source in hw.sources.values():
        cited = any(year in source.text for year in map(str, range(2014, 2026))) or "1.0." in source.text
        assert cited or source.assumed, source  # a publication, a program's version, or our guess
    path = tmp_path / "mine.yaml"
    path.write_text(hw.to_yaml())
    again = hardware(path)
    assert again == hw
    assert again.sources == hw.sources
    assert 5 * hw.line_delay < hw.pulse_width  # lines settle within a pulse


def test_every_file_is_listed() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(NAMES)


def test_the_converter_of_the_estimates_is_the_survey_s() -> None:
    hw = hardware("rasch-li")
    assert hw.adc_energy == pytest.approx(survey_adc_energy(hw.adc_bits), rel=0.01)


def entries() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "rasch-li.yaml").read_text())


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unit": ({"read_time": {"value": 40, "unit": "ns", "source": "x"}}, "unit of read_time is 'ns', but"),
    "plain number": ({"read_time": 4e-8}, "read_time is 4e-08, but must be a mapping"),
    "source": ({"read_time": {"value": 1e-9, "unit": "s"}}, "read_time needs a value and a source"),
    "range": ({"read_time": {"value": 0, "unit": "s", "source": "x"}}, "read_time (s) is 0"),
    "text": ({"read_time": {"value": "fast", "unit": "s", "source": "x"}}, "read_time (s) is 'fast'"),
    "whole": ({"lines_per_adc": {"value": 0.5, "unit": 1, "source": "x"}}, "lines_per_adc is 0.5"),
    "flag": ({"parallel_update": {"value": 2, "unit": 1, "source": "x"}}, "must be 0 or 1"),
    "line": (
        {"line_resistance": {"value": 1e12, "unit": "ohm/m", "source": "x"}},
        "must be at least the delay of a line",
    ),
    "unknown": ({"read_tim": {"value": 1, "unit": "s", "source": "x"}}, "did you mean 'read_time'"),
    "key": ({"read_time": {"value": 1, "unit": "s", "sourc": "x"}}, "did you mean 'source'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_descriptions_are_named(case: str, tmp_path: Path) -> None:
    change, message = WRONG[case]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(entries() | change))
    with pytest.raises(InputError) as error:
        hardware(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_entry_is_explained() -> None:
    body = entries()
    del body["adc_rate"]
    with pytest.raises(InputError, match="there is no adc_rate: conversions of a converter by time, in 1/s"):
        Hardware.from_yaml(yaml.safe_dump(body))
    with pytest.raises(InputError, match="must be a mapping of coefficients"):
        Hardware.from_yaml("3")
    with pytest.raises(InputError, match="did you mean 'rasch-li'"):
        hardware("rasch")


def test_a_changed_coefficient_has_its_own_source() -> None:
    hw = changed(hardware("rasch-li"), "measured here", read_time=1e-7)
    assert (hw.read_time, hw.sources["read_time"].text) == (1e-7, "measured here")
    assert hw.sources["pulse_width"] == hardware("rasch-li").sources["pulse_width"]
    with pytest.raises(InputError, match="did you mean 'read_time'"):
        changed(hw, "x", readtime=1.0)
