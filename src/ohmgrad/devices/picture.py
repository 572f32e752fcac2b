"""A device in a notebook: its response, the parts F and G, the symmetric point, and its numbers."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch

from ..inline import INK, block, chart, legend_above, table
from ..style import BLUE, GREEN, ORANGE, RED
from .response import AbstractResponse

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["device_html", "symmetric_point_in"]

#: points of a curve
_POINTS = 121
#: parts of a device that have a row of their own
_PARTS = ("spread", "stuck", "read_noise", "retention", "pair", "reference")


def device_html(device: Any) -> str:
    """HTML of a `Device`, which imports this file."""
    nominal, pair = device.nominal.response, device.pair is not None
    pictures = [chart(lambda axes: _draw_steps(axes, nominal, pair), "steps of pulses up and down by weight")]
    if not pair:
        pictures.append(chart(lambda axes: _draw_parts(axes, nominal), "symmetric part F and asymmetry G"))
    name = getattr(device.response, "family", type(device.response).__name__)
    return block(f"Device: {name}, {device.states:.0f} states", pictures, table(_numbers(device, nominal)))


def symmetric_point_in(response: AbstractResponse) -> str:
    """The symmetric point of a response, and whether it is a bound."""
    point = response.symmetric_point()
    inside = response.w_min < point < response.w_max
    return f"{point:.3g}" + ("" if inside else " (bound)")


def _steps(response: AbstractResponse, low: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    w = torch.linspace(low, response.w_max, _POINTS, dtype=torch.float64)
    return w, response.q_plus(w), response.q_minus(w)


def _draw_steps(axes: Axes, response: AbstractResponse, pair: bool) -> None:
    w, up, down = _steps(response, 0.0 if pair else response.w_min)
    axes.plot(w, up, color=BLUE, label="pulse up, q+")
    if not pair:
        axes.plot(w, down, color=RED, ls="--", label="pulse down, q-")
        _mark(axes, response)
    what = "conductance of one element" if pair else "weight w"
    axes.set(xlabel=f"{what} (weight units)", ylabel="step (units of dw_min)")
    legend_above(axes)


def _draw_parts(axes: Axes, response: AbstractResponse) -> None:
    w, up, down = _steps(response, response.w_min)
    axes.axhline(0, color=INK, lw=0.5)
    axes.plot(w, (down + up) / 2, color=GREEN, label="symmetric part, F")
    axes.plot(w, (down - up) / 2, color=ORANGE, ls="--", label="asymmetry, G")
    _mark(axes, response)
    axes.set(xlabel="weight w (weight units)", ylabel="part of a step (dw_min)")
    legend_above(axes)


def _mark(axes: Axes, response: AbstractResponse) -> None:
    axes.axvline(response.symmetric_point(), color=INK, lw=1, ls=":", label="symmetric point")


def _numbers(device: Any, nominal: AbstractResponse) -> list[tuple[str, str]]:
    response = device.response
    up, down = device.nominal_steps
    rows = [
        ("range", f"[{response.w_min:g}, {response.w_max:g}]"),
        ("granularity dw_min", f"{device.dw_min:g}, {device.states:.0f} states"),
    ]
    if device.pair is None:
        rows.append(("symmetric point", symmetric_point_in(nominal)))
        rows.append(("steps at w = 0", f"up {up:.3g}, down {down:.3g} dw_min"))
    if device.write_noise:
        rows.append(("write noise", f"{device.write_noise:g} dw_min"))
    if (noise := device.nominal.noise).std:
        rows.append(("cycle to cycle", f"{noise.std:.3g} of a step, {noise.kind}"))
    words = {"spread": "device to device", "pair": "one-sided pairs"}
    for name in _PARTS:
        part = getattr(device, name)
        if part is not None and not (name == "spread" and part == type(part)()):
            rows.append((words.get(name, name.replace("_", " ")), _told(part)))
    return rows


def _told(part: Any) -> str:
    """The fields of a part of a device that are set, or all where none is."""
    told = [(f"{f.name} = {getattr(part, f.name)}", getattr(part, f.name) != f.default) for f in fields(part)]
    return ", ".join([words for words, is_set in told if is_set] or [words for words, _ in told])
