"""Tables of steps to a device: the measured distribution itself, or a family with its steps and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from ...errors import InputError, check_choice
from ..device import Device
from ..families import PiecewiseStep
from ..measured import Measured
from ..variability import Noise
from .estimates import Estimate
from .fit import Fit, Progress
from .intervals import Interval
from .laws import LAWS, Law, Scale
from .model import Model
from .pulses import StepTable
from .ranking import FOLDS, ordered

__all__ = ["fit_table"]

#: devices of a set that the ranking looks at, and quantiles of each step
_DEVICES, _SAMPLES = 3, 20
_BLOCKS = 10
_TABLE = "the table does not say of how many pulses it was made"


@dataclass(frozen=True)
class _Moments:
    """Means and variances of steps at nodes of one or several devices, (devices, 2, nodes)."""

    w: np.ndarray
    mean: np.ndarray
    var: np.ndarray

    @property
    def scale(self) -> Scale:
        """What a law wants to know before."""
        up, down = np.maximum(self.mean.mean((0, 2)), 1e-9)
        return Scale(-1.0, 1.0, float(up), float(down), float(np.sqrt(self.var.mean())) + 1e-9)


def fit_table(
    table: StepTable, families: Sequence[str] | None = None, progress: Progress | None = None
) -> Fit:
    """The device of a table of steps.

    Args:
        table: as `read` gives it.
        families: the family to take; by default the best in the ranking.
        progress: told how far the fit is.

    Raises:
        InputError: when a family is unknown, or there is no distribution to rank.
    """
    for name in families or ():
        check_choice("family", name, LAWS)
    if table.measured is None:
        return _even(table, families)
    measured = table.measured
    laws = {name: law for name, law in LAWS.items() if name != "measured"}
    total = len(laws) + 2
    names, scores = [], []
    picked = np.unique(
        np.linspace(0, measured.devices - 1, min(_DEVICES, measured.devices)).round().astype(int)
    )
    data = [_of_device(measured, int(d)) for d in picked]
    for done, (name, law) in enumerate(laws.items()):
        if progress is not None:
            progress(done, total, f"rank {name}")
        names.append((name, 2 * len(law.parameters) + 1))
        scores.append(np.concatenate([_held_out(law, d) for d in data]))
    names.append(("measured", 0))
    scores.append(np.concatenate([_held_out_measured(measured, int(d)) for d in picked]))
    count = 2 * _SAMPLES * measured.mean.shape[-1] * picked.size
    ranking = ordered(names, np.array(scores), count)
    taken = families[0] if families else ranking[0].name
    figures, device = _device(measured, taken)
    some = f" ({picked.size} of {measured.devices} devices)" if picked.size < measured.devices else ""
    chosen = f"{taken}: " + (
        "as asked" if families else "it foretells the steps at left-out conductances best"
    )
    if progress is not None:
        progress(total, total, "done")
    return Fit(
        table.said, tuple(ranking), f"by blocks of conductances{some}", taken, chosen,
        "a table of steps has no readings: read noise was taken out, or is in the steps", tuple(figures),
        device, table=table,
    )  # fmt: skip


def _of_device(measured: Measured, number: int | None) -> _Moments:
    pick = slice(None) if number is None else slice(number, number + 1)
    mean = (measured.mean[pick] * measured.dw_min).numpy()
    var = ((measured.sd[pick] * measured.dw_min) ** 2).numpy()
    return _Moments(np.linspace(-1, 1, mean.shape[-1]), mean, var)


def _loglik(law: Law, kind: str, p: np.ndarray, data: _Moments, keep: np.ndarray) -> np.ndarray:
    """Mean log density of steps at the nodes `keep`, (devices, 2, nodes)."""
    scale = data.scale
    q = law.steps(p, data.w[keep], scale)
    std, floor = math.exp(p[-1]), 0.01 * (scale.up + scale.down)
    c = np.maximum(std * (q if kind == "multiplicative" else law.size(p, scale)[:, None]), floor)
    square = (data.mean[..., keep] - q) ** 2 + data.var[..., keep]
    return -0.5 * (np.log(2 * np.pi * c * c) + square / (c * c))


def _fitted(
    law: Law, kind: str, data: _Moments, keep: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    scale, model = data.scale, Model(law, kind)
    k = 2 * len(law.parameters)
    box = np.array([*model.box(scale)[:k], (-6.0, 6.0)])
    starts = [start] if start is not None else [np.array([*s[:k], 0.0]) for s in model.starts(scale)]
    best = None
    for x in starts:
        found = optimize.minimize(
            lambda p: -_loglik(law, kind, p, data, keep).mean(), np.clip(x, *box.T), method="L-BFGS-B",
            bounds=box, options={"maxiter": 100, "ftol": 1e-9},
        )  # fmt: skip
        if best is None or found.fun < best.fun:
            best = found
    assert best is not None
    return best.x


def _blocks(nodes: int) -> list[np.ndarray]:
    return [b for b in np.array_split(np.arange(nodes), min(_BLOCKS, nodes // 2)) if b.size]


def _best(law: Law, data: _Moments) -> tuple[str, np.ndarray]:
    """The kind of noise that fits better, and the parameters."""
    nodes = np.arange(data.w.size)
    fits = {kind: _fitted(law, kind, data, nodes) for kind in ("additive", "multiplicative")}
    kind = max(fits, key=lambda key: float(_loglik(law, key, fits[key], data, nodes).sum()))
    return kind, fits[kind]


def _held_out(law: Law, data: _Moments) -> np.ndarray:
    """Log likelihood of the steps in each block of nodes, by fits without it, of `_SAMPLES` steps a node."""
    nodes = np.arange(data.w.size)
    blocks = _blocks(data.w.size)
    out = np.empty(len(blocks))
    kind, start = _best(law, data)
    for fold in range(min(FOLDS, len(blocks))):
        mine = range(fold, len(blocks), FOLDS)
        keep = np.setdiff1d(nodes, np.concatenate([blocks[k] for k in mine]))
        p = _fitted(law, kind, data, keep, start)
        for k in mine:
            out[k] = _SAMPLES * _loglik(law, kind, p, data, blocks[k]).sum()
    return out


def _held_out_measured(measured: Measured, number: int) -> np.ndarray:
    """The same for the table itself: quantiles between the nodes on both sides of a block."""
    steps = (measured.steps[number] * measured.dw_min).numpy()  # (2, levels, nodes)
    cdf = measured.cdf.numpy()
    blocks = _blocks(steps.shape[-1])
    at = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    edges = np.linspace(0, 1, _SAMPLES + 1)
    out = np.empty(len(blocks))
    for k, block in enumerate(blocks):
        total = 0.0
        for side in (0, 1):
            left, right = (
                steps[side, :, max(block[0] - 1, 0)],
                steps[side, :, min(block[-1] + 1, steps.shape[-1] - 1)],
            )
            if block[0] == 0:
                left = right
            if block[-1] == steps.shape[-1] - 1:
                right = left
            for n, node in enumerate(block):
                t = (n + 1) / (block.size + 1)
                quantiles = np.sort(np.interp(edges, cdf, (1 - t) * left + t * right))
                y = np.interp(at, cdf, steps[side, :, node])
                total += np.log(_density(quantiles, y)).sum()
        out[k] = total
    return out


def _density(quantiles: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Density of equal probabilities between quantiles, and of a twentieth of a wide Gaussian."""
    sd = max(float(quantiles.std()), 1e-12)
    middle = float(quantiles.mean())
    wide = np.exp(-0.5 * ((y - middle) / (3 * sd)) ** 2) / (3 * sd * math.sqrt(2 * math.pi))
    width = np.maximum(np.diff(quantiles), 0.02 * sd)
    n = np.clip(np.searchsorted(quantiles, y) - 1, 0, width.size - 1)
    inside = (y >= quantiles[0]) & (y <= quantiles[-1])
    return 0.95 * inside / (width.size * width[n]) + 0.05 * wide + 1e-300


