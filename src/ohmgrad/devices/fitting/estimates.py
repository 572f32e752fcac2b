"""The figures of a fit with their intervals, and which of them the data do not tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .build import shapes_of, told
from .intervals import Draws, Interval, derived, draws, parameter
from .marginal import freedom
from .model import Fitted, correlation
from .spread import FEWEST_DEVICES, DeviceSpread

__all__ = ["Estimate", "estimates", "spread_estimates"]

#: a range, a noise and so on is told when its interval is shorter than this factor, or this part of the range
_GRID = 401


@dataclass(frozen=True)
class Estimate:
    """One figure: `interval` (None where the data say nothing), its unit, and what else is to be said.

    `told` is False where an end is open, or nothing can be said.
    """

    name: str
    interval: Interval | None
    unit: str
    note: str = ""

    @property
    def told(self) -> bool:
        return self.interval is not None and not (self.interval.open_low or self.interval.open_high)


def estimates(fit: Fitted, spread: DeviceSpread | None) -> list[Estimate]:
    """All figures of a fit, in the order of the table."""
    model, p = fit.model, fit.p
    law, scale = model.law, fit.data.scale
    k = len(law.parameters)
    names = model.names
    drawn, free = draws(fit), freedom(fit)
    out: list[Estimate] = []

    def of(name: str) -> Interval:
        return parameter(fit, names.index(name), free[names.index(name)])

    def made(f: Callable[[np.ndarray], float]) -> Interval:
        return derived(f(p), np.array([f(row) for row in drawn.p]), drawn.weights)

    def size(row: np.ndarray) -> np.ndarray:
        return law.size(row, scale)

    if "step up" in names:
        for number, side in enumerate(("up", "down")):
            out.append(
                Estimate(
                    f"step {side} at w = 0",
                    parameter(fit, number * k, free[number * k]).map(math.exp),
                    "weight",
                )
            )
    else:
        for number, side in enumerate(("up", "down")):
            out.append(
                Estimate(f"step {side} at w = 0", made(lambda r, n=number: float(size(r)[n])), "weight")
            )
    granularity = made(lambda r: float(size(r).mean()))
    out.append(Estimate("granularity dw_min", granularity, "weight"))
    bounds = _bounds(fit, of)
    out += bounds
    told = all(b.told for b in bounds)
    low, high = fit.range
    if not told:
        span = scale.span
        note = "of the measured range; bounds lie beyond"
    else:
        span, note = high - low, ""
    out.append(Estimate("states", granularity.map(lambda g: span / g), "", note))
    out.append(_symmetric_point(fit, drawn))
    balance = made(lambda r: float((size(r)[1] - size(r)[0]) / size(r).sum()))
    out.append(Estimate("asymmetry G/F at w = 0", balance, ""))
    for n in range(1, k if law.name not in ("piecewise_step", "measured") else 0):
        if law.parameters[n] == "1/bound":
            continue
        for number, side in enumerate(("up", "down")):
            interval = parameter(fit, number * k + n, free[number * k + n])
            log = law.parameters[n].startswith("log ")
            label = law.parameters[n].removeprefix("log ")
            out.append(Estimate(f"{label} {side}", interval.map(math.exp) if log else interval, ""))
    out += _noise(fit, of)
    out += spread_estimates(fit, spread)
    return out


def _bounds(fit: Fitted, of: Callable[[str], Interval]) -> list[Estimate]:
    law, model = fit.model.law, fit.model
    out = []
    for side, name, sign in (("up", "upper bound", 1), ("down", "lower bound", -1)):
        if not law.hard:
            k = of(f"1/bound {side}")
            # k may reach 0, that is no bound at all: the box of k ends far beyond what was measured
            interval = k.map(lambda v, s=sign: s / v)
            note = "" if not (k.open_low or k.open_high) else "not reached: the far end is not told"
            out.append(Estimate(name, interval, "weight", note))
        elif (own := name.removesuffix(" bound")) in model.names:
            out.append(Estimate(name, of(own), "weight"))
        else:
            out.append(
                Estimate(name, None, "weight", "no hard bound was reached; the device has the measured range")
            )
    return out


def _symmetric_point(fit: Fitted, drawn: Draws) -> Estimate:
    """Where q+ - q- falls through zero, nearest to w = 0, in the range that was measured."""
    scale, law = fit.data.scale, fit.model.law
    low, high = scale.low - 0.25 * scale.span, scale.high + 0.25 * scale.span
    w = np.linspace(low, high, _GRID)

    def point(p: np.ndarray) -> float:
        gap = np.subtract(*law.steps(p, w, scale))
        at = np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))
        if not at.size:
            return high if gap.mean() > 0 else low
        points = w[at] + (w[1] - w[0]) * gap[at] / (gap[at] - gap[at + 1])
        return float(points[np.abs(points).argmin()])

    i = derived(point(fit.p), np.array([point(row) for row in drawn.p]), drawn.weights)
    interval = Interval(i.value, i.low, i.high, i.low <= low + 1e-9, i.high >= high - 1e-9)
    note = "" if low < i.value < high else "the steps do not cross where they were measured"
    return Estimate("symmetric point", interval, "weight", note)


def _noise(fit: Fitted, of: Callable[[str], Interval]) -> list[Estimate]:
    model = fit.model
    out = []
    if model.law.noise is None:
        std = of("log std").map(math.exp)
        note = "at most: none is seen apart from read noise" if std.open_low else ""
        out.append(Estimate("cycle-to-cycle noise, of a step", std, model.kind, note))
    else:
        out.append(Estimate("cycle-to-cycle noise, of a step", None, "", "in the measured distribution"))
    fast = of("log fast").map(math.exp)
    note = "at most: the readings scatter no more than the steps" if fast.open_low else ""
    out.append(Estimate("read noise", fast, "weight", note))
    if model.slow:
        out.append(Estimate("slow read noise", of("log slow").map(math.exp), "weight"))
        tau = of("logit phi").map(correlation)
        out.append(
            Estimate(
                "its correlation", tau, "pulses", "telegraph or 1/f: a longer record would tell them apart"
            )
        )
    elif fit.data.has_long_ramps():
        out.append(Estimate("slow read noise", None, "weight", "none is seen"))
    else:
        out.append(Estimate("slow read noise", None, "weight", "ramps of 60 readings are needed to see it"))
    outliers = of("logit outliers").map(lambda v: 100 / (1 + math.exp(-v)))
    out.append(Estimate("outliers", outliers, "% of readings"))
    return out


def spread_estimates(fit: Fitted, spread: DeviceSpread | None) -> list[Estimate]:
    """The figures of what differs between devices."""
    if spread is None:
        devices = len({r.device for r in fit.data.ramps})
        note = f"{devices} device{'s' if devices > 1 else ''}: at least {FEWEST_DEVICES} are needed"
        return [Estimate("device-to-device spread", None, "", note)]
    parts = {"granularity": spread.granularity, "balance up/down": spread.balance,
             "upper bound": spread.upper, "lower bound": spread.lower}  # fmt: skip
    out = [
        Estimate(f"device-to-device spread, {name}", interval, "of its size")
        for name, interval in parts.items()
        if interval is not None
    ]
    shape, sides = fit.model.law.shape, (spread.shape_up, spread.shape_down)
    if shape is None:
        return out
    kept = any(shapes_of(spread, fit.response()))
    for side, interval in zip(("up", "down"), sides, strict=True):
        note = "" if kept or not told(interval) else "not in the device: some elements would have no table"
        if interval is None:
            note = "not told apart from a spread of the bounds"
        out.append(Estimate(f"device-to-device spread, {shape.name} {side}", interval, "", note))
    return out
