"""Measured statistics of PCM beside those of simulated elements, which are measured in the same way.

The points are read off the figures of programming noise and drift coefficients in the documentation of IBM's
aihwkit (page "Inference and PCM statistical model"), which show measurements on doped Ge2Sb2Te5 elements of
Joshi et al., Nat. Commun. 11, 2473 (2020) beside the fits that `PCM` has. They were read to 0.003 uS, 0.0003
and 0.0003; points that others hide are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..rng import Key
from .pairs import programmed
from .technologies import DAY, PCM

__all__ = ["MEASURED", "Point", "beside_measured"]

#: what was measured: its unit, and pairs of g = target / G_max and value
MEASURED: dict[str, tuple[str, tuple[tuple[float, float], ...]]] = {
    "standard deviation of programming": (
        "uS",
        ((0.022, 0.231), (0.040, 0.311), (0.059, 0.371), (0.099, 0.508), (0.195, 0.679), (0.294, 0.769),
         (0.390, 0.938), (0.491, 0.913), (0.590, 0.971), (0.688, 0.982), (0.787, 1.087), (0.882, 1.171),
         (0.984, 1.060)),
    ),
    "mean drift exponent": (
        "1",
        ((0.014, 0.0871), (0.030, 0.0749), (0.048, 0.0613), (0.611, 0.0515), (0.832, 0.0475),
         (0.912, 0.0471)),
    ),
    "standard deviation of drift exponents": (
        "1",
        ((0.013, 0.0490), (0.030, 0.0442), (0.046, 0.0329), (0.066, 0.0255), (0.085, 0.0229), (0.111, 0.0229),
         (0.128, 0.0182), (0.208, 0.0117), (0.490, 0.0092), (0.547, 0.0091), (0.651, 0.0063),
         (0.753, 0.0091)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A measured value at a conductance, and that of simulated elements with its standard error."""

    what: str
    unit: str
    g: float
    measured: float
    ours: float
    error: float


def beside_measured(elements: int = 4_000, seed: int = 0) -> list[Point]:
    """Program elements to the conductances that were measured, read them, and take the same statistics.

    Reads are without read noise, as how many of them the measurement averaged is not known; a drift exponent
    is the slope of ln G over ln t from the first read to one after a day.

    Args:
        elements: of each conductance.
        seed: of their random numbers.
    """
    found: list[Point] = []
    pcm = PCM(read=(0.0, 0.0, 0.0))
    for what, (unit, points) in MEASURED.items():
        for number, (g, measured) in enumerate(points):
            weight = torch.full((elements + 1,), g, dtype=torch.float64)
            weight[0] = 1.0  # which stands for G_max
            array = programmed(weight, pcm, Key(seed, number), 0, None)
            first, later = (array.conductances(t)[0][1:] for t in (pcm.t_0, DAY))
            values = first
            if unit == "1":
                there = first > 0
                values = -(later[there] / first[there]).log() / math.log(DAY / pcm.t_0)
            spread, n = float(values.std()), len(values)
            mean = what.startswith("mean")
            error = spread / math.sqrt(n if mean else 2 * n)
            found.append(Point(what, unit, g, measured, float(values.mean()) if mean else spread, error))
    return found