def _device(measured: Measured, name: str) -> tuple[list[Estimate], Device]:
    if name == "measured":
        device = Device(measured, dw_min=measured.dw_min)
        point, noise = measured.symmetric_point(), measured.relative_std
    else:
        data, law = _of_device(measured, None), LAWS[name]
        (kind, p), k = _best(law, data), len(law.parameters)
        low, high = (-1.0, 1.0) if law.hard else (-1 / p[k + 1], 1 / p[1])
        response = law.response(p[:k], p[k : 2 * k], low, high, -1.0, 1.0)
        noise = math.exp(p[-1])
        kept = Noise(round(noise, 6), "multiplicative" if kind == "multiplicative" else "additive")
        device = Device(response, dw_min=float(law.size(p, data.scale).mean()), noise=kept)
        point = response.symmetric_point()

    def known(value: float) -> Interval:
        return Interval(value, math.nan, math.nan)

    plus, minus = device.nominal_steps
    spread = "the devices are in the table, each element is one" if measured.devices > 1 else "1 device"
    return [
        Estimate("step up at w = 0", known(plus * device.dw_min), "weight", _TABLE),
        Estimate("step down at w = 0", known(minus * device.dw_min), "weight", _TABLE),
        Estimate("granularity dw_min", known(device.dw_min), "weight", _TABLE),
        Estimate("states", known(device.states), ""),
        Estimate("symmetric point", known(point), "weight"),
        Estimate("asymmetry G/F at w = 0", known((minus - plus) / (minus + plus)), ""),
        Estimate("cycle-to-cycle noise, of a step", known(noise), "at w = 0"),
        Estimate("read noise", None, "weight", "not in a table of steps"),
        Estimate("device-to-device spread", None, "", spread),
    ], device


def _even(table: StepTable, families: Sequence[str] | None) -> Fit:
    """Sizes of steps at even weights: a piecewise step, as it is."""
    assert table.even is not None
    if families and families != ["piecewise_step"]:
        raise InputError(
            f"the family {families[0]} cannot be fitted to sizes of steps at even weights, which are a "
            "piecewise_step: leave --family out"
        )
    nodes = table.even
    w = np.linspace(-1, 1, nodes.shape[1])
    unit = float(np.mean([np.interp(0.0, w, row) for row in nodes]))
    if not all(np.interp(0.0, w, row) > 0 for row in nodes):
        raise InputError("a size of a step at the middle of the range is 0, but both must be positive there")
    response = PiecewiseStep(-1.0, 1.0, (nodes[0] / unit).tolist(), (nodes[1] / unit).tolist())
    device = Device(response, dw_min=unit)
    half = replace(table, measured=None)
    figures = [
        Estimate("granularity dw_min", Interval(unit, math.nan, math.nan), "weight", "as the table has it"),
        Estimate("states", Interval(device.states, math.nan, math.nan), ""),
        Estimate("symmetric point", Interval(response.symmetric_point(), math.nan, math.nan), "weight"),
        Estimate("cycle-to-cycle noise, of a step", None, "", "sizes of steps have none"),
        Estimate("read noise", None, "weight", "sizes of steps have none"),
        Estimate("device-to-device spread", None, "", "1 device"),
    ]
    return Fit(
        table.said, (), "", "piecewise_step", "piecewise_step: the sizes as they are",
        "sizes of steps have no noise", tuple(figures), device, table=half,
    )  # fmt: skip
