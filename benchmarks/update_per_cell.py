"""Pulsed update of a 1024 x 1024 soft-bounds array, batch 32: nanoseconds per cell and sample.

Per-cell spread and cycle-to-cycle noise, BL at most 31; from updates that pulse everywhere down to
ones in which most lines are silent. aihwkit, if it can be imported, does the same updates beside it.
Then devices that run from tables, a measured one (if OHMGRAD_DATA names its table), and those whose elements
remember, beside the affine one, in turn, with lr in proportion to dw_min. Before a time is printed the mean
change is checked against the one that was asked for.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import torch

import ohmgrad as og
from common import PAPER, interleaved, machine, seconds
from ohmgrad.crossbar import Tile
from ohmgrad.devices import OneSided, Reference, Retention, Stuck

SIDE, BATCH = 1024, 32


def peer(lr: float, x: torch.Tensor, d: torch.Tensor) -> float | None:
    """Seconds that aihwkit takes for the same update, or None where it is not installed."""
    try:
        from aihwkit.nn import AnalogLinear  # pyright: ignore[reportMissingImports]
        from aihwkit.simulator.configs import (  # pyright: ignore[reportMissingImports]
            MappingParameter,
            SingleRPUConfig,
            SoftBoundsDevice,
        )
    except ImportError:
        return None
    device = SoftBoundsDevice(w_min=-0.6, w_max=0.6, dw_min=0.001)
    whole = MappingParameter(max_input_size=0, max_output_size=0)  # one tile, as ours
    config = SingleRPUConfig(device=device, mapping=whole)
    layer = AnalogLinear(SIDE, SIDE, bias=False, rpu_config=config)
    (tile,) = list(layer.analog_tiles())
    tile.tile.set_learning_rate(lr)
    start = time.perf_counter()
    tile.tile.update(x, d, False)
    once = time.perf_counter() - start
    rounds = 5 if once < 1 else 1
    return seconds(lambda: tile.tile.update(x, d, False), rounds=rounds, warm=0)


def check(tile: Tile, x: torch.Tensor, d: torch.Tensor, lr: float) -> None:
    """The array must move as asked: regression of its change on lr d^T x F has slope 1."""
    before = tile.weight.clone()
    tile.pulse(x, d, lr)
    asked = lr * d.t() @ x
    got = tile.weight - before
    scale = float((asked * asked).sum())
    slope, error = float((asked * got).sum()) / scale, float((asked * got).norm()) / scale
    # saturation shortens long updates, and clipped probabilities the longest; short ones are exact
    low = 0.85 if lr <= 1e-3 else 0.1
    fine = low - 5 * error < slope < 1.1 + 5 * error  # the sum of few pulses scatters
    assert fine, f"lr {lr}: the weights moved {slope:.3f} of what was asked"


def main() -> None:
    print(f"pulsed update {SIDE} x {SIDE}, batch {BATCH}\n{machine()}\n")
    print(f"{'lr':>7} {'mean BL':>8} {'pulses/cell/sample':>19} {'ns/cell/sample':>15} {'aihwkit':>9} ratio")
    torch.manual_seed(0)
    x, d = torch.rand(BATCH, SIDE), torch.randn(BATCH, SIDE)
    for lr in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
        start = torch.empty(SIDE, SIDE).uniform_(-0.1, 0.1)
        tile = Tile(start, PAPER, seed=1)
        check(tile, x, d, lr)
        before = tile.events.tolist()
        rounds = 7

        def work(tile: Tile = tile, lr: float = lr) -> None:
            tile.pulse(x, d, lr)
            tile.pulse(x, d, -lr)  # and back, so that the weights stay where they are

        took = seconds(work, rounds=rounds, warm=2) / 2
        updates = tile.count("updates") - before[0]
        pulses = sum(tile.events[1:3].tolist()) - sum(before[1:3])
        unit = SIDE * SIDE * BATCH
        other = peer(lr, x, d)
        beside = "-" if other is None else f"{other * 1e9 / unit:.2f}"
        ratio = "-" if other is None else f"{other / took:.0f}x"
        slots = (tile.count("slots") - before[4]) / updates / BATCH
        print(
            f"{lr:7.0e} {slots:8.1f} {pulses / updates / unit:19.4f} {took * 1e9 / unit:15.3f}"
            f" {beside:>9} {ratio}"
        )
    print(f"\ntarget: at most 0.4 ns. Device: {og.devices.describe(PAPER)}")
    other_forms(x, d)
    memories(x, d)


def other_forms(x: torch.Tensor, d: torch.Tensor) -> None:
    """Times of devices that run from tables, as ratios to the affine one."""
    devices = {
        "exp": dataclasses.replace(PAPER, response=og.ExpStep(-0.6, 0.6)),
        "pow 2": dataclasses.replace(PAPER, response=og.PowStep(-0.6, 0.6, 2.0, 2.0)),
    }
    tables = Path(os.environ.get("OHMGRAD_DATA", "")) / "devices" / "cross-sim" / "enode_9_devices.npz"
    if os.environ.get("OHMGRAD_DATA") and tables.exists():
        measured = og.Measured.from_npz(tables)
        devices["measured"] = og.Device(measured, measured.dw_min)
    ladder(x, d, devices)
    print("target: at most 2x. Cells beyond a valid radius or with few measured pulses go pulse by pulse")


def memories(x: torch.Tensor, d: torch.Tensor) -> None:
    """Times of devices whose elements hold something beside their weight, as ratios to the plain one."""
    changes: dict[str, dict[str, Any]] = {
        "noise": {"write_noise": 1.0},
        "drift": {"retention": Retention(drift=0.05)},
        "stuck": {"stuck": Stuck(0.05)},
        "reference": {"reference": Reference()},
        "pair": {"pair": OneSided(refresh_every=10**6)},
    }
    ladder(x, d, {name: dataclasses.replace(PAPER, **change) for name, change in changes.items()})
    print("target: at most 2x; a one-sided pair has two elements. Refreshes and waiting are not counted")


def ladder(x: torch.Tensor, d: torch.Tensor, devices: dict[str, og.Device]) -> None:
    """Times from updates that pulse everywhere down to silent ones, each device beside the affine one."""
    print(f"\n{'lr/dw_min':>9} {'affine ns':>10}" + "".join(f"{name:>10}" for name in devices))
    for lr in (10, 1, 0.1, 0.01, 0.001):
        works = {}
        for name, device in {"affine": PAPER, **devices}.items():
            tile = Tile(torch.empty(SIDE, SIDE).uniform_(-0.1, 0.1), device, seed=1)
            check(tile, x, d, lr * device.dw_min)

            def work(tile: Tile = tile, rate: float = lr * device.dw_min) -> None:
                tile.pulse(x, d, rate)
                tile.pulse(x, d, -rate)

            works[name] = work
        took = interleaved(works, rounds=5)
        ratios = "".join(f"{took[name] / took['affine']:9.2f}x" for name in devices)
        print(f"{lr:9g} {took['affine'] * 1e9 / (2 * SIDE * SIDE * BATCH):10.3f}{ratios}")


if __name__ == "__main__":
    main()
