"""RL-S1 (Wu et al. 2025, arXiv 2502.06309, Fig. 2): a shifted symmetric point, Tiki-Taka, Residual Learning.

Least squares, 100 equations, 50 unknowns, A and w* normal with standard deviations 1 and 0.5, loss half the
mean square; soft bounds [-3.5, 3.5] with dw_min 1e-4 whose steps up and down are 1 + c and 1 - c, so that the
symmetric point lies at 3.5 c. First without gradient noise, as in the paper, then with it: with noise the
theory (`ohmgrad.theory.residual_learning`) leaves both algorithms the same bias, -E|g| G(0)/F(0).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...devices import Device, SoftBounds, Spread
from ...ensemble import AnalogSGD, ResidualLearning, TikiTaka, grid
from ...errors import InputError
from ...pulses import Pulsing
from ...style import look
from ...theory import GradientNoise, residual_learning
from ..study import Claim, Columns, Part, Study, claim, interval
from .least_squares import columns_of, curve, problem, tails

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

ALGORITHMS = {"sgd": AnalogSGD, "tiki-taka": TikiTaka, "residual": ResidualLearning}


def check(settings: dict[str, Any]) -> None:
    shifts = settings["shifts"]
    if 0.0 not in shifts or len(shifts) < 2 or max(shifts) >= 1:
        raise InputError(f"shifts is {list(shifts)}, but must be 0 and at least one more in (0, 1)")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(f"{algorithm}-sigma{sigma:g}", partial(_run, settings, algorithm, sigma))
        for sigma in settings["sigmas"]
        for algorithm in ALGORITHMS
    ]


def _run(settings: dict[str, Any], algorithm: str, sigma: float, tell: Any) -> Columns:
    tau, dw_min = settings["tau"], settings["dw_min"]
    axes: dict[str, Any] = {
        "shift": list(settings["shifts"]),
        "sigma": sigma,
        "lr" if algorithm == "sgd" else "fast_lr": settings["lr"],
        "start": 1.0,
    }
    if algorithm != "sgd":
        axes["transfer_lr"] = settings["transfer_lr"]
    if algorithm == "residual":
        axes["gamma"] = settings["gamma"]
    found = grid(
        problem(100, 50, 1.0, settings["solution"], half=True),
        ALGORITHMS[algorithm],
        axes,
        device=lambda shift: Device(SoftBounds.symmetric(tau), dw_min, Spread(up_down_mean=shift)),
        seeds=range(settings["seeds"]),
        steps=settings["steps"],
        pulsing=Pulsing("pulsed", max_bl=5000),
        progress=lambda done, total: tell(done, total, f"{look(algorithm).label}, sigma {sigma:g}"),
    )
    columns = columns_of(found, algorithm=algorithm)
    kept = ("algorithm", "shift", "sigma", "seed", "step", "loss", "squared_gradient")
    return {name: columns[name] for name in kept}


def _theory(settings: dict[str, Any], sigma: float, shift: float) -> float:
    """Loss to which Tiki-Taka and Residual Learning settle in the small-step limit."""
    if not sigma:  # E|g| vanishes with the mean gradient, and the bias with it
        return 0.0
    f = problem(100, 50, 1.0, settings["solution"], half=True)
    response = SoftBounds(-settings["tau"], settings["tau"], up=1 + shift, down=1 - shift)
    lr, transfer_lr = settings["lr"], settings["transfer_lr"]
    found = residual_learning(f, response, GradientNoise(sigma), lr, transfer_lr, settings["gamma"])
    return float(f.loss(found.limit_mean))


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for sigma in settings["sigmas"]:
        for shift in settings["shifts"]:
            row: dict[str, Any] = {"sigma": sigma, "shift": shift}
            for algorithm in ALGORITHMS:
                label = look(algorithm).label
                mean, low, high = interval(tails(columns, algorithm=algorithm, sigma=sigma, shift=shift))
                row |= {label: mean, f"{label}_low": low, f"{label}_high": high}
            rows.append({**row, "theory of the bias": _theory(settings, sigma, shift)})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    found, most = [], max(settings["shifts"])
    for sigma in settings["sigmas"]:
        at = f"noise {sigma:g}" if sigma else "no gradient noise"
        sgd, tt, rl = (tails(columns, algorithm=a, sigma=sigma, shift=most) for a in ALGORITHMS)
        still = tails(columns, algorithm="tiki-taka", sigma=sigma, shift=0.0)
        found += [
            claim(
                f"{at}: a shifted symmetric point makes Tiki-Taka stall",
                f"ratio of the errors, shift {most:g} / no shift",
                interval(tt / still),
                "above",
                2.0,
            ),
            claim(
                f"{at}: Residual Learning does better than Tiki-Taka there",
                "ratio of the errors, Residual Learning / Tiki-Taka",
                interval(rl / tt),
                "below",
                0.5,
            ),
            claim(
                f"{at}: Residual Learning does better than Analog SGD there",
                "ratio of the errors, Residual Learning / Analog SGD",
                interval(rl / sgd),
                "below",
                0.5,
            ),
            claim(
                f"{at}: a shifted symmetric point does not make Residual Learning stall",
                f"ratio of the errors, shift {most:g} / no shift",
                interval(rl / tails(columns, algorithm="residual", sigma=sigma, shift=0.0)),
                "below",
                2.0,
            ),
        ]
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axes = figure.subplots(1, len(settings["sigmas"]), sharey=True, squeeze=False)[0]
    dashes = ("-", "--", "-.", ":")
    for axis, sigma in zip(axes, settings["sigmas"], strict=True):
        for algorithm in ALGORITHMS:
            label, colour, _, _ = look(algorithm)
            for shift, dash in zip(settings["shifts"], dashes, strict=False):
                steps, loss = curve(columns, algorithm=algorithm, sigma=sigma, shift=shift)
                name = f"{label}, shift {shift:g}" if shift in (0.0, max(settings["shifts"])) else None
                axis.plot(steps, loss.mean(0), dash, color=colour, lw=1, label=name)
        axis.set(xlabel="step", yscale="log", title=f"gradient noise {sigma:g}")
    axes[0].set_ylabel("loss $f(W) - f^*$")
    axes[-1].legend(frameon=False, fontsize=6)


STUDY = Study(
    name="RL-S1",
    title="a shifted symmetric point: Tiki-Taka stalls, Residual Learning without gradient noise does not",
    source="Wu et al. 2025, arXiv 2502.06309, Fig. 2",
    settings={
        "shifts": (0.0, 0.1, 0.2, 0.3),
        "sigmas": (0.0, 0.05),
        "tau": 3.5,
        "dw_min": 1e-4,
        "solution": 0.5,
        "lr": 0.1,
        "transfer_lr": 0.02,
        "gamma": 0.4,
        "steps": 20000,
        "seeds": 50,
    },
    quick={"seeds": 10},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    check=check,
)
