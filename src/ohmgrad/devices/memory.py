"""What an element does besides answering pulses: it may be stuck, read noisily, and not keep its weight.

Kernels know nothing of these: a tile applies them around its primitives. Defaults mean none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InputError, check_number, python_numbers, shown
from .response import MOST, MOST_FACTOR

__all__ = ["ReadNoise", "Retention", "Stuck"]


@dataclass(frozen=True)
class Stuck:
    """Elements that do not move: each one with probability `fraction`, independent, addressed by cell.

    Pulses on them are sent and counted; the weight stays. aihwkit has this as `corrupt_devices_prob` and
    `corrupt_devices_range`.

    Args:
        fraction: probability that an element is stuck, in [0, 1].
        at: where stuck elements stand, in weight units inside the device's range (an element whose own
            bound is nearer stands there); None for uniform between each element's own bounds.

    Raises:
        InputError: when a value is out of range.
    """

    fraction: float = 0.0
    at: float | None = None

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("fraction of stuck elements", self.fraction, low=0, high=1)
        if self.at is not None:
            check_number("weight of stuck elements", self.at)


@dataclass(frozen=True)
class ReadNoise:
    """What products and reads see beside an element's weight w; pulses act on w alone.

        w_seen = w + r + fast dw_min xi          xi standard normal, for each element and vector
        r'     = phi r + sqrt(1 - phi^2) slow dw_min eta,      phi = exp(-1/correlation)

    in each step of time, which is one optimizer step (`Tile.wait`), with eta standard normal, for each
    element and step. So r has the standard deviation slow dw_min, and comes back within some `correlation`
    steps: the part of 1/f noise of this time, or a random telegraph signal, which has the same correlation
    (Machlup 1954, 10.1063/1.1721637). It starts at 0 where weights are written. n steps at once are n single
    steps in law. `fast` adds to the `weight_noise` of the periphery, in squares.

    Args:
        fast: standard deviation of noise that is new in every read, in units of dw_min (>= 0).
        slow: standard deviation of noise that stays for some time, in units of dw_min (>= 0).
        correlation: steps over which the correlation of the slow part falls to 1/e (> 0).

    Raises:
        InputError: when a value is out of range.
    """

    fast: float = 0.0
    slow: float = 0.0
    correlation: float = 10.0

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("fast read noise", self.fast, low=0, high=MOST_FACTOR)
        check_number("slow read noise", self.slow, low=0, high=MOST_FACTOR)
        check_number("correlation of the slow read noise", self.correlation, low=0, high=MOST, open_low=True)

    def left(self, steps: int) -> tuple[float, float]:
        """Factor of r after `steps` steps, and standard deviation of what is added, in units of dw_min."""
        way = -steps / self.correlation
        return math.exp(way), self.slow * math.sqrt(-math.expm1(2 * way))


@dataclass(frozen=True)
class Retention:
    """What time does to an element's weight w; a step of time is one optimizer step (`Tile.wait`).

    In each step, in this order, with z1, z2 standard normal, one for each element, and xi for each step:

        drift       w' = w ((a + 1 + t0) / (a + t0))^-nu,     nu = drift max(1 + drift_spread z1, 0)
        decay       w' = rest + (w - rest)(1 - 1/T),          T = max(lifetime |1 + lifetime_spread z2|, 1)
        diffusion   w' = w + diffusion dw_min xi

    where a is the number of steps since the element was last pulsed and t0 = drift_start, so that after
    a steps without a pulse a drifting element has come to w (1 + a/t0)^-nu. The weight is then kept
    inside the element's bounds. A pulse acts on the weight as it is then, and starts the drift anew. n
    steps at once are n single steps in law (bounds aside: they are kept after the last of them).

    Decay is the leakage of a capacitor, with its RC time as lifetime (Li et al. 2018,
    10.1109/VLSIT.2018.8510648); the power law is the drift of phase-change memory (Joshi et al. 2020,
    10.1038/s41467-020-16108-9); aihwkit (Rasch et al. 2021, arXiv 2104.02184) has the three as
    `lifetime`, `diffusion` and `drift`, its diffusion in weight units. Weights are float32: where less
    than 1e-7 of a weight decays in a step (lifetimes above 10^7), single steps round it away.

    Args:
        lifetime: mean lifetime in steps (>= 1), or None for no decay.
        lifetime_spread: relative device-to-device spread of the lifetime (>= 0).
        rest: weight towards which elements decay, inside the device's range.
        diffusion: standard deviation of a step, in units of dw_min (>= 0).
        drift: mean exponent nu (>= 0); 0 for no drift.
        drift_spread: relative device-to-device spread of the exponent (>= 0).
        drift_start: t0 in steps (> 0).

    Raises:
        InputError: when a value is out of range, or the lifetime has a spread but no value.
    """

    lifetime: float | None = None
    lifetime_spread: float = 0.0
    rest: float = 0.0
    diffusion: float = 0.0
    drift: float = 0.0
    drift_spread: float = 0.0
    drift_start: float = 1.0

    def __post_init__(self) -> None:
        python_numbers(self)
        if self.lifetime is not None:
            check_number("lifetime", self.lifetime, low=1, high=MOST)
        for name in ("lifetime_spread", "diffusion", "drift", "drift_spread"):
            check_number(name, getattr(self, name), low=0, high=MOST_FACTOR)
        check_number("rest", self.rest)
        check_number("drift_start", self.drift_start, low=0, high=MOST, open_low=True)
        if self.lifetime is None and (self.lifetime_spread or self.rest):
            name = "lifetime_spread" if self.lifetime_spread else "rest"
            raise InputError(
                f"{name} is {shown(getattr(self, name))}, but there is no lifetime: give one, in steps"
            )
        if self.drift_spread and not self.drift:
            raise InputError(
                f"drift_spread is {shown(self.drift_spread)}, but drift is 0: give the mean exponent too"
            )
