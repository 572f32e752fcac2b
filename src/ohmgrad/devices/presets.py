"""Named devices, each with where its numbers come from."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import check_choice
from .device import Device
from .families import ConstantStep, SoftBounds
from .variability import Noise, Spread

__all__ = ["PRESETS", "Preset", "preset"]


@dataclass(frozen=True)
class Preset:
    """A device, what it stands for, and its source."""

    device: Device
    note: str
    source: str


_WU = "Wu et al., NeurIPS 2024, arXiv 2406.12774"

PRESETS: dict[str, Preset] = {
    "ald": Preset(
        Device(SoftBounds.symmetric(0.6), dw_min=0.001),
        "the asymmetric linear device of the theory: all elements alike, no noise",
        _WU,
    ),
    "paper": Preset(
        Device(
            SoftBounds.symmetric(0.6),
            dw_min=0.001,
            spread=Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
            noise=Noise(0.3, "additive"),
        ),
        "the device of the paper's MNIST experiments, with its spread and noise",
        _WU,
    ),
    "ideal": Preset(
        Device(ConstantStep(-1.0, 1.0), dw_min=0.001),
        "every step alike in both directions, no noise",
        "Gokmen & Vlasov 2016, 10.3389/fnins.2016.00333, without its variability",
    ),
}


def preset(name: str) -> Device:
    """The device of this name.

    Raises:
        InputError: for an unknown name, with the nearest one.
    """
    return PRESETS[check_choice("device", name, PRESETS)].device
