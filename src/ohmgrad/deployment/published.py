"""Published statistics of PCM beside those of simulated elements, which are measured in the same way.

The measured points are read off the figures of programming noise and drift coefficients in the documentation
of IBM's aihwkit (page "Inference and PCM statistical model"), which show measurements on doped Ge2Sb2Te5
elements of Joshi et al., Nat. Commun. 11, 2473 (2020) beside the fits that `PCM` has. They were read to
0.003 uS, 0.0003 and 0.0003; points that others hide are left out.

The error of products over time is from a figure of a program by a co-author of Le Gallo et al., Neuromorph.
Comput. Eng. (2022), 10.1088/2634-4386/ac4fb7, which he gives as a reproduction of their Fig. 4c:
github.com/lciric/pcm-bitslicing, figure_4c.png, with the setting in its engine.py. Two of its curves are of
one pair of elements for a weight, the same setting, and differ by up to 3 %; the points are their means,
read to 0.0003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rng import Key
from .pairs import programmed
from .technologies import DAY, PCM, YEAR

__all__ = ["MEASURED", "PRODUCTS", "Point", "beside_measured", "beside_program"]

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


#: relative errors of products at times that are even in ln t from 20 s to a year
PRODUCTS = (0.1092, 0.1116, 0.1151, 0.1196, 0.1245, 0.1318, 0.1381, 0.1462, 0.1548, 0.1635, 0.1730, 0.1821)


@dataclass(frozen=True)
class Point:
    """A published value, and that of simulated elements with its standard error.

    Args:
        what, unit: of the value.
        at: g = target / G_max, or seconds since programming.
        published, ours: values.
        error: standard error of ours.
    """

    what: str
    unit: str
    at: float
    published: float
    ours: float
    error: float

    @property
    def deviation(self) -> float:
        """(ours - published) / published."""
        return self.ours / self.published - 1


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
        for number, (g, value) in enumerate(points):
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
            found.append(Point(what, unit, g, value, float(values.mean()) if mean else spread, error))
    return found


def beside_program(trials: int = 40, seed: int = 0) -> list[Point]:
    """The error of products with a programmed matrix over time, with drift compensation.

        |y(t) - W x| / |W x|

    W is 128 x 128 and N(0, 1), clipped at 3 and rounded to 9 bits; x is N(0, 1), clipped at 4 and rounded to
    9 bits; products are rounded to 8 bits within 4 of their standard deviations.

    Args:
        trials: matrices, each with an input.
        seed: of their numbers.
    """
    side, last = 128, len(PRODUCTS) - 1
    pcm, draws = PCM(), torch.Generator().manual_seed(seed)
    times = [pcm.t_0 * (YEAR / pcm.t_0) ** (k / last) for k in range(last + 1)]
    errors = torch.empty(trials, len(times), dtype=torch.float64)

    def rounded(x: Tensor, most: float, levels: int) -> Tensor:
        return (x * levels / most).round().clamp(-levels, levels) * most / levels

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws, dtype=torch.float64)

    for n in range(trials):
        weight, x = rounded(normal(side, side), 3, 255), rounded(normal(side), 4, 255)
        array, exact = programmed(weight, pcm, Key(seed, n), 0, None), weight @ x
        read = [array.weight(t) for t in times]
        for i, now in enumerate(read):
            y = rounded(now @ x, 4 * math.sqrt(side), 127) * float(read[0].abs().sum() / now.abs().sum())
            errors[n, i] = (y - exact).norm() / exact.norm()
    mean, spread = errors.mean(0), errors.std(0) / math.sqrt(trials)
    rows = zip(times, PRODUCTS, mean.tolist(), spread.tolist(), strict=True)
    return [Point("relative error of a product", "1", *row) for row in rows]
