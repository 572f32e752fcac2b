"""The attribution of `ohmgrad map` on devices whose fault is known: does it name the fault?

A device has every property a little (a linear step with slopes of 0.2 on [-1.5, 1.5], 1500 states, 20 %
noise, 10 % spread), and one of them a lot. Analog SGD, which suffers from all, trains the digits network.
Prints what the attribution gives to the fault and to the next one, as docs/map.md has it.

    python benchmarks/map_known_faults.py [FOLDER] [--trainings 40] [--epochs 8] [--jobs 1]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from ohmgrad.devices import Device, LinearStep, Noise, SoftBounds, Spread
from ohmgrad.devices.properties import PROPERTIES
from ohmgrad.studies.map import MapSettings, map_device

MILD = Device(
    LinearStep(-1.5, 1.5, slope_up=0.2, slope_down=0.2),
    dw_min=0.002,
    spread=Spread(dw_min=0.1, up_down=0.005, w_max=0.1, w_min=0.1),
    noise=Noise(0.2),
)

#: fault -> the device that has much of it
DEVICES: dict[str, Device] = {
    "states": replace(MILD, dw_min=0.2),
    "asymmetry": replace(MILD, response=SoftBounds(-0.6, 0.6)),
    "shift": replace(MILD, response=LinearStep(-1.5, 1.5, 0.2, 0.2, up=1.3, down=0.7)),
    "sp-spread": replace(MILD, spread=replace(MILD.spread, up_down=0.6)),
    "noise": replace(MILD, noise=Noise(15.0)),
    "spread": replace(MILD, spread=replace(MILD.spread, dw_min=3.0, law="lognormal")),
    "bounds": replace(MILD, response=LinearStep(-0.15, 0.15, slope_up=0.2, slope_down=0.2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=None)
    for name, default in (("trainings", 40), ("epochs", 8), ("jobs", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=list(DEVICES), nargs="*", default=list(DEVICES))
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    settings = MapSettings(
        "sgd", trainings=given.trainings, epochs=given.epochs, tuning_epochs=3, rates=(0.1, 0.3)
    )
    print("| fault | device | ideal | attributed to it (points) | 90 % interval | the next | |")
    print("|---|--:|--:|--:|--:|---|--:|")
    start = time.perf_counter()
    for fault in given.only:
        found = map_device(DEVICES[fault], folder / fault, settings, name=fault, jobs=given.jobs)
        mine = next(share for share in found.shares if share.name == fault)
        other = next(share for share in found.shares if share.name != fault)
        value, low, high = mine.lost
        print(
            f"| {PROPERTIES[fault].label}: {PROPERTIES[fault].write(found.device)} | {found.own[0]:.1f} % | "
            f"{found.ideal[0]:.1f} % | {value:.1f} | {low:.1f} to {high:.1f} | "
            f"{PROPERTIES[other.name].label} | {other.lost[0]:.1f} |",
            flush=True,
        )
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
