"""Circuits, pulses and layout: IOParameters, UpdateParameters and MappingParameter of aihwkit."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, Literal

from ..errors import naming
from ..kernels import Periphery, Pulsing
from ..kernels.periphery import MAX_DOUBLINGS
from .reading import Node, word

__all__ = ["circuits_of", "layout_of", "periphery_of", "pulsing_of"]

_NOISE: dict[str, Literal["none", "abs_max"]] = {"none": "none", "absmax": "abs_max"}
_BOUND: dict[str, Literal["none", "iterative"]] = {"none": "none", "iterative": "iterative"}
#: pulse types whose updates are those of a digital weight
_DIGITAL = "none"
_STOCHASTIC = ("stochasticcompressed", "stochastic")


def circuits_of(config: Node) -> Periphery:
    """The circuits of a configuration; those of the backward pass must be alike."""
    forward, backward = config.child("forward"), config.child("backward")
    found = periphery_of(forward)
    with config.notes.told_once():
        other = periphery_of(backward)
    if found.bound_management != "none" and not backward.values["is_perfect"]:
        config.notes.nearly("bound management acts on products of both directions here, forward alone there")
    # that of the backward pass does nothing there
    differ = [f.name for f in fields(Periphery) if getattr(found, f.name) != getattr(other, f.name)]
    differ = [name for name in differ if name != "bound_management" or other.perfect]
    if differ:
        config.notes.lacks(f"backward: {', '.join(differ)} unlike forward; alike here")
    return found


def periphery_of(node: Node) -> Periphery:
    """The circuits that IOParameters describe."""
    if node.take("is_perfect", "Periphery()") is True:
        node.values = {"is_perfect": True}  # all other entries are disregarded
        return Periphery()
    notes = node.notes
    found: dict[str, Any] = {}
    for ours, theirs in (("in", "inp"), ("out", "out")):
        bound = node.take(f"{theirs}_bound", f"Periphery.{ours}_bound")
        found[f"{ours}_bound"] = bound = bound if 0 < bound < math.inf else None
        steps = _steps(node, f"{theirs}_res", f"Periphery.{ours}_steps")
        if steps is not None and bound is None:
            notes.lacks(f"{node.at(f'{theirs}_res')} without a bound: steps span [-bound, bound]")
            steps = None
        found[f"{ours}_steps"] = steps
        found[f"{ours}_noise"] = node.take(f"{theirs}_noise", f"Periphery.{ours}_noise")
    noise_type, noise = word(node.take("w_noise_type")), node.take("w_noise", "Periphery.weight_noise")
    if noise_type == "additiveconstant":
        found["weight_noise"] = noise
    elif noise and noise_type != "none":
        notes.lacks(f"{node.at('w_noise_type')} = {noise_type}")
    for field, allowed in (("noise_management", _NOISE), ("bound_management", _BOUND)):
        management = word(node.take(field, f"Periphery.{field}"))
        if management not in allowed:
            notes.lacks(f"{node.at(field)} = {management}: one of {', '.join(allowed)} here")
        found[field] = allowed.get(management, "none")
    if found["bound_management"] == "iterative" and found["out_bound"] is None:
        found["bound_management"] = "none"  # no output reaches a bound that is not there
    most, coarsest = node.take("max_bm_factor"), node.take("max_bm_res")
    if found["bound_management"] == "iterative":
        factor = min(most, coarsest * (found["in_steps"] or math.inf))
        doublings = math.floor(math.log2(factor)) + 1 if factor >= 1 else 1
        if doublings != MAX_DOUBLINGS:
            notes.nearly(
                f"bound management drives a vector again up to {MAX_DOUBLINGS} times here, {doublings} there"
            )
    with naming(node.path or node.name):
        return Periphery(**found)


def _steps(node: Node, field: str, ours: str) -> int | None:
    """Steps of a converter, given as their number, or as 1 over it; None for infinitely many."""
    value = node.take(field, ours)
    if value <= 0:
        return None
    return round(value if value > 1 else 1 / value)


def pulsing_of(node: Node) -> tuple[Pulsing, bool]:
    """How changes become pulses, and whether the weights are digital numbers instead."""
    kind = word(node.take("pulse_type", "Pulsing.fidelity"))
    if kind == _DIGITAL:
        node.values = {"pulse_type": kind}
        return Pulsing("mean"), True
    if kind not in _STOCHASTIC:
        node.notes.lacks(f"{node.at('pulse_type')} = {kind}: stochastic pulse trains here")
    managed = bool(node.take("update_bl_management", "Pulsing.bl_management"))
    balanced = bool(node.take("update_management", "Pulsing.update_management"))
    if managed:
        node.take("fixed_bl")  # means nothing then
    if node.values["res"] == -1:
        node.take("res")  # no steps
    with naming(node.path or node.name):
        return Pulsing(
            max_bl=node.take("desired_bl", "Pulsing.max_bl"),
            bl_management=managed,
            update_management=balanced or managed,
        ), False


def layout_of(config: Node, half: float) -> dict[str, Any]:
    """Arguments `max_tile` and `omega` of `convert`, and whether output scales learn.

    Args:
        half: the shorter half of the device's range, which `omega` is a fraction of.
    """
    node, notes = config.child("mapping"), config.notes
    rows, cols = node.take("max_output_size", "max_tile[0]"), node.take("max_input_size", "max_tile[1]")
    tile = (rows or 2**31, cols or 2**31) if rows or cols else None
    if tile:
        notes.nearly("every layer is cut into tiles of max_output_size x max_input_size here; there some are")
    omega = node.take("weight_scaling_omega", "omega")
    columnwise = node.take("weight_scaling_columnwise")
    if omega:
        if not columnwise:
            notes.nearly("weights are scaled into the range row by row here, all of a tile alike there")
        if omega > half:
            notes.nearly(f"omega is {omega:g} there, beyond the range: the whole range, {half:g}, here")
        node.take("weight_scaling_lr_compensation")
        notes.nearly("a gradient is divided by the output scale there, multiplied by it here: choose lr anew")
    learns = bool(node.take("learn_out_scaling", "whether out_scale learns"))
    if not node.take("out_scaling_columnwise") and learns:
        notes.nearly("there is one output scale for each output here, one for a tile there")
    return {
        "max_tile": tile,
        "omega": min(omega / half, 1.0) if omega else None,
        "learns": learns,
    }


def without_management(periphery: Periphery) -> Periphery:
    """As single columns are read: managed or not, their one-hot vectors are the same."""
    return replace(periphery, noise_management="none", bound_management="none")
