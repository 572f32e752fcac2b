"""BibTeX of what was relied on: every paper named as a source has an entry, and the right ones come."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ohmgrad.cli import main
from ohmgrad.cost.hardware import NAMES
from ohmgrad.devices import OneSided
from ohmgrad.devices.presets import PRESETS
from ohmgrad.errors import InputError
from ohmgrad.optim import ALGORITHMS
from ohmgrad.report.citing import bibtex, identifiers, references, sources_of
from ohmgrad.studies import RunSpec
from ohmgrad.studies.papers import STUDIES

EVERY = [*ALGORITHMS, *PRESETS, *STUDIES, *NAMES]


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{(\w+),", text, re.M)


def test_identifiers() -> None:
    text = (
        "Wu (arXiv v1 of 2406.12774, Theorem 4); doi 10.1109/IEDM.2018.8614551. And 10.1038/nn1859, 0.12345"
    )
    assert identifiers(text) == ["2406.12774", "10.1109/IEDM.2018.8614551", "10.1038/nn1859"]


@pytest.mark.parametrize("name", EVERY)
def test_every_source_has_an_entry(name: str) -> None:
    for what, text in sources_of(name):
        for number in identifiers(text):
            assert number in references(), f"{what} cites {number}: add it to references.bib"


def test_entries_are_sound_and_used() -> None:
    """Keys are unique, braces pair, and the code names every paper."""
    entries = references()
    assert len({key for entry in entries.values() for key in keys(entry)}) == len(entries)
    root = Path(bibtex.__code__.co_filename).parent.parent
    code = " ".join(path.read_text() for kind in ("py", "yaml") for path in root.rglob(f"*.{kind}"))
    for number, entry in entries.items():
        assert entry.count("{") == entry.count("}")
        assert re.search(r"^  author = \{.+\},$", entry, re.M), entry
        assert re.search(r"^  year = \{\d{4}\},?$", entry, re.M), entry
        assert number in code, number


def test_algorithms_devices_studies_and_hardware() -> None:
    text = bibtex(["tiki-taka", "ecram", "S4", "rasch-li"])
    assert keys(text)[:4] == ["ohmgrad", "gokmen2020tikitaka", "wu2024exact", "tang2018ecram"]
    assert "% algorithm tiki-taka; study S4\n@inproceedings{wu2024exact," in text
    assert "rasch2024fast" in text
    assert len(keys(text)) == len({*keys(text)})


def test_a_run_cites_what_it_used(tmp_path: Path) -> None:
    from ohmgrad.devices.presets import preset

    spec = RunSpec(algorithms=("digital", "agad"), device=preset("reram-es").to_dict(), periphery="noisy")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec.to_dict()))
    assert keys(bibtex([str(tmp_path)])) == ["ohmgrad", "rasch2024fast", "gong2018signal", "gokmen2017cnn"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(RunSpec(algorithms=("digital",)).to_dict()))
    assert keys(bibtex([str(tmp_path)])) == ["ohmgrad"]
    (tmp_path / "spec.yaml").write_text("study: S4\n")
    assert keys(bibtex([str(tmp_path)])) == ["ohmgrad", "wu2024exact"]
    (tmp_path / "spec.yaml").write_text("study: compare\nalgorithms: [sgd]\ndevices: [pcm]\n")
    assert "nandakumar2020mixed" in bibtex([str(tmp_path)])


def test_a_device_of_ones_own_cites_its_family(tmp_path: Path) -> None:
    from dataclasses import replace

    from ohmgrad import Device, PowStep

    device = replace(Device(PowStep(gamma_up=2.0)), pair=OneSided())
    (tmp_path / "mine.yaml").write_text(device.to_yaml())
    found = keys(bibtex([str(tmp_path / "mine.yaml")]))
    assert {"fusi2007limits", "burr2015pcm"} <= {*found}


def test_ones_own_algorithm_cites_what_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Mine, after arXiv 2406.12774 and 10.1234/unknown.5."""\nimport ohmgrad as og\n'
        "class Mine(og.AnalogOptimizer):\n    pass\n"
    )
    text = bibtex([f"{tmp_path}/mine.py:Mine"])
    assert "wu2024exact" in text
    assert "@misc{101234unknown5,\n  doi = {10.1234/unknown.5}\n}" in text


def test_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cite", "agad"])
    assert ended.value.code in (0, None)
    out = capsys.readouterr().out
    assert out.startswith("@software{ohmgrad,")
    assert "% algorithm agad" in out
    with pytest.raises(InputError, match=r"unknown name 'agda': did you mean 'agad'\?"):
        bibtex(["agda"])
