"""Devices by name: a preset, a YAML file, or an object in a Python file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError, check_choice
from ..user_files import anywhere, is_in_file, made_in
from .device import Device
from .presets import PRESETS, preset

__all__ = ["device_named", "device_written"]


def device_named(name: str) -> Device:
    """The device of a name: a preset, a YAML file, or FILE.py:NAME.

    Raises:
        InputError: for an unknown name, with the nearest one, or a file without a device.
    """
    if is_in_file(name):
        return made_in(name, Device, "an ohmgrad.Device, or a function without arguments that gives one")
    if name.endswith((".yaml", ".yml")):
        return Device.from_yaml(Path(name).expanduser())
    if Path(name).suffix and name not in PRESETS:
        raise InputError(
            f"{name} is no device: give a preset, a YAML file, as ohmgrad fit makes of measured pulses, or "
            "FILE.py:NAME; in a Python file, ohmgrad.Measured.from_npz and from_crosssim read measured tables"
        )
    try:
        return preset(name)
    except InputError:
        check_choice("device", name, PRESETS, "a YAML file, or FILE.py:NAME")
        raise


def device_written(name: str) -> dict[str, Any] | str:
    """What a run file says of the device of a name: its mapping, or the name where it has no text form.

    Raises:
        InputError: as `device_named`.
    """
    device = device_named(name)
    try:
        return device.to_dict()
    except InputError:
        return anywhere(name)
