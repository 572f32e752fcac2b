"""RL-S1 (Wu et al. 2025, arXiv 2502.06309, Fig. 2): at a shifted symmetric point two arrays stall, and Analog
SGD does not.

Least squares, 100 equations, 50 unknowns, A and w* normal with standard deviations 1 and 0.5, half the mean
square, recorded over 50; soft bounds [-3.5, 3.5] with dw_min 1e-4 and BL 8; no noise; 1000 steps from 1 with
all equations, pulsed one by one. P learns at 0.8, as Analog SGD's W does; after every step all its columns go
to W at 0.8, with BL 31, the toolkit's default of transfers. The figure's Tiki-Taka sees W + 0.4 P, and is
what the paper calls Residual Learning; ours beside it sees W alone. The error is the mean loss of the last 20
steps.

The text has steps 1 + c up and 1 - c down, with the symmetric point at 3.5 c. The authors' program sets the
toolkit's `up_down` to c, which leaves the step up and makes that down 1 - c: the symmetric point lies at
3.5 c / (2 - c). Both are run.

Why two arrays stall without noise: at the solution every sample's gradient vanishes, and all is at rest. Off
it, samples pulse P up and down by turns, which drives it to its symmetric point by sum_s |g_s|; W takes that
for a gradient. It is led back only while sum_s g_s can balance G(0)/F(0) sum_s |g_s|. Both grow alike with
the distance, so that a large enough shift drives W away from the solution. With one gradient for all samples
the two sums are the same, and Residual Learning is exact at any shift.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...devices import Device, SoftBounds
from ...ensemble import AnalogSGD, ResidualLearning, Runs, Samples, grid
from ...errors import InputError
from ...kernels import Pulsing
from ...style import BLUE, GREEN, ORANGE, RED, style_of
from ..engine import Columns, Part
from ..study import Claim, Study, claim, interval
from .least_squares import columns_of, curve, problem, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "ByColumns"]

UNKNOWNS, TAIL_STEPS = 50, 20
BL, TRANSFER_BL = 8, 31
#: algorithm -> words for it, line style
ALGORITHMS = {
    "sgd": ("Analog SGD", "--"),
    "residual": ("Tiki-Taka of the figure (Residual Learning)", "-"),
    "tiki-taka": ("ours: Tiki-Taka that sees W alone", ":"),
}
#: steps up and down at a shift c, in units of dw_min
RESPONSES = {"text": lambda c: (1 + c, 1 - c), "program": lambda c: (1.0, 1 - c)}
TITLES = {
    "text": "text: steps 1 + c, 1 - c",
    "program": "program: steps 1, 1 - c",
}


@dataclass(frozen=True, eq=False)
class ByColumns:
    """`ResidualLearning` that writes P to W column by column, as arrays are, with slots of its own.

    Args:
        fast_lr, transfer_lr, gamma: as of `ResidualLearning`.
    """

    fast_lr: float | Tensor
    transfer_lr: float | Tensor
    gamma: float | Tensor = 0.0

    def init(self, runs: Runs) -> Mapping[str, Any]:
        """W at the start, P at zero."""
        state = ResidualLearning(self.fast_lr, self.transfer_lr, self.gamma).init(runs)
        slots = replace(runs, pulsing=replace(runs.pulsing, max_bl=TRANSFER_BL))
        return {**state, "W": slots.array(), "columns": torch.eye(runs.n, dtype=torch.float64)}

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        """W + gamma P."""
        return state["W"].weight + state["gamma"].unsqueeze(1) * state["P"].weight

    def step(self, state: Mapping[str, Any], gradient: Tensor | Samples) -> None:
        """One step: every column is a sample, with one line on."""
        state["P"].pulse(gradient, -state["fast_lr"])
        state["W"].pulse(Samples(state["columns"], state["P"].weight), state["transfer_lr"])


def check(settings: dict[str, Any]) -> None:
    shifts = settings["shifts"]
    if 0.0 not in shifts or len(shifts) < 2 or max(shifts) >= 1:
        raise InputError(f"shifts is {list(shifts)}, but must be 0 and at least one more in (0, 1)")
    if settings["steps"] < TAIL_STEPS:
        raise InputError(f"steps is {settings['steps']}, but must be at least {TAIL_STEPS}, the averaged end")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(f"{r}-{a}", partial(_run, settings, r, a)) for r in RESPONSES for a in ALGORITHMS]


def _run(settings: dict[str, Any], response: str, algorithm: str, progress: Any) -> Columns:
    tau = settings["tau"]

    def device(shift: float) -> Device:
        up, down = RESPONSES[response](shift)
        return Device(SoftBounds(-tau, tau, up=up, down=down), settings["dw_min"])

    axes: dict[str, Any] = {"shift": list(settings["shifts"]), "start": 1.0}
    if algorithm == "sgd":
        axes["lr"] = settings["lr"]
    else:
        axes |= {"fast_lr": settings["lr"], "transfer_lr": settings["lr"]}
        axes["gamma"] = settings["gamma"] if algorithm == "residual" else 0.0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*need more pulses than max_bl.*")  # the paper's BL
        found = grid(
            problem(100, UNKNOWNS, 1.0, settings["solution"], half=True),
            AnalogSGD if algorithm == "sgd" else ByColumns,
            axes,
            device=device,
            seeds=range(settings["seeds"]),
            steps=settings["steps"],
            pulsing=Pulsing("pulsed", max_bl=BL),
            tail=TAIL_STEPS,
            progress=lambda done, total: progress(
                done, total, f"RL-S1, {response}, {style_of(algorithm).label}"
            ),
        )
    columns = columns_of(found, unit=UNKNOWNS, response=response, algorithm=algorithm)
    kept = ("response", "algorithm", "shift", "seed", "step", "loss", "squared_gradient")
    return {name: columns[name] for name in kept}


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for response in RESPONSES:
        for algorithm, (label, _) in ALGORITHMS.items():
            for shift in settings["shifts"]:
                errors = tails(columns, response=response, algorithm=algorithm, shift=shift)
                mean, low, high = interval(errors)
                row = {"response": response, "algorithm": label, "shift": shift}
                rows.append({**row, "error": mean, "error_low": low, "error_high": high})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found, most = [], max(settings["shifts"])
    for response in RESPONSES:

        def errors(algorithm: str, shift: float, response: str = response) -> Any:
            return tails(columns, response=response, algorithm=algorithm, shift=shift)

        at = f"steps of the {response}"
        found += [
            claim(
                f"{at}, no shift: Residual Learning is exact but for the granularity",
                "error; the paper finds its plateau at the order of 1e-5",
                interval(errors("residual", 0.0)),
                "below",
                1e-5,
            ),
            claim(
                f"{at}, no shift: Residual Learning does better than Analog SGD",
                "ratio of the errors, Residual Learning / Analog SGD",
                interval(errors("residual", 0.0) / errors("sgd", 0.0)),
                "below",
                0.1,
            ),
        ]
        for algorithm, words in (("residual", "Residual Learning"), ("tiki-taka", "ours: Tiki-Taka")):
            found += [
                claim(
                    f"{at}: a shifted symmetric point makes {words} stall",
                    f"ratio of the errors, shift {most:g} / no shift",
                    interval(errors(algorithm, most) / errors(algorithm, 0.0)),
                    "above",
                    100.0,
                ),
                claim(
                    f"{at}: {words} does worse than Analog SGD there",
                    f"ratio of the errors, shift {most:g}, over Analog SGD's",
                    interval(errors(algorithm, most) / errors("sgd", most)),
                    "above",
                    2.0,
                ),
            ]
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(RESPONSES), sharey=True)
    for axis, response in zip(axes, RESPONSES, strict=True):
        for algorithm, (_, dash) in ALGORITHMS.items():
            for shift, colour in zip(settings["shifts"], (BLUE, ORANGE, GREEN, RED), strict=False):
                steps, loss = curve(columns, response=response, algorithm=algorithm, shift=shift)
                axis.plot(steps, loss.mean(0), dash, color=colour, lw=1.2)
        axis.set(xlabel="gradient computations $k$", yscale="log", title=TITLES[response])
    axes[0].set_ylabel("$f(W_k)$ / 50 (weight units$^2$)")
    for shift, colour in zip(settings["shifts"], (BLUE, ORANGE, GREEN, RED), strict=False):
        axes[-1].plot([], [], color=colour, lw=4, label=f"c = {shift:g}")
    for label, dash in ALGORITHMS.values():
        axes[-1].plot([], [], dash, color="black", lw=1.2, label=label)
    axes[-1].legend(frameon=False, fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5))


STUDY = Study(
    name="RL-S1",
    title="a shifted symmetric point: Tiki-Taka and Residual Learning stall, Analog SGD does not",
    source="Wu et al. 2025, arXiv 2502.06309, Fig. 2",
    settings={
        "shifts": (0.0, 0.1, 0.2, 0.3),
        "tau": 3.5,
        "dw_min": 1e-4,
        "solution": 0.5,
        "lr": 0.8,
        "gamma": 0.4,
        "steps": 1000,
        "seeds": 20,
    },
    quick={"shifts": (0.0, 0.3), "seeds": 3},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(8.5, 2.9),
    check=check,
)
