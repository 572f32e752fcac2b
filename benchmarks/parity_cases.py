"""The table of the parity report's updates: devices, updates, and the known differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ohmgrad as og
from ohmgrad.conformance.arrays import plain
from ohmgrad.devices.presets import preset
from parity_more import memory_rows, response_rows
from parity_peer import Update, certain, peer_device, trains

__all__ = ["BALANCE", "CASES", "PRESET_PEERS", "Case"]


@dataclass(frozen=True)
class Case:
    """One comparison: a device here and there, a starting weight and an update.

    Args:
        peer: aihwkit's device, made when it runs; None for the one with the same parameters.
        meant: why both may differ; empty where they must agree.
        fidelity: ours, "pulsed" unless said otherwise.
    """

    name: str
    device: og.Device
    update: Update
    start: float = 0.0
    peer: Callable[[], Any] | None = None
    meant: str = ""
    fidelity: str | None = None

    def config(self) -> Any:
        """aihwkit's device."""
        return peer_device(self.device) if self.peer is None else self.peer()


BALANCE = "the balance scales the element's own step; theirs is in units of the mean step"
TAU = 0.6
RESPONSES = {
    "constant": og.ConstantStep(-TAU, TAU),
    "linear": og.LinearStep(-TAU, TAU, 0.5, 0.2),
    "linear, rising": og.LinearStep(-TAU, 0.5, -0.4, 0.7),
    "soft": og.SoftBounds.symmetric(TAU),
    "soft, skewed": og.SoftBounds(-0.5, 0.8),
}
NOISES = {
    "no noise": og.Noise(),
    "additive 0.3": og.Noise(0.3),
    "additive 3": og.Noise(3.0),
    "multiplicative 0.3": og.Noise(0.3, "multiplicative"),
}
SPREADS = {
    "alike": og.Spread(),
    "spread": og.Spread(dw_min=0.3, w_max=0.3, w_min=0.3),
    "log-normal": og.Spread(dw_min=0.5, law="lognormal", w_max=0.1, w_min=0.1),
}
UPDATES = [
    (certain(1), 0.0),
    (certain(-1), 0.2),
    (certain(31), 0.2),
    (certain(-60), -0.3),
    (certain(8, -8, 8), 0.1),
    (trains("trains, BL 1", (-0.5,), (0.6,), 0.8), 0.1),
    (trains("trains, BL 10", (-0.4,), (0.5,), 9.5), -0.2),
    (trains("trains, 4 samples", (-0.4, 0.9, -0.1, 0.6), (0.5, 0.3, -0.8, -0.2), 20.0), 0.3),
    (trains("trains, BL 31 fixed, no management", (-0.4, 0.3), (0.5, 0.9), 10.0,
            update_management=False, bl_management=False), 0.0),
    (trains("trains, unequal lines", (-0.02, 0.05), (0.5, 0.3), 100.0, loud=(0.1, 1.0)), 0.2),
]  # fmt: skip


def _families() -> list[Case]:
    """Every response with every kind of noise and spread; the updates go round and meet all of them."""
    found, at = [], 0
    for response, noise, spread in ((r, n, s) for r in RESPONSES for n in NOISES for s in SPREADS):
        if response.startswith("constant") and noise.startswith("multiplicative"):
            continue  # the same thing as additive noise there
        device = og.Device(RESPONSES[response], 0.001, SPREADS[spread], NOISES[noise])
        for _ in range(2):
            update, start = UPDATES[at % len(UPDATES)]
            at += 1
            found.append(Case(f"{response}; {noise}; {spread}", device, update, start))
        at += 1
    return found


_COARSE = og.Device(og.SoftBounds.symmetric(TAU), 0.04, noise=og.Noise(0.3))
_PAPER = preset("paper")
_SATURATED = trains("trains, K = 3 BL", (-0.3,), (0.8,), 93.0)


def _coarse() -> list[Case]:
    """30 states: large steps, and clipping that noise decides."""
    constant = dataclasses.replace(_COARSE, response=og.ConstantStep(-TAU, TAU))
    return [
        Case("soft, 30 states; additive 0.3; alike", _COARSE, certain(8), 0.2),
        Case("soft, 30 states; additive 0.3; alike", _COARSE, certain(-31), 0.5),
        Case("constant, 30 states; additive 0.3; alike", constant, certain(-4, 4, -4), -0.5),
        Case("constant, 30 states; additive 0.3; alike", constant, UPDATES[7][0], 0.5),
        Case("constant, down 0.9; alike", og.Device(og.ConstantStep(-TAU, TAU, down=0.9)), certain(8, -8, 8)),
        Case("soft, skewed, up 0.8; alike", og.Device(og.SoftBounds(-0.5, 0.8, up=0.8)), certain(31), 0.2),
        Case("the paper's device", _PAPER, certain(1), 0.3),
        Case("the paper's device", _PAPER, certain(-31), 0.1),
        Case("the paper's device", _PAPER, UPDATES[7][0], -0.2),
    ]


