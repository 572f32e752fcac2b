"""A training run as one frozen, checked specification, to and from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data import DATASETS
from ..devices import Device
from ..devices.presets import preset
from ..errors import (
    InputError,
    check_choice,
    check_integer,
    check_number,
    check_options,
    python_numbers,
    shown,
)
from ..models import MODELS, build
from ..nn import convert
from ..optim import registry
from ..periphery import NOISY_PERIPHERY, Periphery
from ..pulses import FIDELITIES, Pulsing
from ..yaml_text import read_yaml

__all__ = ["ALGORITHMS", "PERIPHERIES", "RunSpec"]

ALGORITHMS = ("digital", *registry.ALGORITHMS)
PERIPHERIES: dict[str, Periphery] = {"perfect": Periphery(), "noisy": NOISY_PERIPHERY}


@dataclass(frozen=True)
class RunSpec:
    """What to train: every algorithm with every seed.

    Args:
        data, model: names of the data set and the network.
        images: only the first so many images of the training and of the test set; None for all.
        device: name of a preset, or the mapping that `Device.to_dict` gives.
        tau, dw_min: if given, replace the device's range by [-tau, tau] and its granularity.
        algorithms: any of `ALGORITHMS`.
        options: options of algorithms, as in their docstrings; each goes to all algorithms that have it,
            and one of them must.
        fidelity: "mean", "pulsed" or "pulse-by-pulse".
        periphery: "perfect" or "noisy" (`NOISY_PERIPHERY`).
        lr: learning rate of every algorithm.
        lrs: learning rates of single algorithms that differ from `lr`.
        lr_step, lr_gamma: every `lr_step` epochs the learning rate is multiplied by `lr_gamma`.
        batch_size, epochs, seeds: as usual; a seed fixes weights, elements, data order and pulses.
        omega: mapping of the weights into the range, see `ohmgrad.convert`.
        monitor: whether every analog training has an `ohmgrad.Monitor`, and the run a monitor.csv.

    Raises:
        InputError: when a value is out of range or unknown.
    """

    data: str = "digits"
    model: str = "mlp"
    images: int | None = None
    device: str | dict[str, Any] = "paper"
    tau: float | None = None
    dw_min: float | None = None
    algorithms: tuple[str, ...] = ("digital", "sgd", "tiki-taka")
    options: dict[str, Any] = field(default_factory=dict)
    fidelity: str = "pulsed"
    periphery: str = "perfect"
    lr: float = 0.05
    lrs: dict[str, float] = field(default_factory=dict)
    lr_step: int = 35
    lr_gamma: float = 0.1
    batch_size: int = 10
    epochs: int = 1
    seeds: tuple[int, ...] = (0,)
    omega: float | None = None
    monitor: bool = False

    def __post_init__(self) -> None:
        python_numbers(self)
        check_choice("data set", self.data, DATASETS)
        check_choice("model", self.model, MODELS)
        check_choice("fidelity", self.fidelity, FIDELITIES)
        check_choice("periphery", self.periphery, PERIPHERIES)
        for name in ("options", "lrs"):
            if not isinstance(getattr(self, name), Mapping):
                value = getattr(self, name)
                raise InputError(f"{name} is {shown(value)}, but must be a mapping of names to values")
        for name in ("algorithms", "seeds"):
            value = getattr(self, name)
            listed = isinstance(value, (list, tuple)) and len(value) > 0
            if not listed or any(v in value[:i] for i, v in enumerate(value)):
                raise InputError(
                    f"{name} is {shown(value)}, but must be a list of at least one, all different"
                )
            object.__setattr__(self, name, tuple(value))
        for algorithm in (*self.algorithms, *self.lrs):
            check_choice("algorithm", algorithm, ALGORITHMS)
        seeds = tuple(check_integer("seed", seed, 0, 2**32 - 1) for seed in self.seeds)
        object.__setattr__(self, "seeds", seeds)
        for name in ("batch_size", "epochs", "lr_step"):
            check_integer(name, getattr(self, name), 1)
        if self.images is not None:
            check_integer("images", self.images, 1)
        for name, lr in {"lr": self.lr, **self.lrs}.items():
            check_number("lr" if name == "lr" else f"lr of {name}", lr, low=0, open_low=True)
        check_number("lr_gamma", self.lr_gamma, low=0, high=1, open_low=True)
        for name in ("tau", "dw_min"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, open_low=True)
        analog = [a for a in self.algorithms if a != "digital"]
        check_options(
            self.options, {a: registry.options_of(a) if a in analog else () for a in self.algorithms}
        )
        for name, value in self.options.items():
            if isinstance(value, bool):
                raise InputError(f"option {name} is {shown(value)}, but no option is true or false")
        if not isinstance(self.monitor, bool):
            raise InputError(f"monitor is {shown(self.monitor)}, but must be true or false")
        if self.monitor and self.algorithms == ("digital",):
            raise InputError(
                "monitor is true, but only digital SGD is trained, which has no floor to predict: add sgd or "
                "tiki-taka to the algorithms, or leave monitor out"
            )
        # ranges of omega and of the options are checked where they are used, on the smallest network
        for algorithm in analog or ["sgd"]:
            self.prepare(build("mlp", (1, 1, 1), 1, 0), algorithm, 0)

    def built_device(self) -> Device:
        """The device, with `tau` and `dw_min` put in."""
        if not isinstance(self.device, (str, Mapping)):
            raise InputError(
                f"device is {shown(self.device)}, but must be the name of a preset, or a mapping with a "
                "response"
            )
        device = preset(self.device) if isinstance(self.device, str) else Device.from_dict(self.device)
        if self.tau is not None:
            response = replace(device.response, w_min=-self.tau, w_max=self.tau)  # pyright: ignore
            device = replace(device, response=response)
        return device if self.dw_min is None else replace(device, dw_min=self.dw_min)

    def prepare(self, model: nn.Module, algorithm: str, seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model, converted unless the algorithm is digital, and the optimizer that trains it.

        Raises:
            InputError: when `omega` or an option is out of range, or the model cannot be converted.
        """
        lr = self.lr_of(algorithm)
        if algorithm == "digital":
            return model, torch.optim.SGD(model.parameters(), lr=lr)
        analog = convert(
            model,
            self.built_device(),
            pulsing=Pulsing(fidelity=self.fidelity),  # pyright: ignore[reportArgumentType]
            periphery=PERIPHERIES[self.periphery],
            omega=self.omega,
            seed=seed,
        )
        mine = registry.options_of(algorithm)
        options = {name: value for name, value in self.options.items() if name in mine}
        return analog, registry.ALGORITHMS[algorithm](analog.parameters(), lr=lr, **options)

    def lr_of(self, algorithm: str) -> float:
        """Learning rate of an algorithm."""
        return self.lrs.get(algorithm, self.lr)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, the content of the YAML form."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunSpec:
        """Inverse of `to_dict`; omitted entries keep their defaults."""
        names = [f.name for f in dataclasses.fields(cls)]
        for name in data:
            check_choice("entry of the run file", str(name), names)
        return cls(**data)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The entries of a YAML file, unchecked.

        Raises:
            InputError: when the file cannot be read or is not a mapping.
        """
        data = read_yaml(path)
        if not isinstance(data, dict):
            raise InputError(f"{path} must be a mapping of names to values, such as 'data: mnist'")
        return data
