"""A study of your own, which goes on where it stopped: is Analog SGD's floor higher on a narrower range?"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ohmgrad import SoftBounds, theory
from ohmgrad.studies.engine import Part
from ohmgrad.studies.study import Study, claim, interval, run_study


def floor(tau: float, seed: int, progress) -> dict:  # (w - 0.3)^2 at rest, on soft bounds [-tau, tau]
    problem, noise = theory.Quadratic(torch.eye(1), torch.tensor([0.3])), theory.GradientNoise(0.5)
    step, start = theory.analog_step(SoftBounds.symmetric(tau), 0.03), torch.zeros(500, 1)
    run = theory.simulate(problem, noise, step, start, 400, burn_in=200, seed=seed)
    return {"tau": [tau], "error": [float(run.error.mean())]}


def draw(figure, settings, columns) -> None:
    figure.subplots().plot(columns["tau"], columns["error"], "o")


STUDY = Study(
    name="narrow", title="floor and range", source="us", settings={"taus": (0.6, 2.0)}, quick={}, draw=draw,
    parts=lambda s, _: [Part(f"{t}-{i}", partial(floor, t, i)) for t in s["taus"] for i in range(3)],
    summarise=lambda s, c: [{"tau": t, "error": e} for t, e in zip(c["tau"], c["error"], strict=True)],
    claims=lambda s, c: [claim("more", "difference", interval(c["error"][:3] - c["error"][3:]), "above", 0)],
)  # fmt: skip


def main() -> float:
    with TemporaryDirectory() as folder:
        found = run_study(STUDY, Path(folder) / "narrow").claims[0]
    return 0.0 if found.passes else 1.0


if __name__ == "__main__":
    main()
