"""A device in a few words, for tables and `repr`."""

from __future__ import annotations

from ..checked import checked
from .device import Device
from .measured import Measured

__all__ = ["describe"]


@checked
def describe(device: Device) -> str:
    """A device in a few words: family and range, states, spread, noise, and what else elements do."""
    response, spread, noise = device.response, device.spread, device.noise
    name = getattr(response, "family", type(response).__name__)
    words = [f"{name} [{response.w_min:g}, {response.w_max:g}]", f"{device.states:.0f} states"]
    several = isinstance(response, Measured) and response.devices > 1
    if isinstance(response, Measured) and several:
        words.append(f"{response.devices} measured devices")
    if not (several and spread.uniform):
        words.append("alike" if spread.uniform else "d2d spread")
    if noise.std:
        words.append(f"c2c {100 * noise.std:g} % {noise.kind}")
    if device.stuck is not None:
        words.append(f"{100 * device.stuck.fraction:g} % stuck")
    if device.write_noise:
        words.append(f"write noise {device.write_noise:g} steps")
    if device.read_noise is not None:
        words.append(f"read noise {device.read_noise.fast:g} and slow {device.read_noise.slow:g} steps")
    for name in ("retention", "pair", "reference"):
        if getattr(device, name) is not None:
            words.append({"pair": "one-sided pairs"}.get(name, name))
    return ", ".join(words)
