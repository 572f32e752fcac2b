"""Rows of the parity report for what not every version has: non-affine families, and what elements remember.

Rows whose family or field is missing are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import ohmgrad as og
from parity_peer import Update, certain, peer_device, trains

__all__ = ["memory_rows", "response_rows"]

TAU = 0.6
#: aihwkit takes its middle value up as the granularity that K counts in, ours is dw_min: so that one is 1
NODES = ((0.4, 1.2, 1.0, 1.5), (1.4, 1.0, 0.7, 0.5))
UPDATES: list[tuple[Update, float]] = [
    (certain(1), 0.3),
    (certain(31), -0.2),
    (certain(-60), 0.1),
    (certain(8, -8, 8), -0.3),
    (trains("trains, 4 samples", (-0.4, 0.9, -0.1, 0.6), (0.5, 0.3, -0.8, -0.2), 20.0), 0.2),
]
#: name, device, aihwkit's device, update, start, why both may differ
Row = tuple[str, og.Device, Callable[[], Any], Update, float, str]


def _shared(device: og.Device, dw_min: float) -> dict[str, Any]:
    """Fields that all of aihwkit's devices have."""
    s = device.spread
    return {
        "dw_min": dw_min, "w_max": device.response.w_max, "w_min": device.response.w_min,
        "dw_min_dtod": s.dw_min, "up_down_dtod": s.up_down, "w_max_dtod": s.w_max, "w_min_dtod": s.w_min,
        "dw_min_std": device.noise.std,
    }  # fmt: skip


def _peer(kind: str, device: og.Device, dw_min: float, **own: Any) -> Callable[[], Any]:
    def config() -> Any:
        from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]

        return getattr(configs, kind)(**_shared(device, dw_min), **own)

    return config


def response_rows() -> list[Row]:
    """Exponential, power and piecewise steps; noise multiplies the step in aihwkit."""
    families: Any = og.devices
    found: list[tuple[str, Any, str, float, dict[str, Any]]] = []
    if hasattr(families, "ExpStep"):
        r = families.ExpStep()
        own = {name: getattr(r, name) for name in ("A_up", "A_down", "gamma_up", "gamma_down", "a", "b")}
        found.append(("exponential", r, "ExpStepDevice", 1.0, own))
    if hasattr(families, "PowStep"):
        for gamma in (2.0, 0.7):
            r = families.PowStep(-TAU, TAU, gamma_up=gamma, gamma_down=gamma)
            own = {"pow_gamma": gamma, "pow_gamma_dtod": 0.0}
            # there dw_min is the largest step, here the step at w = 0
            found.append((f"power {gamma:g}", r, "PowStepDevice", 2.0**gamma, own))
    if hasattr(families, "PiecewiseStep"):
        r = families.PiecewiseStep(-TAU, TAU, *NODES)
        own = {"piecewise_up": list(NODES[0]), "piecewise_down": list(NODES[1])}
        found.append(("piecewise", r, "PiecewiseStepDevice", 1.0, own))
    rows: list[Row] = []
    scaled = "the response is scaled separately above and below zero; theirs by the whole range"
    tables = "the collapse follows parabolas of a table, to about 2e-4 of the way"
    for name, response, kind, factor, own in found:
        for noise, spread, updates, why in (
            (og.Noise(), og.Spread(), UPDATES[2:3], tables),
            (og.Noise(0.3, "multiplicative"), og.Spread(), UPDATES, ""),
            (og.Noise(0.3, "multiplicative"), og.Spread(dw_min=0.3), UPDATES, ""),
            (og.Noise(), og.Spread(w_max=0.3, w_min=0.3), UPDATES[1:2], scaled),
        ):
            device = og.Device(response, 0.001, spread, noise)
            for update, start in updates:
                if factor != 1 and any(update.loud):
                    continue  # K, the number of pulses wanted, counts in another dw_min there
                label = f"{name}; {'multiplicative 0.3' if noise.std else 'no noise'}; "
                label += "alike" if spread.uniform else "spread"
                rows.append((label, device, _peer(kind, device, 0.001 * factor, **own), update, start, why))
    return rows


def memory_rows() -> list[Row]:
    """Write noise, stuck elements, and a reference at the symmetric point."""
    fields = {f.name for f in dataclasses.fields(og.Device)}
    rows: list[Row] = []
    device = og.Device(og.SoftBounds.symmetric(TAU), 0.001, noise=og.Noise(0.3))

    def plain(**changes: Any) -> Callable[[], Any]:
        return lambda: peer_device(device, **changes)

    if "write_noise" in fields:
        noisy = dataclasses.replace(device, **{"write_noise": 5.0})
        rows += [("soft; write noise 5", noisy, plain(write_noise_std=5.0), u, w, "") for u, w in UPDATES]
    if "stuck" in fields:
        from ohmgrad.devices.memory import Stuck  # pyright: ignore[reportMissingImports]

        stuck = dataclasses.replace(device, **{"stuck": Stuck(0.1)})
        theirs = plain(corrupt_devices_prob=0.1, corrupt_devices_range=1.0)
        rows += [("soft; 10 % stuck", stuck, theirs, u, w, "") for u, w in UPDATES[:3]]
    if "reference" in fields:
        from ohmgrad.devices.pairs import Reference  # pyright: ignore[reportMissingImports]

        spread = og.Spread(up_down=0.1, w_max=0.1, w_min=0.1)
        pair = dataclasses.replace(device, spread=spread, **{"reference": Reference(std=0.05)})
        own = {"subtract_symmetry_point": True, "reference_std": 0.05, "mult_noise": False}
        theirs = _peer("SoftBoundsReferenceDevice", pair, 0.001, **own)
        rows += [("soft; reference, error 0.05", pair, theirs, u, 0.0, "") for u, _ in UPDATES]
    if "pair" in fields:
        from ohmgrad.devices.pairs import OneSided  # pyright: ignore[reportMissingImports]

        pair = dataclasses.replace(device, **{"pair": OneSided()})
        rows += [("soft; one-sided pair", pair, _one_sided(pair), u, 0.0, "") for u, _ in UPDATES]
    return rows


def _one_sided(device: og.Device) -> Callable[[], Any]:
    """A pair without refreshes, which are no part of an update."""

    def config() -> Any:
        from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]

        element = configs.SoftBoundsDevice(
            **{**_shared(device, device.dw_min), "w_min": 0.0, "mult_noise": False}
        )
        return configs.OneSidedUnitCell(unit_cell_devices=[element], refresh_every=0)

    return config
