"""A training run as one frozen, checked specification, to and from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checked import checked
from ..datasets import check_data
from ..deployment.hardware_aware import OPTIONS as HARDWARE_AWARE
from ..deployment.hardware_aware import hardware_aware
from ..devices import Device
from ..devices.named import device_named
from ..errors import (
    LARGEST,
    InputError,
    check_choice,
    check_integer,
    check_number,
    check_options,
    python_numbers,
    said,
    shown,
)
from ..kernels import FIDELITIES, NOISY_PERIPHERY, Periphery, Pulsing
from ..models import build, check_model
from ..models.vision import IMAGENET, check_weights_name, is_vision
from ..nn import convert
from ..optim import AnalogOptimizer, registry
from ..optim.options import LARGEST_RATE
from ..user_files import by_contents, digest, is_in_file
from ..yaml_text import read_yaml
from .engine import key_of
from .groups import check_factors, parameter_groups
from .images import AUGMENTATIONS

__all__ = ["ALGORITHMS", "PERIPHERIES", "RunSpec"]

ALGORITHMS = ("digital", *registry.ALGORITHMS)
PERIPHERIES: dict[str, Periphery] = {"perfect": Periphery(), "noisy": NOISY_PERIPHERY}


@dataclass(frozen=True)
class RunSpec:
    """What to train: every algorithm with every seed.

    Args:
        data: name of the data set, a .npz file or FILE.py:NAME, see `ohmgrad.datasets.load`.
        model: name of the network or FILE.py:NAME, see `ohmgrad.models.build`.
        pretrained: None; "imagenet", of networks whose package has such weights; or a file with a state dict
            (.pt, .pth, .safetensors), of which a last layer with other outputs is left out.
        images: only the first so many images of the training and of the test set; None for all.
        augment: any of "flip", "vertical-flip" and "crop", see `images.Images`: of training images.
        resize: height and width (pixels) that images are brought to; None leaves them. Images for a network
            of another package that is pretrained are standardised as its weights want it.
        device: name of a preset, FILE.py:NAME, or the mapping that `Device.to_dict` gives.
        tau, dw_min: if given, replace the device's range by [-tau, tau] and its granularity.
        algorithms: any of `ALGORITHMS`, or FILE.py:CLASS, one of your own.
        options: options of algorithms, as in their docstrings; each goes to all algorithms that have it,
            and one of them must. Of "digital" weight_noise, clip and input_bits: any of them makes its
            training hardware-aware, see `ohmgrad.deployment.hardware_aware`.
        include, exclude: patterns of the names of layers that become analog, see `ohmgrad.convert`.
        fidelity: "mean", "pulsed" or "pulse-by-pulse".
        periphery: "perfect" or "noisy" (`NOISY_PERIPHERY`).
        lr: learning rate of every algorithm.
        lrs: learning rates of single algorithms that differ from `lr`.
        digital_lr: learning rate of what stays digital in analog trainings (layers, biases, output scales);
            None for that of the algorithm.
        lr_factors: by pattern of layers' or parameters' names, what their learning rate is multiplied by; the
            first pattern that matches counts, as in {"fc": 1, "*": 0.1}. Rates that are options of an
            algorithm (fast_lr) stay.
        lr_step, lr_gamma: every `lr_step` epochs all learning rates are multiplied by `lr_gamma`.
        batch_size, epochs, seeds: as usual; a seed fixes weights, elements, data order and pulses.
        omega: mapping of the weights into the range, see `ohmgrad.convert`.
        monitor: whether every analog training has an `ohmgrad.Monitor`, and the run a monitor.csv.

    Raises:
        InputError: when a value is out of range or unknown.
    """

    data: str = "digits"
    model: str = "mlp"
    pretrained: str | None = None
    images: int | None = None
    augment: tuple[str, ...] = ()
    resize: int | None = None
    device: str | dict[str, Any] = "paper"
    tau: float | None = None
    dw_min: float | None = None
    algorithms: tuple[str, ...] = ("digital", "sgd", "tiki-taka")
    options: dict[str, Any] = field(default_factory=dict)
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    fidelity: str = "pulsed"
    periphery: str = "perfect"
    lr: float = 0.05
    lrs: dict[str, float] = field(default_factory=dict)
    digital_lr: float | None = None
    lr_factors: dict[str, float] = field(default_factory=dict)
    lr_step: int = 35
    lr_gamma: float = 0.1
    batch_size: int = 10
    epochs: int = 1
    seeds: tuple[int, ...] = (0,)
    omega: float | None = None
    monitor: bool = False

    def __post_init__(self) -> None:
        python_numbers(self)
        check_data(self.data)
        check_model(self.model)
        if self.pretrained is not None and not (
            isinstance(self.pretrained, str) and self.pretrained == IMAGENET and is_vision(self.model)
        ):
            check_weights_name(self.pretrained, self.model)
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
        for name in ("include", "exclude", "augment"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
                raise InputError(f"{name} is {shown(value)}, but must be a list of names, such as ['a', 'b']")
            object.__setattr__(self, name, tuple(value))
        if not self.include:
            raise InputError("include is empty, so that no layer becomes analog: train with digital only")
        for name in self.augment:
            check_choice("augmentation", name, AUGMENTATIONS)
        check_factors(self.lr_factors)
        for algorithm in (*self.algorithms, *self.lrs):
            if algorithm != "digital":
                registry.algorithm_of(algorithm, "digital")
        seeds = tuple(check_integer("seed", seed, 0, 2**32 - 1) for seed in self.seeds)
        object.__setattr__(self, "seeds", seeds)
        for name in ("batch_size", "epochs", "lr_step"):
            check_integer(name, getattr(self, name), 1)
        for name in ("images", "resize"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1)
        for name, lr in {"lr": self.lr, **self.lrs}.items():
            what = "lr" if name == "lr" else f"lr of {name}"
            check_number(what, lr, low=0, open_low=True, high=LARGEST_RATE)
        check_number("lr_gamma", self.lr_gamma, low=0, high=1, open_low=True)
        for name, high in {"tau": LARGEST, "dw_min": LARGEST, "digital_lr": LARGEST_RATE}.items():
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low=0, open_low=True, high=high)
        analog = [a for a in self.algorithms if a != "digital"]
        check_options(
            self.options,
            {a: registry.options_of(a) if a in analog else HARDWARE_AWARE for a in self.algorithms},
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
            self.smallest(algorithm)
        if "digital" in self.algorithms:
            self._hardware_aware(build("linear", (1, 1, 1), 1, 0))

    def built_device(self) -> Device:
        """The device, with `tau` and `dw_min` put in."""
        if not isinstance(self.device, (str, Mapping)):
            raise InputError(
                f"device is {shown(self.device)}, but must be the name of a preset, or a mapping with a "
                "response"
            )
        device = device_named(self.device) if isinstance(self.device, str) else Device.from_dict(self.device)
        changes: dict[str, Any] = {} if self.dw_min is None else {"dw_min": self.dw_min}
        if self.tau is not None:
            response: Any = device.response
            if not {"w_min", "w_max"} <= {*vars(response)}:
                raise InputError(
                    f"tau is {self.tau:g}, but the range of {type(response).__name__} is its own, "
                    f"[{response.w_min:g}, {response.w_max:g}]: leave tau out, or choose another device"
                )
            changes["response"] = replace(response, w_min=-self.tau, w_max=self.tau)
        return replace(device, **changes)  # at once: dw_min has to fit the range

    @checked
    def prepare(self, model: nn.Module, algorithm: str, seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model, converted unless the algorithm is digital, and the optimizer that trains it.

        Raises:
            InputError: when `omega` or an option is out of range, a pattern matches nothing, or the model
                cannot be converted.
        """
        patterns = {"include": self.include, "exclude": self.exclude}
        if algorithm != "digital":
            model = self._converted(model, seed, **patterns)
        else:
            model = self._hardware_aware(model, **patterns)
        params: Any = None
        if self.lr_factors or self.digital_lr is not None:
            # an analog training sees parameters that a digital one has not, such as output scales
            strict = algorithm != "digital" or self.algorithms == ("digital",)
            own = None if algorithm == "digital" else self.digital_lr
            params = parameter_groups(model, self.lr_of(algorithm), self.lr_factors, own, strict=strict)
        return model, self._optimizer(algorithm, model, params)

    @checked
    def smallest(self, algorithm: str) -> tuple[nn.Module, torch.optim.Optimizer]:
        """As `prepare`, of an analog algorithm on a network of one weight."""
        model = self._converted(build("linear", (1, 1, 1), 1, 0), 0)
        return model, self._optimizer(algorithm, model)

    def _converted(self, model: nn.Module, seed: int, **patterns: Any) -> nn.Module:
        return convert(
            model,
            self.built_device(),
            pulsing=Pulsing(fidelity=self.fidelity),  # pyright: ignore[reportArgumentType]
            periphery=PERIPHERIES[self.periphery],
            omega=self.omega,
            seed=seed,
            **patterns,
        )

    def _hardware_aware(self, model: nn.Module, **patterns: Any) -> nn.Module:
        """The model of a digital training, which sees what a chip does where an option says so."""
        own = {name: value for name, value in self.options.items() if name in HARDWARE_AWARE}
        return hardware_aware(model, **own, **patterns) if own else model

    def _optimizer(self, algorithm: str, model: nn.Module, params: Any = None) -> torch.optim.Optimizer:
        params, lr = model.parameters() if params is None else params, self.lr_of(algorithm)
        if algorithm == "digital":
            return torch.optim.SGD(params, lr=lr)
        known = registry.options_of(algorithm)
        options = {name: value for name, value in self.options.items() if name in known}
        make = registry.algorithm_of(algorithm)
        if not is_in_file(algorithm):
            return make(params, lr=lr, **options)
        try:
            made: Any = make(params, lr=lr, **options)
        except InputError:
            raise
        except Exception as error:  # whatever a user's class may raise
            given = ", ".join(f"{name}={value}" for name, value in {"lr": lr, **options}.items())
            raise InputError(
                f"{algorithm} cannot be made with (params, {given}): {type(error).__name__} ({said(error)})"
            ) from error
        if not isinstance(made, AnalogOptimizer):
            raise InputError(
                f"{algorithm} gives {shown(made)}, but must give one that extends ohmgrad.AnalogOptimizer"
            )
        return made

    @checked
    def lr_of(self, algorithm: str) -> float:
        """Learning rate of an algorithm."""
        if algorithm != "digital":
            registry.algorithm_of(algorithm, "digital")
        return self.lrs.get(algorithm, self.lr)

    @property
    def key(self) -> str:
        """Hash of all that determines what is trained: the device as its mapping, files by their contents."""
        values = self.to_dict()
        if self.algorithms == ("digital",):
            values["device"] = None
        else:
            try:
                values |= {"device": self.built_device().to_dict(), "tau": None, "dw_min": None}
            except InputError:  # callables, or tables without a file: known by their name alone
                if not isinstance(self.device, str):
                    raise
                values["device"] = by_contents(self.device)
        values["algorithms"] = [by_contents(a) for a in self.algorithms]
        for name in ("data", "model"):
            values[name] = by_contents(values[name])
        for name in ("data", "pretrained"):
            file = Path(values[name] or "").expanduser()
            if file.suffix and file.is_file():
                values[name] = digest(file)
        return key_of(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, the content of the YAML form."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    @checked
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
