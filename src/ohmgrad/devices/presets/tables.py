"""Measured devices: lookup tables of CrossSim, read from files when they are asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ..device import Device
from ..measured import Measured
from .preset import Preset

__all__ = ["TABLES"]

#: names the folder of the data sets' files; the tables are below it
_ENVIRONMENT, _FOLDER = "OHMGRAD_DATA", "devices/cross-sim"
_DATA = "the lookup tables of github.com/sandialabs/cross-sim-data (Sandia, BSD-3-Clause)"

#: the devices of 41 that have at least 8 states when centred, numbered from 0
_FINE = (1, 3, 4, 5, 6, 7, 8, 19, 37)

_BURGT = "van de Burgt et al., Nat. Mater. 16:414, 2017, doi 10.1038/nmat4856"
_LI = "Li et al., Front. Neurosci. 15:636127, 2021, doi 10.3389/fnins.2021.636127"
_IRPS = "Bennett et al., IRPS 2019, doi 10.1109/IRPS.2019.8720596"


def _files(names: tuple[str, ...]) -> list[Path]:
    """Where the files are.

    Raises:
        InputError: when one is missing.
    """
    root = os.environ.get(_ENVIRONMENT)
    folder = Path(root or "").expanduser() / _FOLDER
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not root:
        said = f"{_ENVIRONMENT} is {root!r}" if root else f"{_ENVIRONMENT} is not set"
        raise InputError(
            f"{said}, but this device needs {' and '.join(names)} in its folder {_FOLDER}, made "
            f"from {_DATA}: see docs/devices.md, or take a device that needs no files"
        )
    return [folder / name for name in names]


@functools.lru_cache(maxsize=8)
def _read(paths: tuple[Path, ...], change: Callable[[Measured], Measured] | None) -> Device:
    table = Measured.from_npz(*paths) if len(paths) == 1 else Measured.from_crosssim(*paths)
    table = change(table) if change else table
    return Device(table, dw_min=table.dw_min)


def _measured(*names: str, change: Callable[[Measured], Measured] | None = None) -> Callable[[], Device]:
    return lambda: _read(tuple(_files(names)), change)


def _fine(table: Measured) -> Measured:
    return table.pick(_FINE).centred()


_THINNED = "every 10th quantile and 5th conductance"
_TAOX = f"{_DATA}, TaOx_all, {_THINNED}, each device centred at its own symmetric point"
_UNSAID = "measurement conditions, which the data do not say; ends of the tables may be extrapolated"

TABLES: dict[str, Preset] = {
    "taox": Preset(
        _measured("taox_41_devices.npz", change=_fine),
        "tantalum-oxide ReRAM, 9 measured devices with at least 8 states each",
        _IRPS + " (named by CrossSim for these tables)",
        figures=_TAOX + "; the 9 finest of 41 devices",
        left_out=_UNSAID + "; the other 32 devices, which have 2 to 8 states: taox-41",
    ),
    "taox-41": Preset(
        _measured("taox_41_devices.npz", change=Measured.centred),
        "tantalum-oxide ReRAM, all 41 measured devices: 2 to 46 states",
        _IRPS + " (named by CrossSim for these tables)",
        figures=_TAOX,
        left_out=_UNSAID,
    ),
    "enode": Preset(
        _measured("enode_dG_increasing.txt.gz", "enode_dG_decreasing.txt.gz"),
        "organic electrochemical transistor, one measured device: 162 states",
        _BURGT,
        figures=f"{_DATA}, ENODe",
        left_out=_UNSAID,
    ),
    "enode-9": Preset(
        _measured("enode_9_devices.npz"),
        "organic electrochemical transistors, 9 measured devices: 213 states",
        _LI + " (named by CrossSim for these tables)",
        figures=f"{_DATA}, ENODe_multi_centered, {_THINNED}",
        left_out=_UNSAID,
    ),
}
