"""The trainings of a map: what they are made with, which there are, and what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checked import checked
from ..cost import hardware
from ..datasets import load
from ..devices import Device
from ..devices.presets import preset
from ..devices.properties import PROPERTIES, scaled
from ..errors import InputError, check_choice, check_number, shown
from ..optim import registry
from ..ranges import ABOVE_ZERO, COUNT, Range
from .engine import Columns, Failure, Part, Progress, compute, key_of, read_part
from .history import History, packed_history, unpacked_history
from .spec import RunSpec
from .train import train_once
from .tuned import KEPT

__all__ = ["ALGORITHM", "OPTIONS", "Factors", "MapSettings", "Runs"]

#: the algorithm with the best mean accuracy over the devices of docs/compare.csv of those that gather the
#: gradient on elements
ALGORITHM = "residual-v2"
#: options of algorithms beside lr, of those that have them
OPTIONS = {"columns": 16, "max_pulses": 10, "fast_lr": 0.1}
#: seed of the trainings that choose the learning rate
_TUNING_SEED = 1000
#: what a training gave, beside its history
_COLUMNS = ("test_accuracy", "train_loss", "pulses_up", "pulses_down")

#: what a training is on: factors of the properties that are not 1
Factors = Mapping[str, float]


@checked(trainings=Range(6, 2**31 - 1), tuning_epochs=COUNT, rates=ABOVE_ZERO)
@dataclass(frozen=True)
class MapSettings:
    """What a map is made with.

    Args:
        algorithm: a name in `ohmgrad.optim.registry.ALGORITHMS`, or FILE.py:CLASS.
        options: of it; None for those of `OPTIONS` that it has.
        trainings: on devices, in all, beside the short ones that choose the learning rate.
        axes: pairs of properties, a map each; empty for the two that cost most.
        target: wanted test accuracy (percent); None for one point less than digital SGD.
        data, model, images, epochs, batch_size: as of `RunSpec`.
        rates: learning rates to choose from; tuning_epochs: of the trainings that choose.
        hardware: name or file of the description that costs are of.
        accuracy: test accuracy (percent) at which costs are compared; None for the target, or the highest
            that the device reaches where that is lower.

    Raises:
        InputError: when a value is out of range.
    """

    algorithm: str = ALGORITHM
    options: dict[str, Any] | None = None
    trainings: int = 40
    axes: tuple[tuple[str, str], ...] = ()
    target: float | None = None
    data: str = "digits"
    model: str = "mlp"
    images: int | None = None
    epochs: int = 20
    batch_size: int = 10
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    tuning_epochs: int = 5
    hardware: str = "rasch-li"
    accuracy: float | None = None

    def __post_init__(self) -> None:
        registry.algorithm_of(self.algorithm)
        for pair in self.axes:
            for name in pair:
                check_choice("axis", name, [n for n, p in PROPERTIES.items() if p.smooth])
            if len(pair) != 2 or pair[0] == pair[1]:
                raise InputError(
                    f"axes are {shown(pair)}, but must be two properties, as in states,asymmetry"
                )
        for name in ("target", "accuracy"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, high=100, open_low=True, open_high=True)
        hardware(self.hardware)
        if not self.rates:
            raise InputError("rates is empty, but must have at least one learning rate")
        if self.options is None:
            has = registry.options_of(self.algorithm)
            object.__setattr__(self, "options", {n: v for n, v in OPTIONS.items() if n in has})
        for lr in self.rates:  # each as it will be trained
            RunSpec.from_dict(self.run(preset("paper").to_dict(), lr, 0, self.epochs))

    def run(self, device: dict[str, Any] | None, lr: float, seed: int, epochs: int) -> dict[str, Any]:
        """The training on a device, or the digital one for None, as `RunSpec.from_dict` takes it."""
        algorithm = "digital" if device is None else self.algorithm
        names = ("data", "model", "images", "batch_size")
        run = {name: getattr(self, name) for name in names} | {"lr": lr, "epochs": epochs, "seeds": [seed]}
        analog = {} if device is None else {"device": device, "options": self.options}
        return {**run, "algorithms": [algorithm], **analog}


def _run(spec: dict[str, Any], progress: Progress) -> Columns:
    """A training as the engine keeps it."""
    torch.set_num_threads(1)  # the network is small: threads would only wait for each other
    trained = train_once(RunSpec.from_dict(spec), progress)
    row = {name: trained.row[name] for name in _COLUMNS}
    row["history"] = packed_history(trained.accuracies, trained.epochs)
    return {name: np.array([value]) for name, value in row.items()}


class Runs:
    """The trainings of a map: what was trained, and what came out."""

    def __init__(
        self,
        settings: MapSettings,
        base: Device,
        faults: list[str],
        folder: Path,
        jobs: int,
        progress: Progress,
    ) -> None:
        self.settings, self.base, self.faults, self.raw = settings, base, faults, folder / "raw"
        self.jobs, self.progress, self.lr = jobs, progress, settings.rates[0]
        self.images = len(load(settings.data).first(settings.images).test_y)
        self.parts: dict[str, Part] = {}
        self.used: dict[tuple[tuple[tuple[str, float], ...], int], str] = {}
        self.failed: list[Failure] = []
        self.rows: dict[str, tuple[float, float]] = {}
        self.digital: list[str] = []
        ideal = scaled(base, dict.fromkeys(faults, 0.0))
        self.devices = [None, base.to_dict(), ideal.to_dict()]
        for device in self.devices:
            RunSpec.from_dict(
                settings.run(device, self.lr, 0, settings.epochs)
            )  # wrong settings are refused before there is a folder
        self.total = settings.trainings + 3 * len(settings.rates) + 2

    @property
    def left(self) -> int:
        """Trainings that may still be spent."""
        return max(0, self.settings.trainings - len(self.used))

    def tune(self) -> float:
        """Choose the learning rate of all trainings; the accuracy of digital SGD (percent)."""
        s, short = self.settings, self.settings.tuning_epochs
        specs = [s.run(d, lr, _TUNING_SEED, short) for d in self.devices for lr in s.rates]
        losses = np.array([loss for _, loss in self._compute(specs)]).reshape(3, -1)
        losses = np.where(np.isfinite(losses), losses, 1e3)
        digital = s.rates[int(losses[0].argmin())]
        self.lr = s.rates[int(losses[1:].sum(0).argmin())]
        best = [s.run(None, digital, seed, s.epochs) for seed in range(2)]
        self.digital = [_name(spec) for spec in best]
        rows = self._compute(best)
        return 100 * float(np.mean([accuracy for accuracy, _ in rows]))

    def train(self, points: Sequence[tuple[Factors, int]]) -> list[tuple[float, float]]:
        """Accuracy (a share) and loss at every point with its seed; NaN where the training failed."""
        specs = []
        for factors, seed in points:
            device = scaled(self.base, factors).to_dict()
            spec = self.settings.run(device, self.lr, seed, self.settings.epochs)
            self.used[tuple(sorted(factors.items())), seed] = _name(spec)
            specs.append(spec)
        return self._compute(specs)

    def _compute(self, specs: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
        names = [_name(spec) for spec in specs]
        self.parts |= {name: Part(name, partial(_run, spec)) for name, spec in zip(names, specs, strict=True)}

        def told(done: int, total: int, what: str) -> None:
            self.progress(done, 1000 * max(self.total, len(self.parts)), what)

        _, failed = compute(list(self.parts.values()), self.raw, jobs=self.jobs, progress=told)
        self.failed = failed
        return [self._row(name) for name in names]

    def _row(self, name: str) -> tuple[float, float]:
        if any(failure.name == name for failure in self.failed):
            return math.nan, math.nan
        if name not in self.rows:
            columns, _ = read_part(self.raw, name)
            self.rows[name] = float(columns["test_accuracy"][0]), float(columns["train_loss"][0])
        return self.rows[name]

    def histories(self, factors: Factors | None) -> list[History]:
        """Epochs of all trainings on a device, or of the digital ones for None, that did not fail."""
        names = (
            self.digital if factors is None else [n for (f, _), n in self.used.items() if dict(f) == factors]
        )
        failed = {failure.name for failure in self.failed}
        parts = (read_part(self.raw, name)[0] for name in names if name not in failed)
        return [unpacked_history(str(columns["history"][0])) for columns in parts]

    def all(self) -> list[tuple[dict[str, float], int, float, float]]:
        """Factors, seed, accuracy and loss of every training."""
        return [(dict(factors), seed, *self._row(name)) for (factors, seed), name in self.used.items()]

    def known(self, factors: Factors) -> bool:
        return any(dict(f) == factors for f, _ in self.used)

    def mean(self, factors: Factors) -> float:
        """Mean accuracy (percent) over seeds; NaN where there is none."""
        found = [a for f, _, a, _ in self.all() if f == factors and math.isfinite(a)]
        return 100 * float(np.mean(found)) if found else math.nan

    def along(self, name: str) -> list[tuple[float, float]]:
        """(factor, accuracy as a share) of all trainings in which only this property was changed, if any."""
        rows = [(f.get(name, 1.0), a) for f, _, a, _ in self.all() if {*f} <= {name} and math.isfinite(a)]
        return sorted(rows)


def _name(spec: dict[str, Any]) -> str:
    return f"training-{key_of({'spec': spec, 'kept': KEPT})}"
