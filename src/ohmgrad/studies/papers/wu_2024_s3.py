"""S3 (Wu et al. 2024, arXiv 2406.12774, Fig. 4): what the error of Analog SGD depends on.

Least squares, 100 equations, 50 unknowns, A and w* normal with standard deviations 1 and 0.5; soft bounds
[-tau, tau] with dw_min 1e-4, all equations pulsed one by one; lr 0.1 from 0. The error is the mean loss of
the last tenth of the steps; losses are recorded over 50.

Left: tau 2 to 50 with weight noise 0.2/sqrt(50), digital SGD with gradient noise 0.2/sqrt(50) an entry, 500
steps, half the mean square, BL up to 5000. No program of the authors has just this. Their S3.1 is S2's, whose
dw_min of tau/300 is 0.17 at tau 50. Their S3.2 names these ranges, digital SGD and this noise in lines that
are switched off: taken here, they start at the figure's highest loss, 0.13, and end at its lowest, 2e-5. Our
own beside it: digital SGD with the noise of the arrays.

Middle: tau 2, variance sigma^2 of the weight noise, 200 steps, half the mean square, BL up to 5000, inputs
and outputs of the array bounded by 10, which clips what the largest noise gives.

Right: tau 1, weight noise 0.01/sqrt(50), 50 steps, the mean square, BL up to 400; the solution has a bias of
0.1, and its largest weight is 1.05. Layers have a digital bias that learns, too (in the middle, one that
starts at its solution, 0). A start of 1e3 is that of weights and bias: the array clips its weights at
tau = 1, so that only the bias starts far away, and starts of 1 to 1000 differ in nothing else. Warm starts
are 10, 20 and 30 steps of digital SGD without noise.
"""

from __future__ import annotations

from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...devices import Device, SoftBounds
from ...ensemble import AnalogSGD, Digital, grid
from ...errors import InputError
from ...kernels import Periphery, Pulsing
from ...style import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from ...theory import WeightNoise, analog_sgd
from ..engine import Columns, Part
from ..settings import at_least_two
from ..study import Claim, Study, claim, interval, where
from .least_squares import TAIL, columns_of, problem
from .one_layer import digital_start, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RUNS", "STUDY", "predicted"]

UNKNOWNS, LR, BIAS = 50, 0.1, 0.1
MIDDLE_TAU = 2.0
MAX_BL = 5000
#: runs of the left panel: words, fidelity ("" for digital), whether with the noise of the weights
RUNS: dict[str, tuple[str, Any, bool]] = {
    "digital": ("digital SGD", "", False),
    "dynamics": ("analog dynamics", "mean", True),
    "pulses": ("pulses", "pulsed", True),
    "same-digital": ("ours: digital, same noise", "", True),
}
COLOURS = (BLUE, SKY, GREEN, ORANGE, RED, PURPLE)
Progress = Any


def check(settings: dict[str, Any]) -> None:
    at_least_two(settings, "taus", "variances", "starts")
    for name in ("taus", "variances"):  # the claims speak of what grows
        if list(settings[name]) != sorted(settings[name]):
            raise InputError(f"{name} is {list(settings[name])}, but must be in ascending order")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    left = [Part(f"tau-{run}", partial(_left, settings, run)) for run in RUNS]
    return [*left, Part("sigma", partial(_middle, settings)), Part("start", partial(_right, settings))]


def _problem(settings: dict[str, Any]) -> Any:
    return problem(100, UNKNOWNS, 1.0, settings["solution"], half=True)


