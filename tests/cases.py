"""The one table of cases that every device, backend, algorithm and layer enters.

What is special about a case stands in the case, so that tests have no `if`s.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from ohmgrad.devices import (
    AbstractResponse,
    ConstantStep,
    Custom,
    Device,
    ExpBounds,
    ExpStep,
    LinearStep,
    Measured,
    Noise,
    OneSided,
    PiecewiseStep,
    PowStep,
    ReadNoise,
    Reference,
    Retention,
    SoftBounds,
    Spread,
    Stuck,
)
from ohmgrad.kernels import Pulsing
from ohmgrad.optim import (
    AGAD,
    AnalogMomentum,
    AnalogOptimizer,
    AnalogSGD,
    ChoppedSPTracking,
    ChoppedTTv2,
    EaPU,
    GradientCounts,
    MixedPrecision,
    MultiTile,
    ResidualLearning,
    ResidualLearningV2,
    SignRule,
    SPTracking,
    TikiTaka,
    TTv2,
)

__all__ = [
    "ALGORITHMS", "CALLABLE_DEVICES", "COARSE", "DEVICES", "GRANULARITIES", "LAWS", "MEMORIES", "NOISES",
    "PROMISES", "RESPONSES", "SETTINGS", "SHAPES", "SKIPPED_LAWS", "SPREADS", "TABULATED", "BackendCase",
    "DeviceCase",
    "Setting", "backend_cases", "factors", "measured", "start",
]  # fmt: skip

#: affine responses with symmetric and skewed ranges; all have |w| = 0.4 inside their range
RESPONSES: dict[str, AbstractResponse] = {
    "soft": SoftBounds.symmetric(0.6),
    "soft_skewed": SoftBounds(-0.5, 0.8, up=1.2, down=0.9),
    "linear": LinearStep(-0.6, 0.6, slope_up=0.5, slope_down=0.2),
    "linear_rising": LinearStep(-0.6, 0.5, slope_up=-0.4, slope_down=0.7, up=1.1),
    "constant": ConstantStep(-0.6, 0.6),
}

NOISES = {
    "quiet": Noise(),
    "additive": Noise(0.3),
    "multiplicative": Noise(0.3, "multiplicative"),
    "strong": Noise(3.0),
}

SPREADS = {
    "alike": Spread(),
    "spread": Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
    "placed": Spread(dw_min=0.2, law="lognormal", symmetric_point=0.1, symmetric_point_mean=0.05),
}

#: 1200 states on [-0.6, 0.6], and 30
GRANULARITIES = {"fine": 0.001, "coarse": 0.04}

#: (rows, cols): one element; odd; one below and one above the 64 lanes of a block and a word
SHAPES: list[tuple[int, int]] = [(1, 1), (37, 53), (63, 65)]


@dataclass(frozen=True)
class DeviceCase:
    """A device and its name."""

    name: str
    device: Device


@dataclass(frozen=True)
class Setting:
    """How an update is made: `pulses` is lr / dw_min, `density` the share of non-zero lines."""

    name: str
    pulsing: Pulsing
    samples: int
    pulses: float
    density: float = 0.7


@dataclass(frozen=True)
class BackendCase:
    """One update: device, array and settings."""

    name: str
    device: Device
    shape: tuple[int, int]
    setting: Setting


def _device(response: AbstractResponse, dw_min: str, spread: str, noise: str) -> Device:
    return Device(response, GRANULARITIES[dw_min], SPREADS[spread], NOISES[noise])


DEVICES = [
    DeviceCase("-".join(words), _device(RESPONSES[words[0]], *words[1:]))
    for words in itertools.product(RESPONSES, GRANULARITIES, SPREADS, NOISES)
    if (words[0], words[2]) != ("constant", "placed")  # constant steps have no symmetric point to place
]

#: elements so coarse and so widely spread that many steps are longer than the element's range; soft bounds,
#: rising and flat steps
COARSE = [
    DeviceCase(
        f"{name}-{noise}",
        Device(
            RESPONSES[name],
            0.3,
            Spread(dw_min=0.7, law="lognormal", up_down=0.01, w_max=0.43, w_min=0.6),
            NOISES[noise],
        ),
    )
    for name in ("soft_skewed", "linear_rising", "constant")
    for noise in NOISES
]

#: devices for the law of the collapse: 15 to 1000 states, noise from 0.3 steps to 3 steps (on
#: constant steps both kinds of noise are the same thing)
LAWS = [
    DeviceCase(
        f"{name}-{states}-{kind}-{std}",
        Device(
            RESPONSES[name],
            (RESPONSES[name].w_max - RESPONSES[name].w_min) / states,
            noise=Noise(std, kind),
        ),
    )
    for name, kinds in {
        "soft_skewed": ("additive", "multiplicative"),
        "linear_rising": ("additive", "multiplicative"),
        "constant": ("additive",),
    }.items()
    for states in (15, 100, 1000)
    for kind in kinds
    for std in (0.3, 1.0, 3.0)
]

#: families that run from a table
TABULATED: dict[str, AbstractResponse] = {
    "exp": ExpStep(-0.6, 0.6),
    "exp-bounds": ExpBounds(-0.6, 0.5, gamma_up=2.0, gamma_down=0.5, down=1.1),
    "pow": PowStep(-0.6, 0.5, gamma_up=2.0, gamma_down=1.5, up=1.1),
    "piecewise": PiecewiseStep(-0.6, 0.6, (1.2, 1.0, 0.9, 0.2), (0.3, 0.8, 1.1, 1.3)),
}

#: devices given as callables
CALLABLE_DEVICES = [
    DeviceCase(
        "power",
        Device(Custom(lambda w: (1 - w / 0.6) ** 2, lambda w: (1 + w / 0.6) ** 2, -0.6, 0.6), 0.01),
    ),
    DeviceCase(
        "exponential",
        Device(
            Custom(lambda w: 1 - torch.exp(3 * w - 2), lambda w: 1 - torch.exp(-3 * w - 2), -0.6, 0.6),
            0.01,
            SPREADS["spread"],
            NOISES["multiplicative"],
        ),
    ),
]

_FORGETS = Retention(
    lifetime=50.0, lifetime_spread=0.1, rest=0.05, diffusion=0.2, drift=0.05, drift_spread=0.2
)

#: what a device does besides answering pulses, as arguments of `Device`
MEMORIES: dict[str, dict[str, Any]] = {
    "stuck": {"stuck": Stuck(0.1)},
    "write-noise": {"write_noise": 0.5},
    "read-noise": {"read_noise": ReadNoise(slow=0.8, correlation=5.0)},
    "retention": {"retention": _FORGETS},
    "pair": {"pair": OneSided(3, 0.3)},
    "reference": {"reference": Reference(std=0.02)},
    "all": {
        "stuck": Stuck(0.1),
        "write_noise": 0.5,
        "read_noise": ReadNoise(slow=0.8),
        "retention": _FORGETS,
        "reference": Reference(0.1, std=0.02),
    },
    "all-pair": {
        "stuck": Stuck(0.1),
        "write_noise": 0.5,
        "read_noise": ReadNoise(slow=0.8),
        "retention": _FORGETS,
        "pair": OneSided(3, 0.3),
    },
}


def measured(devices: int = 3, states: int = 400) -> Measured:
    """Made-up tables without scatter: soft-bounds-like means, skewed steps (a chi-square law of 10 degrees
    of freedom, by its quantiles), relative standard deviation about 0.45; each device 20 % coarser."""
    g, p = np.linspace(1.0, 3.0, 81), np.linspace(0.0, 1.0, 51)
    law = stats.chi2(10).ppf(p.clip(0.001, 0.999)) / 10
    w, dw = np.linspace(-1, 1, 81), 2 / states * 1.2 ** np.arange(devices)[:, None, None]
    up, down = (dw * law[:, None] * (1 - 0.6 * s * w) for s in (1, -1))
    return Measured(np.tile(g, (devices, 1)), p, up, -down)


SETTINGS = [
    Setting("BL1", Pulsing(max_bl=1), samples=10, pulses=0.05),
    Setting("BL31", Pulsing(max_bl=31), samples=10, pulses=3.0),
    Setting("BL31-saturated", Pulsing(max_bl=31), samples=7, pulses=60.0),
    Setting("BL32", Pulsing(max_bl=32), samples=10, pulses=5.0),
    Setting("BL33-unmanaged", Pulsing("pulsed", 33, False, False), samples=10, pulses=10.0),
    Setting("BL100", Pulsing(max_bl=100), samples=3, pulses=30.0),
    Setting("one-sample", Pulsing(max_bl=31), samples=1, pulses=3.0),
    Setting("dense", Pulsing(max_bl=31), samples=12, pulses=60.0, density=1.0),
    Setting("sparse", Pulsing(max_bl=31), samples=40, pulses=0.5, density=0.03),
    Setting("by-pulse", Pulsing("pulse-by-pulse"), samples=3, pulses=3.0),
    Setting("by-pulse-BL100", Pulsing("pulse-by-pulse", 100), samples=2, pulses=10.0),
]


#: every algorithm, with the options that change its path; each takes parameters and digital options
ALGORITHMS: dict[str, Callable[..., AnalogOptimizer]] = {
    "analog-sgd": partial(AnalogSGD, lr=0.05),
    "tiki-taka": partial(TikiTaka, lr=0.05, fast_lr=0.05),
    "tiki-taka-gamma": partial(TikiTaka, lr=0.05, fast_lr=0.05, transfer_lr=0.2, gamma=0.4),
    "tiki-taka-random": partial(
        TikiTaka, lr=0.05, fast_lr=0.05, order="random", columns=2, reads=3, transfer_every=2
    ),
    "ttv2": partial(TTv2, lr=0.05, fast_lr=0.5, columns=16, max_pulses=10),
    "ttv2-gamma": partial(
        TTv2, lr=0.05, fast_lr=0.5, columns=16, gamma=0.2, order="random", rest="keep", max_pulses=10
    ),
    "c-ttv2": partial(ChoppedTTv2, lr=0.05, fast_lr=0.5, columns=16, reads=2, max_pulses=10),
    "c-ttv2-regular": partial(
        ChoppedTTv2, lr=0.05, fast_lr=0.5, columns=16, chopping="regular", granularity=2.0, max_pulses=10
    ),
    "agad": partial(AGAD, lr=0.05, fast_lr=0.5, columns=64, chop_prob=0.2, max_pulses=10),
    "agad-random": partial(
        AGAD, lr=0.05, fast_lr=0.5, columns=64, chop_prob=0.3, chopping="random", rest="keep", max_pulses=10
    ),
    "mixed-precision": partial(MixedPrecision, lr=0.05),
    "mixed-precision-rows": partial(MixedPrecision, lr=0.05, granularity=0.002, transfer_every=2, rows=3),
    "gradient-counts": partial(GradientCounts, lr=0.05),
    "momentum": partial(AnalogMomentum, lr=0.01),
    "sign-rule": partial(SignRule, lr=0.05),
    "sign-rule-both": partial(SignRule, lr=0.05, both=True),
    "eapu": partial(EaPU, lr=0.05, momentum=0.0, verify=2),
    "eapu-momentum": partial(EaPU, lr=0.01, threshold=0.005),
    "eapu-open-loop": partial(EaPU, lr=0.05, threshold=0.01, momentum=0.0, verify=0),
    "residual": partial(ResidualLearning, lr=0.05),
    "residual-all-columns": partial(ResidualLearning, lr=0.05, alpha=0.1, columns=None, transfer_every=2),
    "residual-v2": partial(ResidualLearningV2, lr=0.05, beta=0.02, columns=4),
    "multi-tile": partial(MultiTile, lr=0.1, inner=2),
    "multi-tile-warm": partial(MultiTile, lr=0.1, tiles=4, inner=2, warm_start=3),
    "sp-tracking": partial(SPTracking, lr=0.05, columns=4),
    "sp-tracking-chopped": partial(ChoppedSPTracking, lr=0.05, columns=4, chop_prob=0.3),
}

#: laws that do not speak of an algorithm: momentum is for digital parameters too; where G = 0 nothing leaks,
#: so that choppers' signals cancel, and a chain of three arrays swings
SKIPPED_LAWS: dict[str, set[str]] = {
    "momentum": {"schedule"},
    "eapu-momentum": {"schedule"},
    **{key: {"quadratic"} for key in ("c-ttv2", "c-ttv2-regular", "multi-tile", "multi-tile-warm")},
}


_WHOLE = {"max_pulses": 10, "rest": "keep"}
#: of the registry: rates as functions of lr, and the laws of exactness that its paper promises then. Choppers
#: turn at the rate at which P forgets. SP tracking without choppers takes the solution for the symmetric
#: point; with them it is exact for both devices, but at symmetric point 0 not by the margin of the law
PROMISES: dict[str, tuple[Callable[[float], dict[str, Any]], tuple[str, ...]]] = {
    "sgd": (lambda lr: {}, ()),
    "tiki-taka": (lambda lr: {"fast_lr": lr, "transfer_lr": lr / 4}, ("exact",)),
    "ttv2": (lambda lr: {"fast_lr": lr, "transfer_lr": lr / 4, **_WHOLE}, ("exact",)),
    "c-ttv2": (
        lambda lr: {"fast_lr": lr, "transfer_lr": lr / 8, "chop_prob": lr / 4, **_WHOLE},
        ("exact", "exact shifted"),
    ),
    "agad": (
        lambda lr: {"fast_lr": lr, "transfer_lr": lr / 4, "chop_prob": lr / 2, **_WHOLE},
        ("exact", "exact shifted"),
    ),
    "mixed-precision": (lambda lr: {}, ()),
    "gradient-counts": (lambda lr: {}, ()),
    "momentum": (lambda lr: {}, ()),
    "sign-rule": (lambda lr: {}, ()),
    "eapu": (lambda lr: {"momentum": 0.0}, ("exact", "exact shifted")),
    "residual": (lambda lr: {"beta": lr / 4}, ("exact",)),
    "residual-v2": (lambda lr: {"beta": lr / 4}, ("exact",)),
    "multi-tile": (
        lambda lr: {"beta": lr / 2, "tiles": 2, "gamma": 0.4, "transfer_every": 1, "inner": 1},
        ("exact",),
    ),
    "sp-tracking": (
        lambda lr: {"alpha": lr / 2, "beta": lr / 4, "eta": lr / 40, "gamma": 0.4},
        ("exact",),
    ),
    "sp-tracking-chopped": (
        lambda lr: {"beta": lr / 4, "eta": lr / 10, "chop_prob": lr},
        ("exact shifted",),
    ),
}


def backend_cases(shapes: Sequence[tuple[int, int]] = SHAPES) -> list[BackendCase]:
    """Every device with every shape; the settings go round, so that each meets every family."""
    pairs = itertools.product(shapes, DEVICES)
    return [
        BackendCase(f"{d.name}-{shape[0]}x{shape[1]}-{s.name}", d.device, shape, s)
        for (shape, d), s in zip(pairs, itertools.cycle(SETTINGS), strict=False)
    ]


def factors(shape: tuple[int, int], setting: Setting, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x (samples, cols) and d (samples, rows): standard normal, a share of the lines silent."""
    g = torch.Generator().manual_seed(seed)
    x, d = (torch.randn(setting.samples, n, generator=g) for n in (shape[1], shape[0]))
    x, d = (t * (torch.rand(t.shape, generator=g) < setting.density) for t in (x, d))
    return x, d


def start(shape: tuple[int, int], seed: int = 1) -> Tensor:
    """Starting weights in [-0.4, 0.4]."""
    g = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=g) * 0.8 - 0.4
