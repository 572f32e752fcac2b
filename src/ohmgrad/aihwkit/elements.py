"""Devices of aihwkit as devices here: one rule for each of its families, and for cells of several elements.

aihwkit's elements have the steps dw_min (u+ + z1 + z2) up and dw_min (u- + z1 - z2) down, where
u+ = 1 + min(up_down, 0), u- = 1 - max(up_down, 0), and z1 and z2 have the standard deviations dw_min_dtod and
up_down_dtod. Here they have dw_min u+ (1 + z1)(1 + z2) and dw_min u- (1 + z1)(1 - z2). Where u+ = u- = 1 both
are the same to first order in z.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch

from ..devices import (
    ConstantStep,
    Device,
    ExpStep,
    LinearStep,
    Noise,
    PiecewiseStep,
    PowStep,
    SoftBounds,
    Spread,
)
from ..devices.memory import Retention, Stuck
from ..devices.pairs import OneSided, Reference
from ..devices.response import AbstractResponse
from ..errors import InputError, naming
from .reading import Node

__all__ = ["IDEAL", "element_of"]

#: updates by digital numbers: at fidelity "mean", w' = w + dw within a range that no weight leaves
IDEAL = Device(ConstantStep(-1000.0, 1000.0), dw_min=0.001)
#: an element that is never refreshed
_NEVER = 10**9

#: response, granularity here over that there, spread of the shape up and down
_Family = tuple[AbstractResponse, float, float, float]


def element_of(node: Node) -> Device:
    """The device of an element, or of a cell that is one element here.

    Raises:
        InputError: when it has no counterpart, or a value is out of range.
    """
    if node.is_a("IdealDevice"):
        return _ideal(node)
    if node.is_a("ReferenceUnitCell"):
        return _referenced(node)
    if node.is_a("OneSidedUnitCell"):
        return _one_sided(node)
    if node.is_a("VectorUnitCell") and len(node.children("unit_cell_devices")) == 1:
        node.take("update_policy")
        if node.take("gamma_vec") not in ([], [1.0]):
            node.notes.lacks(f"{node.at('gamma_vec')} = {node.values['gamma_vec']}")
        return element_of(node.children("unit_cell_devices")[0])
    return _pulsed(node)


def _pulsed(node: Node, pair: OneSided | None = None) -> Device:
    rule = next((rule for kind, rule in _RULES.items() if node.kind and node.is_a(kind)), None)
    if rule is None:
        what = f"{node.path or 'the device'} is a {node.name or 'unknown object'}"
        if isinstance(cells := node.values.get("unit_cell_devices"), list):
            what += f" of {len(cells)} devices that are added up"
            for field in ("update_policy", "gamma_vec"):  # what it says of them needs no word more
                node.take(field)
        raise InputError(f"{what}, which has no counterpart here")
    with naming(node.path or node.name):
        response, ratio, shape_up, shape_down = rule(node, pair is not None)
        times = "" if ratio == 1 else f", times {ratio:.4g}"
        dw_min = ratio * node.take("dw_min", f"Device.dw_min{times}")
        return Device(
            response,
            dw_min=dw_min,
            spread=Spread(
                dw_min=node.take("dw_min_dtod", "Spread.dw_min"),
                law="lognormal" if node.take("dw_min_dtod_log_normal", "Spread.law") else "normal",
                up_down=node.take("up_down_dtod", "Spread.up_down"),
                w_max=node.take("w_max_dtod", "Spread.w_max"),
                w_min=0.0 if pair else node.take("w_min_dtod", "Spread.w_min"),
                shape_up=shape_up,
                shape_down=shape_down,
            ),
            noise=_noise(node, response, dw_min),
            stuck=_stuck(node),
            write_noise=(node.take("write_noise_std", "Device.write_noise") or 0.0) / ratio,
            retention=_retention(node, dw_min),
            pair=pair,
            reference=_reference(node),
        )


# --- families ---------------------------------------------------------------------------------------------


def _range(node: Node, pair: bool) -> tuple[float, float]:
    """Bounds; an element of a pair goes from 0 up, and its lower bound stands for that of the other."""
    low, high = node.take("w_min", "w_min"), node.take("w_max", "w_max")
    if pair:
        node.take("w_min_dtod")
        return -high, high
    return low, high


def _steps(node: Node) -> tuple[float, float]:
    """(up, down), the steps of the mean element."""
    u = node.take("up_down", "up, down")
    return 1 + min(u, 0.0), 1 - max(u, 0.0)


def _constant(node: Node, pair: bool) -> _Family:
    return ConstantStep(*_range(node, pair), *_steps(node)), 1.0, 0.0, 0.0


def _linear(node: Node, pair: bool) -> _Family:
    low, high = _range(node, pair)
    slopes, spreads = [], []
    for side in ("up", "down"):
        slope = node.take(f"gamma_{side}", f"LinearStep.slope_{side}")
        spread = node.take(f"gamma_{side}_dtod", f"Spread.shape_{side}")
        if not node.values["allow_increasing"]:
            slope = abs(slope)
            if spread and slope < 2 * spread:
                node.notes.nearly("slopes of a LinearStep below 0 are folded there, and stay here")
        slopes.append(slope)
        spreads.append(spread)
    node.take("allow_increasing")
    own = not node.take("mean_bound_reference")
    if not own and any(slopes) and (node.values["w_max_dtod"] or node.values["w_min_dtod"]):
        node.notes.nearly(
            "slopes of a LinearStep refer to an element's own bound here, to the mean bound there"
        )
    _reversed(node)
    (slope_up, slope_down), (up, down) = slopes, _steps(node)
    return LinearStep(low, high, slope_up, slope_down, up, down), 1.0, spreads[0], spreads[1]


def _soft(node: Node, pair: bool) -> _Family:
    _reversed(node)
    return SoftBounds(*_range(node, pair), *_steps(node)), 1.0, 0.0, 0.0


def _pmax(node: Node, pair: bool) -> _Family:
    """Soft bounds by the number of pulses from end to end, with the four numbers of aihwkit's code.

    Its formula, w = B (1 - exp(-alpha p)) + range_min, has alpha w_max up and -alpha w_min down at w = 0.
    """
    low, high, alpha = (
        node.take("range_min", "w_min"),
        node.take("range_max", "w_max"),
        node.take("alpha", "dw_min"),
    )
    factor = (high - low) / -math.expm1(-node.take("p_max", "w_max") * alpha)
    bounds = {"w_min": low, "w_max": low + factor, "dw_min": factor * alpha, "up_down": 1 + 2 * low / factor}
    node.values.update(bounds)
    return _soft(node, pair)


def _reversed(node: Node) -> None:
    for side in ("up", "down"):
        if node.take(f"reverse_{side}") is True:
            node.notes.lacks(f"{node.at(f'reverse_{side}')} = True")


def _exponential(node: Node, pair: bool) -> _Family:
    low, high = _range(node, pair)
    A, gamma = (
        [node.take(f"{name}_{side}", f"ExpStep.{name}_{side}") for side in ("up", "down")]
        for name in ("A", "gamma")
    )
    a, b = node.take("a", "ExpStep.a"), node.take("b", "ExpStep.b")
    if pair:  # z keeps its slope on the wider range; q- serves nobody, and is the mirror image
        a *= (high - low) / (high - node.values["w_min"])
        A, gamma = [A[0], A[0] * math.exp(2 * gamma[0] * b)], [gamma[0], gamma[0]]
    (A_up, A_down), (g_up, g_down), (up, down) = A, gamma, _steps(node)
    return ExpStep(low, high, A_up, A_down, g_up, g_down, a, b, up, down), 1.0, 0.0, 0.0


def _power(node: Node, pair: bool) -> _Family:
    """The step at w = 0 is dw_min (w_max/(w_max - w_min))^gamma_up there, and down likewise."""
    low, high = _range(node, pair)
    up, down = _steps(node)
    gamma, b = (
        node.take("pow_gamma", "PowStep.gamma_up, gamma_down"),
        node.take("pow_up_down", "PowStep.gamma_up, gamma_down"),
    )
    g_up, g_down = gamma * (1 + min(b, 0.0)), gamma * (1 - max(b, 0.0))
    spread = gamma * math.hypot(
        node.take("pow_gamma_dtod", "Spread.shape_up, shape_down"), node.take("pow_up_down_dtod")
    )
    if spread:
        node.notes.nearly("exponents of a PowStep vary independently up and down here, mostly together there")
    floor = node.values["w_min"]
    ratio = (high / (high - floor)) ** g_up
    other = ratio if pair else (-floor / (high - floor)) ** g_down
    return PowStep(low, high, g_up, g_down, up, down * other / ratio), ratio, spread, spread


def _piecewise(node: Node, pair: bool) -> _Family:
    low, high = _range(node, pair)
    up, down = _steps(node)
    nodes = [
        [factor * float(v) for v in node.take(f"piecewise_{side}", f"PiecewiseStep.nodes_{side}")]
        for side, factor in (("up", up), ("down", down))
    ]
    nodes = [each * 2 if len(each) == 1 else each for each in nodes]  # one value is that everywhere
    floor = node.values["w_min"]
    if pair and floor == 0:
        nodes = [[*each[:0:-1], *each] for each in nodes]
    elif pair and floor != low:
        raise InputError(f"nodes of a pair must lie on [0, w_max] or [-w_max, w_max], not from {floor:g}")
    return PiecewiseStep(low, high, *nodes), 1.0, 0.0, 0.0


#: family there -> its rule; the first that an object is of
_RULES: dict[str, Callable[[Node, bool], _Family]] = {
    "ConstantStepDevice": _constant,
    "LinearStepDevice": _linear,
    "SoftBoundsPmaxDevice": _pmax,
    "SoftBoundsDevice": _soft,
    "SoftBoundsReferenceDevice": _soft,
    "ExpStepDevice": _exponential,
    "PowStepDevice": _power,
    "PowStepReferenceDevice": _power,
    "PiecewiseStepDevice": _piecewise,
}


# --- what elements do besides -----------------------------------------------------------------------------


def _noise(node: Node, response: AbstractResponse, dw_min: float) -> Noise:
    std = node.take("dw_min_std", "Noise.std")
    if not std:
        return Noise()
    add, slope = node.take("dw_min_std_add"), node.take("dw_min_std_slope")
    if add or slope:  # std (|dw| + add + slope |w|): its root mean square over the range, by the step at 0
        w = torch.linspace(
            0.0 if node.values["w_min"] == 0 else response.w_min, response.w_max, 1001
        ).double()
        size = std * (dw_min * response.q_plus(w) + add + slope * w.abs())
        at_zero = dw_min * float(response.q_plus(torch.zeros(1).double()))
        relative = float(size.square().mean().sqrt()) / at_zero
        node.notes.nearly(
            f"noise of a pulse, {std:g} (step + {add:g} + {slope:g} |w|) there, is additive here, "
            f"{relative:.3g} of the step at 0: its mean square over the range"
        )
        return Noise(relative)
    # constant steps: both kinds are one; ExpStep, PowStep and PiecewiseStep know only one kind there
    multiplies = node.take("mult_noise", "Noise.kind") if "mult_noise" in node.values else True
    additive = isinstance(response, ConstantStep) or not multiplies
    return Noise(std, "additive" if additive else "multiplicative")


def _stuck(node: Node) -> Stuck | None:
    share = node.take("corrupt_devices_prob", "Stuck.fraction")
    if not share:
        return None
    reach = abs(node.take("corrupt_devices_range"))
    if reach >= max(node.values["w_max"], -node.values["w_min"]):
        return Stuck(share)
    node.notes.nearly(f"stuck elements stand within +-{reach:g} there, at 0 here")
    return Stuck(share, at=0.0)


def _retention(node: Node, dw_min: float) -> Retention | None:
    lifetime, diffusion = (
        node.take("lifetime", "Retention.lifetime"),
        node.take("diffusion", "Retention.diffusion"),
    )
    drift = node.take("drift")
    if isinstance(drift, Node) and drift.values.get("nu"):
        node.notes.nearly("weights drift there where a script calls drift_weights: see Retention(drift=...)")
    if not lifetime and not diffusion:
        return None
    if lifetime and node.values["reset_dtod"]:
        node.notes.nearly("weights decay there to a rest that differs between elements, here to one rest")
    return Retention(
        lifetime=lifetime or None,
        lifetime_spread=node.take("lifetime_dtod", "Retention.lifetime_spread") if lifetime else 0.0,
        rest=node.take("reset", "Retention.rest") if lifetime else 0.0,
        diffusion=diffusion / dw_min,
    )


def _reference(node: Node) -> Reference | None:
    if "subtract_symmetry_point" not in node.values:
        return None
    at, std = node.take("reference_mean", "Reference.at"), node.take("reference_std", "Reference.std")
    if node.take("subtract_symmetry_point", "Reference.at"):
        if at:
            node.notes.lacks(f"{node.at('reference_mean')} = {at:g} beside subtract_symmetry_point")
        return Reference(std=std)
    return Reference(at, std) if at or std else None


# --- cells ------------------------------------------------------------------------------------------------


def _ideal(node: Node) -> Device:
    node.notes.nearly("weights that no device holds: constant steps in [-1000, 1000] at fidelity mean")
    return IDEAL


def _referenced(node: Node) -> Device:
    first, *_ = node.children("unit_cell_devices")
    if node.take("update_policy") and node.take("first_update_idx"):
        node.notes.lacks(f"{node.at('first_update_idx')} = {node.values['first_update_idx']}")
    if node.take("gamma_vec") != [1.0, -1.0]:
        node.notes.lacks(f"{node.at('gamma_vec')} = {node.values['gamma_vec']}")
    device = element_of(first)
    if device.reference is not None:
        node.notes.lacks(f"{first.path}: a reference of its own, inside a ReferenceUnitCell")
        return device
    node.notes.nearly(
        "the reference stands at 0 until it is set: there by set_weights, here by Tile.calibrate"
    )
    return dataclasses.replace(device, reference=Reference(0.0))


def _one_sided(node: Node) -> Device:
    first, *_ = node.children("unit_cell_devices")
    every = node.take("refresh_every", "OneSided.refresh_every")
    if every and not node.take("units_in_mbatch"):
        node.notes.nearly("refresh_every counts vectors there, updates here")
    if node.take("refresh_lower_thres"):
        node.notes.nearly(
            "a pair is refreshed there where its smaller part is above "
            f"{node.values['refresh_lower_thres']:g} of w_max, here where it is above dw_min; here it is "
            "read exactly and written by write-verify"
        )
    for field in ("refresh_forward", "refresh_update", "copy_inverted"):
        if node.take(field) is True:
            node.notes.lacks(f"{node.at(field)} = True")
    at = node.take("refresh_upper_thres", "OneSided.refresh_at")
    return _pulsed(first, OneSided(every or _NEVER, at))
