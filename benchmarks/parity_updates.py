"""Part A of the parity report: what a single update does to 20,000 cells, here and in aihwkit.

Three two-sample tests a comparison: Kolmogorov-Smirnov on the change of the weight, and its mean and
variance against each other. All comparisons that must agree share a false alarm rate of 1 in 1000
(Bonferroni). Both samples get the same kind of jitter, uniform within a hundredth of a step, so that
rounding in float32 is no difference where an update has few possible results.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special, stats

import ohmgrad as og
from parity_cases import BALANCE, CASES, Case
from parity_peer import (
    PLANES,
    certain,
    our_planes,
    ours,
    peer_device,
    their_planes,
    theirs,
)

__all__ = ["ALARM", "CELLS", "compare_elements", "compare_updates", "differs", "distinct_noise", "threshold"]

CELLS = 20_000
ALARM = 1e-3
JITTER = 0.01


def _errors(sample: np.ndarray) -> tuple[float, float]:
    """Standard errors of mean and variance, the latter from the fourth moment of the sample."""
    square = (sample - sample.mean()) ** 2
    return sample.std(ddof=1) / math.sqrt(len(sample)), square.std(ddof=1) / math.sqrt(len(sample))


def two_samples(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """p-values of the three tests, with the means and standard deviations."""
    (mean_a, var_a), (mean_b, var_b) = _errors(a), _errors(b)
    z_mean = (a.mean() - b.mean()) / math.hypot(mean_a, mean_b)
    z_var = (a.var(ddof=1) - b.var(ddof=1)) / math.hypot(var_a, var_b)
    ks: Any = stats.ks_2samp(a, b)
    return {
        "mean_ohmgrad": a.mean(), "mean_aihwkit": b.mean(),
        "sd_ohmgrad": a.std(ddof=1), "sd_aihwkit": b.std(ddof=1),
        "distance": float(ks.statistic), "p_ks": float(ks.pvalue),
        "p_mean": 2 * float(special.ndtr(-abs(z_mean))), "p_variance": 2 * float(special.ndtr(-abs(z_var))),
    }  # fmt: skip


def threshold(rows: list[dict[str, Any]]) -> float:
    """The p-value below which a comparison that must agree does not."""
    return ALARM / (3 * max(1, sum(not row["meant"] for row in rows)))


def differs(row: dict[str, Any], below: float) -> bool:
    """Whether any of the three tests sets the two samples apart."""
    return min(row["p_ks"], row["p_mean"], row["p_variance"]) < below


def compare_updates(cases: list[Case] = CASES, cells: int = CELLS) -> list[dict[str, Any]]:
    """One row a case."""
    rng = np.random.default_rng(0)
    rows = []
    for case in cases:
        a = ours(case.device, case.start, case.update, cells, case.fidelity)
        b = theirs(case.config(), case.device.dw_min, case.start, case.update, cells)
        a, b = (s + rng.uniform(-JITTER, JITTER, len(s)) for s in (a, b))
        about = {"case": case.name, "update": case.update.name, "start": case.start, "cells": cells}
        rows.append({**about, **two_samples(a, b), "meant": case.meant})
    return rows


def compare_elements(shape: tuple[int, int] = (100, 200)) -> list[dict[str, Any]]:
    """Drawn bounds, steps and balances of every device with spread, plane by plane."""
    rows = []
    seen = set()
    for case in CASES:
        drawn = (case.device.response, case.device.spread, case.device.dw_min, case.meant)
        if case.device.spread.uniform or drawn in seen:
            continue
        seen.add(drawn)
        config = case.config()
        e, there = our_planes(case.device, shape), their_planes(config, shape)
        # steps at w = 0 here; there the unit of the response, which is another one for some families
        for plane, unit in (("dwmin_up", e.unit_up), ("dwmin_down", e.unit_down)):
            there[plane] = there[plane] * (unit * case.device.dw_min / config.dw_min)
        pairs = {
            name: (get(e).expand(shape).double().numpy().ravel(), there[name].double().numpy().ravel())
            for name, get in PLANES.items()
        }
        (up, their_up), (down, their_down) = pairs["dwmin_up"], pairs["dwmin_down"]
        pairs["balance"] = (up - down) / (up + down), (their_up - their_down) / (their_up + their_down)
        for plane, (a, b) in pairs.items():
            if a.std() + b.std() < 1e-6 * abs(a.mean() + b.mean()) + 1e-7:
                continue  # all alike
            meant = case.meant
            if plane == "balance" and case.device.spread.up_down and case.device.spread.dw_min:
                meant = meant or BALANCE
            about = {"case": case.name, "update": plane, "start": "", "cells": a.size}
            rows.append({**about, **two_samples(a, b), "meant": meant})
    return rows


def distinct_noise(cells: int = 200_000) -> tuple[int, int]:
    """How many different results one noisy pulse has on that many cells of one tile, here and there."""
    device = og.Device(og.ConstantStep(-0.6, 0.6), 0.001, noise=og.Noise(0.3))
    shape = (cells // 500, 500)
    here = ours(device, 0.0, certain(1), cells, tile=shape)
    there = theirs(peer_device(device), device.dw_min, 0.0, certain(1), cells, tile=shape)
    return len(np.unique(here)), len(np.unique(there))
