"""What training costs on the devices of a map, at equal accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ..checked import checked
from ..cost.hardware import hardware
from ..devices.properties import PROPERTIES
from ..studies.map import DeviceMap
from ..studies.map_costs import DIGITAL, IDEAL, OWN
from ..style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY, Look, style_of
from .compared_costs import Compared
from .costs import with_prefix

__all__ = ["map_compared", "map_costs_table"]

#: colours, then line styles and markers, of devices that are better in one property
_COLOURS, _DASHES, _MARKERS = (BLUE, SKY, GREEN, PURPLE, RED), ("-", ":", "-."), ("o", "^", "v")


def map_compared(found: DeviceMap) -> Compared:
    """The curves of the map's devices, and of digital SGD."""
    looks = {
        DIGITAL: style_of(DIGITAL),
        OWN: Look("this device", ORANGE, "-", "*"),
        IDEAL: Look("the ideal device", BLACK, "-", "D"),
    }
    one = [name for name in found.costs.curves if name not in looks]
    for i, name in enumerate(one):
        turn = i // len(_COLOURS) % len(_DASHES)
        colour = _COLOURS[i % len(_COLOURS)]
        looks[name] = Look(f"{PROPERTIES[name].label} ideal", colour, _DASHES[turn], _MARKERS[turn])
    curves = {looks[name]: curve for name, curve in found.costs.curves.items()}
    return Compared(found.name, curves, found.costs.accuracy)


@checked
def map_costs_table(found: DeviceMap) -> Table:
    """Energy, time and pulses of an element up to the accuracy, on each device that was trained on."""
    costs, hw = found.costs, hardware(found.settings.hardware)
    title = f"what training costs up to {costs.accuracy:.1f} %, {style_of(found.settings.algorithm).label}"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("", overflow="fold")
    for name in ("epochs", "energy", "time", "pulses/\nelement"):
        table.add_column(name, justify="right")
    for look, row in zip(map_compared(found).curves, costs.rows(), strict=True):
        reached = row["epoch"] is not None
        cells = (_with_interval(row, name, unit) for name, unit in (("energy", "J"), ("time", "s")))
        pulses = f"{row['pulses']:,.0f}" if math.isfinite(row["pulses"]) else "-"
        table.add_row(look.label, str(row["epoch"]) if reached else "not reached", *cells, pulses)
    table.caption = (
        f"estimates on {hw.name}, until the first epoch after which the mean accuracy is reached; ±: 95 % "
        "intervals, where there are two trainings or more. pulses: the mean over the elements of all arrays. "
        f"Digital: {hw.sources['baseline_energy'].text}"
    )
    return table


def _with_interval(row: Mapping[str, Any], name: str, unit: str) -> str:
    value, low = row[name], row[f"{name}_low"]
    if not math.isfinite(value):
        return "-"
    text = with_prefix(value, unit)
    wide = math.isfinite(low) and value - low > 0.005 * value
    return f"{text} ± {100 * (value - low) / value:.2g} %" if wide else text
