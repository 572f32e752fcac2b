"""Named devices, each with where its numbers come from; one group a file."""

from __future__ import annotations

from ...checked import checked
from ...errors import check_choice
from ..device import Device
from .charge import CHARGE
from .phase_change import PHASE_CHANGE
from .preset import Preset
from .reram import RERAM
from .tables import TABLES
from .theory import THEORY

__all__ = ["PRESETS", "Preset", "preset"]

PRESETS: dict[str, Preset] = {**THEORY, **RERAM, **CHARGE, **PHASE_CHANGE, **TABLES}


@checked
def preset(name: str) -> Device:
    """The device of this name.

    Raises:
        InputError: for an unknown name, with the nearest one; for a measured device without its files.
    """
    return PRESETS[check_choice("device", name, PRESETS)].device
