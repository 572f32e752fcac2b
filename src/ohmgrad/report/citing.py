"""What to cite: BibTeX of the papers that algorithms, devices, studies and hardware descriptions are from.

Each of these says its papers beside its code, by DOI or arXiv number; `references.bib` has their entries. So
nothing has to be said twice.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..cost.hardware import NAMES, hardware
from ..devices import Device
from ..devices.named import device_named
from ..devices.presets import PRESETS
from ..errors import check_choice
from ..kernels import periphery
from ..optim.registry import ALGORITHMS, algorithm_of
from ..studies.compare import COMPARE
from ..studies.papers import STUDIES
from ..user_files import is_in_file
from ..version import __version__
from ..yaml_text import read_yaml

__all__ = ["bibtex", "identifiers", "references", "sources_of"]

_DOI = re.compile(r"\b10\.\d{4,9}/[^\s,;:()\[\]'\"]+[^\s,;:()\[\]'\".]")
_ARXIV = re.compile(r"(?<![\d./])\d{4}\.\d{5}(?!\d)")

_OWN = f"""@software{{ohmgrad,
  title = {{ohmgrad: training neural networks on simulated analog in-memory hardware}},
  author = {{{{The ohmgrad authors}}}},
  version = {{{__version__}}}
}}"""


def identifiers(text: str) -> list[str]:
    """DOIs and arXiv numbers in a text, in their order, each once."""
    found = [(m.start(), m.group()) for m in _DOI.finditer(text)]
    rest = _DOI.sub(lambda m: " " * len(m.group()), text)
    found += [(m.start(), m.group()) for m in _ARXIV.finditer(rest)]
    return list(dict.fromkeys(name for _, name in sorted(found)))


@lru_cache(maxsize=1)
def references() -> dict[str, str]:
    """BibTeX entries by their DOI or arXiv number."""
    text = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    entries = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    found: dict[str, str] = {}
    for entry in entries:
        name = re.search(r"^  (?:doi|eprint) = \{(.+?)\}", entry, re.M)
        assert name is not None, f"{entry[:40]} has no doi and no eprint"
        found[name[1]] = entry
    return found


def sources_of(name: str) -> Iterator[tuple[str, str]]:
    """What a name or a run relied on, each with a text that says its papers.

    Args:
        name: of an algorithm, device, study or hardware description; FILE.py:CLASS; or a folder of a run.

    Raises:
        InputError: when it is none of these, with the nearest name.
    """
    if (Path(name) / "spec.yaml").is_file():
        yield from _of_run(read_yaml(Path(name) / "spec.yaml"))
    elif name in STUDIES:
        yield f"study {name}", STUDIES[name].source
    elif name in ALGORITHMS or is_in_file(name):
        yield _algorithm(name)
    elif name in NAMES:
        described = hardware(name).sources.values()
        yield f"hardware {name}", " ".join(source.text for source in described)
    elif name in PRESETS or name.endswith((".yaml", ".yml")):
        yield from _named_device(name)
    else:
        names = (*ALGORITHMS, *PRESETS, *STUDIES, *NAMES)
        check_choice("name", name, names, "FILE.py:CLASS, a device's YAML file, or the folder of a run")


def _algorithm(name: str) -> tuple[str, str]:
    module = sys.modules[algorithm_of(name).__module__]
    return f"algorithm {name}", module.__doc__ or ""


def _named_device(name: str) -> Iterator[tuple[str, str]]:
    if name in PRESETS:  # which is not made: some need tables that are not there
        yield f"device {name}", PRESETS[name].source
    else:
        yield from _device(name, device_named(name))


def _device(name: str, device: Device) -> Iterator[tuple[str, str]]:
    """The source of a preset; of a device of one's own those of its family, and of pairs and references."""
    known = next((n for n, entry in PRESETS.items() if entry.made == device), None)
    if known is not None:
        yield f"device {known}", PRESETS[known].source
        return
    for part in (device.response, device.pair, device.reference):
        if part is not None:
            yield f"device {Path(name).stem}, {type(part).__name__}", inspect.getdoc(type(part)) or ""


def _of_run(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A run's or a study's: its algorithms, devices, circuits, and the paper of the study."""
    study = spec.get("study")
    if study in STUDIES:
        yield f"study {study}", STUDIES[str(study)].source
    for algorithm in spec.get("algorithms", ()):
        if algorithm in ALGORITHMS or is_in_file(algorithm):
            yield _algorithm(algorithm)
    given = spec.get("devices", COMPARE.settings.get("devices", ())) if study == COMPARE.name else ()
    analog = {*spec.get("algorithms", ())} - {"digital"}
    if study is None and analog:
        given = (spec.get("device", "paper"),)
    for device in given:
        if isinstance(device, str):
            yield from _named_device(device)
        else:
            yield from _device("of the run", Device.from_dict(device))
    if spec.get("periphery") == "noisy":
        yield "the circuits", periphery.__doc__ or ""


def bibtex(names: list[str]) -> str:
    """BibTeX of this package and of all that these names relied on; what for, as a comment before each entry.

    A paper without an entry has one with its number alone.

    Raises:
        InputError: see `sources_of`.
    """
    why: dict[str, list[str]] = {}
    for name in names:
        for what, text in sources_of(name):
            for number in identifiers(text):
                why.setdefault(number, []).append(what)
    parts = [_OWN]
    for number, what in why.items():
        field = "doi" if number.startswith("10.") else "eprint"
        bare = f"@misc{{{re.sub(r'[^A-Za-z0-9]', '', number)},\n  {field} = {{{number}}}\n}}"
        parts.append(f"% {'; '.join(dict.fromkeys(what))}\n{references().get(number, bare)}")
    return "\n\n".join(parts) + "\n"
