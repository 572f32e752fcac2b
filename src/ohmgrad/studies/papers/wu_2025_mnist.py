"""What the MNIST studies of Wu et al. 2025 (arXiv 2502.06309) share: devices, trainings and comparisons.

As in the authors' scripts: 30 epochs, batches of 10 (FCN) or 8 (CNN), lr 0.1 for digital SGD and 0.05 for
the others with StepLR(15, 0.5) on the FCN and StepLR(35, 0.1) on the CNN, dw_min = 2 tau / 1200 (the text
says 0.001), noisy periphery, learned output scales. Tiki-Taka: fast lr 0.01, one column per transfer, a
transfer after every minibatch. Elements have 30 % spread of dw_min and 1 % of the up/down balance, and 30 %
noise from pulse to pulse. On the power and exponential responses the noise multiplies the step, and the range
has no spread; on soft bounds see `Case.device`.

The scripts run the power and exponential steps of their simulator; the paper's, eq. 144 and 145, which are 1
at w = 0, need a changed simulator, as the authors note. The studies take the equations.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...devices import AbstractResponse, Device, ExpBounds, Noise, PowStep, SoftBounds, Spread
from ...style import style_of
from ..engine import Columns
from ..spec import RunSpec
from ..study import Claim, claim, interval
from .networks import NetworkTraining, accuracy, shared_folder

__all__ = ["ALGORITHMS", "KEYS", "SETTINGS", "Case", "comes_close", "reached", "trainings", "with_digital"]

ALGORITHMS = ("digital", "sgd", "tiki-taka")
BATCH = {"fcn": 10, "cnn": 8}
#: lr_step and lr_gamma
SCHEDULE = {"fcn": (15, 0.5), "cnn": (35, 0.1)}
STATES = 1200
#: noise from pulse to pulse, where a study does not vary it
SIGMA_C = 0.3
KEYS = ("net", "response", "gamma_res", "tau", "sigma_c", "algorithm")
#: settings that all have
SETTINGS: dict[str, Any] = {
    "data": "mnist",
    "images": None,
    "periphery": "noisy",
    "lr": 0.05,
    "digital_lr": 0.1,
    "fast_lr": 0.01,
    "epochs": 30,
    "seeds": (0, 1, 2),
}


class Case(NamedTuple):
    """One curve: what is trained on what. Digital training has no device: "", 0, 0 and 0."""

    net: str
    response: str
    gamma_res: float
    tau: float
    sigma_c: float
    algorithm: str

    def device(self) -> Device:
        """The device: "power" or "exponential", or "soft bounds" with spread bounds and additive noise."""
        tau, spread, kind = self.tau, Spread(dw_min=0.3, up_down=0.01), "multiplicative"
        responses: dict[str, AbstractResponse] = {
            "power": PowStep(-tau, tau, self.gamma_res, self.gamma_res),
            "exponential": ExpBounds(-tau, tau, self.gamma_res, self.gamma_res),
            "soft bounds": SoftBounds.symmetric(tau),
        }
        if self.response == "soft bounds":
            spread, kind = Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3), "additive"
        return Device(responses[self.response], 2 * tau / STATES, spread, Noise(self.sigma_c, kind))

    def __str__(self) -> str:
        words = [self.net.upper(), style_of(self.algorithm).label]
        if self.response:
            words += [f"{self.response} {self.gamma_res:g}", f"tau {self.tau:g}"]
        return ", ".join(words)


def with_digital(nets: Iterable[str], cases: Iterable[Case]) -> list[Case]:
    """The cases, and digital training of each net before them."""
    return [*(Case(net, "", 0.0, 0.0, 0.0, "digital") for net in nets), *cases]


def trainings(settings: dict[str, Any], folder: Path, cases: Iterable[Case]) -> list[NetworkTraining]:
    """Every case with every seed."""
    return [_training(settings, folder, case, seed) for seed in settings["seeds"] for case in cases]


def _training(settings: dict[str, Any], folder: Path, case: Case, seed: int) -> NetworkTraining:
    digital = case.algorithm == "digital"
    lr_step, lr_gamma = SCHEDULE[case.net]
    spec = RunSpec(
        data=settings["data"],
        images=settings["images"],
        model=case.net,
        device="paper" if digital else case.device().to_dict(),
        algorithms=(case.algorithm,),
        options={"fast_lr": settings["fast_lr"]} if case.algorithm == "tiki-taka" else {},
        periphery=settings["periphery"],
        lr=settings["digital_lr" if digital else "lr"],
        lr_step=lr_step,
        lr_gamma=lr_gamma,
        batch_size=BATCH[case.net],
        epochs=settings["epochs"],
        seeds=(seed,),
    )
    words = [case.net, case.algorithm]
    if not digital:
        words += [case.response.replace(" ", "-"), f"{case.gamma_res:g}", f"tau{case.tau:g}"]
        words += [f"noise{case.sigma_c:g}"]
    name = "-".join(["rl", *words, f"seed{seed}"])
    columns = {**case._asdict(), "seed": seed}
    home = shared_folder(folder, spec, name)
    return NetworkTraining(name, f"{case}, seed {seed}", spec, columns, home)


def reached(columns: Columns, case: Case) -> np.ndarray:
    """Test accuracy in per cent after the last epoch, by seed."""
    return accuracy(columns, **case._asdict())


def comes_close(at: str, columns: Columns, case: Case, points: float) -> Claim:
    """A training comes as close to digital SGD."""
    digital = Case(case.net, "", 0.0, 0.0, 0.0, "digital")
    label = style_of(case.algorithm).label
    return claim(
        f"{at}: {label} comes within {points:g} point{'s' * (points != 1)} of digital SGD",
        f"test accuracy, digital - {label} (points)",
        interval(reached(columns, digital) - reached(columns, case)),
        "below",
        points,
        full=True,
    )
