"""The pages of a study and of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...checked import checked
from ...devices import Device
from ...devices.named import device_named
from ...studies.compare import COMPARE, pairs, verdicts
from ...studies.study import Outcome, plain, where
from ...studies.tuned import reported
from ...studies.versions import read_versions
from ...style import RC
from ..compared_costs import cost_pictures
from ..page import Block, Code, Page, Picture, Section
from ..studies import claims_table, compare_costs, compare_table, study_table
from .device import device_blocks, devices_table
from .words import Values, as_yaml, command

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compare_page", "pair_accuracies", "study_page"]

#: up to so many devices have their picture on the page of a comparison
_PICTURES = 3


@checked
def study_page(outcome: Outcome) -> Page:
    """The page of a paper's study: which claims hold, and the numbers."""
    study = outcome.study
    blocks: list[Block] = [Picture(_figure(outcome), study.title)]
    if outcome.claims:
        blocks.append(claims_table([(study.name, c, r) for c, r in outcome.results]))
    sections = (
        Section("Claims" if outcome.claims else "Results", tuple(blocks)),
        Section("Numbers", (study_table(outcome),)),
        _settings(outcome),
    )
    title = f"{study.name}: {study.title}"
    again = command("reproduce", study.name, _changes(outcome))
    return Page(title, study_verdict(outcome), sections, again, _versions(outcome.folder))


def study_verdict(outcome: Outcome) -> str:
    """How many claims hold, and which do not."""
    source = outcome.study.source
    if not outcome.claims:
        return f"{source}: this study claims nothing; its numbers are below."
    results = outcome.results
    decided = [(c, r) for c, r in results if r != "not shown here"]
    held = sum(r == "PASS" for _, r in decided)
    words = f"{held} of {len(decided)} claims of {source} hold, each by its whole 95 % interval."
    if not decided:
        words = f"Settings other than the study's decide none of the {len(results)} claims of {source}."
    elif len(decided) < len(results):
        words += f" {len(results) - len(decided)} more need the study's own settings."
    failed = [c.claim for c, r in decided if r == "FAIL"]
    return words + (f" What does not hold: {'; '.join(failed)}." if failed else "") + _missing(outcome)


def _missing(outcome: Outcome) -> str:
    """That parts failed, with the first error."""
    if not outcome.failed:
        return ""
    first, count = outcome.failed[0], len(outcome.failed)
    parts = "1 part" if count == 1 else f"{count} parts"
    return f" {parts} failed and left nothing: {first.name} ({first.error})" + (", ..." if count > 1 else ".")


@checked
def compare_page(outcome: Outcome) -> Page:
    """The page of algorithms against devices."""
    settings = outcome.settings
    devices = {name: device_named(name) for name in settings["devices"]}
    figure = Picture(
        _figure(outcome), "Test accuracy of every algorithm on every device, with 95 % intervals over seeds."
    )
    sections = [
        Section("Accuracy", (figure, compare_table(outcome))),
        *_costs(outcome),
        Section("Devices", tuple(_devices(devices))),
        Section("Numbers", (study_table(outcome),)),
        _settings(outcome),
    ]
    title = f"Algorithms on devices: {Path(settings['data']).stem}, {settings['model']}"
    again = command("compare", settings["devices"], _changes(outcome))
    return Page(title, compare_verdict(outcome), tuple(sections), again, _versions(outcome.folder))


def pair_accuracies(outcome: Outcome) -> dict[tuple[str, str], Values]:
    """Test accuracies (%) by seed of every (algorithm, device) that was trained."""
    out: dict[tuple[str, str], Values] = {}
    columns = reported(outcome.columns)
    for pair in pairs(outcome.settings):
        mine = where(columns, algorithm=pair[0], device=pair[1])
        if len(mine["seed"]):
            seeds = [int(seed) for seed in mine["seed"]]
            out[pair] = dict(zip(seeds, 100 * mine["test_accuracy"], strict=True))
    return out


def compare_verdict(outcome: Outcome) -> str:
    """For each device which algorithm, why, and how sure; and that trainings failed."""
    lines = [
        line if line.endswith(".") else f"{line}."
        for line in verdicts(outcome.settings, outcome.columns, outcome.table)
    ]
    return "\n".join([*lines, *([_missing(outcome).strip()] if outcome.failed else [])])


def _costs(outcome: Outcome) -> Iterator[Section]:
    """Accuracy against energy, time and pulses, and the wear by layer, where there is any."""
    compared = compare_costs(outcome)
    if compared:
        yield Section("Cost", tuple(cost_pictures(compared, outcome.settings["hardware"])))


def _devices(devices: Mapping[str, Device]) -> Iterator[Block]:
    yield devices_table(dict(devices))
    if len(devices) <= _PICTURES:
        for name, device in devices.items():
            yield from device_blocks(device, Path(name).stem)


def _figure(outcome: Outcome) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(RC):
        figure = Figure(figsize=outcome.study.size, layout="constrained")
        outcome.study.draw(figure, outcome.settings, outcome.columns)
    return figure


def _settings(outcome: Outcome) -> Section:
    return Section("Settings", (Code(as_yaml(plain(outcome.settings))),))


def _versions(folder: Path) -> dict[str, str]:
    return read_versions(folder) or {"versions": "were not noted in this folder"}


def _changes(outcome: Outcome) -> Iterator[str]:
    """Flags that give the settings: --quick where that is nearer to them, and --set for what differs."""
    wanted = plain(outcome.settings)
    differ = {
        quick: {k: v for k, v in wanted.items() if plain(outcome.study.resolved(quick)).get(k) != v}
        for quick in (False, True)
    }
    quick = len(differ[True]) < len(differ[False])
    if quick:
        yield "--quick"
    for name, value in differ[quick].items():
        if outcome.study is not COMPARE or name not in ("algorithms", "devices"):
            yield from ("--set", f"{name}={_flow(value)}")
        elif name == "algorithms":  # devices are the arguments
            yield from ("--algorithms", ",".join(value))


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