def _left(settings: dict[str, Any], name: str, progress: Progress) -> Columns:
    label, fidelity, samples = RUNS[name]
    f = _problem(settings)
    steps = settings["steps"]["tau"]
    found = grid(
        f if samples else f.summed(),
        AnalogSGD if fidelity else Digital,
        {
            "lr": LR,
            "weight_noise" if samples else "sigma": settings["sigma"],
            **({"tau": list(settings["taus"])} if fidelity else {}),
        },
        device=(lambda tau: Device(SoftBounds.symmetric(tau), settings["dw_min"])) if fidelity else None,
        seeds=range(settings["seeds"]),
        steps=steps,
        pulsing=Pulsing(fidelity or "mean", max_bl=MAX_BL),
        tail=max(1, steps // 10),
        progress=lambda done, total: progress(done, total, f"S3, tau, {label}"),
    )
    columns = columns_of(found, unit=UNKNOWNS, run=name, panel="tau")
    columns["value"] = columns.get("tau", np.zeros(len(columns["step"])))  # digital SGD knows no range
    return {key: columns[key] for key in ("panel", "run", "value", "seed", "step", "loss")}


def _middle(settings: dict[str, Any], progress: Progress) -> Columns:
    inputs, targets = _data(settings)
    zero, rows = torch.zeros(1, UNKNOWNS), []
    device = Device(SoftBounds.symmetric(MIDDLE_TAU), settings["dw_min"])
    jobs = [(v, seed) for v in settings["variances"] for seed in range(settings["seeds"])]
    for done, (variance, seed) in enumerate(jobs):
        progress(done, len(jobs), f"S3, weight noise of variance {variance:g}")
        losses = train(
            inputs, targets, (zero, 0.0), device, Pulsing(max_bl=MAX_BL),
            Periphery(in_bound=10.0, out_bound=10.0, weight_noise=variance**0.5),
            lr=LR, steps=settings["steps"]["sigma"], seed=seed,
        )  # fmt: skip
        rows.append((variance, seed, losses / 2 / UNKNOWNS))
    return _long("sigma", rows)


def _right(settings: dict[str, Any], progress: Progress) -> Columns:
    inputs, targets = _data(settings)
    targets, rows = targets + BIAS, []
    device = Device(SoftBounds.symmetric(1.0), settings["dw_min"])
    periphery = Periphery(
        in_bound=1.0, out_bound=10.0, weight_noise=0.01 / UNKNOWNS**0.5, noise_management="abs_max",
        bound_management="iterative",
    )  # fmt: skip
    starts = [(value, torch.full((1, UNKNOWNS), value), value) for value in settings["starts"]]
    # warm starts have negative numbers in column value
    starts += [(-steps, *digital_start(inputs, targets, LR, steps)) for steps in settings["warm_starts"]]
    jobs = [(*start, seed) for start in starts for seed in range(settings["seeds"])]
    for done, (value, weight, bias, seed) in enumerate(jobs):
        progress(done, len(jobs), "S3, starts")
        losses = train(
            inputs, targets, (weight.clamp(-1.0, 1.0), bias), device, Pulsing(max_bl=400), periphery,
            lr=2 * LR, steps=settings["steps"]["start"], seed=seed,
        )  # fmt: skip
        rows.append((value, seed, losses / UNKNOWNS))
    return _long("start", rows)


def _data(settings: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """A, (100, UNKNOWNS), and A w*, (100, 1), float32."""
    f = _problem(settings)
    inputs = (len(f.lines) ** 0.5 * f.lines).float()
    return inputs, inputs @ f.solution.float().unsqueeze(1)


def _long(panel: str, rows: list[tuple[float, int, np.ndarray]]) -> Columns:
    """Curves in long form, with the mean of the last tenth as step `TAIL`."""
    size = len(rows[0][2])
    steps = np.append(np.arange(size), TAIL)
    losses = [np.append(loss, loss[-max(1, (size - 1) // 10) :].mean()) for _, _, loss in rows]
    return {
        "panel": np.full(len(rows) * len(steps), panel),
        "run": np.full(len(rows) * len(steps), "pulses"),
        "value": np.repeat([float(value) for value, _, _ in rows], len(steps)),
        "seed": np.repeat([seed for _, seed, _ in rows], len(steps)),
        "step": np.tile(steps, len(rows)),
        "loss": np.concatenate(losses),
    }


def predicted(settings: dict[str, Any], tau: float, sigma: float, dw_min: float | None) -> float:
    """The theory's loss over 50 under weight noise sigma, with the noise of pulses of dw_min or without."""
    return _predicted(settings["solution"], tau, sigma, dw_min)


@cache
def _predicted(solution: float, tau: float, sigma: float, dw_min: float | None) -> float:
    f, response = _problem({"solution": solution}), SoftBounds.symmetric(tau)
    return analog_sgd(f, response, WeightNoise(sigma), LR, dw_min=dw_min, max_bl=MAX_BL).loss / UNKNOWNS


def _theory(settings: dict[str, Any], panel: str, name: str, value: float) -> float:
    """The theory's error, NaN where it has none."""
    dw_min = settings["dw_min"] if name == "pulses" else None
    if panel == "start" or not value:
        return float("nan")
    tau, sigma = (value, settings["sigma"]) if panel == "tau" else (MIDDLE_TAU, value**0.5)
    return predicted(settings, tau, sigma, dw_min)


def _curves(settings: dict[str, Any], panel: str) -> list[tuple[str, float, str]]:
    """Run, value and words of every curve of a panel."""
    if panel == "sigma":
        return [("pulses", v, f"$\\sigma^2$ = {v:g}") for v in settings["variances"]]
    if panel == "start":
        warm = [("pulses", -float(v), f"{v} digital steps") for v in settings["warm_starts"]]
        return [*(("pulses", v, f"$W_0$ = {v:g}") for v in settings["starts"]), *warm]
    taus = [(run, v) for run in RUNS for v in (settings["taus"] if RUNS[run][1] else (0.0,))]
    return [(run, v, f"$\\tau$ = {v:g}" if v else RUNS[run][0]) for run, v in taus]


def _errors(columns: Columns, panel: str, run: str, value: float) -> np.ndarray:
    """Means of the last tenth of the steps, by seed."""
    mine = where(columns, panel=panel, run=run, value=float(value), step=TAIL)
    return mine["loss"][np.argsort(mine["seed"])]


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for panel in ("tau", "sigma", "start"):
        for run, value, _ in _curves(settings, panel):
            mean, low, high = interval(_errors(columns, panel, run, value))
            row = {"panel": panel, "run": RUNS[run][0], "value": value, "error": mean}
            theory = _theory(settings, panel, run, value)
            rows.append({**row, "error_low": low, "error_high": high, "theory": theory})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found, taus = [], settings["taus"]
    digital = _errors(columns, "tau", "digital", 0.0)
    for run in ("dynamics", "pulses"):
        label = RUNS[run][0]
        floors = [_errors(columns, "tau", run, tau) for tau in taus]
        falls = [interval(one / other) for one, other in pairwise(floors)]
        theory = [_theory(settings, "tau", run, tau) for tau in taus]
        gaps = [interval(floor / t - 1) for floor, t in zip(floors, theory, strict=True)]
        found += [
            claim(
                f"{label}: the error shrinks as the range tau grows",
                "smallest ratio of the error to that at the next larger tau",
                min(falls, key=lambda t: t[1]),
                "above",
                1.0,
            ),
            claim(
                f"{label}: at tau {max(taus):g} Analog SGD ends where digital SGD does",
                "ratio of the errors, Analog SGD / digital SGD; within a factor of two",
                interval(floors[-1] / digital),
                "within",
                (0.5, 2.0),
            ),
            claim(
                f"{label}: ours: the theory predicts the error at every tau",
                "error / theory - 1 where it is largest",
                max(gaps, key=lambda t: abs(t[0])),
                "within",
                (-0.05, 0.05),
            ),
        ]
    noisy = [_errors(columns, "sigma", "pulses", v) for v in settings["variances"]]
    grows = [interval(other / one) for one, other in pairwise(noisy)]
    ends = [_errors(columns, "start", run, value) for run, value, _ in _curves(settings, "start")]
    apart = [interval(end / ends[0].mean() - 1) for end in ends[1:]]
    return [
        *found,
        claim(
            "the error grows with the variance of the noise",
            "smallest ratio of the error to that at the next smaller variance",
            min(grows, key=lambda t: t[1]),
            "above",
            1.0,
        ),
        claim(
            "every start ends at the same error",
            "largest relative difference from the error of the first start",
            max(apart, key=lambda t: max(abs(t[1]), abs(t[2]))),
            "within",
            (-0.05, 0.05),
        ),
    ]


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, 3)
    drawn = {
        "tau": [c for c in _curves(settings, "tau") if c[0] in ("pulses", "digital", "same-digital")],
        "sigma": _curves(settings, "sigma"),
        "start": _curves(settings, "start"),
    }
    for axis, (panel, curves) in zip(axes, drawn.items(), strict=True):
        lines = [c for c in curves if c[0] == "pulses"]
        colours = dict(zip((value for _, value, _ in lines), (*COLOURS, BLACK, "#999999"), strict=False))
        for run, value, words in curves:
            mine = where(columns, panel=panel, run=run, value=value)
            steps = np.unique(mine["step"])[1:]
            loss = np.array([mine["loss"][mine["step"] == step].mean() for step in steps])
            dash = {"digital": "--", "same-digital": ":"}.get(run, "--" if value < 0 else "-")
            axis.plot(steps, loss, dash, color=colours.get(value, BLACK), lw=1.2, label=words)
            theory = _theory(settings, panel, run, value)
            if np.isfinite(theory):
                axis.plot(steps[-1] * 1.03, theory, "<", color=colours[value], ms=4, clip_on=False)
        axis.set(xlabel="gradient computations $k$", yscale="log")
        axis.legend(frameon=False, fontsize=6, ncols=2, handlelength=1.5, columnspacing=0.8)
    axes[0].set_ylabel("$(f(W_k) - f^*)$ / 50 (weight units$^2$)")
    titles = ("range (arrowheads: theory)", "variance of the noise (arrowheads: theory)", "start")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=8)


STUDY = Study(
    name="S3",
    title="the error of Analog SGD against range, noise and start",
    source="Wu et al. 2024, arXiv 2406.12774, Fig. 4",
    settings={
        "taus": (2.0, 3.0, 5.0, 10.0, 20.0, 50.0),
        "variances": (1e-3, 1e-2, 0.1, 1.0),
        "starts": (1e3, 1e2, 1e1, 1.0, 1e-2),
        "warm_starts": (10, 20, 30),
        "solution": 0.5,
        "sigma": 0.2 / UNKNOWNS**0.5,
        "dw_min": 1e-4,
        "steps": {"tau": 500, "sigma": 200, "start": 50},
        "seeds": 30,
    },
    quick={"seeds": 2},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(9.0, 3.0),
    check=check,
)
