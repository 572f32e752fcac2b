"""What a page says of a device: its card, its picture, where its figures come from."""

from __future__ import annotations

import torch
from rich.markup import escape
from rich.table import Table

from ...devices import Custom, Device, Measured, describe
from ...devices.presets import PRESETS
from ..figures import device_figure
from ..page import Block, Code, Picture
from ..tables import point_in_words
from .words import as_yaml

__all__ = ["device_blocks", "devices_table"]

#: pulses each way in the picture of a device, at most: elements of more states are drawn in part
_PULSES = 1000


def _card(device: Device) -> dict[str, str]:
    response, noise = device.response, device.noise
    zero = torch.zeros(1, dtype=torch.float64)
    plus, minus = float(response.q_plus(zero)), float(response.q_minus(zero))
    std = "in the measured distribution" if isinstance(response, Measured) else (
        f"{100 * noise.std:g} % of a step, {noise.kind}" if noise.std else "none")  # fmt: skip
    return {
        "family": str(getattr(response, "family", type(response).__name__)),
        "range of the weight": f"[{response.w_min:.4g}, {response.w_max:.4g}]",
        "granularity dw_min": f"{device.dw_min:.4g}",
        "states": f"{device.states:.0f}",
        "symmetric point": point_in_words(device),
        "asymmetry G/F at w = 0": f"{(minus - plus) / (minus + plus):.3g}",
        "cycle-to-cycle noise": std,
    }


def device_blocks(device: Device, name: str) -> list[Block]:
    """Card, picture and YAML of a device, with the source of a preset."""
    blocks: list[Block] = [f"{name}: {describe(device)}.", _card(device)]
    pulses = min(round(device.states), _PULSES)
    blocks.append(
        Picture(
            device_figure(device, name, pulses=pulses),
            "Steps up and down by the weight: strong lines without spread, faint ones of drawn elements. "
            "Weights of three drawn elements under pulses.",
        )
    )
    if name in PRESETS:
        blocks.append(f"Source: {PRESETS[name].source}")
    if isinstance(device.response, Measured):
        blocks.append("Its steps are tables, which are in a file of their own.")
    elif isinstance(device.response, Custom):
        blocks.append("Its steps are functions, which are in a Python file of their own.")
    else:
        blocks.append(Code(as_yaml(device.to_dict()), "The device as YAML:"))
    return blocks


def devices_table(devices: dict[str, Device]) -> Table:
    """Several devices, a row each."""
    table = Table(title="devices")
    for name in ("name", "elements"):
        table.add_column(name)
    for name in ("states", "symmetric point"):
        table.add_column(name, justify="right")
    for name, device in devices.items():
        table.add_row(escape(name), escape(describe(device)), f"{device.states:.0f}", point_in_words(device))
    return table
