"""What an element of a technology holds after it was programmed, at any time: PCM and ReRAM, as published.

Conductances are in uS, times in seconds since programming. g = target / G_max.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checked import checked
from ..errors import InputError, check_choice, check_number, python_numbers, shown

__all__ = [
    "DAY", "EXPONENT", "PCM", "PROGRAMMING", "READ", "TECHNOLOGIES", "YEAR", "Normal", "Planes", "ReRAM",
    "Technology", "technology_of",
]  # fmt: skip

DAY, YEAR = 86400.0, 365 * 86400.0
#: what a random number is for, beside those of `rng.Purpose`
PROGRAMMING, EXPONENT, READ = 64, 65, 66
#: standard normal numbers for a purpose, float64, in the shape of the targets
Normal = Callable[[int], Tensor]
#: what elements hold from their programming on, one tensor a quantity
Planes = tuple[Tensor, ...]


class Technology(ABC):
    """Statistics of an element: how it is programmed, and its conductance at a time."""

    #: the largest conductance that is programmed (uS)
    g_max: float

    @property
    @abstractmethod
    def times(self) -> tuple[float, ...]:
        """Times (s) to look at; the first is right after programming."""

    @property
    @abstractmethod
    def last(self) -> float:
        """The last time (s) that the statistics are known of; infinite where they are a law."""

    @abstractmethod
    def program(self, target: Tensor, normal: Normal) -> Planes:
        """What elements hold that are programmed to `target` (uS, float64)."""

    @abstractmethod
    def conductance(self, planes: Planes, seconds: float, normal: Normal) -> Tensor:
        """What a read at a time gives (uS, not negative); `normal` has numbers of that time."""

    @property
    def first(self) -> float:
        """Right after programming (s): the first read."""
        return self.times[0]

    def check_time(self, seconds: Any) -> float:
        """Return a time if the statistics are known of it.

        Raises:
            InputError: naming the time and the range.
        """
        seconds = float(check_number("seconds since programming", seconds, low=0))
        if not self.first <= seconds <= self.last:
            to = "on" if math.isinf(self.last) else f"to {self.last:g} s"
            raise InputError(
                f"seconds since programming is {seconds:g}, but statistics of {type(self).__name__} were "
                f"published from {self.first:g} s {to}: choose a time in that range"
            )
        return seconds


@dataclass(frozen=True)
class PCM(Technology):
    """Phase-change memory, doped Ge2Sb2Te5, programmed by iterations with reads.

        programming   G_p = max(target + sigma(g) N(0, 1), 0),  sigma(g) = a g^2 + b g + c  (uS)
        drift         G_d(t) = G_p (t / t_0)^-nu,  nu ~ N(mu(g), s(g)), one for each element
                      mu(g) = clip(a ln g + b, low, high), s(g) likewise
        read noise    G(t) = max(G_d + G_d Q(g) sqrt(ln((t + t_read) / (2 t_read))) N(0, 1), 0)
                      Q(g) = min(a / g^b, most)

    Of the defaults: Nandakumar et al., ICECS 2019, 10.1109/ICECS46596.2019.8964852, and Joshi et al., Nat.
    Commun. 11, 2473 (2020); the same figures are in the documentation of IBM's aihwkit. They are of
    G_max = 25 uS: another one needs coefficients of its own, as `programming` is in uS.

    Assumed here: an element with target 0, one of every pair, has the statistics of g -> 0. Exponents are
    Gaussian as published, so that few of a low conductance (1 to 2 in a hundred) are negative.

    Args:
        g_max: largest conductance (uS).
        programming: coefficients of sigma (uS), highest power first.
        exponent: (a, b, low, high) of mu.
        exponent_spread: (a, b, low, high) of s.
        read: (a, b, most) of Q.
        t_0: time of the first read (s).
        t_read: length of a read (s).

    Raises:
        InputError: when a number is out of range.
    """

    g_max: float = 25.0
    programming: tuple[float, ...] = (-1.1731, 1.9650, 0.26348)
    exponent: tuple[float, float, float, float] = (-0.0155, 0.0244, 0.049, 0.1)
    exponent_spread: tuple[float, float, float, float] = (-0.0125, -0.0059, 0.008, 0.045)
    read: tuple[float, float, float] = (0.0088, 0.65, 0.2)
    t_0: float = 20.0
    t_read: float = 250e-9

    def __post_init__(self) -> None:
        python_numbers(self)
        for name in ("g_max", "t_0", "t_read"):
            check_number(name, getattr(self, name), low=0, open_low=True)
        for name, count in (("programming", None), ("exponent", 4), ("exponent_spread", 4), ("read", 3)):
            object.__setattr__(self, name, _numbers(name, getattr(self, name), count))
        for name in ("exponent", "exponent_spread"):
            low, high = getattr(self, name)[2:]
            if low > high or (name == "exponent_spread" and low < 0):
                raise InputError(
                    f"{name} is clipped to [{low:g}, {high:g}]: give its bounds in order, from 0"
                )
        if self.read[2] < 0 or self.t_0 < self.t_read:
            raise InputError(
                f"read noise of at most {self.read[2]:g} and reads of {self.t_read:g} s from {self.t_0:g} s "
                "on: the noise must not be negative, and t_0 not shorter than t_read"
            )

    @property
    def times(self) -> tuple[float, ...]:
        later = (60.0, 600.0, 3600.0, DAY, 7 * DAY, 30 * DAY, YEAR)
        return (self.t_0, *(t for t in later if t > self.t_0))

    @property
    def last(self) -> float:
        return math.inf

    def sigma(self, g: Tensor) -> Tensor:
        """Standard deviation of programming (uS)."""
        return _polynomial(self.programming, g).clamp(min=0)

    def mean_exponent(self, g: Tensor) -> Tensor:
        """mu(g)."""
        return _clipped_log(self.exponent, g)

    def spread_of_exponents(self, g: Tensor) -> Tensor:
        """s(g)."""
        return _clipped_log(self.exponent_spread, g)

    def read_noise(self, g: Tensor, seconds: float) -> Tensor:
        """Standard deviation of a read in units of the conductance."""
        a, b, most = self.read
        growth = math.sqrt(math.log((seconds + self.t_read) / (2 * self.t_read)))
        return (a / g**b).nan_to_num(posinf=math.inf).clamp(max=most) * growth

    def program(self, target: Tensor, normal: Normal) -> Planes:
        g = target / self.g_max
        programmed = (target + self.sigma(g) * normal(PROGRAMMING)).clamp(min=0)
        exponent = self.mean_exponent(g) + self.spread_of_exponents(g) * normal(EXPONENT)
        return g, programmed, exponent

    def conductance(self, planes: Planes, seconds: float, normal: Normal) -> Tensor:
        g, programmed, exponent = planes
        drifted = programmed * (seconds / self.t_0) ** -exponent
        return (drifted * (1 + self.read_noise(g, seconds) * normal(READ))).clamp(min=0)


@checked
@dataclass(frozen=True)
class ReRAM(Technology):
    """Filamentary ReRAM of the NeuRRAM chip, written by write-verify, which relaxes afterwards.

        G(t) = max(target + sigma_t(g) N(0, 1), 0),  sigma_t(g) = sum_i c_i g^i  (uS)

    The coefficients of 1 s, 1 day and 2 days at G_max = 40 uS are a fit, published with IBM's aihwkit
    (`ReRamWan2022NoiseModel`), to figures of Wan et al., Nature 608, 504 (2022).

    Assumed here: between two of these times sigma is linear in the logarithm of time; an element keeps its
    N(0, 1) for all times, as nothing is published of how deviations at two times go together; an element
    with target 0, one of every pair, has sigma_t(0). Not published, and refused: times beyond 2 days. Read
    noise is in the deviations as far as it was in the measurement.

    Args:
        g_max: largest conductance (uS).
        published: times (s) in order, each with its coefficients (uS), highest power first.

    Raises:
        InputError: when a number is out of range.
    """

    g_max: float = 40.0
    published: tuple[tuple[float, tuple[float, ...]], ...] = (
        (1.0, (-16.815, 45.393, -43.853, 16.030, 0.348)),
        (DAY, (-16.458, 47.095, -50.773, 22.086, 0.701)),
        (2 * DAY, (-11.934, 37.062, -43.507, 20.274, 0.782)),
    )

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("g_max", self.g_max, low=0, open_low=True)
        rows = tuple(
            (float(check_number("time", t, low=0, open_low=True)), _numbers("coefficients", c))
            for t, c in self.published
        )
        if not rows or any(b <= a for (a, _), (b, _) in itertools.pairwise(rows)):
            raise InputError(
                f"published has times {shown([t for t, _ in rows])}: give at least one, in their order"
            )
        object.__setattr__(self, "published", rows)

    @property
    def times(self) -> tuple[float, ...]:
        return tuple(t for t, _ in self.published)

    @property
    def last(self) -> float:
        return self.times[-1]

    def sigma(self, g: Tensor, seconds: float) -> Tensor:
        """Standard deviation (uS) at a time."""
        times = self.times
        after = next(i for i, t in enumerate(times) if seconds <= t)
        sigma = _polynomial(self.published[after][1], g).clamp(min=0)
        if seconds == times[after]:
            return sigma
        way = math.log(seconds / times[after - 1]) / math.log(times[after] / times[after - 1])
        return torch.lerp(_polynomial(self.published[after - 1][1], g).clamp(min=0), sigma, way)

    def program(self, target: Tensor, normal: Normal) -> Planes:
        return target, normal(PROGRAMMING)

    def conductance(self, planes: Planes, seconds: float, normal: Normal) -> Tensor:
        target, deviation = planes
        return (target + self.sigma(target / self.g_max, seconds) * deviation).clamp(min=0)


def _numbers(name: str, values: Any, count: int | None = None) -> tuple[float, ...]:
    if not isinstance(values, (tuple, list)) or not values or len(values) != (count or len(values)):
        wanted = f"{count} numbers" if count else "at least one number"
        raise InputError(f"{name} is {shown(values)}, but must be {wanted}")
    return tuple(float(check_number(f"a number of {name}", v)) for v in values)


def _polynomial(coefficients: tuple[float, ...], g: Tensor) -> Tensor:
    out = torch.zeros_like(g)
    for c in coefficients:
        out = out * g + c
    return out


def _clipped_log(coefficients: tuple[float, float, float, float], g: Tensor) -> Tensor:
    a, b, low, high = coefficients
    # a tiny g in place of 0, whose logarithm times a = 0 would be no number
    return (a * g.clamp(min=1e-300).log() + b).clamp(low, high)


#: by the names of the command line
TECHNOLOGIES: dict[str, Technology] = {"pcm": PCM(), "reram": ReRAM()}


def technology_of(technology: str | Technology) -> Technology:
    """The technology itself, or the one of a name in `TECHNOLOGIES`.

    Raises:
        InputError: for another name, or another thing.
    """
    if isinstance(technology, Technology):
        return technology
    return TECHNOLOGIES[check_choice("technology", technology, TECHNOLOGIES)]