def _meant() -> list[Case]:
    balance = og.Spread(dw_min=0.3, up_down=0.1)
    constant = og.Device(og.ConstantStep(-TAU, TAU), 0.001, balance)
    mean_bias = dataclasses.replace(constant, spread=og.Spread(up_down_mean=0.1))
    linear = og.Device(og.LinearStep(-TAU, TAU, 0.5, 0.5), 0.001, og.Spread(w_max=0.3, w_min=0.3))
    rough = dataclasses.replace(_COARSE, noise=og.Noise(1.0, "multiplicative"))
    wide = og.Spread(w_max=0.5, w_min=0.5)
    bounds = dataclasses.replace(_COARSE, dw_min=0.1, spread=wide, noise=og.Noise())
    down = dataclasses.replace(
        constant, response=og.ConstantStep(-TAU, TAU, down=0.8), spread=og.Spread(dw_min=0.3)
    )
    saturated = "with K > max_bl both lines are clipped; theirs never clips x and lets d take all of it"
    both_ways = "a mean balance b makes steps 1 + b and 1 - b; theirs 1 and 1 - b"
    return [
        Case("soft; saturated lines", og.Device(og.SoftBounds.symmetric(TAU), 0.001), _SATURATED,
             meant=saturated),
        Case("constant; spread of the balance", constant, certain(-8, 8, -8),
             meant=BALANCE),
        Case("constant, down 0.8; spread", down, certain(-8),
             meant="a step down of 0.8 is 0.8 of the element's step; theirs is 0.2 of the mean step less"),
        Case("constant; mean balance 0.1", mean_bias, certain(8),
             peer=lambda: peer_device(dataclasses.replace(mean_bias, spread=og.Spread()), up_down=0.1),
             meant=both_ways),
        Case("linear; spread of bounds, their default slopes", linear, certain(31), 0.3,
             peer=lambda: peer_device(linear, mean_bound_reference=True),
             meant="a slope refers to the element's own bound; theirs, by default, to the mean bound"),
        Case("soft, 30 states; multiplicative 1; alike", rough, certain(8), -0.4,
             meant="the collapse is exact in mean and variance only with multiplicative noise"),
        Case("the same, pulse by pulse", rough, certain(8), -0.4, fidelity="pulse-by-pulse"),
        Case("soft, 12 states; spread of bounds 0.5", bounds, certain(4)),
    ]  # fmt: skip


_NO_REFERENCE = {"write_noise_std": 0.0, "subtract_symmetry_point": False, "reference_std": 0.0}

#: presets with the name of aihwkit's and what else differs; both sides without what is not the answer to
#: pulses, which has rows of its own
PRESET_PEERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "gokmen-vlasov": ("GokmenVlasovPresetDevice", {"dw_min": 0.001, "w_max": 0.6, "w_min": -0.6}, ""),
    "idealised": ("IdealizedPresetDevice", {}, ""),
    "capacitor": ("CapacitorPresetDevice", {"lifetime": 0.0}, ""),
    "ecram": ("EcRamPresetDevice", {}, "slopes have no spread and refer to the element's own bound"),
    "ecram-mo": ("EcRamMOPresetDevice", {}, "slopes have no spread and refer to the element's own bound"),
    "reram-sb": ("ReRamSBPresetDevice", {"write_noise_std": 0.0}, ""),
    "reram-es": ("ReRamESPresetDevice", {"write_noise_std": 0.0}, BALANCE),
    "reram-array-om": ("ReRamArrayOMPresetDevice", _NO_REFERENCE, ""),
    "reram-array-hfo2": ("ReRamArrayHfO2PresetDevice", _NO_REFERENCE, ""),
}  # fmt: skip


def _presets() -> list[Case]:
    def make(name: str, changes: dict[str, Any]) -> Callable[[], Any]:
        def config() -> Any:
            from aihwkit.simulator.presets import devices  # pyright: ignore[reportMissingImports]

            return getattr(devices, name)(**changes)

        return config

    return [
        Case(f"preset {ours}", plain(preset(ours))[0], update, 0.0, make(name, changes), meant)
        for ours, (name, changes, meant) in PRESET_PEERS.items()
        for update in (certain(1), certain(8, -8, 8), UPDATES[7][0])
    ]


def _more() -> list[Case]:
    """What depends on the version."""
    return [
        Case(name, device, update, start, peer, why)
        for name, device, peer, update, start, why in (*response_rows(), *memory_rows())
    ]


#: all comparisons of single updates
CASES: list[Case] = [*_families(), *_coarse(), *_meant(), *_presets(), *_more()]
