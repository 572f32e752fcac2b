"""What was read: ramps of readings, or tables of steps; each with what was understood."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from ..measured import Measured

__all__ = ["Pulses", "Ramp", "ReadOptions", "StepTable", "Understood"]


@dataclass(frozen=True)
class Understood:
    """One thing that was understood of a file, and the flag that says otherwise."""

    what: str
    flag: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of a file; None or empty leaves it to the file.

    Args:
        layout: wide (a ramp a column), long (a row a reading) or steps (step sizes at even weights).
        unit: of the readings: S, A or ohm with any prefix (uS, nA, kohm), or "none".
        read_voltage: in volts, which makes conductances of currents.
        columns: role -> number (from 1) or name. Roles: up, down, conductance, pulse, time, cycle, device,
            polarity, amplitude, step, probability.
        pulses: up and down pulses of a cycle, where one column has all cycles below each other.
        sheet: of an Excel file.
    """

    layout: Literal["wide", "long", "steps"] | None = None
    unit: str | None = None
    read_voltage: float | None = None
    columns: dict[str, str] = field(default_factory=dict)
    pulses: tuple[int, int] | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Ramp:
    """Readings after consecutive pulses of one direction, on one device, in one cycle.

    `readings`: float64 (n,), NaN where a pulse was not read; the pulses before the first do not matter.
    `follows`: the pulses go on from the end of the ramp before, of the same device, with the first reading
    after one pulse.
    """

    up: bool
    readings: np.ndarray
    device: str = "1"
    cycle: str = "1"
    follows: bool = False


@dataclass(frozen=True)
class Pulses:
    """Ramps of one kind of device.

    Readings are in `unit`; weights are (reading - centre)/half.
    """

    ramps: tuple[Ramp, ...]
    unit: str
    centre: float
    half: float
    said: tuple[Understood, ...] = ()

    @property
    def devices(self) -> list[str]:
        """Devices in the order in which they come."""
        return list(dict.fromkeys(ramp.device for ramp in self.ramps))

    @property
    def groups(self) -> list[tuple[str, str]]:
        """(device, cycle), each once."""
        return list(dict.fromkeys((ramp.device, ramp.cycle) for ramp in self.ramps))

    def weights(self) -> Pulses:
        """The same ramps in units of weights."""
        ramps = tuple(replace(r, readings=(r.readings - self.centre) / self.half) for r in self.ramps)
        return replace(self, ramps=ramps)


@dataclass(frozen=True)
class StepTable:
    """Distributions of steps at given conductances: what `Measured` holds; `unit` of the conductance.

    `even`: (2, nodes) steps up and down at even weights in [-1, 1] in weight units, for tables that have one
    size a weight and no distribution; `measured` is then None.
    """

    measured: Measured | None
    unit: str
    said: tuple[Understood, ...] = ()
    even: np.ndarray | None = None
