"""A page for every family of responses and for every preset."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from docstring import doc_of, in_markdown, linked
from pictures import Pictures

import ohmgrad
from ohmgrad import Custom, Device, InputError, Measured
from ohmgrad.devices import describe
from ohmgrad.devices.families import FAMILIES
from ohmgrad.devices.presets import PRESETS, Preset
from ohmgrad.report import device_figure

__all__ = ["device_pages"]

FACTS = yaml.safe_load((Path(__file__).parent / "families.yaml").read_text())
#: pulses each way in a picture, at most
PULSES = 1000
PARTS = (
    "Steps of pulses up and down by the weight, with the symmetric point; their symmetric part F and "
    "their asymmetry G; "
    "weights of three drawn elements under pulses up, then down. Strong lines have no spread, faint ones "
    "are drawn "
    "elements."
)


def device_pages(pictures: Pictures) -> Iterator[tuple[str, str]]:
    """Names and Markdown of the pages."""
    kinds: dict[str, Any] = {**FAMILIES, "custom": Custom, "measured": Measured}
    devices = {name: _made(preset) for name, preset in PRESETS.items()}
    for name, kind in kinds.items():
        users = [n for n, device in devices.items() if device and type(device.response) is kind]
        yield f"devices/family-{name}", _family_page(name, kind, users, pictures)
    for name, preset in PRESETS.items():
        yield f"devices/preset-{name}", _preset_page(name, preset, devices[name], pictures)
    yield "devices/index", _index(kinds)


def _made(preset: Preset) -> Device | None:
    """The device of a preset; None where its files are not there."""
    try:
        return preset.device
    except InputError:
        return None


def _index(kinds: dict[str, Any]) -> str:
    families = "\n".join(
        f"| [`{kind.__name__}`](family-{n}.md) | {FACTS[n]['when']} |" for n, kind in kinds.items()
    )
    presets = "\n".join(f"| [`{n}`](preset-{n}.md) | {p.note} |" for n, p in PRESETS.items())
    tree = "\n".join([f"family-{n}" for n in kinds] + [f"preset-{n}" for n in PRESETS])
    return (
        "# Families and presets\n\n## Families\n\nA family is a form of the response function.\n\n"
        f"| family | take it |\n|---|---|\n{families}\n\n"
        "## Presets\n\nA preset is a device with numbers from a source. `ohmgrad devices list` prints "
        "them.\n\n"
        f"| preset | what it stands for |\n|---|---|\n{presets}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def _family_page(name: str, kind: Any, users: list[str], pictures: Pictures) -> str:
    doc, facts = doc_of(kind), FACTS[name]
    text = [f"# {facts['title']}", in_markdown(doc.summary)]
    text.append(f"`{kind.__name__}`. {facts['when']}")
    if "example" in facts:
        device = eval(facts["example"], {"torch": torch, **vars(ohmgrad)})
        draw = functools.partial(device_figure, device, name, pulses=min(round(device.states), PULSES))
        grid = pictures.grid(f"family-{name}", f"{kind.__name__}: steps, parts, pulses", draw, 3)
        text += ["## Picture", grid, f"{PARTS} The device is", f"```python\n{facts['example']}\n```"]
    text += ["## Response", in_markdown(doc.text), "## Arguments", _arguments(kind, doc.arguments)]
    if name in FAMILIES:
        text.append(f"In a YAML file the family is called `{name}`.")
    presets = ", ".join(f"[`{n}`](preset-{n}.md)" for n in users) or "none"
    text += ["## Elsewhere", f"- Presets of this family: {presets}.", f"- aihwkit 1.2.0: {facts['aihwkit']}."]
    text.append(
        f"- Reference: {{py:class}}`ohmgrad.{kind.__name__} <ohmgrad.devices.{kind.__name__}>`. All "
        "families: [devices](../../devices.md)."
    )
    return "\n\n".join(text) + "\n"


def _arguments(kind: Any, words: dict[str, str]) -> str:
    given = {f.name: f.default for f in fields(kind)} if hasattr(kind, "__dataclass_fields__") else {}
    if not given:
        given = {n: p.default for n, p in inspect.signature(kind).parameters.items()}
    rows = []
    for name, default in given.items():
        needed = default is MISSING or default is inspect.Parameter.empty
        rows.append(f"| `{name}` | {'-' if needed else f'`{default}`'} | {_cell(words.get(name, ''))} |")
    return "| argument | default | meaning |\n|---|---|---|\n" + "\n".join(rows)


def _cell(text: str) -> str:
    return in_markdown(text).replace("|", "\\|")


def _preset_page(name: str, preset: Preset, device: Device | None, pictures: Pictures) -> str:
    title = preset.note[:1].upper() + preset.note[1:]
    text = [f"# {name}", f"{title}."]
    if device is None:
        text.append(
            "Its tables come with no package, and they were not there when this site was built. "
            "[Measured sets](../../devices.md#the-measured-sets) says where they are from."
        )
    else:
        draw = functools.partial(device_figure, device, name, pulses=min(round(device.states), PULSES))
        grid = pictures.grid(f"preset-{name}", f"{name}: steps, parts, pulses", draw, 3)
        text += [f"In short: {describe(device)}.", "## Picture", grid]
        text.append(f"{PARTS} `ohmgrad devices show {name}` draws the same.")
    use = f'from ohmgrad.devices.presets import preset\n\ndevice = preset("{name}")'
    text += ["## Use", f"```python\n{use}\n```"]
    if device is not None and not isinstance(device.response, Measured):
        text.append(f"As YAML, to change it:\n\n```yaml\n{device.to_yaml().strip()}\n```")
    rows = {
        "source": linked(preset.source),
        "numbers": linked(preset.figures),
        "left out": preset.left_out or "-",
        "aihwkit 1.2.0": f"`{preset.aihwkit}`" if preset.aihwkit.isidentifier() else preset.aihwkit or "-",
    }
    table = "\n".join(f"| {what} | {words} |" for what, words in rows.items())
    text += ["## Source", f"| what | words |\n|---|---|\n{table}"]
    text.append("[All presets](../../devices.md#presets) side by side.")
    return "\n\n".join(text) + "\n"
