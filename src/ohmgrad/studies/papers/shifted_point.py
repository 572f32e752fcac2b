"""shift: a symmetric point at 0.3 tau, and what the successors of Tiki-Taka do there.

Linear regression by minibatches of one: x normal, y = w* x + sigma noise, 10 weights with w* normal of
standard deviation 0.3 (kept within 0.6), on soft bounds [-1, 1] with dw_min 0.004 whose steps up and down are
1 + c and 1 - c, so that the symmetric point lies at c. A network of 30 outputs has 30 such problems at once,
which share the inputs only. Every algorithm is the optimizer that trains networks, with one set of options,
chosen with seeds that are not among those reported; the error is the mean of (w - w*)^2 over the last quarter
of the updates, w what the network sees.

An update has one sample. Without noise Residual Learning reaches the solution at these shifts because there
are 10 weights with independent inputs: 0.3 E|g| is 0.3 (2/pi) sqrt(10) = 0.6 of the mean gradient, which can
balance it. In RL-S1, with 50 weights from 100 equations, it cannot, and W runs away.

Papers: Residual Learning (Wu et al. 2025, arXiv 2502.06309), c-TTv2 and AGAD (Rasch et al. 2024,
10.1038/s41467-024-51221-z), symmetric-point tracking (Xiao et al. 2026, arXiv 2602.21321).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...devices import Device, SoftBounds, Spread
from ...errors import InputError
from ...nn import AnalogLinear
from ...optim import ALGORITHMS
from ...style import style_of
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval, where

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OPTIONS", "STUDY"]

#: algorithm -> its options
OPTIONS: dict[str, dict[str, Any]] = {
    "tiki-taka": {"lr": 0.02, "fast_lr": 0.02},
    "residual": {"lr": 0.02, "beta": 0.02, "gamma": 0.4},
    "residual-v2": {"lr": 0.02, "beta": 0.05, "gamma": 0.4},
    # phases of 10 reads, 100 updates, are longer than P remembers, about 1/(fast_lr E|g|) = 14 updates
    "c-ttv2": {
        "lr": 0.004,
        "fast_lr": 0.3,
        "columns": 10,
        "transfer_every": 10,
        "rest": "keep",
        "max_pulses": 3,
    },
    "agad": {"lr": 0.1, "fast_lr": 0.05},
    "sp-tracking": {"lr": 0.02, "beta": 0.02, "gamma": 0.4, "eta": 0.02},
    "sp-tracking-chopped": {"lr": 0.05, "beta": 0.02, "gamma": 0.4, "eta": 0.02, "chop_prob": 0.05},
}
INPUTS, OUTPUTS, TAU, DW_MIN = 10, 30, 1.0, 0.004
#: share of the updates that the error is averaged over
TAIL = 0.25


def check(settings: dict[str, Any]) -> None:
    shifts = settings["shifts"]
    if 0.0 not in shifts or len(shifts) < 2 or max(shifts) >= 0.9:
        raise InputError(f"shifts is {list(shifts)}, but must be 0 and at least one more in (0, 0.9)")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(f"{algorithm}-sigma{sigma:g}", partial(_run, settings, algorithm, sigma))
        for sigma in settings["sigmas"]
        for algorithm in OPTIONS
    ]


def _run(settings: dict[str, Any], algorithm: str, sigma: float, progress: Any) -> Columns:
    torch.set_num_threads(1)  # the network is small: threads would only wait for each other
    jobs = [(shift, seed) for shift in settings["shifts"] for seed in range(1, settings["seeds"] + 1)]
    rows: list[dict[str, Any]] = []
    for done, (shift, seed) in enumerate(jobs):
        progress(done, len(jobs), f"{style_of(algorithm).label}, noise {sigma:g}, shift {shift:g}")
        for step, error in train(algorithm, shift, sigma, seed, settings["steps"]):
            rows.append({"shift": shift, "seed": seed, "step": step, "error": error})
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {"algorithm": np.full(len(rows), algorithm), "sigma": np.full(len(rows), sigma), **columns}


def train(algorithm: str, shift: float, sigma: float, seed: int, steps: int) -> list[tuple[int, float]]:
    """(update, mean of (w - w*)^2) every 1 % of one training."""
    draw = torch.Generator().manual_seed(seed)
    truth = (0.3 * torch.randn(OUTPUTS, INPUTS, generator=draw)).clamp(-0.6, 0.6)
    device = Device(SoftBounds.symmetric(TAU), DW_MIN, Spread(up_down_mean=shift))
    layer = AnalogLinear(INPUTS, OUTPUTS, device, bias=False, seed=seed, array=0)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    (tile,) = layer.tiles
    tile.reset()
    optimizer = ALGORITHMS[algorithm](layer.parameters(), **OPTIONS[algorithm])
    found, every = [], max(steps // 100, 1)
    for step in range(1, steps + 1):
        x = torch.randn(1, INPUTS, generator=draw)
        y = x @ truth.t() + sigma * torch.randn(1, OUTPUTS, generator=draw)
        optimizer.zero_grad()
        (0.5 * (layer(x) - y).square().sum()).backward()
        optimizer.step()
        if step % every == 0:
            found.append((step, float((tile.effective_weight() - truth).square().mean())))
    return found


def tail(columns: Columns, **values: Any) -> np.ndarray:
    """Error over the last quarter of the updates, by seed."""
    mine = where(columns, **values)
    late = mine["step"] > (1 - TAIL) * mine["step"].max()
    return np.array([mine["error"][late & (mine["seed"] == s)].mean() for s in np.unique(mine["seed"])])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for sigma in settings["sigmas"]:
        for algorithm in OPTIONS:
            row: dict[str, Any] = {"noise": sigma, "algorithm": style_of(algorithm).label}
            for shift in settings["shifts"]:
                name = f"shift {shift:g}"
                at = tail(columns, algorithm=algorithm, sigma=sigma, shift=shift)
                row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(at)
            rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found, most = [], max(settings["shifts"])
    for sigma in settings["sigmas"]:
        at = f"gradient noise {sigma:g}" if sigma else "no gradient noise"

        def errors(algorithm: str, shift: float, sigma: float = sigma) -> np.ndarray:
            return tail(columns, algorithm=algorithm, sigma=sigma, shift=shift)

        still, tt = errors("tiki-taka", 0.0), errors("tiki-taka", most)
        found.append(
            claim(
                f"{at}: a shifted symmetric point makes Tiki-Taka stall",
                f"ratio of the errors, shift {most:g} / no shift",
                interval(tt / still),
                "above",
                2.0,
                full=True,  # short runs have not forgotten their start
            )
        )
        for algorithm in OPTIONS:
            if algorithm == "tiki-taka":
                continue
            label = style_of(algorithm).label
            found.append(
                claim(
                    f"{at}: {label} does better than Tiki-Taka there",
                    f"ratio of the errors, {label} / Tiki-Taka, shift {most:g}",
                    interval(errors(algorithm, most) / tt),
                    "below",
                    0.5,
                    full=True,
                )
            )
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["sigmas"]), sharey=True, squeeze=False)[0]
    for axis, sigma in zip(axes, settings["sigmas"], strict=True):
        for algorithm in OPTIONS:
            label, colour, dash, marker = style_of(algorithm)
            mine = where(columns, algorithm=algorithm, sigma=sigma)
            means = [tail(mine, shift=s).mean() for s in settings["shifts"]]
            axis.plot(settings["shifts"], means, dash, color=colour, marker=marker, ms=4, lw=1, label=label)
        axis.set(xlabel=r"symmetric point (units of $\tau$)", yscale="log", title=f"gradient noise {sigma:g}")
    axes[0].set_ylabel("error, mean $(w - w^*)^2$")
    axes[-1].legend(frameon=False, fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5))


STUDY = Study(
    name="shift",
    title="a shifted symmetric point: Tiki-Taka stalls; what its successors do",
    source="arXiv 2502.06309, 10.1038/s41467-024-51221-z, arXiv 2602.21321",
    settings={"shifts": (0.0, 0.1, 0.2, 0.3), "sigmas": (0.0, 0.3), "steps": 20000, "seeds": 3},
    quick={"shifts": (0.0, 0.3), "steps": 1500},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(7.6, 2.9),
    check=check,
)
