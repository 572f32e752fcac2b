"""The page of a map: what must improve on a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from ...checked import checked
from ...studies.map import DeviceMap, MapSettings
from ...studies.study import plain
from ...studies.versions import versions_now
from ..compared_costs import cost_pictures
from ..map_costs import map_compared, map_costs_table
from ..maps import improvement_table, map_figure, map_words, share_table
from ..page import Block, Code, Page, Picture, Section
from .device import device_blocks
from .words import as_yaml, command

__all__ = ["map_page"]


@checked
def map_page(found: DeviceMap, device: str) -> Page:
    """The page of a map.

    Args:
        found: what came out.
        device: its name or file, for the command.
    """
    picture = Picture(
        map_figure(found),
        "What each property costs, with 90 % intervals; accuracy over two properties, with the device and "
        "the trainings marked, hatched where it is hardly known.",
    )
    sections = (
        Section("What it costs", (picture, share_table(found))),
        Section("What would do", (improvement_table(found), *_remarks(found))),
        *_costs(found),
        Section("Device", tuple(device_blocks(found.device, found.name))),
        Section("Settings", (Code(as_yaml(plain(asdict(found.settings)))),)),
    )
    again = command("map", device, _flags(found.settings))
    return Page(f"What must improve on {found.name}", map_words(found), sections, again, versions_now())


def _costs(found: DeviceMap) -> Iterator[Section]:
    """What trainings cost at equal accuracy, where any is there."""
    if found.costs.curves:
        pictures = cost_pictures([map_compared(found)], found.settings.hardware)
        yield Section("Cost", (map_costs_table(found), *pictures))


def _remarks(found: DeviceMap) -> Iterator[Block]:
    yield f"{found.trainings} trainings."
    if found.measured:
        yield "The measured tables stand for their mean steps, Gaussian noise, and a spread between devices."
    for failure in found.failed:
        yield f"Failed: {failure.name} ({failure.error})."


def _flags(settings: MapSettings) -> Iterator[str]:
    """The options of the command that differ from its own."""
    usual = MapSettings(settings.algorithm)
    if settings.algorithm != MapSettings().algorithm:
        yield from ("--algorithm", settings.algorithm)
    for name in ("trainings", "target", "data", "model", "images", "epochs", "hardware", "accuracy"):
        if getattr(settings, name) != getattr(usual, name):
            yield from (f"--{name}", f"{getattr(settings, name)}")
    if settings.rates != usual.rates:
        yield from ("--rates", ",".join(f"{rate:g}" for rate in settings.rates))
    if settings.options != usual.options:
        for name, value in (settings.options or {}).items():
            yield from ("--option", f"{name}={value}")
    for pair in settings.axes:
        yield from ("--axes", ",".join(pair))
