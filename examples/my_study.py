"""A study of your own, which goes on where it stopped: does Analog SGD's floor rise with the asymmetry?"""

import tempfile
from functools import partial
from pathlib import Path

import torch

import ohmgrad as og
from ohmgrad import theory
from ohmgrad.studies.engine import Part
from ohmgrad.studies.study import Study, claim, interval, run_study, where

TAUS = (0.6, 2.0)


def floor(tau: float, seed: int, progress):  # (w - 0.3)^2 where it rests, on soft bounds [-tau, tau]
    problem, noise = theory.Quadratic(torch.eye(1), torch.tensor([0.3])), theory.GradientNoise(0.5)
    step, start = theory.analog_step(og.SoftBounds.symmetric(tau), 0.03), torch.zeros(500, 1)
    run = theory.simulate(problem, noise, step, start, 400, burn_in=200, seed=seed)
    return {"tau": [tau], "seed": [seed], "error": [float(run.error.mean())]}


def more(columns):
    return interval(where(columns, tau=0.6)["error"] - where(columns, tau=2.0)["error"])


STUDY = Study(
    name="asymmetry", title="the floor against the range", source="ours", settings={"seeds": 3}, quick={},
    parts=lambda s, _: [Part(f"{t}-{i}", partial(floor, t, i)) for t in TAUS for i in range(s["seeds"])],
    summarise=lambda s, columns: [{"tau": t, "error": where(columns, tau=t)["error"].mean()} for t in TAUS],
    claims=lambda s, columns: [claim("0.6 has more than 2", "difference of floors", more(columns), "above", 0)],
    draw=lambda figure, s, columns: figure.subplots().plot(columns["tau"], columns["error"], "o"),
)  # fmt: skip


def main() -> float:
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_study(STUDY, Path(folder) / "asymmetry")
    print(outcome.table, outcome.claims[0])
    return 0.0 if outcome.claims[0].passes else 1.0
